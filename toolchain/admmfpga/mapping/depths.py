"""FIFO depths by analysis: as deep as the slowest layer needs to be fed without a gap, and no deeper.

Where a frame comes in at an even pace and nothing ever holds a block back, the timing model tells how many beats wait
in each stream: behind a window unit that gives whole rows at once, in front of a PE array that replays a vector, in
the branch that reaches a sum before the other one. FIFOs of those depths are enough (`schedule.occupancies`), also
against deadlock. They are not the cheapest: a window unit's beats are many times as wide as the pixels that it takes,
and pixels may wait in front of it instead. So these get room too, and the exact timing model confirms which FIFOs can
be cut back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from admmfpga.blocks import MatrixUnit, WidthConverter, Window
from admmfpga.blocks.base import LUTRAM_DEPTH, fifo_resources
from admmfpga.mapping.design import Stage, Timing
from admmfpga.mapping.schedule import Link, Trials, occupancies, pipeline_timing


def links(stages: Sequence[Stage]) -> list[Link]:
    """Stages as the timing model sees them."""
    index = {name: i for i, name in enumerate(name for stage in stages for name in stage.outputs)}
    last = stages[-1].outputs[0]
    return [
        Link(
            stage.block,
            tuple(index.get(name) for name in stage.inputs),
            tuple(None if name == last else index[name] for name in stage.outputs),
        )
        for stage in stages
    ]


def size_fifos(stages: Sequence[Stage]) -> tuple[list[Stage], Timing]:
    """Deepen FIFOs until the pipeline runs at the interval of its slowest block.

    Returns:
        the stages with their final depths, and the exact timing.
    """
    lean = list(stages)
    goal = max(stage.block.cycles for stage in lean)
    # Branches that are not as deep as the analysis says may well deadlock.
    if not any(len(stage.outputs) > 1 for stage in lean):
        found = pipeline_timing(links(lean))
        if found is not None and _reached(found, goal):
            return lean, found
    names = [name for stage in lean for name in stage.outputs]
    needs = {names[index]: depth for index, depth in occupancies(links(lean), goal).items()}
    for position in range(len(lean)):
        for name, depth in _upstream(lean, position):
            needs[name] = max(depth, needs.get(name, 0))
    sized = _with_depths(lean, needs)
    trials = Trials(links(sized))
    if not trials.timing.settled_frames:
        # Without one interval there is none to keep; what is shallower does not settle either.
        return sized, trials.timing
    # The dearest FIFO first; what it gives back the cheaper ones keep.
    least = _depths(lean)
    widths = {name: stage.block.sink.width for stage in sized for name in stage.outputs}
    depths = _depths(sized)
    index = {name: number for number, name in enumerate(names)}
    for name in sorted(depths, key=lambda name: -depths[name] * widths[name]):
        for depth in _cheaper(depths[name], least[name], widths[name]):
            # What is too shallow at one depth is so at all lesser ones.
            if not trials.shallower(index[name], depth):
                break
            sized = _with_depths(sized, {name: depth}, shrink=True)
    return sized, trials.timing


def _upstream(stages: Sequence[Stage], position: int) -> Iterator[tuple[str, int]]:
    """(stream, depth) that lets beats wait in front of a block rather than behind it."""
    stage = stages[position]
    block, name = stage.block, stage.inputs[0]
    before = next((one for one in stages if name in one.outputs), None)
    if before is None:
        return
    if isinstance(block, Window):
        gap, pixels = _longest_gap(block)
        yield name, pixels + before.block.full_rate_depth
        behind = next((one.block for one in stages if stage.outputs[0] in one.inputs), None)
        if isinstance(behind, WidthConverter) and behind.in_lanes > behind.out_lanes:
            # A converter that is busy all the time fills no FIFO behind it; windows have to wait in front of it.
            yield stage.outputs[0], -(-gap * behind.out_lanes // behind.in_lanes) + block.full_rate_depth
    elif isinstance(block, MatrixUnit):
        # The array takes a vector in one burst and then works on it for longer: the next vector waits meanwhile, and as
        # many more as the window unit's longest gap lasts.
        layer = [s.block for s in stages if s.layer == stage.layer]
        gap = max((_longest_gap(b)[0] for b in layer if isinstance(b, Window)), default=0)
        pace = max(b.cycles for b in layer if not isinstance(b, Window)) // block.vectors
        vectors = 1 + -(-gap // max(1, pace))
        yield name, block.vector_beats * vectors + before.block.full_rate_depth


def _longest_gap(window: Window) -> tuple[int, int]:
    """The most steps between two emissions (over the end of a frame too), and the beats taken meanwhile."""
    schedule = window.schedule()
    around = np.append(schedule.emits, schedule.emits[0] + schedule.steps)
    index = int(np.diff(around).argmax())
    pops = np.concatenate([schedule.pops, schedule.pops + schedule.steps])
    beats = np.searchsorted(pops, around[index + 1], "right") - np.searchsorted(pops, around[index], "right")
    return int(around[index + 1] - around[index]), int(beats)


def _cheaper(now: int, least: int, width: int) -> Iterator[int]:
    """Depths that cost less and less: LUT-RAM comes in 32s, block RAM beyond."""
    price = fifo_resources(now, width)
    for depth in (LUTRAM_DEPTH, 32, 16, least):
        cheaper = fifo_resources(depth, width)
        if least <= depth < now and (cheaper.bram18 < price.bram18 or cheaper.lut + 4 <= price.lut):
            price, now = cheaper, depth
            yield depth


def _reached(timing: Timing | None, interval: int) -> bool:
    return timing is not None and timing.frame_interval <= interval and timing.settled_frames > 0


def _depths(stages: Sequence[Stage]) -> dict[str, int]:
    return {name: depth for stage in stages for name, depth in zip(stage.outputs, stage.block.depths, strict=True)}


def _with_depths(stages: Sequence[Stage], depths: Mapping[str, int], *, shrink: bool = False) -> list[Stage]:
    """Stages with the FIFOs of some streams of other depths, but no shallower than they are unless `shrink`."""
    result = []
    for stage in stages:
        wanted = [
            max(depths.get(name, now), 0 if shrink else now)
            for name, now in zip(stage.outputs, stage.block.depths, strict=True)
        ]
        result.append(replace(stage, block=stage.block.with_depths(wanted)))
    return result
