// The top function around the core: strips side channels from beats and gives them to results.
#include "accelerator.hpp"

static void take(hls::stream<input_beat>& s_axis, hls::stream<input_word>& words) {
  for (int beat = 0; beat < IN_BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    words.write(s_axis.read().data);
  }
}

static void give(hls::stream<output_word>& words, hls::stream<output_beat>& m_axis) {
  for (int beat = 0; beat < OUT_BEATS; ++beat) {
#pragma HLS PIPELINE II=1
    const output_word word = words.read();
    output_beat result;
    result.data = (ap_uint<AXIS_OUT_WIDTH>)word;
    result.keep = -1;
    result.strb = -1;
    result.last = (ap_uint<1>)(word >> AXIS_OUT_WIDTH);
#ifndef __VITIS_HLS__
    result.user = 0;
    result.id = 0;
    result.dest = 0;
#endif
    m_axis.write(result);
  }
}

void accelerator(hls::stream<input_beat>& s_axis, hls::stream<output_beat>& m_axis) {
#pragma HLS INTERFACE axis port=s_axis
#pragma HLS INTERFACE axis port=m_axis
#pragma HLS INTERFACE s_axilite port=return bundle=control
#pragma HLS DATAFLOW
  hls::stream<input_word> input("input");
#pragma HLS STREAM variable=input depth=2
  hls::stream<output_word> output("output");
#pragma HLS STREAM variable=output depth=2

  take(s_axis, input);
  dataflow(input, output);
  give(output, m_axis);
}
