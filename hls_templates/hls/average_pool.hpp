// Average pool: sums of channels over the taps of a beat and over COUNT positions. One call, one frame.
#ifndef ADMMFPGA_AVERAGE_POOL_HPP
#define ADMMFPGA_AVERAGE_POOL_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: TAPS, CHANNELS, BITS, SIGNED, GROUPS, COUNT, SUM_BITS, OUTPUTS.
template <class P>
void average_pool(hls::stream<ap_uint<P::TAPS * P::CHANNELS * P::BITS> >& in,
                  hls::stream<ap_uint<P::CHANNELS * P::SUM_BITS> >& out) {
  typedef typename lanes::Integer<P::BITS, P::SIGNED != 0>::type Code;
  typedef typename lanes::Integer<P::SUM_BITS, true>::type Sum;
  Sum total[P::GROUPS][P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=total complete dim=2
  int group = 0, position = 0;
  for (int beat = 0; beat < P::OUTPUTS * P::COUNT * P::GROUPS; ++beat) {
#pragma HLS PIPELINE II=1
    Code tap[P::TAPS * P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=tap complete dim=1
    Sum sum[P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=sum complete dim=1
    lanes::unpack<P::TAPS * P::CHANNELS, P::BITS, P::SIGNED != 0>(in.read(), tap);
    for (int channel = 0; channel < P::CHANNELS; ++channel) {
      sum[channel] = position == 0 ? (Sum)0 : (Sum)total[group][channel];
      for (int i = 0; i < P::TAPS; ++i) {
        sum[channel] += (Sum)tap[i * P::CHANNELS + channel];
      }
      total[group][channel] = sum[channel];
    }
    if (position == P::COUNT - 1) {
      out.write(lanes::pack<P::CHANNELS, P::SUM_BITS>(sum));
    }
    if (group < P::GROUPS - 1) {
      ++group;
    } else {
      group = 0;
      position = position == P::COUNT - 1 ? 0 : position + 1;
    }
  }
}

#endif
