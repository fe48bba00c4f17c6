// Lanes of a stream word: integer types of exact width, packing and unpacking. Lane 0 is in the least significant bits.
//
// Everything here is wiring and goes into pipelined loops, where HLS compilers unroll these loops by themselves. With
// ADMMFPGA_FAST_SIMULATION (C simulation against the open ap_int headers only) lanes are plain C integers and words are
// taken apart in pieces of 64 bits; results are the same.
#ifndef ADMMFPGA_LANES_HPP
#define ADMMFPGA_LANES_HPP

#include <ap_int.h>

namespace lanes {

// Lanes of a memory word are held in chunks of up to 64 bits; no lane lies across two chunks.
template <int LANES, int BITS>
struct Chunks {
  static const int PER_CHUNK = 64 / BITS;
  static const int COUNT = (LANES + PER_CHUNK - 1) / PER_CHUNK;
};

#ifndef ADMMFPGA_FAST_SIMULATION

template <int BITS, bool SIGNED>
struct Integer {
  typedef ap_uint<BITS> type;
};

template <int BITS>
struct Integer<BITS, true> {
  typedef ap_int<BITS> type;
};

// The low BITS bits of `bits` as a number.
template <int BITS, bool SIGNED>
typename Integer<BITS, SIGNED>::type number(unsigned long long bits) {
#pragma HLS INLINE
  return (typename Integer<BITS, SIGNED>::type)(ap_uint<BITS>)bits;
}

template <int LANES, int BITS, bool SIGNED>
void unpack(const ap_uint<LANES * BITS>& word, typename Integer<BITS, SIGNED>::type lane[LANES]) {
#pragma HLS INLINE
  for (int i = 0; i < LANES; ++i) {
    lane[i] = (typename Integer<BITS, SIGNED>::type)(ap_uint<BITS>)(word >> (i * BITS));
  }
}

// Lanes of another type are cut or extended to BITS bits.
template <int LANES, int BITS, class T>
ap_uint<LANES * BITS> pack(const T lane[LANES]) {
#pragma HLS INLINE
  ap_uint<LANES * BITS> word = 0;
  for (int i = 0; i < LANES; ++i) {
    word |= (ap_uint<LANES * BITS>)((ap_uint<BITS>)lane[i]) << (i * BITS);
  }
  return word;
}

template <class R, class A, class B>
R times(const A& a, const B& b) {
#pragma HLS INLINE
  return (R)(a * b);
}

// Lanes of a memory word.
template <int LANES, int BITS, bool SIGNED>
void unpack_chunks(const unsigned long long chunk[Chunks<LANES, BITS>::COUNT],
                   typename Integer<BITS, SIGNED>::type lane[LANES]) {
#pragma HLS INLINE
  const int PER_CHUNK = Chunks<LANES, BITS>::PER_CHUNK;
  for (int i = 0; i < LANES; ++i) {
    lane[i] = number<BITS, SIGNED>(chunk[i / PER_CHUNK] >> (i % PER_CHUNK * BITS));
  }
}

#else

template <int STORED>
struct Stored;

template <>
struct Stored<32> {
  typedef int type;
};

template <>
struct Stored<64> {
  typedef long long type;
};

template <>
struct Stored<65> {
  typedef unsigned long long type;
};

template <int BITS, bool SIGNED>
struct Integer {
  typedef typename Stored<(BITS + !SIGNED <= 32) ? 32 : (BITS + !SIGNED <= 64) ? 64 : SIGNED ? 0 : BITS + 1>::type type;
};

template <int BITS, bool SIGNED>
inline typename Integer<BITS, SIGNED>::type number(unsigned long long bits) {
  typedef typename Integer<BITS, SIGNED>::type T;
  return SIGNED ? (T)((long long)(bits << (64 - BITS)) >> (64 - BITS)) : (T)(bits << (64 - BITS) >> (64 - BITS));
}

// BITS bits from position `at` of a row of 64-bit pieces.
template <int BITS>
inline unsigned long long cut(const unsigned long long* piece, int at) {
  const int index = at / 64, shift = at % 64;
  unsigned long long bits = piece[index] >> shift;
  if (64 % BITS != 0 && shift + BITS > 64) bits |= piece[index + 1] << (64 - shift);
  return bits;
}

template <int LANES, int BITS, bool SIGNED>
inline void unpack(const ap_uint<LANES * BITS>& word, typename Integer<BITS, SIGNED>::type* lane) {
  typedef typename Integer<BITS, SIGNED>::type T;
  const int PIECES = (LANES * BITS + 63) / 64;
  unsigned long long piece[PIECES];
  for (int i = 0; i < PIECES; ++i) piece[i] = word.V.get_pVal(i);
  if (BITS == 8) {
    const unsigned char* bytes = (const unsigned char*)piece;
    for (int i = 0; i < LANES; ++i) lane[i] = SIGNED ? (T)(signed char)bytes[i] : (T)bytes[i];
  } else {
    for (int i = 0; i < LANES; ++i) lane[i] = number<BITS, SIGNED>(cut<BITS>(piece, i * BITS));
  }
}

template <int LANES, int BITS, class T>
inline ap_uint<LANES * BITS> pack(const T* lane) {
  const int PIECES = (LANES * BITS + 63) / 64;
  unsigned long long piece[PIECES + 1] = {};
  for (int i = 0; i < LANES; ++i) {
    const unsigned long long bits = number<BITS, false>((unsigned long long)(long long)lane[i]);
    const int index = i * BITS / 64, shift = i * BITS % 64;
    piece[index] |= bits << shift;
    if (64 % BITS != 0 && shift + BITS > 64) piece[index + 1] |= bits >> (64 - shift);
  }
  ap_uint<LANES * BITS> word = 0;
  for (int i = 0; i < PIECES; ++i) word.V.set_pVal(i, piece[i]);
  return word;
}

template <class R, class A, class B>
inline R times(const A& a, const B& b) {
  return (R)a * (R)b;
}

template <int LANES, int BITS, bool SIGNED>
inline void unpack_chunks(const unsigned long long* chunk, typename Integer<BITS, SIGNED>::type* lane) {
  typedef typename Integer<BITS, SIGNED>::type T;
  const int PER_CHUNK = Chunks<LANES, BITS>::PER_CHUNK;
  if (BITS == 8) {
    const unsigned char* bytes = (const unsigned char*)chunk;
    for (int i = 0; i < LANES; ++i) lane[i] = SIGNED ? (T)(signed char)bytes[i] : (T)bytes[i];
  } else {
    for (int i = 0; i < LANES; ++i) lane[i] = number<BITS, SIGNED>(chunk[i / PER_CHUNK] >> (i % PER_CHUNK * BITS));
  }
}

#endif

// Products, R being wide enough for them; DSP chooses the multiplier's form.
template <bool DSP>
struct Multiplier {
  template <class R, class A, class B>
  static R product(const A& a, const B& b) {
#pragma HLS INLINE
    R result = times<R>(a, b);
#pragma HLS BIND_OP variable=result op=mul impl=dsp
    return result;
  }
};

template <>
struct Multiplier<false> {
  template <class R, class A, class B>
  static R product(const A& a, const B& b) {
#pragma HLS INLINE
    R result = times<R>(a, b);
#pragma HLS BIND_OP variable=result op=mul impl=fabric
    return result;
  }
};

// LANES products of an activation, LANES > 1: weights SPACING bits apart make one wide factor of a DSP block's
// multiplier, and the products are cut out of its result. Weights are stored in borrow form: each is one less if the lanes
// below it, as one number, are negative, so the wide factor is their sign-extended concatenation.
template <int LANES, int SPACING, int IN_BITS, bool IN_SIGNED, int WEIGHT_BITS>
struct PackedMultiplier {
  static const int PRODUCT_BITS = IN_BITS + WEIGHT_BITS - (IN_SIGNED ? 1 : 0);
  static const int WIDE_BITS = (LANES - 1) * SPACING + WEIGHT_BITS;
  static const int FULL_BITS = WIDE_BITS + IN_BITS + 1;
  static const unsigned long long FIELD = (1ULL << SPACING) - 1;

