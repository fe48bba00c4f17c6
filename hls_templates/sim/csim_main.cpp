// Runs the HLS C++ as a plain program.
//
//   csim INPUT FRAMES OUTPUT
//
// INPUT:  FRAMES x IN_BEATS little-endian uint64, one TDATA each.
// OUTPUT: FRAMES x OUT_BEATS uint64, TDATA without TLAST.
// Progress goes to stderr as "frame N" lines. Exit status 4: the data path gave too few or too many beats, or TLAST
// anywhere but on a frame's last beat.
//
//   csim --serve
//
// takes frames and new weights from stdin and answers on stdout, see serve.hpp.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "dataflow.hpp"
#include "load.hpp"
#include "serve.hpp"

static int fail(const char* what, uint64_t frame) {
  std::fprintf(stderr, "%s at frame %llu\n", what, (unsigned long long)frame);
  return 4;
}

// One frame; 0, or the exit status.
static int run(const std::vector<uint64_t>& given, std::vector<uint64_t>& result, uint64_t frame) {
  static hls::stream<input_word> s_axis;
  static hls::stream<output_word> m_axis;
  for (uint64_t beat : given) s_axis.write((input_word)beat);
  dataflow(s_axis, m_axis);
  if (s_axis.size() != 0) return fail("input beats are left over", frame);
  if (m_axis.size() != result.size()) return fail("wrong number of output beats", frame);
  for (int i = 0; i < OUT_BEATS; ++i) {
    const output_word word = m_axis.read();
    const bool last = ((ap_uint<1>)(word >> AXIS_OUT_WIDTH)) != 0;
    if (last != (i == OUT_BEATS - 1)) return fail("TLAST is wrong", frame);
    result[i] = ((ap_uint<AXIS_OUT_WIDTH>)word).to_uint64();
  }
  return 0;
}

static int serve_dataflow() {
  uint64_t frame = 0;
  load::Loader loader(load_memories());
  serve::Handlers handlers;
  handlers.frames = [&](std::vector<uint64_t>& beats) {
    std::vector<uint64_t> results, given(IN_BEATS), result(OUT_BEATS);
    for (std::size_t at = 0; at < beats.size(); at += IN_BEATS, ++frame) {
      given.assign(beats.begin() + at, beats.begin() + at + IN_BEATS);
      const int status = run(given, result, frame);
      if (status != 0) return (uint32_t)status;
      results.insert(results.end(), result.begin(), result.end());
    }
    beats.swap(results);
    return (uint32_t)0;
  };
  handlers.load = [&](const std::vector<uint8_t>& bytes) {
    uint32_t words = 0;
    loader.begin();
    for (uint8_t byte : bytes) words += loader.take(byte);
    return words;
  };
  return serve::loop(IN_BEATS, handlers);
}

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--serve") return serve_dataflow();
  if (argc != 4) {
    std::fprintf(stderr, "usage: csim INPUT FRAMES OUTPUT\n       csim --serve\n");
    return 2;
  }
  const uint64_t frames = std::strtoull(argv[2], nullptr, 10);
  FILE* input = std::fopen(argv[1], "rb");
  FILE* output = std::fopen(argv[3], "wb");
  if (!input || !output) {
    std::fprintf(stderr, "cannot open %s\n", input ? argv[3] : argv[1]);
    return 2;
  }
  std::vector<uint64_t> given(IN_BEATS), result(OUT_BEATS);
  for (uint64_t frame = 0; frame < frames; ++frame) {
    if (std::fread(given.data(), sizeof(uint64_t), given.size(), input) != given.size()) {
      std::fprintf(stderr, "%s ends within frame %llu\n", argv[1], (unsigned long long)frame);
      return 2;
    }
    const int status = run(given, result, frame);
    if (status != 0) return status;
    if (std::fwrite(result.data(), sizeof(uint64_t), result.size(), output) != result.size()) {
      std::fprintf(stderr, "cannot write %s\n", argv[3]);
      return 2;
    }
    std::fprintf(stderr, "frame %llu\n", (unsigned long long)frame + 1);
  }
  std::fclose(input);
  return std::fclose(output) == 0 ? 0 : 2;
}
