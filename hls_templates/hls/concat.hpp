// Concat: FIRST beats of one stream, then SECOND beats of another, in turn. One call, one frame.
#ifndef ADMMFPGA_CONCAT_HPP
#define ADMMFPGA_CONCAT_HPP

#include <ap_int.h>
#include <hls_stream.h>

// P: WIDTH, FIRST, SECOND, REPEATS.
template <class P>
void concat(hls::stream<ap_uint<P::WIDTH> >& in0, hls::stream<ap_uint<P::WIDTH> >& in1,
            hls::stream<ap_uint<P::WIDTH> >& out) {
  int beat = 0;
  for (int step = 0; step < P::REPEATS * (P::FIRST + P::SECOND); ++step) {
#pragma HLS PIPELINE II=1
    ap_uint<P::WIDTH> word = 0;
    if (beat < P::FIRST) {
      word = in0.read();
    } else {
      word = in1.read();
    }
    out.write(word);
    beat = beat == P::FIRST + P::SECOND - 1 ? 0 : beat + 1;
  }
}

#endif
