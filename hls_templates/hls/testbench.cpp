// C++ test bench of the HLS project (C simulation and C/RTL co-simulation).
//
//   testbench [VECTORS]
//
// VECTORS (default "vectors") is a folder with input.hex and output.hex: one AXI4-Stream beat a line, TDATA in
// hexadecimal, frame after frame, as many frames as there are lines. Exit status 0: every output beat is as expected.
#include "accelerator.hpp"

#include <cstdio>
#include <string>
#include <vector>

static bool load(const std::string& path, std::vector<unsigned long long>& beats) {
  FILE* file = std::fopen(path.c_str(), "r");
  if (!file) {
    std::fprintf(stderr, "cannot open %s\n", path.c_str());
    return false;
  }
  unsigned long long beat = 0;
  int fields = 0;
  while ((fields = std::fscanf(file, "%llx", &beat)) == 1) beats.push_back(beat);
  std::fclose(file);
  if (fields != EOF) std::fprintf(stderr, "%s: line %lu is not hexadecimal\n", path.c_str(), (unsigned long)beats.size() + 1);
  return fields == EOF;
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "vectors";
  std::vector<unsigned long long> given, expected;
  if (!load(folder + "/input.hex", given) || !load(folder + "/output.hex", expected)) return 2;
  const unsigned long frames = (unsigned long)given.size() / IN_BEATS;
  if (frames == 0 || given.size() != frames * IN_BEATS || expected.size() != frames * OUT_BEATS) {
    std::fprintf(stderr, "%s: %lu input and %lu output beats are not whole frames of %d and %d\n", folder.c_str(),
                 (unsigned long)given.size(), (unsigned long)expected.size(), IN_BEATS, OUT_BEATS);
    return 2;
  }
  unsigned long mismatches = 0;
  hls::stream<input_beat> s_axis("s_axis");
  hls::stream<output_beat> m_axis("m_axis");
  for (unsigned long frame = 0; frame < frames; ++frame) {
    for (int i = 0; i < IN_BEATS; ++i) {
      input_beat beat;
      beat.data = given[frame * IN_BEATS + i];
      beat.keep = -1;
      beat.strb = -1;
      beat.last = i == IN_BEATS - 1;
      s_axis.write(beat);
    }
    accelerator(s_axis, m_axis);
    for (int i = 0; i < OUT_BEATS; ++i) {
      const output_beat beat = m_axis.read();
      const unsigned long long value = beat.data.to_uint64();
      const bool last = beat.last != 0;
      if (value == expected[frame * OUT_BEATS + i] && last == (i == OUT_BEATS - 1)) continue;
      if (mismatches++ < 10) {
        std::fprintf(stderr, "frame %lu, beat %d: %llx where %llx is expected, TLAST %d\n", frame, i, value,
                     expected[frame * OUT_BEATS + i], (int)last);
      }
    }
  }
  std::printf("%lu frames, %lu mismatches\n", frames, mismatches);
  return mismatches == 0 ? 0 : 1;
}
