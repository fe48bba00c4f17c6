// Max pool: the greatest tap of each channel of a window beat. One call, one frame.
#ifndef ADMMFPGA_MAX_POOL_HPP
#define ADMMFPGA_MAX_POOL_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: TAPS, CHANNELS, BITS, SIGNED, BEATS.
template <class P>
void max_pool(hls::stream<ap_uint<P::TAPS * P::CHANNELS * P::BITS> >& in,
              hls::stream<ap_uint<P::CHANNELS * P::BITS> >& out) {
  typedef typename lanes::Integer<P::BITS, P::SIGNED != 0>::type Code;
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    Code tap[P::TAPS * P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=tap complete dim=1
    Code best[P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=best complete dim=1
    lanes::unpack<P::TAPS * P::CHANNELS, P::BITS, P::SIGNED != 0>(in.read(), tap);
    for (int channel = 0; channel < P::CHANNELS; ++channel) {
      best[channel] = tap[channel];
      for (int i = 1; i < P::TAPS; ++i) {
        if (tap[i * P::CHANNELS + channel] > best[channel]) {
          best[channel] = tap[i * P::CHANNELS + channel];
        }
      }
    }
    out.write(lanes::pack<P::CHANNELS, P::BITS>(best));
  }
}

#endif
