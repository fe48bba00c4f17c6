// FIFO: hands beats on; the depth is that of the stream behind it. One call, one frame.
#ifndef ADMMFPGA_FIFO_HPP
#define ADMMFPGA_FIFO_HPP

#include <ap_int.h>
#include <hls_stream.h>

// P: WIDTH, BEATS.
template <class P>
void fifo(hls::stream<ap_uint<P::WIDTH> >& in, hls::stream<ap_uint<P::WIDTH> >& out) {
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    out.write(in.read());
  }
}

#endif
