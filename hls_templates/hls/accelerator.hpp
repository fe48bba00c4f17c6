// Top function for Vitis HLS and Vivado HLS: AXI4-Stream frames in and results out, AXI4-Lite control.
//
// The structs with side channels live here and nowhere else: the core (dataflow.hpp) works on plain words. Frames are
// counted in beats; the input's TLAST, TKEEP and TSTRB are not looked at.
#ifndef ADMMFPGA_ACCELERATOR_HPP
#define ADMMFPGA_ACCELERATOR_HPP

#include "dataflow.hpp"

#include <ap_axi_sdata.h>

// Vivado HLS has no side channels of width 0; there TUSER, TID and TDEST are one unused bit each.
#ifdef __VITIS_HLS__
typedef ap_axiu<AXIS_IN_WIDTH, 0, 0, 0> input_beat;
typedef ap_axiu<AXIS_OUT_WIDTH, 0, 0, 0> output_beat;
#else
typedef ap_axiu<AXIS_IN_WIDTH, 1, 1, 1> input_beat;
typedef ap_axiu<AXIS_OUT_WIDTH, 1, 1, 1> output_beat;
#endif

void accelerator(hls::stream<input_beat>& s_axis, hls::stream<output_beat>& m_axis);

#endif
