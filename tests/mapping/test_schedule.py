"""The timing recurrence against a cycle-by-cycle simulation of the same rules."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from admmfpga.blocks import Resources
from admmfpga.blocks.base import fifo_latency
from admmfpga.mapping import Folding, build_design, map_network
from admmfpga.mapping.depths import links
from admmfpga.mapping.schedule import Trials, output_times, pipeline_timing
from admmfpga.network import IntType
from made import (
    NetworkMaker,
    lenet5,
    random_design,
    random_finer_design,
    random_graph_design,
    random_sparse_design,
)


class Simulated:
    """A process of a block: where it stands, by the words of blocks/base.py."""

    def __init__(self, process, sources, sinks, outputs):
        schedule = process.schedule
        self.sources, self.sinks = sources, sinks
        self.outputs = outputs  # (depth, latency)
        self.steps = schedule.steps
        self.pops = [set(pops.tolist()) for pops in schedule.pops_by_input]
        self.emits = set(schedule.emits.tolist())
        self.reserves = self.emits if schedule.reserves is None else set(schedule.reserves.tolist())
        self.releases = [*self.pops]
        if schedule.releases is not None:
            self.releases[0] = set(schedule.releases.tolist())
        self.step = self.frame = 0
        self.reserved = [0] * len(sinks)


def simulate(chain, frames):
    """Every cycle, every process; beats carry nothing."""
    queues, processes = {}, []  # cycles in which beats become valid, by stream
    for index, link in enumerate(chain):
        block, sources = link.block, link.sources
        *inner, last = block.processes()
        for number, process in enumerate(inner):
            sink = f"inner{index}.{number}"
            processes.append(Simulated(process, sources, [sink], [(process.depth, process.latency)]))
            sources = [sink]
        outputs = [(depth, block.core_latency + fifo_latency(depth)) for depth in block.depths]
        processes.append(Simulated(last, sources, link.sinks, outputs))
    queues = {sink: deque() for process in processes for sink in process.sinks}
    entry, exit_ = processes[0], processes[-1]
    warm = max(min(map(min, p.pops)) for p in processes) + 1
    beats, total = len(entry.pops[0]) * frames, len(exit_.emits) * frames
    taken, given, cycle, start = 0, [], 0, None
    while len(given) < total:
        freed = []
        for p in processes:
            if p.frame == frames:
                continue
            popped = [source for source, pops in zip(p.sources, p.pops, strict=True) if p.step in pops]
            if p is entry and popped and (cycle < warm or taken == beats):
                continue
            if p is not entry and not all(queues[source] and queues[source][0] <= cycle for source in popped):
                continue
            if p.step in p.reserves and any(n >= d for n, (d, _) in zip(p.reserved, p.outputs, strict=True)):
                continue
            if p is entry and popped:
                start = cycle if start is None else start
                taken += 1
            elif p is not entry:
                for source in popped:
                    queues[source].popleft()
                freed += [source for source, steps in zip(p.sources, p.releases, strict=True) if p.step in steps]
            for output, (sink, (_, latency)) in enumerate(zip(p.sinks, p.outputs, strict=True)):
                p.reserved[output] += p.step in p.reserves
                if p.step in p.emits:
                    queues[sink].append(cycle + latency)
            p.step += 1
            if p.step == p.steps:
                p.step, p.frame = 0, p.frame + 1
        for stream in freed:
            writer = next(p for p in processes if stream in p.sinks)
            writer.reserved[writer.sinks.index(stream)] -= 1
        if queues[None] and queues[None][0] <= cycle:
            given.append(queues[None].popleft() - start)
            exit_.reserved[0] -= 1
        cycle += 1
        assert cycle < 200_000
    return np.array(given).reshape(frames, -1)


@pytest.mark.parametrize("seed", range(25))
def test_recurrence_equals_cycle_by_cycle_simulation(seed):
    design = random_design(np.random.default_rng(seed))
    chain = links(design.stages)
    np.testing.assert_array_equal(output_times(chain, 3), simulate(chain, 3))


@pytest.mark.parametrize("seed", range(25))
def test_recurrence_with_blocks_that_are_chains(seed):
    """Index-decoding PEs: a buffer of two vectors between loading and computing."""
    design = random_sparse_design(np.random.default_rng(seed))
    chain = links(design.stages)
    np.testing.assert_array_equal(output_times(chain, 3), simulate(chain, 3))


@pytest.mark.parametrize("seed", range(25))
def test_recurrence_over_branches(seed):
    """Forks and sums: a step that pops from two streams, a slot in each of two FIFOs."""
    design = random_graph_design(np.random.default_rng(seed))
    assert any(len(stage.outputs) > 1 for stage in design.stages)
    chain = links(design.stages)
    np.testing.assert_array_equal(output_times(chain, 3), simulate(chain, 3))


def shortcut(rng):
    """A 3x3 convolution and a shortcut around it."""
    maker = NetworkMaker((8, 8, 2), IntType(8, False), rng)
    network = maker.conv(2, (3, 3), pads=(1, 1, 1, 1)).add("input").done()
    return build_design(network, {"conv0": Folding(pe=2, simd=9, channels=1), "add1": Folding(pe=2)})


def test_depth_of_a_shortcut_is_what_the_convolution_holds_back():
    design = shortcut(np.random.default_rng(0))
    # The window unit has a row and a pixel more when it gives the first window; the sum takes a pixel a beat.
    assert 8 + 1 < design.depths["add1_to_sum_second"] <= 32
    assert design.depths["axis_input_fork_first"] == design.depths["axis_input_fork_second"] == 2


def test_a_shortcut_that_is_too_shallow_deadlocks():
    design = shortcut(np.random.default_rng(0))
    branch = ("axis_input_fork", "add1_to_sum_second")
    stages = [
        replace(stage, block=stage.block.with_depths([1] * len(stage.outputs))) if stage.name in branch else stage
        for stage in design.stages
    ]
    assert pipeline_timing(links(stages)) is None
    with pytest.raises(AssertionError, match="deadlocks"):
        output_times(links(stages), 1)


def test_interval_is_that_of_the_slowest_block_with_analysed_depths():
    network = lenet5(np.random.default_rng(0))
    design = map_network(network, Resources(53200, 106400, 280, 220), board="made")
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_least_depths_are_not_enough_for_that():
    # The analysis must have had something to do, or the test above shows nothing.
    network = lenet5(np.random.default_rng(0))
    design = map_network(network, Resources(53200, 106400, 280, 220), board="made")
    lean = [replace(s, block=replace(s.block, out_depth=s.block.full_rate_depth)) for s in design.stages]
    assert pipeline_timing(links(lean)).frame_interval > design.timing.frame_interval


@pytest.mark.parametrize("seed", range(60))
def test_random_pipelines_run_at_their_slowest_block(seed):
    make = (random_design, random_sparse_design, random_graph_design, random_finer_design)[seed % 4]
    design = make(np.random.default_rng(1000 + seed))
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


@pytest.mark.parametrize(
    "make, seed", [(random_sparse_design, 13), (random_graph_design, 27), (random_graph_design, 40)]
)
def test_times_are_those_of_the_depths_that_are_left(make, seed):
    """Trials once kept bounds of slower FIFOs, and the latency came out a cycle too long."""
    design = make(np.random.default_rng(seed))
    found = pipeline_timing(links(design.stages))
    assert (found.latency, found.frame_interval) == (design.timing.latency, design.timing.frame_interval)


@pytest.mark.parametrize("seed", range(6))
def test_trials_of_depths_find_the_exact_timing(seed):
    """Bounds that go from trial to trial end where a pipeline that is looked at afresh does."""
    design = random_graph_design(np.random.default_rng(2000 + seed))
    chain = links(design.stages)
    deep = [replace(one, block=one.block.with_depths([max(70, d) for d in one.block.depths])) for one in chain]
    trials = Trials(deep)
    assert trials.timing == pipeline_timing(deep)
    kept = 0
    for index, depth in enumerate(d for one in chain for d in one.block.depths):
        if any(index in one.sinks for one in chain) and trials.shallower(index, depth):
            kept += 1
            deep = [
                replace(one, block=one.block.with_depths([depth if s == index else d for s, d in pairs]))
                for one in deep
                for pairs in [list(zip(one.sinks, one.block.depths, strict=True))]
            ]
            assert trials.timing == pipeline_timing(deep)
    assert kept


def test_settled_frames_tell_when_the_interval_is_steady():
    for seed in range(20):
        design = random_design(np.random.default_rng(seed))
        ends = np.diff(output_times(links(design.stages), design.timing.settled_frames + 3)[:, -1])
        assert set(ends[design.timing.settled_frames - 2 :]) == {design.timing.frame_interval}
