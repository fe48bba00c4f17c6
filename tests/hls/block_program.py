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

template <int IN, int OUT>
static void run(const char* name, int frames, void block(hls::stream<ap_uint<IN> >&, hls::stream<ap_uint<OUT> >&)) {
  hls::stream<ap_uint<IN> > in("in");
  hls::stream<ap_uint<OUT> > out("out");
  load((std::string(name) + ".in").c_str(), in);
  for (int frame = 0; frame < frames; ++frame) block(in, out);
  if (!in.empty()) {
    std::fprintf(stderr, "%s leaves %lu beats\\n", name, (unsigned long)in.size());
    std::exit(1);
  }
  store((std::string(name) + ".out").c_str(), out);
}

int main() {
"""


@dataclass(eq=False)
class Case:
    """A block instance, its memories' contents and its frames: (frames, beats, lanes)."""

    name: str
    block: Block
    contents: dict[str, IntArray]
    frames: IntArray

    def expected(self) -> IntArray:
        frames = self.frames
        if self.block.stem == "axis_input":
            # What is above a code in its container does not matter.
            port = self.block.sink
            frames = frames << (64 - port.bits)
            frames = frames >> (64 - port.bits) if port.signed else frames.view(np.uint64) >> np.uint64(64 - port.bits)
        return np.stack([self.block.execute(frame.astype(np.int64), self.contents) for frame in frames])


def frames_of(block: Block, rng: np.random.Generator, beats: int, random: int = 2) -> IntArray:
    """Frames at the lowest code, at the highest one, of both, and `random` ones."""
    port = block.source
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


def run_blocks(cases: Sequence[Case], folder: Path, *, fast: bool) -> dict[str, IntArray]:
    """Results (frames, beats, lanes) by case; of axis_output without TLAST, which is checked here."""
    rng = np.random.default_rng(0)
    network = NetworkMaker((1,), IntType(8, False), rng).dense(1).done()
    stages, streams, calls = [], {}, []
    for case in cases:
        stages.append(Stage(case.name, "", case.block, ("s_axis",), (case.name,), case.contents))
        streams[case.name] = Stream(case.name, case.block.sink)
        calls.append(f'  run("{case.name}", {len(case.frames)}, {case.block.stem}<{case.name}_parameters>);\n')
        (folder / f"{case.name}.in").write_bytes(
            words_of(case.frames.reshape(-1, case.block.source.lanes), case.block.source)
        )
    form = AxisFormat(1, 8)
    write_hls(Design(network, network, tuple(stages), streams, Timing(0, 0, 0), {}, (form, form)), folder / "hls")
    (folder / "main.cpp").write_text(MAIN + "".join(calls) + "}\n")
    compile_and_run(folder, folder / "main.cpp", fast=fast)
    return {case.name: _result(case, folder) for case in cases}


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


def _result(case: Case, folder: Path) -> IntArray:
    port, path = case.block.sink, folder / f"{case.name}.out"
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
