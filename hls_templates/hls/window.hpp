// Window unit: im2col with padding and stride from line buffers. One call, one frame.
//
// Each step takes one beat of a pixel (or makes a padding pixel up); rows above come from the line buffers, columns to
// the left from the tap registers. Steps run over the padded image in the order (row, column, channel group).
#ifndef ADMMFPGA_WINDOW_HPP
#define ADMMFPGA_WINDOW_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "delay_line.hpp"
#include "lanes.hpp"

// Owners of the two delay lines of a window unit.
template <class P>
struct WindowLines {};

template <class P>
struct WindowTaps {};

// What leaves of a whole window, which comes column by column, the oldest in the low bits. OPTIONS == 0: all taps in the
// order (kernel row, kernel column, channel); else the kept ones.
template <class P, int OPTIONS>
struct WindowBeat {
  static const int PIXEL = P::CHANNELS * P::BITS;
  static const int TAPS = P::KERNEL_H * P::KERNEL_W;
  // Taps move as single codes, each through a multiplexer over the OPTIONS taps that its lane carries in some group.
  static ap_uint<P::LANES * P::BITS> of(const ap_uint<TAPS * PIXEL>& columns, int group) {
#pragma HLS INLINE
    typedef typename lanes::Integer<P::BITS, false>::type Code;
    Code from[TAPS * P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=from complete dim=1
    Code to[P::LANES];
#pragma HLS ARRAY_PARTITION variable=to complete dim=1
    lanes::unpack<TAPS * P::CHANNELS, P::BITS, false>(columns, from);
    for (int lane = 0; lane < P::LANES; ++lane) {
      Code option[OPTIONS];
#pragma HLS ARRAY_PARTITION variable=option complete dim=1
      for (int i = 0; i < OPTIONS; ++i) {
        const int tap = P::taps(0, lane * OPTIONS + i);
        const int row = tap / (P::KERNEL_W * P::CHANNELS), col = tap / P::CHANNELS % P::KERNEL_W;
        option[i] = from[(col * P::KERNEL_H + row) * P::CHANNELS + tap % P::CHANNELS];
      }
      to[lane] = option[OPTIONS > 1 ? P::selects(group, lane) : 0];
    }
    return lanes::pack<P::LANES, P::BITS>(to);
  }
  static bool emits(int group) {
#pragma HLS INLINE
    return P::group_emits(group, 0) != 0;
  }
};

template <class P>
struct WindowBeat<P, 0> {
  static const int PIXEL = P::CHANNELS * P::BITS;
  static const int TAPS = P::KERNEL_H * P::KERNEL_W;
  // Taps move as pixels where those are small, else as single codes.
  static const int UNIT = PIXEL <= 64 ? PIXEL : P::BITS;
  static const int UNITS = PIXEL / UNIT;
  static ap_uint<TAPS * PIXEL> of(const ap_uint<TAPS * PIXEL>& columns, int) {
#pragma HLS INLINE
    typedef typename lanes::Integer<UNIT, false>::type Unit;
    Unit from[TAPS * UNITS];
#pragma HLS ARRAY_PARTITION variable=from complete dim=1
    Unit to[TAPS * UNITS];
#pragma HLS ARRAY_PARTITION variable=to complete dim=1
    lanes::unpack<TAPS * UNITS, UNIT, false>(columns, from);
    for (int row = 0; row < P::KERNEL_H; ++row) {
      for (int col = 0; col < P::KERNEL_W; ++col) {
        for (int i = 0; i < UNITS; ++i) {
          to[(row * P::KERNEL_W + col) * UNITS + i] = from[(col * P::KERNEL_H + row) * UNITS + i];
        }
      }
    }
    return lanes::pack<TAPS * UNITS, UNIT>(to);
  }
  static bool emits(int) {
#pragma HLS INLINE
    return true;
  }
};

// P: HEIGHT, WIDTH, CHANNELS, GROUPS, BITS, KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, PAD_TOP, PAD_LEFT, PAD_BOTTOM,
// PAD_RIGHT, PAD_VALUE, LANES, OPTIONS; with OPTIONS > 0 also taps(0, lane * OPTIONS + option), selects(group, lane) and
// group_emits(group, 0).
template <class P>
void window(hls::stream<ap_uint<P::CHANNELS * P::BITS> >& in,
            hls::stream<ap_uint<P::LANES * P::BITS> >& out) {
  const int ROWS = P::PAD_TOP + P::HEIGHT + P::PAD_BOTTOM;
  const int COLUMNS = P::PAD_LEFT + P::WIDTH + P::PAD_RIGHT;
  const int PIXEL = P::CHANNELS * P::BITS;
  const int TAPS = P::KERNEL_H * P::KERNEL_W;
  typedef WindowBeat<P, P::OPTIONS> Beat;

  int y = 0, x = 0, group = 0, at = 0;
  int next_row = P::KERNEL_H - 1, next_column = P::KERNEL_W - 1;
  for (int step = 0; step < ROWS * COLUMNS * P::GROUPS; ++step) {
#pragma HLS PIPELINE II=1
    ap_uint<PIXEL> pixel = 0;
    if (y >= P::PAD_TOP && y < P::PAD_TOP + P::HEIGHT && x >= P::PAD_LEFT && x < P::PAD_LEFT + P::WIDTH) {
      pixel = in.read();
    } else {
      int padding[P::CHANNELS];
#pragma HLS ARRAY_PARTITION variable=padding complete dim=1
      for (int i = 0; i < P::CHANNELS; ++i) {
        padding[i] = P::PAD_VALUE;
      }
      pixel = lanes::pack<P::CHANNELS, P::BITS>(padding);
    }
    // Rows of one column, then columns of the window; the oldest in the low bits.
    const ap_uint<P::KERNEL_H * PIXEL> column =
        DelayLine<WindowLines<P>, PIXEL, P::KERNEL_H - 1, COLUMNS * P::GROUPS>::shift(pixel, at);
    const ap_uint<TAPS * PIXEL> columns =
        DelayLine<WindowTaps<P>, P::KERNEL_H * PIXEL, P::KERNEL_W - 1, P::GROUPS>::shift(column, group);

    if (y == next_row && x == next_column && Beat::emits(group)) {
      out.write(Beat::of(columns, group));
    }

    if (group < P::GROUPS - 1) {
      ++group;
      ++at;
    } else {
      group = 0;
      next_column = x == next_column ? next_column + P::STRIDE_W : next_column;
      if (x < COLUMNS - 1) {
        ++x;
        ++at;
      } else {
        x = 0;
        at = 0;
        next_column = P::KERNEL_W - 1;
        next_row = y == next_row ? next_row + P::STRIDE_H : next_row;
        ++y;
      }
    }
  }
}

#endif
