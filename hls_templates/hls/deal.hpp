// Deal: the first STORED beats of a unit dealt out to extra lanes beside the others. One call, one frame.
#ifndef ADMMFPGA_DEAL_HPP
#define ADMMFPGA_DEAL_HPP

#include <ap_int.h>
#include <hls_stream.h>

// P: LANES, EXTRA, STORED, BEATS, BITS, UNITS.
template <class P>
void deal(hls::stream<ap_uint<P::LANES * P::BITS> >& in,
            hls::stream<ap_uint<(P::LANES + P::EXTRA) * P::BITS> >& out) {
  const int WIDTH = P::LANES * P::BITS, EXTRA_WIDTH = P::EXTRA * P::BITS, STORE_WIDTH = P::STORED * WIDTH;
  ap_uint<STORE_WIDTH> store = 0;
  int beat = 0;
  for (int step = 0; step < P::UNITS * P::BEATS; ++step) {
#pragma HLS PIPELINE II=1
    const ap_uint<WIDTH> word = in.read();
    if (beat < P::STORED) {
      // The first beat ends up in the low lanes.
      store = (ap_uint<STORE_WIDTH>)(((ap_uint<STORE_WIDTH + WIDTH>)word << STORE_WIDTH |
                                      (ap_uint<STORE_WIDTH + WIDTH>)store) >> WIDTH);
    } else {
      out.write((ap_uint<WIDTH + EXTRA_WIDTH>)word |
                (ap_uint<WIDTH + EXTRA_WIDTH>)(ap_uint<EXTRA_WIDTH>)store << WIDTH);
      store = EXTRA_WIDTH < STORE_WIDTH ? (ap_uint<STORE_WIDTH>)(store >> EXTRA_WIDTH) : (ap_uint<STORE_WIDTH>)0;
    }
    beat = beat == P::BEATS - 1 ? 0 : beat + 1;
  }
}

#endif
