"""Slots of index-decoding PEs that carry a weight, counted in the RTL."""

import numpy as np
import pytest

from admmfpga.boards import load_board
from admmfpga.codegen.render import render_design, write_files
from admmfpga.mapping import Design, map_network
from admmfpga.network import IntType
from admmfpga.report import make_report, with_verification
from admmfpga.runtime.build import Build
from admmfpga.runtime.simulate import Outcome, Simulation
from made import NetworkMaker, random_frames


def sparse_design() -> Design:
    rng = np.random.default_rng(5)
    network = NetworkMaker((8, 8, 2), IntType(8, False), rng).conv(6, (3, 3)).flatten().dense(8).done()
    for node in (network.nodes[0], network.nodes[-1]):
        node.weights[rng.random(node.weights.shape) < 0.8] = 0
    return map_network(network, load_board("pynq").resources, board="pynq", target_interval=400, kinds=("csr",))


@pytest.mark.slow
def test_share_is_counted_and_equals_the_schedule(tmp_path):
    design, board = sparse_design(), load_board("pynq")
    write_files(tmp_path, render_design(design, board, 100.0, "0" * 64))
    report = make_report(design, board, clock_mhz=100.0, model_name="made", model_sha256="0" * 64)
    frames = random_frames(design.network, 4, np.random.default_rng(0))
    outcome = Simulation(Build(tmp_path, design, "0" * 64, {}), frames).run_verilated("rtl")
    assert not outcome.problems
    report = with_verification(report, {"rtl": outcome.as_dict()})
    sparse = [layer for layer in report["layers"] if layer["block"] == "csr_pe"]
    assert len(sparse) == 2
    arrays = (stage for stage in design.stages if stage.block.stem == "csr_pe")
    vectors = {stage.layer: stage.block.vectors * stage.block.batch for stage in arrays}
    for layer in sparse:
        expected = layer["kept_weights"] * vectors[layer["name"]] / layer["multiplications"]
        assert layer["weight_slots_simulated"] == pytest.approx(expected, abs=1e-6)

    # It is what the memories hold that is counted.
    image = tmp_path / "memory" / f"{design.network.nodes[0].name}_pe.weights.mem"
    lines = image.read_text().split()
    image.write_text("".join("0" * len(line) + "\n" for line in lines))
    emptied = Simulation(Build(tmp_path, design, "0" * 64, {}), frames).run_verilated("rtl")
    assert emptied.weight_slots[design.network.nodes[0].name] == 0


def test_steps_that_the_schedule_does_not_have_are_a_problem():
    design = sparse_design()
    stage = next(stage for stage in design.stages if stage.block.stem == "csr_pe")
    steps = 3 * stage.block.vectors * stage.block.steps
    for seen, wrong in ((steps, False), (steps + 1, True)):
        outcome = Outcome(frames=3)
        outcome.count_slots(design, {stage.name: (seen, 5)})
        assert bool(outcome.problems) == wrong
