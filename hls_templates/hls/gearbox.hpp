// Gearbox: rows of lanes in beats of another number of lanes, where neither is a multiple of the other. Units of UNIT
// lanes stay together; on either side the last beat of a row holds REST units of it, or rows follow each other without a
// gap (BEATS = 1, REST = UNITS). One call, one frame.
#ifndef ADMMFPGA_GEARBOX_HPP
#define ADMMFPGA_GEARBOX_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: UNIT, BITS, IN_UNITS, IN_BEATS, IN_REST, OUT_UNITS, OUT_BEATS, OUT_REST, FRAME_BEATS, FILL, STEPS.
template <class P>
void gearbox(hls::stream<ap_uint<P::IN_UNITS * P::UNIT * P::BITS> >& in,
             hls::stream<ap_uint<P::OUT_UNITS * P::UNIT * P::BITS> >& out) {
  const int UNIT = P::UNIT * P::BITS;
  const int IN = P::IN_UNITS * UNIT;
  const int OUT = P::OUT_UNITS * UNIT;
  // Units held: less than a beat of the wider side; beside them a beat that arrives, or one that leaves.
  const int HELD = (P::IN_UNITS > P::OUT_UNITS ? P::IN_UNITS : P::OUT_UNITS) - 1;
  const int ALL = (HELD + P::IN_UNITS > P::OUT_UNITS ? HELD + P::IN_UNITS : P::OUT_UNITS) * UNIT;
  const int FILLED = (P::OUT_UNITS - P::OUT_REST) * P::UNIT;

  int filling[FILLED > 0 ? FILLED : 1];
#pragma HLS ARRAY_PARTITION variable=filling complete dim=1
  for (int i = 0; i < (FILLED > 0 ? FILLED : 1); ++i) {
    filling[i] = P::FILL;
  }
  // Above what is held there are zeros.
  ap_uint<ALL> held = 0;
  int have = 0, popped = 0, in_beat = 0, out_beat = 0;
  for (int step = 0; step < P::STEPS; ++step) {
#pragma HLS PIPELINE II=1
    const bool out_last = out_beat == P::OUT_BEATS - 1;
    const int need = out_last ? (int)P::OUT_REST : (int)P::OUT_UNITS;
    // A beat that is not needed comes where there is room beside what stays.
    if (popped < P::FRAME_BEATS && (have < need || have - need + P::IN_UNITS <= HELD)) {
      ap_uint<IN> word = in.read();
      const bool in_last = in_beat == P::IN_BEATS - 1;
      if (in_last) {
        word = (ap_uint<IN>)(ap_uint<P::IN_REST * UNIT>)word;
      }
      held |= (ap_uint<ALL>)word << (have * UNIT);
      have += in_last ? (int)P::IN_REST : (int)P::IN_UNITS;
      in_beat = in_last ? 0 : in_beat + 1;
      ++popped;
    }
    if (have >= need) {
      ap_uint<OUT> word = (ap_uint<OUT>)held;
      if (FILLED > 0 && out_last) {
        const ap_uint<OUT> fill = (ap_uint<OUT>)lanes::pack<(FILLED > 0 ? FILLED : 1), P::BITS>(filling);
        word = (ap_uint<OUT>)(ap_uint<P::OUT_REST * UNIT>)word | (ap_uint<OUT>)(fill << (P::OUT_REST * UNIT));
      }
      out.write(word);
      held = out_last ? (ap_uint<ALL>)(held >> (P::OUT_REST * UNIT)) : (ap_uint<ALL>)(held >> OUT);
      have -= need;
      out_beat = out_last ? 0 : out_beat + 1;
    }
  }
}

#endif
