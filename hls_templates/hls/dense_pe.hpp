// Dense PE array: PE x SIMD multipliers over the GEMM view of a layer. One call, one frame.
//
// In row group 0 a vector's beats come from the stream and are kept; the other groups read them back. The weights of
// one step are one word of the ROM.
#ifndef ADMMFPGA_DENSE_PE_HPP
#define ADMMFPGA_DENSE_PE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

namespace dense {

// Dot products of PACK rows with a beat. The tree of products is outside the loop-carried sum, which is one adder.
template <class P, int PACK, bool DSP>
struct Rows {
  template <class Activation, class Weight, class Product, class Accumulator>
  static void dot(const Activation activation[P::SIMD], const Weight weight[P::PE * P::SIMD], int pe,
                  Accumulator result[PACK]) {
#pragma HLS INLINE
    for (int row = 0; row < PACK; ++row) result[row] = 0;
    for (int i = 0; i < P::SIMD; ++i) {
      Weight shared[PACK];
#pragma HLS ARRAY_PARTITION variable=shared complete dim=1
      Product product[PACK];
#pragma HLS ARRAY_PARTITION variable=product complete dim=1
      for (int row = 0; row < PACK; ++row) shared[row] = weight[(pe + row) * P::SIMD + i];
      lanes::PackedMultiplier<PACK, P::SPACING, P::IN_BITS, P::IN_SIGNED != 0, P::WEIGHT_BITS>::products(
          activation[i], shared, product);
      for (int row = 0; row < PACK; ++row) result[row] += product[row];
    }
  }
};

template <class P, bool DSP>
struct Rows<P, 1, DSP> {
  template <class Activation, class Weight, class Product, class Accumulator>
  static void dot(const Activation activation[P::SIMD], const Weight weight[P::PE * P::SIMD], int pe,
                  Accumulator result[1]) {
#pragma HLS INLINE
    Accumulator sum = 0;
    for (int i = 0; i < P::SIMD; ++i) {
      sum += lanes::Multiplier<DSP>::template product<Product>(activation[i], weight[pe * P::SIMD + i]);
    }
    result[0] = sum;
  }
};

// Weights of the last ROWS rows, in a memory of their own.
template <class P, int ROWS>
struct LastWeights {
  template <class Weight>
  static void read(int address, Weight weight[P::PE * P::SIMD]) {
#pragma HLS INLINE
    const int LANES = ROWS * P::SIMD;
    unsigned long long chunk[lanes::Chunks<LANES, P::WEIGHT_BITS>::COUNT];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
    for (int i = 0; i < lanes::Chunks<LANES, P::WEIGHT_BITS>::COUNT; ++i) chunk[i] = P::lut_weights(address, i);
    Weight last[LANES];
#pragma HLS ARRAY_PARTITION variable=last complete dim=1
    lanes::unpack_chunks<LANES, P::WEIGHT_BITS, true>(chunk, last);
    for (int i = 0; i < LANES; ++i) weight[(P::PE - ROWS) * P::SIMD + i] = last[i];
  }
};

template <class P>
struct LastWeights<P, 0> {
  template <class Weight>
  static void read(int, Weight*) {
#pragma HLS INLINE
  }
};

}  // namespace dense

// P: PE, SIMD, NEURON_FOLDS, SYNAPSE_FOLDS, IN_BITS, IN_SIGNED, WEIGHT_BITS, ACC_BITS, USE_DSP, PACK, SPACING, LUT_ROWS,
// LUT_WEIGHT_ROWS, VECTORS, weights(address, chunk), and lut_weights(address, chunk) if there are LUT_WEIGHT_ROWS.
template <class P>
void dense_pe(hls::stream<ap_uint<P::SIMD * P::IN_BITS> >& in, hls::stream<ap_uint<P::PE * P::ACC_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Activation;
  typedef typename lanes::Integer<P::WEIGHT_BITS, true>::type Weight;
  typedef typename lanes::Integer<P::IN_BITS + P::WEIGHT_BITS, true>::type Product;
  typedef typename lanes::Integer<P::ACC_BITS, true>::type Accumulator;
  const int FIRST_ROWS = P::PE - P::LUT_ROWS, FIRST_LANES = (P::PE - P::LUT_WEIGHT_ROWS) * P::SIMD;
  const int CHUNKS = lanes::Chunks<FIRST_LANES, P::WEIGHT_BITS>::COUNT;

  ap_uint<P::SIMD * P::IN_BITS> kept[P::SYNAPSE_FOLDS];
  Accumulator sum[P::PE];
#pragma HLS ARRAY_PARTITION variable=sum complete dim=1
  int neuron_fold = 0, synapse_fold = 0, address = 0;
  for (int step = 0; step < P::VECTORS * P::NEURON_FOLDS * P::SYNAPSE_FOLDS; ++step) {
#pragma HLS PIPELINE II=1
    ap_uint<P::SIMD * P::IN_BITS> word = 0;
    if (neuron_fold == 0) {
      word = in.read();
      kept[synapse_fold] = word;
    } else {
      word = kept[synapse_fold];
    }
    Activation activation[P::SIMD];
#pragma HLS ARRAY_PARTITION variable=activation complete dim=1
    lanes::unpack<P::SIMD, P::IN_BITS, P::IN_SIGNED != 0>(word, activation);

    unsigned long long chunk[CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
    Weight weight[P::PE * P::SIMD];
#pragma HLS ARRAY_PARTITION variable=weight complete dim=1
    for (int i = 0; i < CHUNKS; ++i) {
      chunk[i] = P::weights(address, i);
    }
    lanes::unpack_chunks<FIRST_LANES, P::WEIGHT_BITS, true>(chunk, weight);
    dense::LastWeights<P, P::LUT_WEIGHT_ROWS>::read(address, weight);

    Accumulator dot[P::PE];
#pragma HLS ARRAY_PARTITION variable=dot complete dim=1
    for (int pe = 0; pe < FIRST_ROWS; pe += P::PACK) {
      dense::Rows<P, P::PACK, P::USE_DSP != 0>::template dot<Activation, Weight, Product, Accumulator>(
          activation, weight, pe, dot + pe);
    }
    for (int pe = FIRST_ROWS; pe < P::PE; ++pe) {
      dense::Rows<P, 1, false>::template dot<Activation, Weight, Product, Accumulator>(activation, weight, pe,
                                                                                       dot + pe);
    }
    for (int pe = 0; pe < P::PE; ++pe) {
      const Accumulator before = synapse_fold == 0 ? (Accumulator)0 : (Accumulator)sum[pe];
      sum[pe] = before + dot[pe];
    }
    if (synapse_fold == P::SYNAPSE_FOLDS - 1) {
      out.write(lanes::pack<P::PE, P::ACC_BITS>(sum));
    }

    address = address == P::NEURON_FOLDS * P::SYNAPSE_FOLDS - 1 ? 0 : address + 1;
    if (synapse_fold < P::SYNAPSE_FOLDS - 1) {
      ++synapse_fold;
    } else {
      synapse_fold = 0;
      neuron_fold = neuron_fold == P::NEURON_FOLDS - 1 ? 0 : neuron_fold + 1;
    }
  }
}

#endif
