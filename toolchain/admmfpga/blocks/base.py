"""What every hardware block has in common.

A block is seen four ways under one stem: parameters, Python model, timing and resources (`blocks/<stem>.py`), HLS C++
(`hls_templates/hls/<stem>.hpp`), RTL (`hls_templates/rtl/<stem>.sv`) and its cocotb test (`rtl_tests/test_<stem>.py`).

Streams carry *beats* of equal lanes, lane 0 in the least significant bits. A stream block is a sequence of *steps*,
at most one a cycle. A step may take one beat from the input (pop) and may put one beat on the output (emit); which
steps do is fixed per frame and does not depend on data. Every block ends in a FIFO of `out_depth` beats and reserves a
slot in it when an emitting step is issued (credits), so nothing behind the issue ever stalls. Hence the exact timing:

    issue(k) = max(issue(k-1) + 1,
                   cycle in which the beat that step k pops becomes valid,
                   pop cycle of the beat emitted `out_depth` emissions earlier + 1)
    valid    = issue + latency
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing import Memory

LUTRAM_DEPTH = 64
"""Memories up to this depth are LUT-RAM, deeper ones block RAM. A FIFO in block RAM is one cycle slower."""

Contents = Mapping[str, IntArray]
"""What fills a block's memories, by the names that the block defines."""


@dataclass(frozen=True)
class Port:
    """A stream: `lanes` values of `bits` bits a beat."""

    lanes: int
    bits: int
    signed: bool

    @property
    def width(self) -> int:
        return self.lanes * self.bits


@dataclass(frozen=True, eq=False)
class Schedule:
    """Which steps of a frame pop and emit.

    Attributes:
        steps: per frame.
        pops, emits: sorted step indices.
    """

    steps: int
    pops: IntArray
    emits: IntArray


@dataclass(frozen=True)
class Resources:
    """FPGA resources. BRAM is counted in RAMB18."""

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Block(ABC):
    """Parameters of one hardware block; subclasses are listed in `blocks.BLOCKS`.

    Attributes:
        out_depth: beats in the output FIFO.
    """

    stem: ClassVar[str]
    out_depth: int = 2

    @property
    @abstractmethod
    def source(self) -> Port:
        """The input stream."""

    @property
    @abstractmethod
    def sink(self) -> Port:
        """The output stream."""

    @property
    @abstractmethod
    def core_latency(self) -> int:
        """Cycles from issue to the push into the output FIFO (0: same cycle)."""

    @abstractmethod
    def schedule(self) -> Schedule:
        """Steps of one frame."""

    @abstractmethod
    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        """Python model: one frame of input beats (n, lanes) to output beats (m, lanes)."""

    @abstractmethod
    def core_resources(self) -> Resources:
        """First estimate, without the output FIFO."""

    @abstractmethod
    def rtl_parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module, without memory file names."""

    def frame_parameters(self) -> dict[str, int]:
        """What the HLS C++ needs to know in addition: loop bounds of one frame."""
        return {}

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        """Memory images by the RTL parameter that takes the file's name.

        Args:
            name: instance name, the stem of the files.
            layer: the network's node.
            contents: the arrays that the block's docstring names.
        """
        return {}

    @property
    def latency(self) -> int:
        """Cycles from issue to valid at the output."""
        return self.core_latency + fifo_latency(self.out_depth)

    @property
    def cycles(self) -> int:
        """Closed form: cycles per frame in steady state when neither side stalls. One step a cycle."""
        return self.schedule().steps

    @property
    def beats_out(self) -> int:
        """Beats emitted per frame."""
        return len(self.schedule().emits)

    def resources(self) -> Resources:
        return self.core_resources() + fifo_resources(self.out_depth, self.sink.width)

    def output_parameters(self) -> dict[str, int | str]:
        """The parameters of the output FIFO, which every block passes on."""
        return {"OUT_DEPTH": self.out_depth, "OUT_BLOCK_RAM": int(self.out_depth > LUTRAM_DEPTH)}

    @property
    def full_rate_depth(self) -> int:
        """Least output FIFO that never holds the block back while the consumer takes what is there.

        A slot is busy from the issue until the cycle after the pop, `core_latency + 2` cycles: as many slots as steps
        can emit in that time.
        """
        schedule = self.schedule()
        busy = self.core_latency + 2
        frames = np.arange(2 + busy // schedule.steps)[:, None] * schedule.steps
        emits = (schedule.emits + frames).ravel()
        inside = np.searchsorted(emits, emits + busy) - np.arange(len(emits))
        return max(2, min(busy, int(inside.max(initial=1))))


@dataclass(frozen=True, kw_only=True)
class BeatByBeat(Block):
    """A block that takes one beat and gives one beat in every step.

    Attributes:
        beats: a frame.
    """

    beats: int

    @property
    def cycles(self) -> int:
        return self.beats

    @property
    def beats_out(self) -> int:
        return self.beats

    @property
    def core_latency(self) -> int:
        return 0

    def schedule(self) -> Schedule:
        steps = every(1, self.beats)
        return Schedule(self.beats, steps, steps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        return beats


def every(period: int, steps: int, phase: int = 0) -> IntArray:
    """Steps phase, phase + period, ... below `steps`."""
    return np.arange(phase, steps, period, dtype=np.int64)


def fifo_latency(depth: int) -> int:
    """Cycles from push to valid."""
    return 2 if depth > LUTRAM_DEPTH else 1


def fifo_resources(depth: int, width: int) -> Resources:
    """First estimate of a FIFO: RAM32M (6 bits in 4 LUTs, 32 deep) or block RAM, pointers and counters."""
    pointer = max(1, depth.bit_length())
    control = Resources(lut=4 * pointer + 4, ff=3 * pointer + 2)
    if depth > LUTRAM_DEPTH:
        return control + Resources(bram18=bram18(depth, width))
    return control + Resources(lut=4 * -(-width // 6) * -(-depth // 32))


def bram18(depth: int, width: int) -> int:
    """RAMB18 for a simple dual-port memory: best of the aspect ratios 512x36, 1Kx18, 2Kx9, 4Kx4, 8Kx2, 16Kx1."""
    shapes = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
    return min(-(-depth // d) * -(-width // w) for d, w in shapes)


def clog2(value: int) -> int:
    """Levels of a binary tree over `value` leaves: ceil(log2(value)), 0 for 1."""
    return (value - 1).bit_length()
