// Requantize: accumulators to codes,
//     out = clip(round_half_even((acc + bias) * multiplier / 2^SHIFT) + ZERO_POINT, LOW, HIGH).
// One call, one frame.
#ifndef ADMMFPGA_REQUANTIZE_HPP
#define ADMMFPGA_REQUANTIZE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// value / 2^SHIFT rounded to the nearest integer, ties to even.
template <int BITS, int SHIFT>
struct RoundShift {
  // Holds the value plus half a step.
  static const int WIDE_BITS = (BITS > SHIFT ? BITS : SHIFT) + 1;
  static const int RESULT_BITS = WIDE_BITS - SHIFT;
  typedef typename lanes::Integer<WIDE_BITS, true>::type Wide;
  typedef typename lanes::Integer<RESULT_BITS, true>::type Result;

  static Result of(const typename lanes::Integer<BITS, true>::type& value) {
#pragma HLS INLINE
    const Wide half = (Wide)1 << (SHIFT - 1);
    const Wide below = (Wide)(half + half - 1);
    const Wide biased = (Wide)value + half;
    const Wide quotient = biased >> SHIFT;
    const bool tie = (biased & below) == 0;
    return tie ? (Result)(quotient & ~(Wide)1) : (Result)quotient;
  }
};

template <int BITS>
struct RoundShift<BITS, 0> {
  static const int RESULT_BITS = BITS;
  typedef typename lanes::Integer<BITS, true>::type Result;

  static Result of(const Result& value) {
#pragma HLS INLINE
    return value;
  }
};

// P: LANES, GROUPS, IN_BITS, IN_SIGNED, BIAS_BITS, SUM_BITS, MULTIPLIER_BITS, SHIFT, ZERO_POINT, LOW, HIGH, OUT_BITS,
// POSITIONS, parameters(address, chunk): lanes of a bias above a multiplier.
template <class P>
void requantize(hls::stream<ap_uint<P::LANES * P::IN_BITS> >& in, hls::stream<ap_uint<P::LANES * P::OUT_BITS> >& out) {
  const int PARAMETER_BITS = P::BIAS_BITS + P::MULTIPLIER_BITS;
  const int PER_CHUNK = lanes::Chunks<P::LANES, PARAMETER_BITS>::PER_CHUNK;
  const int PRODUCT_BITS = P::SUM_BITS + P::MULTIPLIER_BITS;
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Accumulator;
  typedef typename lanes::Integer<P::SUM_BITS, true>::type Sum;
  typedef typename lanes::Integer<P::BIAS_BITS, true>::type Bias;
  typedef typename lanes::Integer<P::MULTIPLIER_BITS, false>::type Scale;
  typedef typename lanes::Integer<PRODUCT_BITS, true>::type Product;
  typedef RoundShift<PRODUCT_BITS, P::SHIFT> Rounding;
  // One bit more than the rounded value or a code, whichever is wider: room for the sum of both.
  const int ROUNDED_BITS = (Rounding::RESULT_BITS > P::OUT_BITS + 1 ? Rounding::RESULT_BITS : P::OUT_BITS + 1) + 1;
  typedef typename lanes::Integer<ROUNDED_BITS, true>::type Rounded;

  int group = 0;
  for (int step = 0; step < P::POSITIONS * P::GROUPS; ++step) {
#pragma HLS PIPELINE II=1
    Accumulator acc[P::LANES];
#pragma HLS ARRAY_PARTITION variable=acc complete dim=1
    Rounded code[P::LANES];
#pragma HLS ARRAY_PARTITION variable=code complete dim=1
    lanes::unpack<P::LANES, P::IN_BITS, P::IN_SIGNED != 0>(in.read(), acc);
    for (int i = 0; i < P::LANES; ++i) {
      const unsigned long long parameter = P::parameters(group, i / PER_CHUNK) >> (i % PER_CHUNK * PARAMETER_BITS);
      const Scale scale = lanes::number<P::MULTIPLIER_BITS, false>(parameter);
      const Bias bias = lanes::number<P::BIAS_BITS, true>(parameter >> P::MULTIPLIER_BITS);
      const Sum sum = (Sum)acc[i] + (Sum)bias;
      const Product product = lanes::Multiplier<true>::template product<Product>(sum, scale);
      const Rounded value = (Rounded)Rounding::of(product) + (Rounded)P::ZERO_POINT;
      const Rounded raised = value < (Rounded)P::LOW ? (Rounded)P::LOW : value;
      code[i] = raised > (Rounded)P::HIGH ? (Rounded)P::HIGH : raised;
    }
    out.write(lanes::pack<P::LANES, P::OUT_BITS>(code));
    group = group == P::GROUPS - 1 ? 0 : group + 1;
  }
}

#endif
