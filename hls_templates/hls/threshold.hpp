// Threshold: accumulators to codes of a few bits,
//     out = LOW + number of the channel's thresholds that the accumulator reaches.
// One call, one frame.
#ifndef ADMMFPGA_THRESHOLD_HPP
#define ADMMFPGA_THRESHOLD_HPP

#include <ap_int.h>
#include <hls_stream.h>

#include "lanes.hpp"

// P: LANES, GROUPS, IN_BITS, IN_SIGNED, COUNT, THRESHOLD_BITS, LOW, OUT_BITS, POSITIONS, thresholds(address, chunk):
// COUNT numbers a lane.
template <class P>
void threshold(hls::stream<ap_uint<P::LANES * P::IN_BITS> >& in, hls::stream<ap_uint<P::LANES * P::OUT_BITS> >& out) {
  const int CHUNKS = lanes::Chunks<P::LANES * P::COUNT, P::THRESHOLD_BITS>::COUNT;
  const int COMPARE_BITS = (P::IN_BITS >= P::THRESHOLD_BITS ? P::IN_BITS + 1 : P::THRESHOLD_BITS);
  typedef typename lanes::Integer<P::IN_BITS, P::IN_SIGNED != 0>::type Accumulator;
  typedef typename lanes::Integer<P::THRESHOLD_BITS, true>::type Least;
  typedef typename lanes::Integer<COMPARE_BITS, true>::type Compared;
  typedef typename lanes::Integer<P::OUT_BITS + 2, true>::type Code;

  int group = 0;
  for (int step = 0; step < P::POSITIONS * P::GROUPS; ++step) {
#pragma HLS PIPELINE II=1
    Accumulator acc[P::LANES];
#pragma HLS ARRAY_PARTITION variable=acc complete dim=1
    Code code[P::LANES];
#pragma HLS ARRAY_PARTITION variable=code complete dim=1
    unsigned long long chunk[CHUNKS];
#pragma HLS ARRAY_PARTITION variable=chunk complete dim=1
    Least least[P::LANES * P::COUNT];
#pragma HLS ARRAY_PARTITION variable=least complete dim=1
    lanes::unpack<P::LANES, P::IN_BITS, P::IN_SIGNED != 0>(in.read(), acc);
    for (int i = 0; i < CHUNKS; ++i) {
      chunk[i] = P::thresholds(group, i);
    }
    lanes::unpack_chunks<P::LANES * P::COUNT, P::THRESHOLD_BITS, true>(chunk, least);
    for (int i = 0; i < P::LANES; ++i) {
      Code sum = (Code)P::LOW;
      for (int j = 0; j < P::COUNT; ++j) {
        sum += (Compared)acc[i] >= (Compared)least[i * P::COUNT + j] ? (Code)1 : (Code)0;
      }
      code[i] = sum;
    }
    out.write(lanes::pack<P::LANES, P::OUT_BITS>(code));
    group = group == P::GROUPS - 1 ? 0 : group + 1;
  }
}

#endif
