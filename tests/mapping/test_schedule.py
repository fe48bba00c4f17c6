"""The timing recurrence against a cycle-by-cycle simulation of the same rules."""

from collections import deque

import numpy as np
import pytest

from admmfpga.blocks import Resources
from admmfpga.mapping import map_network
from admmfpga.mapping.depths import links
from admmfpga.mapping.schedule import output_times, pipeline_timing
from made import lenet5, random_design


def simulate(chain, frames):
    """Every cycle, every block, by the words of blocks/base.py; beats carry nothing."""
    count = max([link.sink for link in chain if link.sink is not None], default=-1) + 1
    queues = [deque() for _ in range(count)]  # cycles in which beats become valid
    outside = deque()
    state = []
    for link in chain:
        schedule = link.block.schedule()
        state.append({"link": link, "step": 0, "frame": 0, "reserved": 0, "schedule": schedule, "credits": deque()})
    warm = max(int(s["schedule"].pops[0]) for s in state) + 1
    beats = state[0]["schedule"].pops.size * frames
    taken, given, cycle, start = 0, [], 0, None
    total = state[-1]["schedule"].emits.size * frames
    while len(given) < total:
        popped_from = []
        for s in state:
            link, schedule = s["link"], s["schedule"]
            if s["frame"] == frames:
                continue
            pops, emits = s["step"] in schedule.pops, s["step"] in schedule.emits
            if pops and link.source is None and (cycle < warm or taken == beats):
                continue
            if pops and link.source is not None and not (queues[link.source] and queues[link.source][0] <= cycle):
                continue
            if emits and s["reserved"] >= link.block.out_depth:
                continue
            if pops:
                if link.source is None:
                    start = cycle if start is None else start
                    taken += 1
                else:
                    popped_from.append(link.source)
            if emits:
                s["reserved"] += 1
                (outside if link.sink is None else queues[link.sink]).append(cycle + link.block.latency)
            s["step"] += 1
            if s["step"] == schedule.steps:
                s["step"], s["frame"] = 0, s["frame"] + 1
        for source in popped_from:
            queues[source].popleft()
            next(s for s in state if s["link"].sink == source)["reserved"] -= 1
        if outside and outside[0] <= cycle:
            given.append(outside.popleft() - start)
            state[-1]["reserved"] -= 1
        cycle += 1
        assert cycle < 200_000
    return np.array(given).reshape(frames, -1)


@pytest.mark.parametrize("seed", range(25))
def test_recurrence_equals_cycle_by_cycle_simulation(seed):
    design = random_design(np.random.default_rng(seed))
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
    design = random_design(np.random.default_rng(1000 + seed))
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_settled_frames_tell_when_the_interval_is_steady():
    for seed in range(20):
        design = random_design(np.random.default_rng(seed))
        ends = np.diff(output_times(links(design.stages), design.timing.settled_frames + 3)[:, -1])
        assert set(ends[design.timing.settled_frames - 2 :]) == {design.timing.frame_interval}
