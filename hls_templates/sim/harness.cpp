// Drives the Verilated accelerator from plain C++: whole data sets at millions of cycles a second, exact cycle counts.
//
//   harness INPUT IN_BEATS OUT_BEATS FRAMES SETTLE STALL_PERCENT SEED OUTPUT TIMES
//
// INPUT:  FRAMES x IN_BEATS little-endian uint64, one TDATA each.
// OUTPUT: FRAMES x OUT_BEATS uint64.
// TIMES:  FRAMES x 3 uint64: cycle of first input beat, first output beat, last output beat;
//         then the accelerator's own FRAMES_IN, FRAMES_OUT, LATENCY, INTERVAL and ERROR registers.
// STALL_PERCENT: chance that TVALID is held back, and that TREADY is, in any cycle (0: full rate).
// Progress goes to stderr as "frame N" lines. Exit status 3: no beat moved for a long time (deadlock).
//
//   harness --serve IN_BEATS OUT_BEATS SETTLE STALL_PERCENT SEED
//
// keeps the accelerator alive and takes requests from stdin, each answered on stdout (see serve.hpp): registers are read
// and written, frames go through. Time stands still between requests.
#include <verilated.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "Vaccelerator.h"
#include "registers.h"
#include "serve.hpp"

namespace {

constexpr uint64_t kPatience = 4u << 20;  // cycles without a beat before giving up, beyond a frame's own length

class Simulation {
 public:
  Simulation() : context_(new VerilatedContext), top_(new Vaccelerator(context_.get())) {
    top_->aclk = 0;
    top_->aresetn = 0;
    top_->s_axis_tvalid = 0;
    top_->s_axis_tdata = 0;
    top_->s_axis_tlast = 0;
    top_->m_axis_tready = 0;
    top_->s_axi_control_awvalid = 0;
    top_->s_axi_control_awprot = 0;
    top_->s_axi_control_wvalid = 0;
    top_->s_axi_control_wstrb = 0xf;
    top_->s_axi_control_bready = 0;
    top_->s_axi_control_arvalid = 0;
    top_->s_axi_control_arprot = 0;
    top_->s_axi_control_rready = 0;
  }
  ~Simulation() { top_->final(); }

  // Inputs are set while the clock is low; `settle` lets combinational outputs follow, `edge` takes the rising edge.
  void settle() {
    top_->aclk = 0;
    top_->eval();
  }
  void edge() {
    top_->aclk = 1;
    top_->eval();
    context_->timeInc(1);
    ++cycle;
  }
  void idle(uint64_t cycles) {
    for (uint64_t i = 0; i < cycles; ++i) {
      settle();
      edge();
    }
  }
  void reset() {
    top_->aresetn = 0;
    idle(4);
    top_->aresetn = 1;
    idle(4);
  }

  // BRESP: 0 for OKAY.
  uint32_t write(uint32_t address, uint32_t data) {
    top_->s_axi_control_awaddr = address;
    top_->s_axi_control_wdata = data;
    top_->s_axi_control_awvalid = 1;
    top_->s_axi_control_wvalid = 1;
    top_->s_axi_control_bready = 1;
    bool address_done = false, data_done = false, response_done = false;
    uint32_t response = 0;
    while (!response_done) {
      settle();
      address_done |= top_->s_axi_control_awvalid && top_->s_axi_control_awready;
      data_done |= top_->s_axi_control_wvalid && top_->s_axi_control_wready;
      response_done = top_->s_axi_control_bvalid;
      response = top_->s_axi_control_bresp;
      edge();
      top_->s_axi_control_awvalid = !address_done;
      top_->s_axi_control_wvalid = !data_done;
    }
    top_->s_axi_control_bready = 0;
    return response;
  }

  // RRESP goes to `response`, unless it is null.
  uint32_t read(uint32_t address, uint32_t* response = nullptr) {
    top_->s_axi_control_araddr = address;
    top_->s_axi_control_arvalid = 1;
    top_->s_axi_control_rready = 1;
    for (;;) {
      settle();
      const bool address_done = top_->s_axi_control_arvalid && top_->s_axi_control_arready;
      const bool done = top_->s_axi_control_rvalid;
      const uint32_t data = top_->s_axi_control_rdata;
      if (response) *response = top_->s_axi_control_rresp;
      edge();
      if (address_done) top_->s_axi_control_arvalid = 0;
      if (done) {
        top_->s_axi_control_rready = 0;
        return data;
      }
    }
  }

  Vaccelerator* operator->() { return top_.get(); }
  uint64_t cycle = 0;

 private:
  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Vaccelerator> top_;
};

// xorshift: stalls must not depend on a library's generator.
class Stalls {
 public:
  Stalls(uint64_t percent, uint64_t seed) : percent_(percent), state_(seed * 2654435769u + 88172645463325252u) {}
  bool operator()() {
    if (percent_ == 0) return false;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % 100 < percent_;
  }

 private:
  uint64_t percent_, state_;
};

bool save(const char* path, const std::vector<uint64_t>& data) {
  FILE* file = std::fopen(path, "wb");
  if (!file) return false;
  const bool good = std::fwrite(data.data(), sizeof(uint64_t), data.size(), file) == data.size();
  return std::fclose(file) == 0 && good;
}

// Exit statuses of the program, and of a request for frames.
constexpr int kDeadlock = 3, kBadTlast = 4;

struct Frames {
  uint64_t in_beats, out_beats;
  std::vector<uint64_t> input, output, times;

