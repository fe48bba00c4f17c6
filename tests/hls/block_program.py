"""One C++ program that runs many block instances, each on its own frames: g++ starts once, not once a case.

A beat travels as ceil(width / 64) little-endian uint64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rendered import write_hls

from admmfpga.blocks import Block, Port
from admmfpga.mapping import AxisFormat, Design, Stage, Stream, Timing
from admmfpga.network import IntArray, IntType
from admmfpga.packing.memory import pack_bytes, unpack_bytes
from admmfpga.resources import resource_dir
from admmfpga.tools.csim import FAST
from admmfpga.tools.gpp import Gpp, ap_types_include
from admmfpga.tools.runner import run_command
from made import NetworkMaker

# The open ap_int.h masks the unused bits of numbers that have no value yet.
WARNINGS = ["-Wextra", "-Werror", "-Wno-maybe-uninitialized", "-Wno-uninitialized", "-O1"]

MAIN = """\
#include "dataflow.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

template <int WIDTH>
static void load(const char* path, hls::stream<ap_uint<WIDTH> >& stream) {
  FILE* file = std::fopen(path, "rb");
  if (!file) std::exit(2);
  unsigned long long piece[(WIDTH + 63) / 64];
  while (std::fread(piece, sizeof piece, 1, file) == 1) {
    ap_uint<WIDTH> word = 0;
    for (int i = (WIDTH + 63) / 64 - 1; i >= 0; --i)
      word = (i < (WIDTH + 63) / 64 - 1 ? (ap_uint<WIDTH>)(word << 64) : word) | (ap_uint<WIDTH>)piece[i];
    stream.write(word);
  }
  std::fclose(file);
}

template <int WIDTH>
static void store(const char* path, hls::stream<ap_uint<WIDTH> >& stream) {
  FILE* file = std::fopen(path, "wb");
  if (!file) std::exit(2);
  while (!stream.empty()) {
    const ap_uint<WIDTH> word = stream.read();
    for (int i = 0; i < WIDTH; i += 64) {
      const unsigned long long piece = ((ap_uint<(WIDTH < 64 ? WIDTH : 64)>)(word >> i)).to_uint64();
      std::fwrite(&piece, sizeof piece, 1, file);
    }
  }
  std::fclose(file);
}

template <int WIDTH>
static void all_taken(const char* name, hls::stream<ap_uint<WIDTH> >& stream) {
  if (stream.empty()) return;
  std::fprintf(stderr, "%s leaves %lu beats\\n", name, (unsigned long)stream.size());
  std::exit(1);
}

template <int IN, int OUT>
static void run(const char* name, int frames, void block(hls::stream<ap_uint<IN> >&, hls::stream<ap_uint<OUT> >&)) {
  hls::stream<ap_uint<IN> > in("in");
  hls::stream<ap_uint<OUT> > out("out");
  load((std::string(name) + ".in").c_str(), in);
  for (int frame = 0; frame < frames; ++frame) block(in, out);
  all_taken(name, in);
  store((std::string(name) + ".out").c_str(), out);
}

template <int IN0, int IN1, int OUT>
static void join(const char* name, int frames, void block(hls::stream<ap_uint<IN0> >&, hls::stream<ap_uint<IN1> >&,
                                                          hls::stream<ap_uint<OUT> >&)) {
  hls::stream<ap_uint<IN0> > in0("in0");
  hls::stream<ap_uint<IN1> > in1("in1");
  hls::stream<ap_uint<OUT> > out("out");
  load((std::string(name) + ".in").c_str(), in0);
  load((std::string(name) + ".in1").c_str(), in1);
  for (int frame = 0; frame < frames; ++frame) block(in0, in1, out);
  all_taken(name, in0);
  all_taken(name, in1);
  store((std::string(name) + ".out").c_str(), out);
}

template <int IN, int OUT0, int OUT1>
static void split(const char* name, int frames, void block(hls::stream<ap_uint<IN> >&, hls::stream<ap_uint<OUT0> >&,
                                                           hls::stream<ap_uint<OUT1> >&)) {
  hls::stream<ap_uint<IN> > in("in");
  hls::stream<ap_uint<OUT0> > out0("out0");
  hls::stream<ap_uint<OUT1> > out1("out1");
  load((std::string(name) + ".in").c_str(), in);
  for (int frame = 0; frame < frames; ++frame) block(in, out0, out1);
  all_taken(name, in);
  store((std::string(name) + ".out").c_str(), out0);
  store((std::string(name) + ".out1").c_str(), out1);
}

