// AXI4-Stream in: containers (bytes, or equal parts of bytes) to lanes. One call, one frame.
#ifndef ADMMFPGA_AXIS_INPUT_HPP
#define ADMMFPGA_AXIS_INPUT_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: LANES, BITS, CONTAINER_BITS, BEATS.
template <class P>
void axis_input(hls::stream<ap_uint<P::LANES * P::CONTAINER_BITS> >& in,
                hls::stream<ap_uint<P::LANES * P::BITS> >& out) {
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    typename lanes::Integer<P::CONTAINER_BITS, false>::type lane[P::LANES];
#pragma HLS ARRAY_PARTITION variable=lane complete dim=1
    lanes::unpack<P::LANES, P::CONTAINER_BITS, false>(in.read(), lane);
    out.write(lanes::pack<P::LANES, P::BITS>(lane));
  }
}

#endif
