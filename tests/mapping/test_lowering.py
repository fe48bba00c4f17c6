"""Stages compute what the reference computes, whatever the folding."""

import numpy as np
import pytest

from admmfpga.blocks import Port
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.errors import UserError
from admmfpga.mapping import build_design, stream_beats
from admmfpga.mapping.lowering import candidates, converters, hardware_nodes, parts
from admmfpga.network import IntType
from admmfpga.network.reference import run
from made import NetworkMaker, lenet5, random_design, random_foldings, random_frames


@pytest.mark.parametrize("seed", range(60))
def test_blocks_in_a_row_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    design = random_design(rng)
    frames = random_frames(design.network, 2, rng)
    for frame, expected in zip(frames, run(design.network, frames), strict=True):
        out = stream_beats(design, frame)["m_axis"]
        np.testing.assert_array_equal(out.ravel(), expected.ravel())


@pytest.mark.parametrize("seed", range(20))
def test_every_stream_stays_inside_its_type(seed):
    rng = np.random.default_rng(seed)
    design = random_design(rng)
    dtype = design.input.dtype
    for frame in (np.full(design.input.shape, dtype.min), np.full(design.input.shape, dtype.max)):
        for name, beats in stream_beats(design, frame).items():
            port = design.streams[name].port
            kind = IntType(port.bits, port.signed)
            assert beats.shape[1] == port.lanes
            assert beats.min() >= kind.min, name
            assert beats.max() <= kind.max, name


@pytest.mark.parametrize("seed", range(20))
def test_beats_round_trip(seed):
    rng = np.random.default_rng(seed)
    design = random_design(rng)
    frames = random_frames(design.network, 3, rng)
    form = design.formats[0]
    beats = to_beats(frames, form)
    assert beats.shape == (3, design.in_beats)
    np.testing.assert_array_equal(from_beats(beats, form, design.input.dtype, design.input.shape), frames)


@pytest.mark.parametrize("seed", range(10))
def test_closed_forms_equal_the_schedules(seed):
    design = random_design(np.random.default_rng(seed))
    for stage in design.stages:
        schedule = stage.block.schedule()
        assert stage.block.cycles == schedule.steps
        assert stage.block.beats_out == len(schedule.emits)


def test_candidates_are_priced_as_they_are_built():
    network = lenet5(np.random.default_rng(0))
    for node in hardware_nodes(network):
        for candidate in candidates(network, node)[::7]:
            blocks = [part.block for part in parts(network, node, candidate.folding)]
            assert candidate.cycles >= max(block.cycles for block in blocks)
            assert candidate.resources.dsp == sum(block.resources().dsp for block in blocks)


def test_candidates_are_pareto_optimal():
    network = lenet5(np.random.default_rng(0))
    found = candidates(network, hardware_nodes(network)[2])
    keys = [(c.cycles, *c.resources.as_dict().values()) for c in found]
    for i, a in enumerate(keys):
        assert not any(i != j and all(x <= y for x, y in zip(b, a, strict=True)) for j, b in enumerate(keys))


@pytest.mark.parametrize(("lanes", "to", "steps"), [(4, 4, 0), (8, 2, 1), (2, 8, 1), (4, 6, 2), (1, 5, 1)])
def test_converters_take_whole_ratios(lanes, to, steps):
    chain = converters(Port(lanes, 8, False), to, 240)
    assert len(chain) == steps
    beats = np.arange(240).reshape(-1, lanes)
    for block in chain:
        beats = block.execute(beats, {})
    np.testing.assert_array_equal(beats, np.arange(240).reshape(-1, to))


def test_branches_are_refused_with_the_layer():
    maker = NetworkMaker((6, 6, 1), IntType(8, False), np.random.default_rng(0))
    maker.conv(2, (3, 3))
    middle = maker.last
    network = maker.flatten().dense(2).done()
    network.outputs = (*network.outputs, middle)
    with pytest.raises(UserError, match="branches"):
        build_design(network, {})


def test_the_same_choice_gives_the_same_design():
    network = lenet5(np.random.default_rng(0))
    chosen = random_foldings(network, np.random.default_rng(1))
    first, second = build_design(network, chosen), build_design(network, chosen)
    assert [s.block for s in first.stages] == [s.block for s in second.stages]
