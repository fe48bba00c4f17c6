// Fork: every beat to two readers. One call, one frame.
#ifndef ADMMFPGA_STREAM_FORK_HPP
#define ADMMFPGA_STREAM_FORK_HPP

#include <ap_int.h>
#include <hls_stream.h>

// P: WIDTH, BEATS.
template <class P>
void stream_fork(hls::stream<ap_uint<P::WIDTH> >& in, hls::stream<ap_uint<P::WIDTH> >& out0,
                 hls::stream<ap_uint<P::WIDTH> >& out1) {
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    const ap_uint<P::WIDTH> word = in.read();
    out0.write(word);
    out1.write(word);
  }
}

#endif
