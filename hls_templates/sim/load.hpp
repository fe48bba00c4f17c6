// New contents for the tables of the HLS C++ in simulation, in the form in which the load chain of the RTL takes them: the
// words of one memory after the other, each in whole bytes, least significant first.
#ifndef ADMMFPGA_LOAD_HPP
#define ADMMFPGA_LOAD_HPP

#include <cstddef>
#include <vector>

namespace load {

// One table of a stage: words of lanes, held in chunks (see lanes.hpp).
struct Memory {
  int depth, lanes, lane_bits;
  void (*write)(int address, int chunk, unsigned long long bits);
};

class Loader {
 public:
  explicit Loader(const std::vector<Memory>& memories) : memories_(memories), memory_(memories.size()), address_(0) {}

  // The next byte is the first one.
  void begin() {
    memory_ = 0;
    address_ = 0;
    word_.clear();
  }

  // Whether the byte ends a word. Bytes behind the last memory, or before the first `begin`, are nobody's.
  bool take(unsigned char byte) {
    if (memory_ == memories_.size()) return false;
    const Memory& memory = memories_[memory_];
    word_.push_back(byte);
    if (word_.size() < ((std::size_t)memory.lanes * memory.lane_bits + 7) / 8) return false;
    const int per_chunk = 64 / memory.lane_bits;
    for (int lane = 0; lane < memory.lanes; lane += per_chunk) {
      const int lanes = memory.lanes - lane < per_chunk ? memory.lanes - lane : per_chunk;
      memory.write(address_, lane / per_chunk, bits((std::size_t)lane * memory.lane_bits, lanes * memory.lane_bits));
    }
    word_.clear();
    if (++address_ == memory.depth) {
      address_ = 0;
      ++memory_;
    }
    return true;
  }

 private:
  unsigned long long bits(std::size_t first, int count) const {
    unsigned long long value = 0;
    for (int i = 0; i < count; ++i) {
      const std::size_t at = first + i;
      value |= (unsigned long long)((word_[at / 8] >> (at % 8)) & 1) << i;
    }
    return value;
  }

  std::vector<Memory> memories_;
  std::size_t memory_;
  int address_;
  std::vector<unsigned char> word_;
};

}  // namespace load

#endif
