// The shared engine as HLS C++: runs a program (compute commands in the weight stream, a list of transfers) on DRAM.
//
// The same descriptors as the RTL's, one after the other: a command first lets the transfers run that it waits for. Nothing
// overlaps, so cycles are not the RTL's; results are. Sizes are in engine_config.hpp.
#ifndef ADMMFPGA_ENGINE_HPP
#define ADMMFPGA_ENGINE_HPP

#include "engine_config.hpp"

// Runs one frame. Returns 0, or 1 if a transfer waits for a command that comes later.
//   stream: commands, each with its header and weights.
//   list: transfers of 32 bytes.
//   data: activations.
int engine(const unsigned char* stream, const unsigned char* list, unsigned char* data, unsigned commands,
           unsigned transfers);

#endif