int main() {
"""


@dataclass(eq=False)
class Case:
    """A block instance, its memories' contents and its frames: (frames, beats, lanes), also of the second input."""

    name: str
    block: Block
    contents: dict[str, IntArray]
    frames: IntArray
    second: IntArray | None = None

    def expected(self) -> list[IntArray]:
        """By output."""
        frames = self.frames
        if self.block.stem == "axis_input":
            # What is above a code in its container does not matter.
            port = self.block.sink
            frames = frames << (64 - port.bits)
            frames = frames >> (64 - port.bits) if port.signed else frames.view(np.uint64) >> np.uint64(64 - port.bits)
        inputs = [(frame.astype(np.int64),) for frame in frames]
        if self.second is not None:
            inputs = list(zip(frames, self.second, strict=True))
        results = [self.block.execute_ports(frame, self.contents) for frame in inputs]
        return [np.stack(beats) for beats in zip(*results, strict=True)]


def frames_of(port: Port, rng: np.random.Generator, beats: int, random: int = 2) -> IntArray:
    """Frames at the lowest code, at the highest one, of both, and `random` ones."""
    bits = min(port.bits, 62)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if port.signed else (0, (1 << bits) - 1)
    frames = rng.integers(low, high, (random + 3, beats, port.lanes), endpoint=True)
    frames[0], frames[1] = low, high
    frames[2] = rng.choice([low, high], frames[2].shape)
    return frames


def words_of(lanes: IntArray, port: Port) -> bytes:
    """(beats, lanes) as the program reads them."""
    packed = pack_bytes(lanes, port.bits)
    words = np.zeros((len(packed), 8 * -(-port.width // 64)), dtype=np.uint8)
    words[:, : packed.shape[1]] = packed
    return words.tobytes()


def pieces_of(path: Path, width: int) -> IntArray:
    """(beats, bytes) as the program writes them."""
    return np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 8 * -(-width // 64))


def run_blocks(cases: Sequence[Case], folder: Path, *, fast: bool) -> dict[str, list[IntArray]]:
    """Results (frames, beats, lanes) by case and output; of axis_output without TLAST, which is checked here."""
    rng = np.random.default_rng(0)
    network = NetworkMaker((1,), IntType(8, False), rng).dense(1).done()
    stages, streams, calls = [], {}, []
    for case in cases:
        block = case.block
        names = (case.name, f"{case.name}_more")[: len(block.sinks)]
        stages.append(Stage(case.name, "", block, ("s_axis",) * len(block.sources), names, case.contents))
        streams |= {name: Stream(name, port) for name, port in zip(names, block.sinks, strict=True)}
        shape = "split" if len(block.sinks) > 1 else "join" if len(block.sources) > 1 else "run"
        calls.append(f'  {shape}("{case.name}", {len(case.frames)}, {block.stem}<{case.name}_parameters>);\n')
        inputs = [case.frames] if case.second is None else [case.frames, case.second]
        for suffix, frames, port in zip(("in", "in1"), inputs, block.sources, strict=False):
            (folder / f"{case.name}.{suffix}").write_bytes(words_of(frames.reshape(-1, port.lanes), port))
    form = AxisFormat(1, 8)
    write_hls(Design(network, network, tuple(stages), streams, Timing(0, 0, 0), {}, (form, form)), folder / "hls")
    (folder / "main.cpp").write_text(MAIN + "".join(calls) + "}\n")
    compile_and_run(folder, folder / "main.cpp", fast=fast)
    return {
        case.name: [
            _result(case, port, folder / f"{case.name}.{suffix}")
            for port, suffix in zip(case.block.sinks, ("out", "out1"), strict=False)
        ]
        for case in cases
    }


def compile_and_run(folder: Path, source: Path, *, fast: bool) -> None:
    """The exact path as C++11, as the HLS compilers read it; warnings are errors."""
    binary = Gpp().compile(
        "compiling a test",
        [source],
        folder / ("fast" if fast else "exact"),
        include=[resource_dir("hls_templates") / "sim", folder / "hls"],
        system_include=[ap_types_include()],
        define=[FAST] if fast else [],
        flags=WARNINGS if fast else [*WARNINGS, "-std=c++11"],
    )
    run_command("running a test", [str(binary)], log=folder / "run.log", cwd=folder, timeout=60)


def _result(case: Case, port: Port, path: Path) -> IntArray:
    beats = len(case.frames) * case.block.beats_out
    if case.block.stem == "axis_output":
        raw = pieces_of(path, port.width + 1)
        assert len(raw) == beats, (case.name, len(raw))
        last = raw[:, port.width // 8]
        expected = np.arange(beats) % case.block.beats_out == case.block.beats_out - 1
        assert np.array_equal(last, expected), f"{case.name}: TLAST"
    else:
        raw = pieces_of(path, port.width)
        assert len(raw) == beats, (case.name, len(raw), beats)
        used = np.zeros(8 * raw.shape[1], dtype=bool)
        used[: port.width] = True
        assert not (raw & ~np.packbits(used, bitorder="little")).any(), f"{case.name}: bits above the word"
    lanes = unpack_bytes(raw[:, : -(-port.width // 8)], port.lanes, port.bits, signed=port.signed)
    return lanes.reshape(len(case.frames), -1, port.lanes)
