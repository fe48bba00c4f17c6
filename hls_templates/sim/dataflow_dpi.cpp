// The C++ side of dataflow_dpi.sv: queues around the generated dataflow(). One data path a simulation.
#include <deque>
#include <vector>

#include "dataflow.hpp"
#include "load.hpp"

namespace {

struct Result {
  unsigned long long data;
  bool last;
};

std::vector<unsigned long long> taken;
std::deque<Result> results;
load::Loader loader(load_memories());

}  // namespace

extern "C" int admmfpga_reset(int in_width, int out_width, int in_beats, int out_beats) {
  taken.clear();
  results.clear();
  return in_width != AXIS_IN_WIDTH || out_width != AXIS_OUT_WIDTH || in_beats != IN_BEATS || out_beats != OUT_BEATS;
}

extern "C" void admmfpga_push(unsigned long long beat) { taken.push_back(beat); }

extern "C" int admmfpga_run() {
  if (taken.size() != (unsigned)IN_BEATS) return 1;
  hls::stream<input_word> s_axis;
  hls::stream<output_word> m_axis;
  for (unsigned i = 0; i < taken.size(); ++i) s_axis.write((input_word)taken[i]);
  taken.clear();
  dataflow(s_axis, m_axis);
  if (!s_axis.empty() || m_axis.size() != (unsigned)OUT_BEATS) return 1;
  bool good = true;
  for (int i = 0; i < OUT_BEATS; ++i) {
    const output_word word = m_axis.read();
    Result result;
    result.data = ((ap_uint<AXIS_OUT_WIDTH>)word).to_uint64();
    result.last = ((ap_uint<1>)(word >> AXIS_OUT_WIDTH)) != 0;
    good = good && result.last == (i == OUT_BEATS - 1);
    results.push_back(result);
  }
  return !good;
}

extern "C" void admmfpga_load_begin() { loader.begin(); }

extern "C" int admmfpga_load_byte(unsigned char data) { return loader.take(data); }

extern "C" int admmfpga_waiting() { return (int)results.size(); }

extern "C" int admmfpga_last() { return results.front().last; }

extern "C" unsigned long long admmfpga_pop() {
  const unsigned long long data = results.front().data;
  results.pop_front();
  return data;
}
