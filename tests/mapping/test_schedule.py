"""The timing recurrence against a cycle-by-cycle simulation of the same rules."""

from collections import deque

import numpy as np
import pytest

from admmfpga.blocks import Resources
from admmfpga.mapping import map_network
from admmfpga.mapping.depths import links
from admmfpga.mapping.schedule import output_times, pipeline_timing
from made import lenet5, random_design, random_sparse_design


class Simulated:
    """A process of a block: where it stands, by the words of blocks/base.py."""

    def __init__(self, process, source, sink):
        schedule = process.schedule
        self.process, self.source, self.sink = process, source, sink
        self.steps = schedule.steps
        self.pops, self.emits = set(schedule.pops.tolist()), set(schedule.emits.tolist())
        self.reserves = self.emits if schedule.reserves is None else set(schedule.reserves.tolist())
        self.releases = self.pops if schedule.releases is None else set(schedule.releases.tolist())
        self.step = self.frame = self.reserved = 0


def simulate(chain, frames):
    """Every cycle, every process; beats carry nothing."""
    queues, free, processes = {}, 0, []  # cycles in which beats become valid, by stream
    for link in chain:
        source = link.source
        inner = link.block.processes()
        for process in inner:
            sink = link.sink if process is inner[-1] else f"inner{free}"
            free += 1
            processes.append(Simulated(process, source, sink))
            queues[sink] = deque()
            source = sink
    entry, exit_ = processes[0], processes[-1]
    warm = max(min(p.pops) for p in processes) + 1
    beats, total = len(entry.pops) * frames, len(exit_.emits) * frames
    taken, given, cycle, start = 0, [], 0, None
    while len(given) < total:
        freed = []
        for p in processes:
            if p.frame == frames:
                continue
            if p.step in p.pops:
                if p is entry and (cycle < warm or taken == beats):
                    continue
                if p is not entry and not (queues[p.source] and queues[p.source][0] <= cycle):
                    continue
            if p.step in p.reserves and p.reserved >= p.process.depth:
                continue
            if p.step in p.pops:
                if p is entry:
                    start = cycle if start is None else start
                    taken += 1
                else:
                    queues[p.source].popleft()
            if p is not entry and p.step in p.releases:
                freed.append(p.source)
            p.reserved += p.step in p.reserves
            if p.step in p.emits:
                queues[p.sink].append(cycle + p.process.latency)
            p.step += 1
            if p.step == p.steps:
                p.step, p.frame = 0, p.frame + 1
        for stream in freed:
            next(p for p in processes if p.sink == stream).reserved -= 1
        if queues[exit_.sink] and queues[exit_.sink][0] <= cycle:
            given.append(queues[exit_.sink].popleft() - start)
            exit_.reserved -= 1
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


def test_interval_is_that_of_the_slowest_block_with_analysed_depths():
    network = lenet5(np.random.default_rng(0))
    design = map_network(network, Resources(53200, 106400, 280, 220), board="made")
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_least_depths_are_not_enough_for_that():
    # The analysis must have had something to do, or the test above shows nothing.
    from dataclasses import replace

    network = lenet5(np.random.default_rng(0))
    design = map_network(network, Resources(53200, 106400, 280, 220), board="made")
    lean = [replace(s, block=replace(s.block, out_depth=s.block.full_rate_depth)) for s in design.stages]
    assert pipeline_timing(links(lean)).frame_interval > design.timing.frame_interval


@pytest.mark.parametrize("seed", range(40))
def test_random_pipelines_run_at_their_slowest_block(seed):
    make = random_design if seed < 20 else random_sparse_design
    design = make(np.random.default_rng(1000 + seed))
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_settled_frames_tell_when_the_interval_is_steady():
    for seed in range(20):
        design = random_design(np.random.default_rng(seed))
        ends = np.diff(output_times(links(design.stages), design.timing.settled_frames + 3)[:, -1])
        assert set(ends[design.timing.settled_frames - 2 :]) == {design.timing.frame_interval}
