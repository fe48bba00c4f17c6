// PE array for weights -1 and +1 (one bit: 1 means +1), or -1, 0 and +1 (two bits): no multipliers. One call, one frame.
//
// Steps and foldings are dense_pe's. Activations of several bits are added or subtracted; bipolar ones (1 means +1) are
// compared with the weights.
#ifndef ADMMFPGA_BINARY_PE_HPP
#define ADMMFPGA_BINARY_PE_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// The product of an activation (a bit, or a number) and a weight.
template <class Activation, class Product, int WEIGHT_BITS, bool BIPOLAR>
struct BinaryProduct;

// Numbers.
template <class Activation, class Product>
struct BinaryProduct<Activation, Product, 1, false> {
  template <class Weight>
  static Product of(const Activation& x, const Weight& weight) {
#pragma HLS INLINE
    const Product value = (Product)x;
    return weight == 0 ? (Product)(-value) : value;
  }
};

template <class Activation, class Product>
struct BinaryProduct<Activation, Product, 2, false> {
  template <class Weight>
  static Product of(const Activation& x, const Weight& weight) {
#pragma HLS INLINE
    const Product value = (Product)x;
    return weight == 0 ? (Product)0 : weight < 0 ? (Product)(-value) : value;
  }
};

// Signs.
template <class Activation, class Product>
struct BinaryProduct<Activation, Product, 1, true> {
  template <class Weight>
  static Product of(const Activation& x, const Weight& weight) {
#pragma HLS INLINE
    return (x != 0) == (weight != 0) ? (Product)1 : (Product)-1;
  }
};

template <class Activation, class Product>
struct BinaryProduct<Activation, Product, 2, true> {
  template <class Weight>
  static Product of(const Activation& x, const Weight& weight) {
#pragma HLS INLINE
    return weight == 0 ? (Product)0 : (x != 0) == (weight > 0) ? (Product)1 : (Product)-1;
  }
};

// P: PE, SIMD, NEURON_FOLDS, SYNAPSE_FOLDS, IN_BITS, IN_SIGNED, IN_BIPOLAR, WEIGHT_BITS, ACC_BITS, VECTORS,
// weights(address, chunk).
template <class P>
void binary_pe(hls::stream<ap_uint<P::SIMD * P::IN_BITS> >& in, hls::stream<ap_uint<P::PE * P::ACC_BITS> >& out) {
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Activation;
  typedef typename lanes::Integer<P::WEIGHT_BITS, (P::WEIGHT_BITS > 1)>::type Weight;
  typedef typename lanes::Integer<P::IN_BITS + 1, true>::type Product;
  typedef typename lanes::Integer<P::ACC_BITS, true>::type Accumulator;
  typedef BinaryProduct<Activation, Product, P::WEIGHT_BITS, P::IN_BIPOLAR != 0> Multiply;
  const int CHUNKS = lanes::Chunks<P::PE * P::SIMD, P::WEIGHT_BITS>::COUNT;

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
    lanes::unpack_chunks<P::PE * P::SIMD, P::WEIGHT_BITS, (P::WEIGHT_BITS > 1)>(chunk, weight);

    for (int pe = 0; pe < P::PE; ++pe) {
      // The tree of products is outside the loop-carried sum, which is one adder.
      Accumulator dot = 0;
      for (int i = 0; i < P::SIMD; ++i) {
        dot += (Accumulator)Multiply::of(activation[i], weight[pe * P::SIMD + i]);
      }
      const Accumulator before = synapse_fold == 0 ? (Accumulator)0 : (Accumulator)sum[pe];
      sum[pe] = before + dot;
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
