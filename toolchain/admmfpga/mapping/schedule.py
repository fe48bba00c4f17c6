"""Exact timing of a pipeline of blocks: the recurrence of `blocks/base.py`, run over the streams of a design.

Every block is a fixed sequence of steps, so the pipeline is a timed marked graph and its cycle counts follow without
simulating data. The RTL's counts must equal these, cycle for cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from admmfpga.blocks import Block
from admmfpga.blocks.base import Process
from admmfpga.mapping.design import Timing
from admmfpga.network import IntArray

MAX_FRAMES = 32
"""Frames after which a pipeline counts as one whose period spans several frames."""


@dataclass(frozen=True)
class Link:
    """A block with the indices of the streams it reads and writes; None is the outside, which never stalls."""

    block: Block
    source: int | None
    sink: int | None


@dataclass(eq=False)
class _Stream:
    """What is known of one stream so far: when each beat becomes valid and when its slot is free again."""

    valid: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)


@dataclass(eq=False)
class _Actor:
    """One process' progress through its steps."""

    gaps: list[int]
    pops: list[bool]
    emits: list[bool]
    reserves: list[bool]
    releases: list[bool]
    latency: int
    depth: int
    source: _Stream | None
    sink: _Stream
    event: int = 0
    time: int = -1
    taken: int = 0
    reserved: int = 0

    def advance(self, frames: int) -> bool:
        """Issue steps until something that is not known yet is needed, or `frames` frames are done."""
        gaps, pops, emits, reserves, releases = self.gaps, self.pops, self.emits, self.reserves, self.releases
        count, total = len(gaps), len(gaps) * frames
        valid = None if self.source is None else self.source.valid
        event, time, taken, reserved = self.event, self.time, self.taken, self.reserved
        first = event
        while event < total:
            index = event % count
            issue = time + gaps[index]
            if pops[index] and valid is not None:
                if taken >= len(valid):
                    break
                if valid[taken] > issue:
                    issue = valid[taken]
            if reserves[index]:
                if reserved >= self.depth:
                    if reserved - self.depth >= len(self.sink.released):
                        break
                    free = self.sink.released[reserved - self.depth] + 1
                    if free > issue:
                        issue = free
                reserved += 1
            if pops[index]:
                taken += 1
            if releases[index] and self.source is not None:
                self.source.released.append(issue)
            if emits[index]:
                self.sink.valid.append(issue + self.latency)
            time = issue
            event += 1
        self.event, self.time, self.taken, self.reserved = event, time, taken, reserved
        return event != first


def _actor(process: Process, source: _Stream | None, sink: _Stream) -> _Actor:
    """The steps of a process that touch a stream, with the distance from the one before (cyclic over frames)."""
    schedule = process.schedule
    reserves = schedule.emits if schedule.reserves is None else schedule.reserves
    releases = schedule.pops if schedule.releases is None else schedule.releases
    kinds = (schedule.pops, schedule.emits, reserves, releases)
    steps = np.unique(np.concatenate(kinds))
    gaps = np.diff(steps, prepend=steps[-1] - schedule.steps)
    pops, emits, reserved, released = (np.isin(steps, kind).tolist() for kind in kinds)
    return _Actor(gaps.tolist(), pops, emits, reserved, released, process.latency, process.depth, source, sink)


def output_times(links: Sequence[Link], frames: int) -> IntArray:
    """Cycle in which each output beat is given, the first input beat being taken in cycle 0.

    The blocks have had time to do all steps that need no input (padding above the first row), input is always there
    and output is always taken.

    Args:
        links: blocks in topological order; the first one reads from outside, the last one writes to outside.

    Returns:
        (frames, beats per frame) cycles.
    """
    streams: dict[int, _Stream] = {}
    actors = []
    for link in links:
        source = None if link.source is None else streams.setdefault(link.source, _Stream())
        *inner, last = link.block.processes()
        for process in inner:
            buffer = _Stream()
            actors.append(_actor(process, source, buffer))
            source = buffer
        sink = _Stream() if link.sink is None else streams.setdefault(link.sink, _Stream())
        actors.append(_actor(last, source, sink))
    for actor in actors:
        # Steps before the first pop are done long before the first beat arrives.
        first = actor.source is None
        actor.time = -sum(actor.gaps[: actor.pops.index(True) + 1]) if first else -(1 << 40)
    outside = actors[-1].sink
    while actors[-1].event < len(actors[-1].gaps) * frames:
        moved = False
        for actor in actors:
            moved |= actor.advance(frames)
            if actor.sink is outside:
                # Output is taken as soon as it is there.
                outside.released.extend(outside.valid[len(outside.released) :])
        assert moved, "the pipeline deadlocks"
    return np.array(outside.valid, dtype=np.int64).reshape(frames, -1)


def pipeline_timing(links: Sequence[Link]) -> Timing:
    """Latency of the first frame and the interval at which later frames end once the pipeline is periodic.

    With FIFOs that are too small the period may span several frames; the interval is then their mean, rounded up, and
    `settled_frames` is 0: no single interval exists.
    """
    frames = 8
    while True:
        times = output_times(links, frames)
        ends = np.diff(times[:, -1])
        if len(set(ends[-4:].tolist())) == 1:
            unsteady = np.flatnonzero(ends != ends[-1])
            settled = 2 if len(unsteady) == 0 else int(unsteady[-1]) + 3
            return Timing(int(times[0, 0]), int(ends[-1]), settled)
        if frames == MAX_FRAMES:
            half = ends[len(ends) // 2 :]
            return Timing(int(times[0, 0]), int(-(-half.sum() // len(half))), 0)
        frames *= 2
