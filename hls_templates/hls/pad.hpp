// Pad: a border of one code around an image, and the same code between its pixels. One call, one frame.
// Nothing comes out before the frame's first beat is there: the first step takes it.
#ifndef ADMMFPGA_PAD_HPP
#define ADMMFPGA_PAD_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: HEIGHT, WIDTH, CHANNELS, GROUPS, BITS, PAD_TOP, PAD_LEFT, PAD_BOTTOM, PAD_RIGHT, PAD_VALUE, SPACING_H, SPACING_W.
template <class P>
void pad(hls::stream<ap_uint<P::CHANNELS * P::BITS> >& in, hls::stream<ap_uint<P::CHANNELS * P::BITS> >& out) {
  const int INNER_H = (P::HEIGHT - 1) * P::SPACING_H + 1;
  const int INNER_W = (P::WIDTH - 1) * P::SPACING_W + 1;
  const int ROWS = INNER_H + P::PAD_TOP + P::PAD_BOTTOM;
  const int COLUMNS = INNER_W + P::PAD_LEFT + P::PAD_RIGHT;

  ap_uint<P::CHANNELS * P::BITS> held = 0;
  bool holds = false;
  int group = 0, row = 0, column = 0, row_wait = P::PAD_TOP, column_wait = P::PAD_LEFT;
  for (int step = 0; step < ROWS * COLUMNS * P::GROUPS; ++step) {
#pragma HLS PIPELINE II=1
    const bool pixel =
        row_wait == 0 && column_wait == 0 && row < P::PAD_TOP + INNER_H && column < P::PAD_LEFT + INNER_W;
    ap_uint<P::CHANNELS * P::BITS> word = held;
    if (step == 0 || (pixel && !holds)) {
      word = in.read();
    }
    if (step == 0) {
      held = word;
    }
    holds = !pixel && (step == 0 || holds);
    if (!pixel) {
      int padding[P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=padding complete dim=1
      for (int i = 0; i < P::CHANNELS; ++i) {
        padding[i] = P::PAD_VALUE;
      }
      word = lanes::pack<P::CHANNELS, P::BITS>(padding);
    }
    out.write(word);
    if (group < P::GROUPS - 1) {
      ++group;
    } else {
      group = 0;
      if (column < COLUMNS - 1) {
        ++column;
        column_wait = column_wait == 0 ? P::SPACING_W - 1 : column_wait - 1;
      } else {
        column = 0;
        column_wait = P::PAD_LEFT;
        ++row;
        row_wait = row_wait == 0 ? P::SPACING_H - 1 : row_wait - 1;
      }
    }
  }
}

#endif
