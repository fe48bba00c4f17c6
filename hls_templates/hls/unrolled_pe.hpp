// Unrolled PE: a whole constant matrix as shifts and adders, one vector a cycle. One call, one frame.
//
// The network comes as tables of constants, which unrolling turns into wires and adders. Values are numbered: lanes of the
// input beat, nodes, and zero at the end. A node is the sum or difference of two values, shifted, or a copy of one.
#ifndef ADMMFPGA_UNROLLED_PE_HPP
#define ADMMFPGA_UNROLLED_PE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: IN_LANES, OUT_LANES, IN_BITS, IN_SIGNED, ACC_BITS, NODES, VECTORS; of each node operation(0, node), left, right,
// left_shift, right_shift; of each row result(0, row), result_shift. Sums are exact modulo 2^ACC_BITS.
template <class P>
void unrolled_pe(hls::stream<ap_uint<P::IN_LANES * P::IN_BITS> >& in,
                 hls::stream<ap_uint<P::OUT_LANES * P::ACC_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Activation;
  // Room for whatever is cut off at the end.
  typedef typename lanes::Integer<P::ACC_BITS, true>::type Accumulator;

  for (int beat = 0; beat < P::VECTORS; ++beat) {
#pragma HLS PIPELINE II=1
    Activation activation[P::IN_LANES];
#pragma HLS ARRAY_PARTITION variable=activation complete dim=1
    Accumulator value[P::IN_LANES + P::NODES + 1];
#pragma HLS ARRAY_PARTITION variable=value complete dim=1
    Accumulator row[P::OUT_LANES];
#pragma HLS ARRAY_PARTITION variable=row complete dim=1
    lanes::unpack<P::IN_LANES, P::IN_BITS, P::IN_SIGNED != 0>(in.read(), activation);
    for (int i = 0; i < P::IN_LANES; ++i) {
      value[i] = (Accumulator)activation[i];
    }
    value[P::IN_LANES + P::NODES] = 0;
    for (int i = 0; i < P::NODES; ++i) {
      const Accumulator left = (Accumulator)(value[P::left(0, i)] << P::left_shift(0, i));
      const Accumulator right = (Accumulator)(value[P::right(0, i)] << P::right_shift(0, i));
      const int operation = P::operation(0, i);
      value[P::IN_LANES + i] = operation == 0   ? left
                               : operation == 1 ? (Accumulator)(left + right)
                               : operation == 2 ? (Accumulator)(left - right)
                                                : (Accumulator)(-left);
    }
    for (int i = 0; i < P::OUT_LANES; ++i) {
      row[i] = (Accumulator)(value[P::result(0, i)] << P::result_shift(0, i));
    }
    out.write(lanes::pack<P::OUT_LANES, P::ACC_BITS>(row));
  }
}

#endif