  uint64_t count() const { return input.size() / in_beats; }

  // All frames through the accelerator; `output` and `times` are filled.
  int run(Simulation& sim, Stalls& idle_input, Stalls& hold_output, bool progress) {
    output.assign(count() * out_beats, 0);
    times.assign(count() * 3, 0);
    uint64_t sent = 0, received = 0, last_move = sim.cycle;
    bool offered = false;
    // A frame's last rows may come after its result (strides that leave them over): they are taken all the same.
    while (received < output.size() || sent < input.size()) {
      // An offered beat stays until it is taken, as AXI4-Stream demands.
      if (!offered) offered = sent < input.size() && !idle_input();
      sim->s_axis_tvalid = offered;
      if (offered) {
        sim->s_axis_tdata = input[sent];
        sim->s_axis_tlast = sent % in_beats == in_beats - 1;
      }
      // What nobody waits for is not taken.
      sim->m_axis_tready = received < output.size() && !hold_output();
      sim.settle();
      const bool taken = offered && sim->s_axis_tready;
      const bool given = sim->m_axis_tvalid && sim->m_axis_tready;
      if (taken && sent % in_beats == 0) times[3 * (sent / in_beats)] = sim.cycle;
      if (given) {
        const uint64_t frame = received / out_beats, beat = received % out_beats;
        output[received] = sim->m_axis_tdata;
        if (beat == 0) times[3 * frame + 1] = sim.cycle;
        if (beat == out_beats - 1) times[3 * frame + 2] = sim.cycle;
        if (sim->m_axis_tlast != (beat == out_beats - 1)) {
          std::fprintf(stderr, "TLAST is wrong at frame %llu, beat %llu\n", (unsigned long long)frame,
                       (unsigned long long)beat);
          return kBadTlast;
        }
        ++received;
        if (progress && beat == out_beats - 1) std::fprintf(stderr, "frame %llu\n", (unsigned long long)frame + 1);
      }
      if (taken) {
        ++sent;
        offered = false;
      }
      if (taken || given) last_move = sim.cycle;
      if (sim.cycle - last_move > kPatience) {
        std::fprintf(stderr, "deadlock: no beat for %llu cycles, %llu in, %llu out\n", (unsigned long long)kPatience,
                     (unsigned long long)sent, (unsigned long long)received);
        return kDeadlock;
      }
      sim.edge();
    }
    sim->s_axis_tvalid = 0;
    sim->m_axis_tready = 0;
    return 0;
  }
};

uint64_t number(const char* text) { return std::strtoull(text, nullptr, 10); }

int serve_accelerator(char** argv) {
  Frames frames{number(argv[0]), number(argv[1]), {}, {}, {}};
  Stalls idle_input(number(argv[3]), number(argv[4])), hold_output(number(argv[3]), number(argv[4]) + 1);
  Simulation sim;
  sim.reset();
  sim.idle(number(argv[2]));
  serve::Handlers handlers;
  handlers.read = [&](uint32_t offset, uint32_t& data) {
    uint32_t response = 0;
    data = sim.read(offset, &response);
    return response;
  };
  handlers.write = [&](uint32_t offset, const std::vector<uint32_t>& words) {
    uint32_t worst = 0;
    for (uint32_t word : words) worst |= sim.write(offset, word);
    return worst;
  };
  handlers.frames = [&](std::vector<uint64_t>& beats) {
    frames.input.swap(beats);
    const int status = frames.run(sim, idle_input, hold_output, false);
    beats.swap(frames.output);
    return (uint32_t)status;
  };
  return serve::loop(frames.in_beats, handlers);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 7 && std::string(argv[1]) == "--serve") return serve_accelerator(argv + 2);
  if (argc != 10) {
    std::fprintf(stderr,
                 "usage: harness INPUT IN_BEATS OUT_BEATS FRAMES SETTLE STALL_PERCENT SEED OUTPUT TIMES\n"
                 "       harness --serve IN_BEATS OUT_BEATS SETTLE STALL_PERCENT SEED\n");
    return 2;
  }
  Frames frames{number(argv[2]), number(argv[3]), {}, {}, {}};
  Stalls idle_input(number(argv[6]), number(argv[7])), hold_output(number(argv[6]), number(argv[7]) + 1);
  frames.input.resize(number(argv[4]) * frames.in_beats);
  FILE* file = std::fopen(argv[1], "rb");
  if (!file || std::fread(frames.input.data(), sizeof(uint64_t), frames.input.size(), file) != frames.input.size()) {
    std::fprintf(stderr, "cannot read %s\n", argv[1]);
    return 2;
  }
  std::fclose(file);

  Simulation sim;
  sim.reset();
  sim.write(ADMMFPGA_CONTROL, ADMMFPGA_CONTROL_AP_START | ADMMFPGA_CONTROL_AUTO_RESTART);
  sim.idle(number(argv[5]));
  const int status = frames.run(sim, idle_input, hold_output, true);
  if (status != 0) return status;
  sim.idle(2);  // the counters are registered
  for (uint32_t address : {ADMMFPGA_FRAMES_IN, ADMMFPGA_FRAMES_OUT, ADMMFPGA_LATENCY, ADMMFPGA_INTERVAL, ADMMFPGA_ERROR})
    frames.times.push_back(sim.read(address));
  if (!save(argv[8], frames.output) || !save(argv[9], frames.times)) {
    std::fprintf(stderr, "cannot write the results\n");
    return 2;
  }
  return 0;
}
