// Drives the Verilated shared engine from plain C++: DRAM with a fixed latency, or with random stalls on every channel.
//
//   engine_harness STREAM LIST DATA TRANSFERS COMMANDS LATENCY STALL_PERCENT SEED TIMES
//
// STREAM, LIST: the weight stream and the transfer list. DATA: activations; overwritten with what the engine left there.
// LATENCY: cycles from an address's handshake to the first beat, and from a burst's last beat to its response.
// TIMES: two uint64: cycles of the frame and busy cycles, from the engine's registers.
// Exit status 3: deadlock, 4: a burst breaks the rules of AXI4, 5: an access outside of memory.
#include <verilated.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "Vengine.h"

namespace {

constexpr uint64_t kStream = 0x10000000, kList = 0x60000000, kData = 0x100000000;
constexpr uint64_t kPatience = 1u << 20;

using Bytes = std::vector<uint8_t>;

Bytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(2);
  }
  Bytes content;
  uint8_t block[1 << 16];
  for (size_t n; (n = std::fread(block, 1, sizeof block, file)) > 0;) content.insert(content.end(), block, block + n);
  std::fclose(file);
  return content;
}

void write_file(const char* path, const void* content, size_t size) {
  std::FILE* file = std::fopen(path, "wb");
  if (!file || std::fwrite(content, 1, size, file) != size) {
    std::fprintf(stderr, "cannot write %s\n", path);
    std::exit(2);
  }
  std::fclose(file);
}

struct Memory {
  Bytes stream, list, data;

  uint8_t* at(uint64_t address, size_t size) {
    struct Area {
      uint64_t base;
      Bytes* bytes;
    } const areas[] = {{kData, &data}, {kList, &list}, {kStream, &stream}};
    for (const Area& area : areas) {
      if (address >= area.base && address + size <= area.base + area.bytes->size()) {
        return area.bytes->data() + (address - area.base);
      }
    }
    std::fprintf(stderr, "access to %#llx\n", (unsigned long long)address);
    std::exit(5);
  }
};

struct Burst {
  uint64_t address;
  unsigned beats;
  uint64_t due;
};

void check_burst(uint64_t address, unsigned beats, unsigned size, unsigned bytes, unsigned kind) {
  const uint64_t last = address + (uint64_t)beats * bytes - 1;
  if ((1u << size) != bytes || kind != 1 || beats > 256 || address % bytes != 0 || (address >> 12) != (last >> 12)) {
    std::fprintf(stderr, "burst of %u beats at %#llx\n", beats, (unsigned long long)address);
    std::exit(4);
  }
}

class Stalls {
 public:
  Stalls(unsigned percent, unsigned seed) : percent_(percent), random_(seed) {}
  bool go() { return percent_ == 0 || random_() % 100 >= percent_; }

 private:
  unsigned percent_;
  std::mt19937 random_;
};

// One AXI4 port's read channels.
template <class Id, class Len, class Size, class Kind, class Bit, class Data>
struct ReadPort {
  Id& araddr;
  Len& arlen;
  Size& arsize;
  Kind& arburst;
  Bit &arvalid, &arready, &rvalid, &rready, &rlast;
  Data& rdata;
  std::deque<Burst> bursts;
  unsigned beat = 0;
  bool offered = false;

  void before(Memory& memory, Stalls& stalls, uint64_t cycle) {
    arready = stalls.go();
    // What is offered stays.
    if (!offered) offered = !bursts.empty() && cycle >= bursts.front().due && stalls.go();
    rvalid = offered;
    if (offered) {
      std::memcpy(&rdata, memory.at(bursts.front().address + beat * AXI_BYTES, AXI_BYTES), AXI_BYTES);
      rlast = beat + 1 == bursts.front().beats;
    }
  }
  void after(uint64_t cycle, uint64_t latency) {
    if (rvalid && rready) {
      offered = false;
      if (++beat == bursts.front().beats) {
        bursts.pop_front();
        beat = 0;
      }
    }
    if (arvalid && arready) {
      check_burst(araddr, arlen + 1u, arsize, AXI_BYTES, arburst);
      bursts.push_back({araddr, arlen + 1u, cycle + latency});
    }
  }
};

struct Harness {
  std::unique_ptr<VerilatedContext> context{new VerilatedContext};
  std::unique_ptr<Vengine> top{new Vengine(context.get())};
  Memory memory;
  Stalls stalls;
  uint64_t latency, cycle = 0;
  std::deque<Burst> writes;
  std::deque<uint64_t> responses;
  unsigned written = 0;
  bool answered = false;

