"""Stages compute what the reference computes, whatever the folding."""

from dataclasses import replace

import numpy as np
import pytest

from admmfpga.blocks import DensePE, Port, Resources
from admmfpga.boards import load_board
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.errors import UserError
from admmfpga.mapping import build_design, map_network, stream_beats
from admmfpga.mapping.candidates import candidates
from admmfpga.mapping.folding import Folding
from admmfpga.mapping.part import converters
from admmfpga.mapping.parts import parts
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import Conv, Dense, IntType, Network, compact
from admmfpga.network.reference import run
from admmfpga.report import make_report
from made import (
    NetworkMaker,
    lenet5,
    pruned,
    random_design,
    random_foldings,
    random_frames,
    random_graph_design,
    random_pruned_design,
    random_unrolled_design,
)


@pytest.mark.parametrize("seed", range(60))
def test_blocks_in_a_row_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    design = random_design(rng)
    frames = random_frames(design.network, 2, rng)
    for frame, expected in zip(frames, run(design.network, frames), strict=True):
        out = stream_beats(design, frame)["m_axis"]
        np.testing.assert_array_equal(out.ravel(), expected.ravel())


@pytest.mark.parametrize("make", [random_pruned_design, random_unrolled_design, random_graph_design])
@pytest.mark.parametrize("seed", range(60))
def test_pruned_networks_equal_the_reference(seed, make):
    rng = np.random.default_rng(seed)
    design = make(rng)
    frames = random_frames(design.network, 2, rng)
    for frame, expected in zip(frames, run(design.original, frames), strict=True):
        out = stream_beats(design, frame)["m_axis"]
        np.testing.assert_array_equal(out.ravel(), expected.ravel())
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_a_mobile_network_is_mapped_onto_a_board():
    """Inverted residuals with a table activation: every layer has candidates, prices and a place in the report."""
    rng = np.random.default_rng(0)
    maker = NetworkMaker((8, 8, 3), IntType(8, False), rng)
    maker.conv(4, (3, 3), (2, 2), (1, 1, 1, 1))
    for stride in (1, 2):
        start = maker.last
        maker.conv(8, (1, 1)).lookup(IntType(8, False)).grouped(1, (3, 3), (stride, stride), (1, 1, 1, 1))
        maker.conv(4, (1, 1))
        if stride == 1:
            maker.add(start)
    network = maker.average(maker.tensor.shape[:2]).flatten().dense(10, IntType(8, True)).done()
    board = load_board("pynq")
    design = map_network(network, board.resources, board="pynq", target_interval=2000)
    assert {"depthwise_pe", "lookup", "add"} <= {stage.block.stem for stage in design.stages}
    frames = random_frames(network, 2, rng)
    for frame, expected in zip(frames, run(network, frames), strict=True):
        np.testing.assert_array_equal(stream_beats(design, frame)["m_axis"].ravel(), expected.ravel())
    report = make_report(design, board, clock_mhz=100, model_name="made", model_sha256="0" * 64)
    assert all(layer["cycles"] for layer in report["layers"])


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


@pytest.mark.parametrize("is_pruned", [False, True])
def test_candidates_are_priced_as_they_are_built(is_pruned):
    network = lenet5(np.random.default_rng(0))
    if is_pruned:
        network = compact(pruned(network, np.random.default_rng(3)))
    for node in hardware_nodes(network):
        for candidate in candidates(network, node)[::7]:
            blocks = [part.block for part in parts(network, node, candidate.folding)]
            assert candidate.cycles >= max(block.cycles for block in blocks)
            assert candidate.resources.dsp == sum(block.resources().dsp for block in blocks)


def structured_lenet5() -> Network:
    """Filters, and input columns of every layer, without weights."""
    network, rng = lenet5(np.random.default_rng(0)), np.random.default_rng(1)
    nodes = []
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            weights = node.weights.copy()
            weights.reshape(len(weights), -1)[:, rng.random(node.matrix.shape[1]) < 0.7] = 0
            if node is not network.nodes[-1]:
                weights[rng.random(len(weights)) < 0.5] = 0
            node = replace(node, weights=weights)
        nodes.append(node)
    return replace(network, nodes=nodes)


def test_nothing_is_spent_on_pruned_rows_and_columns():
    network = structured_lenet5()
    design = map_network(network, Resources(53200, 106400, 280, 220), board="made")
    for stage in design.stages:
        if isinstance(stage.block, DensePE):
            matrix = next(n for n in network.nodes if n.name == stage.layer).matrix
            rows, columns = (int((matrix != 0).any(axis=axis).sum()) for axis in (1, 0))
            assert stage.block.rows <= rows
            # Padding to SIMD is all that comes to the kept columns.
            assert stage.block.columns < columns + max(stage.block.simd, stage.block.columns // 20)
            assert stage.block.cycles * stage.block.pe * stage.block.simd <= stage.block.vectors * rows * columns * 1.05
    report = make_report(design, load_board("pynq"), clock_mhz=100, model_name="", model_sha256="")
    for layer in (row for row in report["layers"] if row["block"] == "dense_pe"):
        kept = layer["storage"]["kept_rows"] * layer["storage"]["kept_columns"]
        positions = layer["macs"] // layer["storage"]["positions"]
        assert layer["multiplications"] <= 1.05 * kept * positions
        assert layer["macs"] > 4 * layer["multiplications"]


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


def test_a_second_output_is_refused():
    maker = NetworkMaker((6, 6, 1), IntType(8, False), np.random.default_rng(0))
    maker.conv(2, (3, 3))
    middle = maker.last
    network = maker.flatten().dense(2).done()
    network.outputs = (*network.outputs, middle)
    with pytest.raises(UserError, match="1 inputs and 2 outputs"):
        build_design(network, {})


@pytest.mark.parametrize(("pe", "lanes"), [(16, 8), (8, 8), (4, 4), (1, 1)])
def test_an_image_leaves_as_fast_as_the_layers_make_it(pe, lanes):
    network = NetworkMaker((10, 10, 1), IntType(8, False), np.random.default_rng(0)).conv(16, (3, 3)).done()
    layer = network.nodes[0].name
    design = build_design(network, {layer: Folding(pe, 9, 1, use_dsp=False)})
    assert design.formats[1].lanes == lanes
    assert design.timing.frame_interval == 8 * 8 * 16 // lanes


def test_the_same_choice_gives_the_same_design():
    network = lenet5(np.random.default_rng(0))
    chosen = random_foldings(network, np.random.default_rng(1))
    first, second = build_design(network, chosen), build_design(network, chosen)
    assert [s.block for s in first.stages] == [s.block for s in second.stages]
