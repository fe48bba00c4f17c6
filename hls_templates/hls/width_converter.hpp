// Width converter: the same elements in beats of another number of lanes (whole ratios). One call, one frame.
#ifndef ADMMFPGA_WIDTH_CONVERTER_HPP
#define ADMMFPGA_WIDTH_CONVERTER_HPP

#include <ap_int.h>
#include <hls_stream.h>

// Narrow to wide: the first beat ends up in the low lanes.
template <class P, bool WIDER>
struct WidthConverter {
  static const int IN = P::IN_LANES * P::BITS;
  static const int OUT = P::OUT_LANES * P::BITS;

  static void run(hls::stream<ap_uint<IN> >& in, hls::stream<ap_uint<OUT> >& out) {
#pragma HLS INLINE
    const int RATIO = P::OUT_LANES / P::IN_LANES;
    ap_uint<OUT> word = 0;
    int phase = 0;
    for (int step = 0; step < P::STEPS; ++step) {
#pragma HLS PIPELINE II=1
      word = (word >> IN) | ((ap_uint<OUT>)in.read() << (OUT - IN));
      if (phase == RATIO - 1) {
        out.write(word);
        phase = 0;
      } else {
        ++phase;
      }
    }
  }
};

// Wide to narrow, or equal.
template <class P>
struct WidthConverter<P, false> {
  static const int IN = P::IN_LANES * P::BITS;
  static const int OUT = P::OUT_LANES * P::BITS;

  static void run(hls::stream<ap_uint<IN> >& in, hls::stream<ap_uint<OUT> >& out) {
#pragma HLS INLINE
    const int RATIO = P::IN_LANES / P::OUT_LANES;
    ap_uint<IN> word = 0;
    int phase = 0;
    for (int step = 0; step < P::STEPS; ++step) {
#pragma HLS PIPELINE II=1
      if (phase == 0) {
        word = in.read();
      }
      out.write((ap_uint<OUT>)word);
      word = RATIO > 1 ? (ap_uint<IN>)(word >> OUT) : word;
      phase = phase == RATIO - 1 ? 0 : phase + 1;
    }
  }
};

// P: IN_LANES, OUT_LANES, BITS, STEPS.
template <class P>
void width_converter(hls::stream<ap_uint<P::IN_LANES * P::BITS> >& in,
                     hls::stream<ap_uint<P::OUT_LANES * P::BITS> >& out) {
  WidthConverter<P, (P::OUT_LANES > P::IN_LANES)>::run(in, out);
}

#endif
