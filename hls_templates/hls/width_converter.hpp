// Width converter: the same elements in beats of another number of lanes (whole ratios). One call, one frame.
//
// With UNIT_STEPS, so many narrow beats are a unit, which begins in a wide beat of its own. Of a unit's last wide beat in,
// the rest is dropped; its last wide beat out holds the unit's last elements, some of which the one before had too.
#ifndef ADMMFPGA_WIDTH_CONVERTER_HPP
#define ADMMFPGA_WIDTH_CONVERTER_HPP

#include <ap_int.h>
#include <hls_stream.h>

// Whether a unit ends in a step.
template <int STEPS>
struct UnitStep {
  static bool ends(int& step) {
#pragma HLS INLINE
    const bool last = step == STEPS - 1;
    step = last ? 0 : step + 1;
    return last;
  }
};

template <>
struct UnitStep<0> {
  static bool ends(int&) {
#pragma HLS INLINE
    return false;
  }
};

// Narrow to wide: the first beat ends up in the low lanes.
template <class P, bool WIDER>
struct WidthConverter {
  static const int IN = P::IN_LANES * P::BITS;
  static const int OUT = P::OUT_LANES * P::BITS;

  static void run(hls::stream<ap_uint<IN> >& in, hls::stream<ap_uint<OUT> >& out) {
#pragma HLS INLINE
    const int RATIO = P::OUT_LANES / P::IN_LANES;
    ap_uint<OUT> word = 0;
    int phase = 0, unit_step = 0;
    for (int step = 0; step < P::STEPS; ++step) {
#pragma HLS PIPELINE II=1
      word = (word >> IN) | ((ap_uint<OUT>)in.read() << (OUT - IN));
      const bool ends = UnitStep<P::UNIT_STEPS>::ends(unit_step);
      if (phase == RATIO - 1 || ends) {
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
    int phase = 0, unit_step = 0;
    for (int step = 0; step < P::STEPS; ++step) {
#pragma HLS PIPELINE II=1
      if (phase == 0) {
        word = in.read();
      }
      out.write((ap_uint<OUT>)word);
      word = RATIO > 1 ? (ap_uint<IN>)(word >> OUT) : word;
      const bool ends = UnitStep<P::UNIT_STEPS>::ends(unit_step);
      phase = phase == RATIO - 1 || ends ? 0 : phase + 1;
    }
  }
};

// P: IN_LANES, OUT_LANES, UNIT_STEPS, BITS, STEPS.
template <class P>
void width_converter(hls::stream<ap_uint<P::IN_LANES * P::BITS> >& in,
                     hls::stream<ap_uint<P::OUT_LANES * P::BITS> >& out) {
  WidthConverter<P, (P::OUT_LANES > P::IN_LANES)>::run(in, out);
}

#endif
