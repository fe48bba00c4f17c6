// Index-decoding PE: multipliers that only ever meet non-zero weights. One call, one frame.
//
// Each lane keeps the activations that its weights want in two banks: one is filled while the other one is worked on. A
// step takes an entry of every lane's program, decodes its index, and accumulates; sums of row blocks wait until the
// step in which all lanes have got that far, and are added up there.
#ifndef ADMMFPGA_CSR_PE_HPP
#define ADMMFPGA_CSR_PE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

namespace csr {

// Bits that hold the numbers below COUNT, at least one.
template <int COUNT>
struct Bits {
  static const int VALUE = COUNT <= 2 ? 1 : 1 + Bits<(COUNT + 1) / 2>::VALUE;
};
template <>
struct Bits<1> {
  static const int VALUE = 1;
};
template <>
struct Bits<2> {
  static const int VALUE = 1;
};

// The entries of all lanes in a step: slot and whether the row block ends.
template <class P, int INDEX_FORMAT>
struct Decoder {
  static const int LANES = P::GROUPS * P::LANES;
  int base[LANES];

  void begin() {
    for (int lane = 0; lane < LANES; ++lane) base[lane] = 0;
  }

  void decode(int step, int slot[LANES], bool ends[LANES]) {
#pragma HLS INLINE
    typedef typename lanes::Integer<P::INDEX_BITS + 1, false>::type Entry;
    const int CHUNKS = lanes::Chunks<LANES, P::INDEX_BITS + 1>::COUNT;
    unsigned long long chunk[CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
    Entry entry[LANES];
#pragma HLS ARRAY_PARTITION variable=entry complete dim=1
    for (int i = 0; i < CHUNKS; ++i) {
      chunk[i] = P::indices(step, i);
    }
    lanes::unpack_chunks<LANES, P::INDEX_BITS + 1, false>(chunk, entry);
    for (int lane = 0; lane < LANES; ++lane) {
      const int code = (int)entry[lane];
      ends[lane] = (code & 1) != 0;
      slot[lane] = code >> 1;
      if (INDEX_FORMAT == 1) {
        slot[lane] += base[lane];
        base[lane] = ends[lane] ? 0 : slot[lane] + 1;
      }
    }
  }
};

// A bit for every slot: the lowest one that is left is the next entry.
template <class P>
struct Decoder<P, 2> {
  static const int LANES = P::GROUPS * P::LANES;
  typedef ap_uint<P::SLOTS> Row;
  Row rest[LANES];
  int row_block[LANES];
  bool begun[LANES];

  void begin() {
    for (int lane = 0; lane < LANES; ++lane) {
      rest[lane] = 0;
      row_block[lane] = 0;
      begun[lane] = false;
    }
  }

  void decode(int, int slot[LANES], bool ends[LANES]) {
#pragma HLS INLINE
    for (int lane = 0; lane < LANES; ++lane) {
      const bool idle = row_block[lane] == P::ROW_BLOCKS;
      Row bits = rest[lane];
      if (!begun[lane] && !idle) {
        bits = stored(row_block[lane], lane);
      }
      int lowest = 0;
      for (int i = P::SLOTS - 1; i >= 0; --i) {
        if (((ap_uint<1>)(bits >> i)) != 0) lowest = i;
      }
      const Row left = bits & (Row)(bits - 1);
      slot[lane] = lowest;
      ends[lane] = !idle && left == 0;
      rest[lane] = left;
      begun[lane] = !idle && left != 0;
      if (ends[lane]) ++row_block[lane];
    }
  }

