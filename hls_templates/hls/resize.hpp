// Resize: every pixel to FACTOR_H x FACTOR_W pixels. One call, one frame.
#ifndef ADMMFPGA_RESIZE_HPP
#define ADMMFPGA_RESIZE_HPP

#include <ap_int.h>
#include <hls_stream.h>

// P: HEIGHT, WIDTH, BEAT, GROUPS, FACTOR_H, FACTOR_W.
template <class P>
void resize(hls::stream<ap_uint<P::BEAT> >& in, hls::stream<ap_uint<P::BEAT> >& out) {
  ap_uint<P::BEAT> kept[P::WIDTH * P::GROUPS];
  int group = 0, copy = 0, column = 0, row = 0;
  for (int step = 0; step < P::HEIGHT * P::FACTOR_H * P::WIDTH * P::FACTOR_W * P::GROUPS; ++step) {
#pragma HLS PIPELINE II=1
    ap_uint<P::BEAT> word = 0;
    if (copy == 0 && row == 0) {
      word = in.read();
      kept[column * P::GROUPS + group] = word;
    } else {
      word = kept[column * P::GROUPS + group];
    }
    out.write(word);
    if (group < P::GROUPS - 1) {
      ++group;
    } else {
      group = 0;
      if (copy < P::FACTOR_W - 1) {
        ++copy;
      } else {
        copy = 0;
        if (column < P::WIDTH - 1) {
          ++column;
        } else {
          column = 0;
          row = row == P::FACTOR_H - 1 ? 0 : row + 1;
        }
      }
    }
  }
}

#endif
