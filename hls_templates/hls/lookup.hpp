// Lookup: codes to codes by table. One call, one frame.
#ifndef ADMMFPGA_LOOKUP_HPP
#define ADMMFPGA_LOOKUP_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: LANES, IN_BITS, OUT_BITS, TABLES, BEATS, codes(address, chunk): address is the table's number above the code's bits.
template <class P>
void lookup(hls::stream<ap_uint<P::LANES * P::IN_BITS> >& in, hls::stream<ap_uint<P::LANES * P::OUT_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, false>::type Code;
  typedef typename lanes::Integer<P::OUT_BITS, false>::type Result;
  int number = 0;
  for (int beat = 0; beat < P::BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    Code code[P::LANES];
#pragma HLS ARRAY_PARTITION variable=code complete dim=1
    Result result[P::LANES];
#pragma HLS ARRAY_PARTITION variable=result complete dim=1
    lanes::unpack<P::LANES, P::IN_BITS, false>(in.read(), code);
    for (int i = 0; i < P::LANES; ++i) {
      result[i] = lanes::number<P::OUT_BITS, false>(P::codes((number << P::IN_BITS) + (int)code[i], 0));
    }
    out.write(lanes::pack<P::LANES, P::OUT_BITS>(result));
    number = number == P::TABLES - 1 ? 0 : number + 1;
  }
}

#endif
