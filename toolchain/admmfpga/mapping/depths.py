"""FIFO depths by analysis: as deep as the slowest layer needs to be fed without a gap, and no deeper.

A window unit gives nothing while it fills (the first rows of a frame, the first columns of a row). The PE array behind
it runs through that gap only if beats wait in the FIFO between them, and the unit fills fast enough only if pixels wait
in front of it. Both needs follow from the unit's schedule; the exact timing model confirms that the pipeline then runs
at the interval of its slowest block, and trims what was not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from admmfpga.blocks import Block, MatrixUnit, WidthConverter, Window
from admmfpga.blocks.base import LUTRAM_DEPTH
from admmfpga.mapping.design import Stage, Timing
from admmfpga.mapping.schedule import Link, pipeline_timing


def links(stages: Sequence[Stage]) -> list[Link]:
    """Stages as the timing model sees them."""
    index = {name: i for i, name in enumerate(dict.fromkeys(s for stage in stages for s in stage.outputs))}
    last = stages[-1].outputs[0]
    return [
        Link(stage.block, index.get(stage.inputs[0]), None if stage.outputs[0] == last else index[stage.outputs[0]])
        for stage in stages
    ]


def size_fifos(stages: Sequence[Stage]) -> tuple[list[Stage], Timing]:
    """Deepen FIFOs until the pipeline runs at the interval of its slowest block.

    Returns:
        the stages with their final `out_depth`, and the exact timing.
    """
    lean = list(stages)
    goal = max(stage.block.cycles for stage in lean)
    timing = pipeline_timing(links(lean))
    if _reached(timing, goal):
        return lean, timing
    needs: dict[int, int] = {}
    for position in range(len(lean)):
        for index, depth in _needs(lean, position):
            needs[index] = max(depth, needs.get(index, 0))
    # Rarely a gap shows at another place still (a converter that only just keeps up): then every FIFO may grow.
    everywhere = {index: max(needs.get(index, 0), LUTRAM_DEPTH) for index in range(len(lean))}
    for trial in (needs, {index: 2 * depth for index, depth in needs.items()}, everywhere):
        grown = {index: depth for index, depth in trial.items() if depth > lean[index].block.out_depth}
        sized = [_with_depth(stage, grown.get(i, stage.block.out_depth)) for i, stage in enumerate(lean)]
        timing = pipeline_timing(links(sized))
        if _reached(timing, goal):
            break
    # The dearest FIFO first; what it gives back the cheaper ones keep.
    for index in sorted(grown, key=lambda i: -sized[i].block.out_depth * sized[i].block.sink.width):
        sized, timing = _trim(sized, index, timing)
    return sized, timing


def _needs(stages: Sequence[Stage], position: int) -> Iterator[tuple[int, int]]:
    """(stage index, depth) of the FIFOs that a block wants around it."""
    block = stages[position].block
    if position == 0:
        return
    before = stages[position - 1].block
    if isinstance(block, Window):
        gap, pixels = _longest_gap(block)
        yield position - 1, pixels + before.full_rate_depth
        behind = stages[position + 1].block
        if isinstance(behind, WidthConverter) and behind.in_lanes > behind.out_lanes:
            # A converter that is busy all the time fills no FIFO behind it; windows have to wait in front of it.
            yield position, -(-gap * behind.out_lanes // behind.in_lanes) + block.full_rate_depth
    elif isinstance(block, MatrixUnit):
        # The array takes a vector in one burst and then works on it for longer: the next vector waits meanwhile, and as
        # many more as the window unit's longest gap lasts.
        layer = [s.block for s in stages if s.layer == stages[position].layer]
        gap = max((_longest_gap(b)[0] for b in layer if isinstance(b, Window)), default=0)
        pace = max(b.cycles for b in layer if not isinstance(b, Window)) // block.vectors
        vectors = 1 + -(-gap // max(1, pace))
        yield position - 1, block.vector_beats * vectors + before.full_rate_depth


def _longest_gap(window: Window) -> tuple[int, int]:
    """The most steps between two emissions (over the end of a frame too), and the beats taken meanwhile."""
    schedule = window.schedule()
    around = np.append(schedule.emits, schedule.emits[0] + schedule.steps)
    index = int(np.diff(around).argmax())
    pops = np.concatenate([schedule.pops, schedule.pops + schedule.steps])
    beats = np.searchsorted(pops, around[index + 1], "right") - np.searchsorted(pops, around[index], "right")
    return int(around[index + 1] - around[index]), int(beats)


def _trim(stages: list[Stage], index: int, timing: Timing) -> tuple[list[Stage], Timing]:
    """The least depth that keeps the interval, among those that cost less: LUT-RAM comes in 32s, block RAM beyond."""
    block = stages[index].block
    for depth in (block.full_rate_depth, 16, 32, LUTRAM_DEPTH):
        if not block.full_rate_depth <= depth < block.out_depth:
            continue
        trial = list(stages)
        trial[index] = _with_depth(trial[index], depth)
        measured = pipeline_timing(links(trial))
        if _reached(measured, timing.frame_interval):
            return trial, measured
    return stages, timing


def _reached(timing: Timing, interval: int) -> bool:
    return timing.frame_interval <= interval and timing.settled_frames > 0


def _with_depth(stage: Stage, depth: int) -> Stage:
    block: Block = replace(stage.block, out_depth=depth)
    return replace(stage, block=block)
