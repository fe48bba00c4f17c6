// AXI4-Stream out: lanes to byte-aligned containers. The output word's top bit is TLAST. One call, one frame.
#ifndef ADMMFPGA_AXIS_OUTPUT_HPP
#define ADMMFPGA_AXIS_OUTPUT_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: LANES, BITS, SIGNED, CONTAINER_BITS, BEATS.
template <class P>
void axis_output(hls::stream<ap_uint<P::LANES * P::BITS> >& in,
                 hls::stream<ap_uint<P::LANES * P::CONTAINER_BITS + 1> >& out) {
  typedef ap_uint<P::LANES * P::CONTAINER_BITS + 1> Word;
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    typename lanes::Integer<P::BITS, P::SIGNED != 0>::type lane[P::LANES];
#pragma HLS ARRAY_PARTITION variable=lane complete dim=1
    lanes::unpack<P::LANES, P::BITS, P::SIGNED != 0>(in.read(), lane);
    const ap_uint<1> last = beat == P::BEATS - 1;
    const Word data = lanes::pack<P::LANES, P::CONTAINER_BITS>(lane);
    out.write(data | ((Word)last << (P::LANES * P::CONTAINER_BITS)));
  }
}

#endif
