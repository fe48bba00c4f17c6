// Runs the shared engine's HLS C++ as a plain program, frame by frame.
//
//   engine_csim STREAM LIST COMMANDS TRANSFERS DATA_BYTES INPUT_AT FRAMES INPUT OUTPUT_AT OUTPUT_BYTES OUTPUT
//
// INPUT: FRAMES frames as they lie in DRAM at INPUT_AT. OUTPUT: what lies at OUTPUT_AT after each.
// Progress goes to stderr as "frame N" lines. Exit status 4: the lists wait for each other.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine.hpp"

typedef std::vector<unsigned char> Bytes;

static Bytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(2);
  }
  std::fseek(file, 0, SEEK_END);
  Bytes content(std::ftell(file));
  std::rewind(file);
  if (!content.empty() && std::fread(content.data(), 1, content.size(), file) != content.size()) std::exit(2);
  std::fclose(file);
  return content;
}

int main(int argc, char** argv) {
  if (argc != 12) {
    std::fprintf(stderr, "usage: engine_csim STREAM LIST COMMANDS TRANSFERS DATA_BYTES INPUT_AT FRAMES INPUT OUTPUT_AT "
                         "OUTPUT_BYTES OUTPUT\n");
    return 2;
  }
  const Bytes stream = read_file(argv[1]), list = read_file(argv[2]), input = read_file(argv[8]);
  const unsigned commands = std::strtoul(argv[3], nullptr, 10), transfers = std::strtoul(argv[4], nullptr, 10);
  const size_t size = std::strtoull(argv[5], nullptr, 10), input_at = std::strtoull(argv[6], nullptr, 10);
  const size_t frames = std::strtoull(argv[7], nullptr, 10), output_at = std::strtoull(argv[9], nullptr, 10);
  const size_t output_bytes = std::strtoull(argv[10], nullptr, 10), input_bytes = input.size() / frames;
  Bytes output;
  for (size_t frame = 0; frame < frames; ++frame) {
    Bytes data(size, 0x5a);
    for (size_t i = 0; i < input_bytes; ++i) data[input_at + i] = input[frame * input_bytes + i];
    if (engine(stream.data(), list.data(), data.data(), commands, transfers) != 0) return 4;
    output.insert(output.end(), data.begin() + output_at, data.begin() + output_at + output_bytes);
    std::fprintf(stderr, "frame %zu\n", frame + 1);
  }
  std::FILE* file = std::fopen(argv[11], "wb");
  if (!file || std::fwrite(output.data(), 1, output.size(), file) != output.size()) return 2;
  std::fclose(file);
  return 0;
}
