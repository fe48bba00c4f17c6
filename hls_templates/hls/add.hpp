// Add: the weighted sum of two streams, exact. One call, one frame.
#ifndef ADMMFPGA_ADD_HPP
#define ADMMFPGA_ADD_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: LANES, BITS0, SIGNED0, FACTOR0, SHIFT0, BITS1, SIGNED1, FACTOR1, SHIFT1, SUM_BITS, USE_DSP, BEATS.
template <class P>
void add(hls::stream<ap_uint<P::LANES * P::BITS0> >& in0, hls::stream<ap_uint<P::LANES * P::BITS1> >& in1,
         hls::stream<ap_uint<P::LANES * P::SUM_BITS> >& out) {
  typedef typename lanes::Integer<P::BITS0, P::SIGNED0 != 0>::type First;
  typedef typename lanes::Integer<P::BITS1, P::SIGNED1 != 0>::type Second;
  typedef typename lanes::Integer<32, true>::type Factor;
  typedef typename lanes::Integer<P::SUM_BITS, true>::type Sum;
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    First first[P::LANES];
#pragma HLS ARRAY_PARTITION variable=first complete dim=1
    Second second[P::LANES];
#pragma HLS ARRAY_PARTITION variable=second complete dim=1
    Sum sum[P::LANES];
#pragma HLS ARRAY_PARTITION variable=sum complete dim=1
    lanes::unpack<P::LANES, P::BITS0, P::SIGNED0 != 0>(in0.read(), first);
    lanes::unpack<P::LANES, P::BITS1, P::SIGNED1 != 0>(in1.read(), second);
    for (int i = 0; i < P::LANES; ++i) {
      const Sum a = lanes::Multiplier<P::USE_DSP != 0>::template product<Sum>(first[i], (Factor)P::FACTOR0);
      const Sum b = lanes::Multiplier<P::USE_DSP != 0>::template product<Sum>(second[i], (Factor)P::FACTOR1);
      sum[i] = (Sum)(a * ((Sum)1 << P::SHIFT0)) + (Sum)(b * ((Sum)1 << P::SHIFT1));
    }
    out.write(lanes::pack<P::LANES, P::SUM_BITS>(sum));
  }
}

#endif
