// Delay line: what came DEPTH, 2 * DEPTH, ... KEEP * DEPTH steps ago, next to the newest.
#ifndef ADMMFPGA_DELAY_LINE_HPP
#define ADMMFPGA_DELAY_LINE_HPP

#include <ap_int.h>

// Lines up to this many steps long are shift registers. A longer one is a memory: its words come round again only when
// the write of the last time is long done, which is what the DEPENDENCE pragma says.
static const int DELAY_LINE_REGISTERS = 8;

// Owner: a type that makes the line's memory its own. UNIT: bits of one entry.
// shift() takes the newest entry and gives (KEEP + 1) entries, oldest in the least significant bits. `at` counts
// 0 .. DEPTH - 1 round and round.
template <class Owner, int UNIT, int KEEP, int DEPTH, bool MEMORY = (DEPTH > DELAY_LINE_REGISTERS)>
struct DelayLine {
  static ap_uint<UNIT * (KEEP + 1)> shift(const ap_uint<UNIT>& newest, int at) {
#pragma HLS INLINE
    static ap_uint<UNIT * KEEP> kept[DEPTH];
#pragma HLS DEPENDENCE variable=kept inter false
    const ap_uint<UNIT * (KEEP + 1)> old = kept[at];
    const ap_uint<UNIT * (KEEP + 1)> all = old | ((ap_uint<UNIT * (KEEP + 1)>)newest << (UNIT * KEEP));
    kept[at] = (ap_uint<UNIT * KEEP>)(all >> UNIT);
    return all;
  }
};

template <class Owner, int UNIT, int KEEP, int DEPTH>
struct DelayLine<Owner, UNIT, KEEP, DEPTH, false> {
  static ap_uint<UNIT * (KEEP + 1)> shift(const ap_uint<UNIT>& newest, int) {
#pragma HLS INLINE
    static ap_uint<UNIT * KEEP> kept[DEPTH];
#pragma HLS ARRAY_PARTITION variable=kept complete dim=1
    const ap_uint<UNIT * (KEEP + 1)> old = kept[0];
    const ap_uint<UNIT * (KEEP + 1)> all = old | ((ap_uint<UNIT * (KEEP + 1)>)newest << (UNIT * KEEP));
    for (int i = 0; i < DEPTH - 1; ++i) {
      kept[i] = kept[i + 1];
    }
    kept[DEPTH - 1] = (ap_uint<UNIT * KEEP>)(all >> UNIT);
    return all;
  }
};

// Nothing to keep.
template <class Owner, int UNIT, int DEPTH, bool MEMORY>
struct DelayLine<Owner, UNIT, 0, DEPTH, MEMORY> {
  static ap_uint<UNIT> shift(const ap_uint<UNIT>& newest, int) {
#pragma HLS INLINE
    return newest;
  }
};

template <class Owner, int UNIT, int DEPTH>
struct DelayLine<Owner, UNIT, 0, DEPTH, false> {
  static ap_uint<UNIT> shift(const ap_uint<UNIT>& newest, int) {
#pragma HLS INLINE
    return newest;
  }
};

#endif