  template <class A, class B, class R>
  static void products(const A& activation, const B weight[LANES], R product[LANES]) {
#pragma HLS INLINE
    unsigned long long fields = 0, halves = 0;
    for (int i = 0; i < LANES; ++i) {
      const unsigned long long field = (unsigned long long)(long long)weight[i];
      fields |= (i < LANES - 1 ? field & FIELD : field) << (i * SPACING);
      // Half the range of a lane, so that it is never negative; the highest one may be.
      if (SPACING == PRODUCT_BITS && i < LANES - 1) halves |= 1ULL << ((i + 1) * SPACING - 1);
    }
    typedef typename Integer<FULL_BITS, true>::type Full;
    Full full = times<Full>(number<WIDE_BITS, true>(fields), activation);
#pragma HLS BIND_OP variable=full op=mul impl=dsp
    const Full raised = (Full)(full + number<FULL_BITS, true>(halves));
    const unsigned long long bits = (unsigned long long)(long long)raised;
    if (SPACING == PRODUCT_BITS) {
      for (int i = 0; i < LANES; ++i) {
        const unsigned long long half = i < LANES - 1 ? 1ULL << (PRODUCT_BITS - 1) : 0;
        product[i] = (R)number<PRODUCT_BITS, true>((bits >> (i * SPACING)) ^ half);
      }
    } else {
      // Lanes overlap by a bit. The lowest bit of a product needs no multiplier; where it is another one than that of the
      // lane, the lane below is negative, and has borrowed.
      unsigned long long lost = 0;
      for (int i = 0; i < LANES; ++i) {
        unsigned long long next = 0;
        if (i < LANES - 1) {
          const long long borrowed = (long long)weight[i] >> (WEIGHT_BITS - 1);
          const long long parity = ((long long)weight[i + 1] ^ borrowed) & (long long)activation;
          next = ((bits >> ((i + 1) * SPACING)) ^ (unsigned long long)parity) & 1ULL;
        }
        const unsigned long long field = bits >> (i * SPACING);
        const unsigned long long low = i < LANES - 1 ? (field & FIELD) | next << SPACING : field;
        product[i] = (R)number<PRODUCT_BITS, true>(low + lost);
        lost = next;
      }
    }
  }
};

}  // namespace lanes

#endif