  Harness(Memory content, unsigned percent, unsigned seed, uint64_t delay)
      : memory(std::move(content)), stalls(percent, seed), latency(delay) {}

#define READ_PORT(NAME)                                                                                          \
  ReadPort<decltype(Vengine::m_axi_##NAME##_araddr), decltype(Vengine::m_axi_##NAME##_arlen),                   \
           decltype(Vengine::m_axi_##NAME##_arsize), decltype(Vengine::m_axi_##NAME##_arburst),                 \
           decltype(Vengine::m_axi_##NAME##_arvalid), decltype(Vengine::m_axi_##NAME##_rdata)>                  \
      NAME##_port = {top->m_axi_##NAME##_araddr,  top->m_axi_##NAME##_arlen,   top->m_axi_##NAME##_arsize,       \
                     top->m_axi_##NAME##_arburst, top->m_axi_##NAME##_arvalid, top->m_axi_##NAME##_arready,      \
                     top->m_axi_##NAME##_rvalid,  top->m_axi_##NAME##_rready,  top->m_axi_##NAME##_rlast,        \
                     top->m_axi_##NAME##_rdata,   {},                          0,                                \
                     false};
  READ_PORT(stream)
  READ_PORT(data)

  void step() {
    top->aclk = 0;
    stream_port.before(memory, stalls, cycle);
    data_port.before(memory, stalls, cycle);
    top->m_axi_data_awready = stalls.go();
    top->m_axi_data_wready = stalls.go();
    if (!answered) answered = !responses.empty() && cycle >= responses.front() && stalls.go();
    top->m_axi_data_bvalid = answered;
    top->eval();
    stream_port.after(cycle, latency);
    data_port.after(cycle, latency);
    if (top->m_axi_data_bvalid && top->m_axi_data_bready) {
      responses.pop_front();
      answered = false;
    }
    // Beats may come in the cycle of their address, or before it: then they wait.
    if (top->m_axi_data_awvalid && top->m_axi_data_awready) {
      check_burst(top->m_axi_data_awaddr, top->m_axi_data_awlen + 1u, top->m_axi_data_awsize, AXI_BYTES,
                  top->m_axi_data_awburst);
      writes.push_back({top->m_axi_data_awaddr, top->m_axi_data_awlen + 1u, 0});
    }
    if (top->m_axi_data_wvalid && top->m_axi_data_wready) {
      Bytes beat(AXI_BYTES);
      std::memcpy(beat.data(), &top->m_axi_data_wdata, AXI_BYTES);
      beats.push_back({beat, (bool)top->m_axi_data_wlast});
    }
    while (!writes.empty() && !beats.empty()) {
      Burst& burst = writes.front();
      std::memcpy(memory.at(burst.address + written * AXI_BYTES, AXI_BYTES), beats.front().bytes.data(), AXI_BYTES);
      ++written;
      if (beats.front().last != (written == burst.beats)) {
        std::fprintf(stderr, "WLAST at beat %u of %u\n", written, burst.beats);
        std::exit(4);
      }
      if (written == burst.beats) {
        responses.push_back(cycle + latency);
        writes.pop_front();
        written = 0;
      }
      beats.pop_front();
    }
    top->aclk = 1;
    top->eval();
    context->timeInc(1);
    ++cycle;
  }

  struct Beat {
    Bytes bytes;
    bool last;
  };
  std::deque<Beat> beats;

  void write(uint32_t address, uint32_t value) {
    top->s_axi_control_awaddr = address;
    top->s_axi_control_wdata = value;
    top->s_axi_control_wstrb = 0xf;
    top->s_axi_control_bready = 1;
    top->s_axi_control_awvalid = top->s_axi_control_wvalid = 1;
    step();
    top->s_axi_control_awvalid = top->s_axi_control_wvalid = 0;
    // Three cycles more, so that a program's cycles begin at the same place after every write.
    for (int i = 0; i < 3; ++i) step();
  }
  uint32_t read(uint32_t address) {
    top->s_axi_control_araddr = address;
    top->s_axi_control_arvalid = 1;
    top->s_axi_control_rready = 1;
    step();
    top->s_axi_control_arvalid = 0;
    const uint32_t value = top->s_axi_control_rdata;
    step();
    return value;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 10) {
    std::fprintf(stderr, "usage: engine_harness STREAM LIST DATA TRANSFERS COMMANDS LATENCY STALLS SEED TIMES\n");
    return 2;
  }
  Memory memory{read_file(argv[1]), read_file(argv[2]), read_file(argv[3])};
  const uint32_t beats = memory.stream.size() / AXI_BYTES;
  const uint32_t transfers = std::strtoul(argv[4], nullptr, 10), commands = std::strtoul(argv[5], nullptr, 10);
  Harness harness(std::move(memory), std::strtoul(argv[7], nullptr, 10), std::strtoul(argv[8], nullptr, 10),
                  std::strtoul(argv[6], nullptr, 10));
  Vengine& top = *harness.top;
  top.aresetn = 0;
  for (int i = 0; i < 4; ++i) harness.step();
  top.aresetn = 1;
  for (int i = 0; i < 4; ++i) harness.step();
  harness.write(ADMM_STREAM_LOW, (uint32_t)kStream);
  harness.write(ADMM_STREAM_HIGH, kStream >> 32);
  harness.write(ADMM_STREAM_BEATS, beats);
  harness.write(ADMM_LIST_LOW, (uint32_t)kList);
  harness.write(ADMM_LIST_HIGH, kList >> 32);
  harness.write(ADMM_TRANSFERS, transfers);
  harness.write(ADMM_DATA_LOW, (uint32_t)kData);
  harness.write(ADMM_DATA_HIGH, kData >> 32);
  harness.write(ADMM_COMMANDS, commands);
  harness.write(ADMM_CONTROL, 1);

  std::vector<uint64_t> times(2);
  uint64_t quiet = 0;
  uint32_t before = 0;
  for (;;) {
    const uint32_t control = harness.read(ADMM_CONTROL);
    if (control & 2u) break;
    for (int i = 0; i < 200; ++i) harness.step();
    const uint32_t busy = harness.read(ADMM_BUSY);
    quiet = busy == before ? quiet + 200 : 0;
    before = busy;
    if (quiet > kPatience) {
      std::fprintf(stderr, "deadlock after %u busy cycles\n", busy);
      return 3;
    }
  }
  times[0] = harness.read(ADMM_CYCLES);
  times[1] = harness.read(ADMM_BUSY);
  write_file(argv[3], harness.memory.data.data(), harness.memory.data.size());
  write_file(argv[9], times.data(), times.size() * sizeof times[0]);
  return 0;
}
