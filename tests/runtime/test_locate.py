"""A wrong weight in one implementation: the mismatch is found and its layer, index and values are named."""

import re

import numpy as np
import pytest

from admmfpga.boards import load_board
from admmfpga.codegen.render import render_design, write_files
from admmfpga.mapping import build_design, map_network, stream_beats
from admmfpga.network import IntType
from admmfpga.packing.memory import pack_words
from admmfpga.runtime.build import Build
from admmfpga.runtime.locate import first_difference
from admmfpga.runtime.simulate import Simulation
from made import NetworkMaker, random_foldings, random_frames

pytestmark = pytest.mark.slow


@pytest.fixture
def build(tmp_path):
    rng = np.random.default_rng(3)
    maker = NetworkMaker((8, 8, 1), IntType(8, False), rng)
    network = maker.conv(4, (3, 3)).pool((2, 2), (2, 2)).flatten().dense(6).dense(5, IntType(8, True)).done()
    board = load_board("pynq")
    design = map_network(network, board.resources, board="pynq", target_interval=300)
    write_files(tmp_path, render_design(design, board, 100.0, "0" * 64))
    return Build(tmp_path, design, "0" * 64, {})


def invert(path) -> None:
    """Invert every word: a single low bit may well vanish in the rounding."""
    lines = path.read_text().split()
    path.write_text("".join("".join(f"{15 - int(digit, 16):x}" for digit in line) + "\n" for line in lines))


def frames(build):
    return random_frames(build.design.network, 3, np.random.default_rng(4))


def test_rtl_difference_names_layer_index_and_values(build):
    invert(build.folder / "memory" / "fc3_pe.weights.mem")
    simulation = Simulation(build, frames(build))
    outcome = simulation.run_verilated("rtl")
    assert outcome.mismatches > 0
    difference = outcome.difference
    assert difference.layer == "fc3"
    assert difference.stage == "fc3_pe"
    assert difference.expected != difference.got
    expected = stream_beats(build.design, simulation.codes[difference.frame])["fc3_pe"]
    assert difference.expected == expected[difference.index]
    assert any("fc3" in text and str(difference.got) in text for text in outcome.problems)


def test_hls_difference_names_layer_index_and_values(build):
    path = build.folder / "hls" / "weights" / "fc4_pe.weights.inc"
    # All bits, as in `invert`, of the last layer: this network's results are saturated and hide what comes before.
    path.write_text(
        re.sub(r"0x[0-9a-f]+", lambda m: hex(int("f" * (len(m[0]) - 2), 16) ^ int(m[0], 16)), path.read_text())
    )
    outcome = Simulation(build, frames(build)).run_hls()
    assert outcome.mismatches > 0
    assert outcome.difference.layer == "fc4"
    assert outcome.difference.stage == "fc4_pe"


def test_nothing_differs_in_a_good_build(build):
    simulation = Simulation(build, frames(build))
    outcome = simulation.run_verilated("rtl")
    assert outcome.problems == []
    assert (outcome.latency_cycles, outcome.frame_interval_cycles) == (
        build.design.timing.latency,
        build.design.timing.frame_interval,
    )


def test_a_branch_is_named(tmp_path):
    """Streams are looked at in topological order; both copies of a fork are streams of the tensor."""
    rng = np.random.default_rng(5)
    maker = NetworkMaker((6, 6, 2), IntType(8, False), rng)
    maker.conv(4, (3, 3), pads=(1, 1, 1, 1))
    network = maker.conv(4, (3, 3), pads=(1, 1, 1, 1)).add("conv0_out").done()
    design = build_design(network, random_foldings(network, rng))
    codes = random_frames(network, 1, rng)[0]
    for name, beats in stream_beats(design, codes).items():
        words = pack_words(beats, design.streams[name].port.bits)
        if name == "conv0_requantize_fork_second":
            words[-1] ^= 1
        (tmp_path / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    stage, index, expected, got = first_difference(design, codes, tmp_path)
    assert (stage.name, stage.layer) == ("conv0_requantize_fork", "conv0")
    assert index[:2] == (5, 5)
    assert expected ^ got == 1


def test_missing_beats_are_told(build, tmp_path):
    codes = frames(build)[0]
    streams = stream_beats(build.design, codes)
    folder = tmp_path / "trace"
    folder.mkdir()
    for stage in build.design.stages[:3]:
        port = build.design.streams[stage.outputs[0]].port
        words = [
            sum(int(v) % (1 << port.bits) << (port.bits * i) for i, v in enumerate(beat))
            for beat in streams[stage.outputs[0]]
        ]
        (folder / f"{stage.outputs[0]}.hex").write_text("".join(f"{w:x}\n" for w in words))
    assert first_difference(build.design, codes, folder) is None
    name = build.design.stages[2].outputs[0]
    kept = (folder / f"{name}.hex").read_text().splitlines()[:-1]
    (folder / f"{name}.hex").write_text("\n".join(kept) + "\n")
    stage, index, _, got = first_difference(build.design, codes, folder)
    assert stage.name == build.design.stages[2].name
    assert got is None
    assert index[0] == len(kept) or len(index) == 3
