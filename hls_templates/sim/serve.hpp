// Requests to a simulated accelerator that stays alive, from stdin to stdout; all numbers little-endian.
//
//   request: kind (1 byte), argument (u32), count (u32), payload          answer: status (u32), count (u32), payload
//   'r' read a register: argument = offset, count = 0                      count = 1, u32
//   'w' write a register: argument = offset, count words of u32            count = 0
//   'f' run frames: argument = 0, count frames of IN_BEATS x u64           count beats of u64, none unless status is 0
//   'l' load weights: argument = 0, count bytes                            count = 1, u32: words that were written
//   'q' end
//
// Status 0 is success; otherwise what the device says (AXI responses, exit statuses of the program). A request that the
// device has no handler for is answered with status 255.
#ifndef ADMMFPGA_SERVE_HPP
#define ADMMFPGA_SERVE_HPP

#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

namespace serve {

struct Handlers {
  std::function<uint32_t(uint32_t offset, uint32_t& data)> read;
  std::function<uint32_t(uint32_t offset, const std::vector<uint32_t>& words)> write;
  std::function<uint32_t(std::vector<uint64_t>& beats)> frames;  // beats in, results out
  std::function<uint32_t(const std::vector<uint8_t>& bytes)> load;
};

template <class T>
bool get(T* data, std::size_t count) {
  return std::fread(data, sizeof(T), count, stdin) == count;
}

template <class T>
void answer(uint32_t status, const T* data, std::size_t count) {
  const uint32_t head[2] = {status, (uint32_t)count};
  std::fwrite(head, sizeof(uint32_t), 2, stdout);
  std::fwrite(data, sizeof(T), count, stdout);
  std::fflush(stdout);
}

// Until 'q' or the end of stdin; exit status 2: a request was cut or unknown.
inline int loop(uint64_t in_beats, const Handlers& handlers) {
  const uint32_t none = 0;
  for (;;) {
    uint8_t kind = 0;
    uint32_t head[2];
    if (!get(&kind, 1) || kind == 'q') return 0;
    if (!get(head, 2)) return 2;
    if (kind == 'r') {
      uint32_t data = 0;
      const uint32_t status = handlers.read ? handlers.read(head[0], data) : 255;
      answer(status, &data, 1);
    } else if (kind == 'w') {
      std::vector<uint32_t> words(head[1]);
      if (!get(words.data(), words.size())) return 2;
      answer(handlers.write ? handlers.write(head[0], words) : 255, &none, 0);
    } else if (kind == 'f') {
      std::vector<uint64_t> beats(head[1] * in_beats);
      if (!get(beats.data(), beats.size())) return 2;
      const uint32_t status = handlers.frames ? handlers.frames(beats) : 255;
      answer(status, beats.data(), status == 0 ? beats.size() : 0);
    } else if (kind == 'l') {
      std::vector<uint8_t> bytes(head[1]);
      if (!get(bytes.data(), bytes.size())) return 2;
      const uint32_t words = handlers.load ? handlers.load(bytes) : 0;
      answer(handlers.load ? 0 : 255, &words, 1);
    } else {
      return 2;
    }
  }
}

}  // namespace serve

#endif
