"""Exact timing of a pipeline of blocks: the recurrence of `blocks/base.py`, run over the streams of a design.

Every block is a fixed sequence of steps, so the pipeline is a timed marked graph and its cycle counts follow without
simulating data. The RTL's counts must equal these, cycle for cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from admmfpga.blocks import Block
from admmfpga.blocks.base import Process, fifo_latency
from admmfpga.mapping.design import Timing
from admmfpga.network import IntArray

MAX_FRAMES = 32
"""Frames after which a pipeline counts as one whose period spans several frames."""


MAX_SWEEPS, FEW_SWEEPS, TRIAL_SWEEPS = 2000, 300, 24
"""Passes over all blocks after which a pipeline counts as one that deadlocks; ten are usual, fifty happen. A trial that
goes on from known cycles and keeps its interval takes two or three; one that creeps towards another takes hundreds."""

_LONG_AGO = -(1 << 40)


@dataclass(frozen=True)
class Link:
    """A block with the indices of the streams at its inputs and outputs; None is the outside, which never stalls."""

    block: Block
    sources: tuple[int | None, ...]
    sinks: tuple[int | None, ...]


@dataclass(eq=False)
class _Stream:
    """What is known of one stream so far, for all beats of all frames: lower bounds that only rise.

    Attributes:
        latency: cycles from issue to valid.
        depth: slots; None: as many as it takes.
        valid: cycle in which each beat becomes valid.
        released: cycle in which each beat's slot is given back.
    """

    latency: int
    depth: int | None
    valid: IntArray
    released: IntArray


@dataclass(eq=False)
class _Actor:
    """One process: its steps that touch a stream ("events") over all frames.

    Attributes:
        steps: step number of each event, frames one behind the other: issue(k) - issue(j) >= steps[k] - steps[j].
        pops: events by input.
        emits, reserves, releases: events; of all outputs at once, of the first input.
        start: earliest cycle of step 0.
        pace: earliest cycle of each pop from outside, if it is not always there.
        issue: cycle of each event, a lower bound.
    """

    steps: IntArray
    pops: tuple[IntArray, ...]
    emits: IntArray
    reserves: IntArray
    releases: IntArray
    sources: list[_Stream]
    sinks: list[_Stream]
    start: int
    issue: IntArray
    pace: IntArray | None = None
    dirty: bool = True

    def advance(self) -> bool:
        """Apply all rules once; whether anything has moved."""
        self.dirty = False
        bound = np.full(len(self.steps), self.start, dtype=np.int64)
        for pops, stream in zip(self.pops, self.sources, strict=False):
            bound[pops] = np.maximum(bound[pops], stream.valid - self.steps[pops])
        if self.pace is not None:
            bound[self.pops[0]] = self.pace - self.steps[self.pops[0]]
        for stream in self.sinks:
            if stream.depth is not None:
                waiting = self.reserves[stream.depth :]
                free = stream.released[: len(waiting)] + 1 - self.steps[waiting]
                bound[waiting] = np.maximum(bound[waiting], free)
        issue = np.maximum.accumulate(bound) + self.steps
        if np.array_equal(issue, self.issue):
            return False
        self.issue = issue
        for index, (pops, stream) in enumerate(zip(self.pops, self.sources, strict=False)):
            # The second input's slots are free when they are popped.
            stream.released = issue[pops if index else self.releases]
        for stream in self.sinks:
            stream.valid = issue[self.emits] + stream.latency
        return True


def _actor(process: Process, frames: int, sources: list[_Stream], sinks: list[_Stream]) -> _Actor:
    schedule = process.schedule
    reserves = schedule.emits if schedule.reserves is None else schedule.reserves
    releases = schedule.pops if schedule.releases is None else schedule.releases
    pops = schedule.pops_by_input
    once = np.unique(np.concatenate([*pops, schedule.emits, reserves, releases]))
    steps = (once + schedule.steps * np.arange(frames)[:, None]).ravel()

    def events(kind: IntArray) -> IntArray:
        return (np.searchsorted(once, kind) + len(once) * np.arange(frames)[:, None]).ravel()

    return _Actor(
        steps,
        tuple(events(kind) for kind in pops),
        events(schedule.emits),
        events(reserves),
        events(releases),
        sources,
        sinks,
        # Steps before the first pop are done long before the first beat arrives; the first beat is taken in cycle 0.
        start=_LONG_AGO if sources else -int(schedule.pops[0]),
        issue=np.full(len(steps), _LONG_AGO, dtype=np.int64),
    )


class _Pipeline:
    """The processes of all blocks in topological order, and the streams by index.

    The cycle of every step is the least one that all rules allow. Raising lower bounds, process by process, until no
    rule moves any of them finds it; whole frames at a time, along the pipeline for what arrives and against it for
    slots that get free.
    """

    def __init__(self, links: Sequence[Link], frames: int) -> None:
        self.frames = frames
        self.streams: dict[int, _Stream] = {}
        self.actors: list[_Actor] = []
        for link in links:
            sources = [self.streams[source] for source in link.sources if source is not None]
            *inner, last = link.block.processes()
            for process in inner:
                buffer = self._stream(process, process.latency, process.depth)
                self.actors.append(_actor(process, frames, sources, [buffer]))
                sources = [buffer]
            sinks = []
            for sink, depth in zip(link.sinks, link.block.depths, strict=True):
                stream = self._stream(
                    last, last.latency - fifo_latency(link.block.out_depth) + fifo_latency(depth), depth
                )
                if sink is None:
                    self.outside = stream
                    # Output is taken as soon as it is there.
                    stream.depth = None
                else:
                    self.streams[sink] = stream
                sinks.append(stream)
            self.actors.append(_actor(last, frames, sources, sinks))

    def _stream(self, process: Process, latency: int, depth: int) -> _Stream:
        beats = len(process.schedule.emits) * self.frames
        return _Stream(latency, depth, np.full(beats, _LONG_AGO), np.full(beats, _LONG_AGO))

    def start_from(self, known: _Pipeline) -> bool:
        """Take another pipeline's cycles for lower bounds, if they are: its FIFOs are as deep or deeper and no slower.

        Only blocks whose bounds may rise are looked at again.

        Returns:
            whether they are.
        """
        pairs = list(zip(self.actors, known.actors, strict=True))
        for actor, before in pairs:
            for stream, other in zip(actor.sinks, before.sinks, strict=True):
                if stream.latency < other.latency or _deeper(stream.depth, other.depth):
                    return False
        for actor, before in pairs:
            actor.issue, actor.dirty = before.issue, False
            for stream, other in zip(actor.sinks, before.sinks, strict=True):
                stream.valid, stream.released = other.valid, other.released
                if stream.latency != other.latency or stream.depth != other.depth:
                    stream.valid = other.valid + (stream.latency - other.latency)
                    actor.dirty = True
        changed = {id(stream) for actor in self.actors if actor.dirty for stream in actor.sinks}
        for actor in self.actors:
            actor.dirty |= any(id(stream) in changed for stream in actor.sources)
        return True

    def run(self, sweeps: int = MAX_SWEEPS, limit: int | None = None) -> bool:
        """Until nothing moves any more; whether that was reached. A pipeline that deadlocks never does.

        Args:
            limit: give up where the last output comes after this cycle.
        """
        readers = {id(stream): actor for actor in self.actors for stream in actor.sources}
        writers = {id(stream): actor for actor in self.actors for stream in actor.sinks}
        while any(actor.dirty for actor in self.actors):
            if sweeps == 0 or (limit is not None and self.outside.valid[-1] > limit):
                return False
            sweeps -= 1
            for order in (self.actors, self.actors[::-1]):
                for actor in order:
                    if actor.dirty and actor.advance():
                        for stream in actor.sources:
                            writers[id(stream)].dirty = True
                        for stream in actor.sinks:
                            if stream is not self.outside:
                                readers[id(stream)].dirty = True
        return True


def _deeper(depth: int | None, other: int | None) -> bool:
    """Whether a FIFO has more slots than another one; None: as many as it takes."""
    return other is not None and (depth is None or depth > other)


def output_times(links: Sequence[Link], frames: int) -> IntArray:
    """Cycle in which each output beat is given, the first input beat being taken in cycle 0.

    The blocks have had time to do all steps that need no input (padding above the first row), input is always there
    and output is always taken.

    Args:
        links: blocks in topological order; the first one reads from outside, the last one writes to outside.

    Returns:
        (frames, beats per frame) cycles.
    """
    pipeline = _Pipeline(links, frames)
    assert pipeline.run(), "the pipeline deadlocks"
    return pipeline.outside.valid.reshape(frames, -1)


def occupancies(links: Sequence[Link], interval: int, frames: int = 4) -> dict[int, int]:
    """Beats in flight in each stream, at most, where a frame comes in every `interval` cycles at an even pace and no
    FIFO ever holds anything back.

    With FIFOs so deep none ever does, so this is a way for the pipeline to run at that interval. Beats that come
    earlier make no step later, hence it runs no slower either when input is always there; and since which steps wait
    for which does not depend on time, it cannot deadlock, whatever stalls it from outside.
    """
    pipeline = _Pipeline(links, frames)
    entry = pipeline.actors[0]
    beats = len(entry.pops[0]) // frames
    entry.pace = (np.arange(frames)[:, None] * interval + np.arange(beats) * interval // beats).ravel()
    for stream in pipeline.streams.values():
        stream.depth = None
    assert pipeline.run(), "a block deadlocks by itself"
    found = {}
    for actor in pipeline.actors:
        for stream in actor.sinks:
            index = next((i for i, one in pipeline.streams.items() if one is stream), None)
            if index is not None:
                given_back = np.searchsorted(stream.released, actor.issue[actor.reserves], "left")
                found[index] = int((np.arange(len(given_back)) - given_back).max()) + 1
    return found


def pipeline_timing(links: Sequence[Link]) -> Timing | None:
    """Latency of the first frame and the interval at which later frames end once the pipeline is periodic.

    With FIFOs that are too small the period may span several frames; the interval is then their mean, rounded up, and
    `settled_frames` is 0: no single interval exists.

    Returns:
        None if a branch is too shallow, so that the pipeline deadlocks or nearly so.
    """
    found = settle(links)
    return None if found is None else found.timing


@dataclass(frozen=True, eq=False)
class Settled:
    """Timing of a pipeline and the cycles of all its steps, from which one with shallower FIFOs is found sooner."""

    timing: Timing
    _pipeline: _Pipeline


def settle(links: Sequence[Link], known: Settled | None = None) -> Settled | None:
    """`pipeline_timing`, with what is known of the same blocks under the same or deeper FIFOs.

    The cycles of the known pipeline are lower bounds of this one's as long as its beats become valid no sooner, so the
    search for the least cycles goes on from them, and ends at the same ones. It is given up where frames end later than
    the known pipeline's by more than an interval, or many passes move them: such FIFOs cost throughput.

    Returns:
        None if a branch is too shallow, so that the pipeline deadlocks or nearly so, or is given up.
    """
    frames, limit, sweeps = 8, None, FEW_SWEEPS
    if known is not None:
        frames = known._pipeline.frames
        limit = int(known._pipeline.outside.valid[-1]) + known.timing.frame_interval
    while True:
        pipeline = _Pipeline(links, frames)
        if known is not None and pipeline.start_from(known._pipeline):
            sweeps = TRIAL_SWEEPS
        if not pipeline.run(sweeps, limit):
            return None
        times = pipeline.outside.valid.reshape(frames, -1)
        ends = np.diff(times[:, -1])
        if len(set(ends[-4:].tolist())) == 1:
            unsteady = np.flatnonzero(ends != ends[-1])
            settled = 2 if len(unsteady) == 0 else int(unsteady[-1]) + 3
            return Settled(Timing(int(times[0, 0]), int(ends[-1]), settled), pipeline)
        if frames == MAX_FRAMES:
            half = ends[len(ends) // 2 :]
            return Settled(Timing(int(times[0, 0]), int(-(-half.sum() // len(half))), 0), pipeline)
        frames, limit, sweeps, known = 2 * frames, None, FEW_SWEEPS, None