 private:
  static Row stored(int block, int lane) {
#pragma HLS INLINE
    Row bits = 0;
    for (int i = 0; i < P::SLOTS; ++i) {
      const int position = lane * P::SLOTS + i;
      const unsigned long long chunk = P::bitmaps(block, position / 64);
      bits |= (Row)((Row)((chunk >> (position % 64)) & 1ULL) << i);
    }
    return bits;
  }
};

// Products of the rows that share an index, PACK of them in a DSP block.
template <class P, int PACK>
struct Products {
  template <class Activation, class Weight, class Product>
  static void multiply(const Activation& activation, const Weight weight[P::HEIGHT], Product product[P::HEIGHT]) {
#pragma HLS INLINE
    for (int row = 0; row < P::HEIGHT; row += PACK) {
      Weight shared[PACK];
#pragma HLS ARRAY_PARTITION variable=shared complete dim=1
      Product found[PACK];
#pragma HLS ARRAY_PARTITION variable=found complete dim=1
      for (int i = 0; i < PACK; ++i) shared[i] = weight[row + i];
      lanes::PackedMultiplier<PACK, P::SPACING, P::IN_BITS, P::IN_SIGNED != 0, P::WEIGHT_BITS>::products(
          activation, shared, found);
      for (int i = 0; i < PACK; ++i) product[row + i] = found[i];
    }
  }
};

template <class P>
struct Products<P, 1> {
  template <class Activation, class Weight, class Product>
  static void multiply(const Activation& activation, const Weight weight[P::HEIGHT], Product product[P::HEIGHT]) {
#pragma HLS INLINE
    for (int row = 0; row < P::HEIGHT; ++row) {
      product[row] = lanes::Multiplier<P::USE_DSP != 0>::template product<Product>(activation, weight[row]);
    }
  }
};

// Whether a lane's sum is part of a row block's.
template <class P, bool SKIPS>
struct Takes {
  static bool part(int, int) { return true; }
};
template <class P>
struct Takes<P, true> {
  static bool part(int row_block, int lane) {
#pragma HLS INLINE
    return ((P::takes(row_block, lane / 64) >> (lane % 64)) & 1ULL) != 0;
  }
};

}  // namespace csr

// P: GROUPS, LANES, IN_LANES, HEIGHT, LOAD_BEATS, STEPS, ROW_BLOCKS, SLOTS, PARTIAL_DEPTH, SKIPS, INDEX_FORMAT,
// INDEX_BITS, IN_BITS, IN_SIGNED, WEIGHT_BITS, ACC_BITS, USE_DSP, PACK, SPACING, VECTORS, weights(step, chunk),
// emits(step, chunk), writes(beat, chunk), indices(step, chunk) or bitmaps(row block, chunk), and with SKIPS
// takes(row block, chunk).
template <class P>
void csr_pe(hls::stream<ap_uint<P::IN_LANES * P::IN_BITS> >& in,
            hls::stream<ap_uint<P::GROUPS * P::HEIGHT * P::ACC_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Activation;
  typedef typename lanes::Integer<P::WEIGHT_BITS, true>::type Weight;
  typedef typename lanes::Integer<P::IN_BITS + P::WEIGHT_BITS, true>::type Product;
  typedef typename lanes::Integer<P::ACC_BITS, true>::type Accumulator;
  const int LANES = P::GROUPS * P::LANES;
  const int SHARE = P::LANES / P::IN_LANES;
  const int SLOT_BITS = csr::Bits<P::SLOTS>::VALUE;
  const int SELECT_BITS = SHARE == 1 ? 0 : csr::Bits<SHARE>::VALUE;
  const int WRITE_BITS = 1 + SELECT_BITS + SLOT_BITS;
  const int WRITE_CHUNKS = lanes::Chunks<P::GROUPS * P::IN_LANES, WRITE_BITS>::COUNT;
  const int WEIGHT_CHUNKS = lanes::Chunks<LANES * P::HEIGHT, P::WEIGHT_BITS>::COUNT;
  // Without other lanes to wait for, a sum is emitted in the step that ends it.
  const int DEPTH = P::PARTIAL_DEPTH == 0 ? 1 : P::PARTIAL_DEPTH;
  const int LONGER = P::STEPS > P::LOAD_BEATS ? P::STEPS : P::LOAD_BEATS;
  typedef typename lanes::Integer<WRITE_BITS, false>::type Destination;

  Activation bank[LANES][2 * P::SLOTS];
#pragma HLS ARRAY_PARTITION variable=bank complete dim=1
#pragma HLS DEPENDENCE variable=bank inter false
  Accumulator sum[LANES][P::HEIGHT];
#pragma HLS ARRAY_PARTITION variable=sum complete dim=0
  Accumulator waiting[LANES][P::HEIGHT][DEPTH];
#pragma HLS ARRAY_PARTITION variable=waiting complete dim=1
#pragma HLS ARRAY_PARTITION variable=waiting complete dim=2
  bool begins[LANES];
#pragma HLS ARRAY_PARTITION variable=begins complete dim=1
  int finished[LANES];
#pragma HLS ARRAY_PARTITION variable=finished complete dim=1
  int emitted[LANES];
#pragma HLS ARRAY_PARTITION variable=emitted complete dim=1
  csr::Decoder<P, P::INDEX_FORMAT> decoder;
  for (int lane = 0; lane < LANES; ++lane) {
    begins[lane] = true;
    finished[lane] = 0;
    emitted[lane] = 0;
  }

  // Round v loads vector v and works on vector v - 1.
  for (int round = 0; round <= P::VECTORS; ++round) {
    decoder.begin();
    int row_block = 0;
    for (int step = 0; step < LONGER; ++step) {
#pragma HLS PIPELINE II=1
      if (round < P::VECTORS && step < P::LOAD_BEATS) {
        Activation arrived[P::IN_LANES];
#pragma HLS ARRAY_PARTITION variable=arrived complete dim=1
        lanes::unpack<P::IN_LANES, P::IN_BITS, P::IN_SIGNED != 0>(in.read(), arrived);
        unsigned long long chunk[WRITE_CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
        Destination destination[P::GROUPS * P::IN_LANES];
#pragma HLS ARRAY_PARTITION variable=destination complete dim=1
        for (int i = 0; i < WRITE_CHUNKS; ++i) {
          chunk[i] = P::writes(step, i);
        }
        lanes::unpack_chunks<P::GROUPS * P::IN_LANES, WRITE_BITS, false>(chunk, destination);
        for (int lane = 0; lane < LANES; ++lane) {
          const int group = lane / P::LANES, position = lane % P::LANES / SHARE, member = lane % SHARE;
          const int code = (int)destination[group * P::IN_LANES + position];
          const int selected = (code >> 1) & ((1 << SELECT_BITS) - 1);
          if ((code & 1) != 0 && selected == member) {
            bank[lane][(round & 1) * P::SLOTS + (code >> (1 + SELECT_BITS))] = arrived[position];
          }
        }
      }
      if (round > 0 && step < P::STEPS) {
        int slot[LANES];
#pragma HLS ARRAY_PARTITION variable=slot complete dim=1
        bool ends[LANES];
#pragma HLS ARRAY_PARTITION variable=ends complete dim=1
        decoder.decode(step, slot, ends);
        unsigned long long chunk[WEIGHT_CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
        Weight weight[LANES * P::HEIGHT];
#pragma HLS ARRAY_PARTITION variable=weight complete dim=1
        for (int i = 0; i < WEIGHT_CHUNKS; ++i) {
          chunk[i] = P::weights(step, i);
        }
        lanes::unpack_chunks<LANES * P::HEIGHT, P::WEIGHT_BITS, true>(chunk, weight);
        for (int lane = 0; lane < LANES; ++lane) {
          // Entries that only fill up read whatever slot they name; their weights are zero.
          const int kept = slot[lane] < P::SLOTS ? slot[lane] : 0;
          const Activation activation = bank[lane][(~round & 1) * P::SLOTS + kept];
          Weight entry[P::HEIGHT];
#pragma HLS ARRAY_PARTITION variable=entry complete dim=1
          Product product[P::HEIGHT];
#pragma HLS ARRAY_PARTITION variable=product complete dim=1
          for (int row = 0; row < P::HEIGHT; ++row) entry[row] = weight[lane * P::HEIGHT + row];
          csr::Products<P, P::PACK>::multiply(activation, entry, product);
          for (int row = 0; row < P::HEIGHT; ++row) {
            const Accumulator before = begins[lane] ? (Accumulator)0 : (Accumulator)sum[lane][row];
            sum[lane][row] = before + product[row];
            if (ends[lane]) waiting[lane][row][finished[lane]] = sum[lane][row];
          }
          begins[lane] = ends[lane];
          if (ends[lane]) finished[lane] = finished[lane] == DEPTH - 1 ? 0 : finished[lane] + 1;
        }
        if (P::emits(step, 0) != 0) {
          Accumulator total[P::GROUPS * P::HEIGHT];
#pragma HLS ARRAY_PARTITION variable=total complete dim=1
          for (int sum = 0; sum < P::GROUPS * P::HEIGHT; ++sum) total[sum] = 0;
          for (int lane = 0; lane < LANES; ++lane) {
            if (csr::Takes<P, P::SKIPS != 0>::part(row_block, lane)) {
              for (int row = 0; row < P::HEIGHT; ++row) {
                total[lane / P::LANES * P::HEIGHT + row] += waiting[lane][row][emitted[lane]];
              }
              emitted[lane] = emitted[lane] == DEPTH - 1 ? 0 : emitted[lane] + 1;
            }
          }
          out.write(lanes::pack<P::GROUPS * P::HEIGHT, P::ACC_BITS>(total));
          ++row_block;
        }
      }
    }
  }
}

#endif
