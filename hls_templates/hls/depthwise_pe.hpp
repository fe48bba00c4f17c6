// Depthwise PE array: PE channels side by side, each with FILTERS filters of its own, SIMD taps a step. One call, one
// frame.
#ifndef ADMMFPGA_DEPTHWISE_PE_HPP
#define ADMMFPGA_DEPTHWISE_PE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: PE, SIMD, FILTERS, GROUPS, FOLDS, IN_BITS, IN_SIGNED, WEIGHT_BITS, ACC_BITS, USE_DSP, POSITIONS,
// weights(address, chunk).
template <class P>
void depthwise_pe(hls::stream<ap_uint<P::SIMD * P::PE * P::IN_BITS> >& in,
                  hls::stream<ap_uint<P::PE * P::FILTERS * P::ACC_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Activation;
  typedef typename lanes::Integer<P::WEIGHT_BITS, true>::type Weight;
  typedef typename lanes::Integer<P::IN_BITS + P::WEIGHT_BITS, true>::type Product;
  typedef typename lanes::Integer<P::ACC_BITS, true>::type Accumulator;
  const int ROWS = P::PE * P::FILTERS;
  const int CHUNKS = lanes::Chunks<ROWS * P::SIMD, P::WEIGHT_BITS>::COUNT;

  Accumulator sum[ROWS];
#pragma HLS ARRAY_PARTITION variable=sum complete dim=1
  int fold = 0, address = 0;
  for (int step = 0; step < P::POSITIONS * P::GROUPS * P::FOLDS; ++step) {
#pragma HLS PIPELINE II=1
    Activation activation[P::SIMD * P::PE];
#pragma HLS ARRAY_PARTITION variable=activation complete dim=1
    lanes::unpack<P::SIMD * P::PE, P::IN_BITS, P::IN_SIGNED != 0>(in.read(), activation);

    unsigned long long chunk[CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
    Weight weight[ROWS * P::SIMD];
#pragma HLS ARRAY_PARTITION variable=weight complete dim=1
    for (int i = 0; i < CHUNKS; ++i) {
      chunk[i] = P::weights(address, i);
    }
    lanes::unpack_chunks<ROWS * P::SIMD, P::WEIGHT_BITS, true>(chunk, weight);

    for (int row = 0; row < ROWS; ++row) {
      Accumulator dot = 0;
      for (int tap = 0; tap < P::SIMD; ++tap) {
        dot += lanes::Multiplier<P::USE_DSP != 0>::template product<Product>(
            activation[tap * P::PE + row / P::FILTERS], weight[row * P::SIMD + tap]);
      }
      const Accumulator before = fold == 0 ? (Accumulator)0 : (Accumulator)sum[row];
      sum[row] = before + dot;
    }
    if (fold == P::FOLDS - 1) {
      out.write(lanes::pack<ROWS, P::ACC_BITS>(sum));
    }
    fold = fold == P::FOLDS - 1 ? 0 : fold + 1;
    address = address == P::GROUPS * P::FOLDS - 1 ? 0 : address + 1;
  }
}

#endif
