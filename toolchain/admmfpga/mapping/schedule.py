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

FRAMES, MAX_FRAMES = 8, 32
"""Frames that are looked at, and those after which a pipeline counts as one whose period spans several frames."""


MAX_SWEEPS, FEW_SWEEPS, TRIAL_SWEEPS = 2000, 300, 6
"""Passes over all blocks after which a pipeline counts as one that deadlocks; ten are usual. The few are for FIFOs that
may be too shallow; a trial has most of its steps in place already."""

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
        self.readers = {id(stream): actor for actor in self.actors for stream in actor.sources}
        self.writers = {id(stream): actor for actor in self.actors for stream in actor.sinks}

    def _stream(self, process: Process, latency: int, depth: int) -> _Stream:
        beats = len(process.schedule.emits) * self.frames
        return _Stream(latency, depth, np.full(beats, _LONG_AGO), np.full(beats, _LONG_AGO))

    def run(self, sweeps: int = MAX_SWEEPS, limit: int | None = None) -> bool:
        """Until nothing moves any more; whether that was reached. A pipeline that deadlocks never does.

        Args:
            limit: give up when the last step of any process is later.
        """
        while any(actor.dirty for actor in self.actors):
            if sweeps == 0:
                return False
            sweeps -= 1
            for order in (self.actors, self.actors[::-1]):
                for actor in order:
                    if actor.dirty and actor.advance():
                        if limit is not None and actor.issue[-1] > limit:
                            return False
                        for stream in actor.sources:
                            self.writers[id(stream)].dirty = True
                        for stream in actor.sinks:
                            if stream is not self.outside:
                                self.readers[id(stream)].dirty = True
        return True

    @property
    def times(self) -> IntArray:
        """(frames, beats) cycle in which each output beat is given."""
        return self.outside.valid.reshape(self.frames, -1)


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
    return pipeline.times


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
    frames = FRAMES
    while True:
        pipeline = _Pipeline(links, frames)
        if not pipeline.run(FEW_SWEEPS):
            return None
        found = _timing(pipeline.times)
        if found.settled_frames or frames == MAX_FRAMES:
            return found
        frames *= 2


def _timing(times: IntArray) -> Timing:
    """Of (frames, beats) output times; nothing settles where the last frames have different intervals."""
    ends = np.diff(times[:, -1])
    if len(set(ends[-4:].tolist())) > 1:
        half = ends[len(ends) // 2 :]
        return Timing(int(times[0, 0]), int(-(-half.sum() // len(half))), 0)
    unsteady = np.flatnonzero(ends != ends[-1])
    settled = 2 if len(unsteady) == 0 else int(unsteady[-1]) + 3
    return Timing(int(times[0, 0]), int(ends[-1]), settled)


class Trials:
    """Makes FIFOs of a pipeline shallower, one by one, as long as it keeps its interval.

    Less room makes no step earlier. So what is found for a pipeline is a lower bound for the next trial and need not be
    found again, but for one thing: a shallow FIFO may be a cycle faster. Bounds are therefore kept for FIFOs that are
    all as fast as shallow ones; exact times are found from there.

    Attributes:
        timing: of the pipeline as it is.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        frames = FRAMES
        while True:
            self._pipeline = _Pipeline(links, frames)
            for stream in self._deep():
                stream.latency -= 1
            assert self._pipeline.run(), "FIFOs as deep as analysed do not settle"
            self._bounds = self._state()
            found = self._exact(None)
            assert found is not None
            self.timing, last = found
            if self.timing.settled_frames or frames == MAX_FRAMES:
                break
            frames *= 2
        self._restore()
        # Steps of a pipeline that keeps its interval are hardly later than now; one that slows down is left soon.
        self._limit = last + self.timing.frame_interval // 8 + 64

    def shallower(self, index: int, depth: int) -> bool:
        """Give a stream's FIFO this depth, if the interval stays; whether it does."""
        stream = self._pipeline.streams[index]
        before, stream.depth = stream.depth, depth
        self._pipeline.writers[id(stream)].dirty = True
        if self._pipeline.run(TRIAL_SWEEPS, self._limit):
            bounds = self._state()
            found = self._exact(self._limit)
            if found and found[0].settled_frames and found[0].frame_interval <= self.timing.frame_interval:
                self._bounds, self.timing = bounds, found[0]
                self._restore()
                return True
        stream.depth = before
        self._restore()
        return False

    def _exact(self, limit: int | None) -> tuple[Timing, int] | None:
        """Timing with every FIFO as slow as it is, from bounds with fast ones, and the cycle of the last step."""
        deep = self._deep()
        for stream in deep:
            stream.latency += 1
            stream.valid = stream.valid + 1
            self._pipeline.readers[id(stream)].dirty = True
        settled = self._pipeline.run(MAX_SWEEPS if limit is None else TRIAL_SWEEPS, limit)
        for stream in deep:
            stream.latency -= 1
        last = max(int(actor.issue[-1]) for actor in self._pipeline.actors)
        return (_timing(self._pipeline.times), last) if settled else None

    def _deep(self) -> list[_Stream]:
        streams = self._pipeline.streams.values()
        return [stream for stream in streams if stream.depth and fifo_latency(stream.depth) > fifo_latency(1)]

    def _state(self) -> tuple[list[IntArray], list[tuple[IntArray, IntArray]]]:
        # Arrays are replaced, never changed.
        actors = self._pipeline.actors
        return [one.issue for one in actors], [(s.valid, s.released) for one in actors for s in one.sinks]

    def _restore(self) -> None:
        issues, streams = self._bounds
        for actor, issue in zip(self._pipeline.actors, issues, strict=True):
            actor.issue, actor.dirty = issue, False
        sinks = [stream for actor in self._pipeline.actors for stream in actor.sinks]
        for stream, (valid, released) in zip(sinks, streams, strict=True):
            stream.valid, stream.released = valid, released
