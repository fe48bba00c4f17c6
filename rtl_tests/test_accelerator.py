"""Whole accelerators: RTL and HLS C++ against the reference, bit for bit, and RTL cycles against the closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from admmfpga.blocks import MatrixUnit, Window
from admmfpga.boards import load_board
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.codegen.render import render_design, write_files
from admmfpga.codegen.rtl import TOP, compile_order
from admmfpga.mapping import Design, Folding, build_design, map_network
from admmfpga.mapping.depths import links
from admmfpga.mapping.schedule import output_times
from admmfpga.network import IntType
from admmfpga.network.reference import run
from admmfpga.packing import LaneLayout
from admmfpga.tools.cocotb_bench import first_complaint, run_bench
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.verilated import Verilated, Verilator, link_memories, sources
from made import (
    NetworkMaker,
    lenet5,
    random_binary_design,
    random_design,
    random_finer_design,
    random_foldings,
    random_frames,
    random_graph_design,
    random_pruned_design,
    random_sparse_design,
    random_unrolled_design,
)

SHA256 = "89abcdef" * 8


def write(design: Design, folder):
    board = load_board("pynq")
    write_files(folder, render_design(design, board, board.clock_mhz, SHA256))
    return folder


def results(design: Design, beats):
    return from_beats(beats, design.formats[1], design.output.dtype, design.output.shape)


def check_rtl(design: Design, build, frames: int, rng) -> None:
    """Bits of every frame and the cycle of every frame's first and last beat, then bits again under stalls."""
    codes = random_frames(design.network, frames, rng)
    expected = run(design.original, codes)
    beats = to_beats(codes, design.formats[0])
    model = Verilated(build, build, "rtl")
    model.compile()
    seen = model.run(beats, out_beats=design.out_beats, settle=design.settle_cycles)
    np.testing.assert_array_equal(results(design, seen.output), expected)
    times = output_times(links(design.stages), frames)
    np.testing.assert_array_equal(seen.first_out - seen.first_in[0], times[:, 0])
    np.testing.assert_array_equal(seen.last_out - seen.first_in[0], times[:, -1])
    assert seen.latency == design.timing.latency
    if frames >= design.timing.settled_frames:
        assert seen.frame_interval == design.timing.frame_interval
        assert seen.frame_interval == max(stage.block.cycles for stage in design.stages)
    assert seen.counters["FRAMES_IN"] == seen.counters["FRAMES_OUT"] == frames
    # The register shows the latest frame that began alone: the first one, unless frames are far apart.
    assert seen.counters["LATENCY"] in seen.first_out - seen.first_in
    assert seen.counters["INTERVAL"] == seen.frame_interval
    assert seen.counters["ERROR"] == 0
    for seed in range(3):
        stalled = model.run(
            beats, out_beats=design.out_beats, settle=design.settle_cycles, stall_percent=30 + 25 * seed, seed=seed
        )
        np.testing.assert_array_equal(results(design, stalled.output), expected)


def check_hls(design: Design, build, rng) -> None:
    """Bits of every frame of the HLS C++."""
    codes = random_frames(design.network, 4, rng)
    beats = CSimulation(build, build / "csim").run(to_beats(codes, design.formats[0]), len(codes))
    np.testing.assert_array_equal(results(design, beats), run(design.original, codes))


def check_hls_in_verilator(design: Design, build, rng) -> None:
    """Bits of every frame of the HLS C++ behind the RTL's AXI ports, without stalls and under them."""
    codes = random_frames(design.network, 4, rng)
    model = Verilated(build, build, "hls_dpi")
    model.compile()
    for stalls in (0, 50):
        seen = model.run(to_beats(codes, design.formats[0]), out_beats=design.out_beats, settle=0, stall_percent=stalls)
        np.testing.assert_array_equal(results(design, seen.output), run(design.original, codes))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_random_networks_and_foldings(seed, tmp_path):
    """Random layers, shapes, widths, strides, padding, PE, SIMD and channel folding."""
    rng = np.random.default_rng(seed)
    design = random_finer_design(rng) if seed % 2 else random_design(rng)
    build = write(design, tmp_path)
    Verilator().lint(
        [build / "rtl" / n for n in compile_order([p.name for p in (build / "rtl").iterdir()])],
        TOP,
        log=tmp_path / "lint.log",
    )
    check_rtl(design, build, 5, rng)


@pytest.mark.slow
@pytest.mark.parametrize("wide", [2, 4])
def test_several_pixels_at_a_time(wide, tmp_path):
    """A convolution with padding and a pool, each on pixels beside each other; the next one takes them one by one."""
    rng = np.random.default_rng(wide)
    maker = NetworkMaker((6, 8, 2), IntType(5, False), rng).conv(3, (3, 5), pads=(1, 2, 1, 2), bits=4)
    network = maker.pool((2, 2), (2, 2)).conv(2, (2, 2), bits=3).done()
    conv, pool, last = (node.name for node in network.nodes)
    chosen = {
        conv: Folding(pe=wide, simd=2 * wide, channels=2 * wide, pixels=wide, pack=2),
        pool: Folding(channels=3 * wide, pixels=wide),
        last: Folding(),
    }
    design = build_design(network, chosen)
    (window,) = (stage.block for stage in design.of_layer(pool) if isinstance(stage.block, Window))
    assert window.cycles == 6 * 8 // wide
    build = write(design, tmp_path)
    check_rtl(design, build, 4, rng)
    check_hls(design, build, rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300, 306))
def test_random_pruned_networks(seed, tmp_path):
    """Random rows, columns and channels without weights: gather lists, removed channels."""
    rng = np.random.default_rng(seed)
    design = random_pruned_design(rng)
    check_rtl(design, write(design, tmp_path), 4, rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [502, 510, 518])
def test_layers_in_logic(seed, tmp_path):
    """Constant matrices as shifts and adders between other layers."""
    rng = np.random.default_rng(seed)
    design = random_unrolled_design(rng)
    build = write(design, tmp_path)
    check_rtl(design, build, 4, rng)
    if seed == 518:
        check_hls_in_verilator(design, build, rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 13, 14])
def test_low_bit_networks(seed, tmp_path):
    """Bipolar activations, binary and ternary weights, thresholds; in RTL, in HLS, and the HLS inside Verilator."""
    rng = np.random.default_rng(seed)
    design = random_binary_design(rng)
    build = write(design, tmp_path)
    check_rtl(design, build, 4, rng)
    check_hls(design, build, rng)
    if seed == 7:
        check_hls_in_verilator(design, build, rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [600, 603, 625, 637])
def test_random_graphs(seed, tmp_path):
    """Branches that meet again: no deadlock under stalls, cycles as the timing model says, HLS too."""
    rng = np.random.default_rng(seed)
    design = random_graph_design(rng)
    stems = {600: {"average_pool"}, 603: {"depthwise_pe", "lookup"}, 625: {"pad"}, 637: {"concat", "resize"}}
    assert stems[seed] <= {stage.block.stem for stage in design.stages}
    build = write(design, tmp_path)
    check_rtl(design, build, 4, rng)
    check_hls(design, build, rng)


@pytest.mark.slow
def test_rows_that_share_dsp_blocks(tmp_path):
    """8-bit rows in pairs, 4-bit rows in fours, rows of an index in pairs: RTL, HLS C++, HLS in the simulator."""
    rng = np.random.default_rng(12)
    maker = NetworkMaker((6, 6, 1), IntType(8, False), rng)
    maker.conv(4, (3, 3), dtype=IntType(4, False)).flatten().dense(8, IntType(8, True), bits=4).dense(6)
    network = maker.done()
    conv, _, four, pairs = network.nodes
    for node in (conv, four, pairs):
        node.weights[:2, ..., :2] = node.weights.max()
        node.weights[2:4, ..., 1:3] = -node.weights.max()
    layout = LaneLayout(lanes=2, height=2)
    foldings = {
        conv.name: Folding(pe=2, simd=3, channels=1, pack=2),
        four.name: Folding(pe=4, simd=16, pack=4),
        pairs.name: Folding(pe=2, simd=2, kind="csr", layout=layout, pack=2),
    }
    design = build_design(network, foldings)
    assert [s.block.pack for s in design.stages if isinstance(s.block, MatrixUnit)] == [2, 4, 2]
    build = write(design, tmp_path)
    check_rtl(design, build, 6, rng)
    codes = random_frames(network, 6, rng)
    beats, expected = to_beats(codes, design.formats[0]), run(network, codes)
    for fast in (True, False):
        output = CSimulation(build, build / f"csim{fast}", fast=fast).run(beats, len(codes))
        np.testing.assert_array_equal(results(design, output), expected)
    model = Verilated(build, build, "hls_dpi")
    model.compile()
    seen = model.run(beats, out_beats=design.out_beats, settle=0, stall_percent=40)
    np.testing.assert_array_equal(results(design, seen.output), expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_lenet_shapes_under_random_foldings(seed, tmp_path):
    """Wide layers with deep FIFOs in block RAM, foldings that nobody would choose."""
    rng = np.random.default_rng(100 + seed)
    maker = NetworkMaker((16, 16, 1), IntType(8, False), rng)
    maker.conv(6, (5, 5)).pool((2, 2), (2, 2)).conv(10, (3, 3), pads=(1, 1, 1, 1)).pool((3, 3), (2, 2)).flatten()
    network = maker.dense(24).dense(10, IntType(8, True)).done()
    design = build_design(network, random_foldings(network, rng))
    check_rtl(design, write(design, tmp_path), 4, rng)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_sparse_networks(seed, tmp_path):
    """Index-decoding PEs of random layouts and formats between other blocks: RTL, HLS, HLS in Verilator."""
    rng = np.random.default_rng(300 + seed)
    design = random_sparse_design(rng)
    build = write(design, tmp_path)
    check_rtl(design, build, 4, rng)
    check_hls(design, build, rng)
    if seed in (2, 3):  # relative, bitmap and absolute indices; rows that share them are below
        check_hls_in_verilator(design, build, rng)


@pytest.mark.slow
def test_random_networks_in_hls(tmp_path):
    makers = [
        (random_design, range(200, 205)),
        (random_pruned_design, range(205, 208)),
        (random_unrolled_design, [518]),
    ]
    for make, seed in ((make, seed) for make, seeds in makers for seed in seeds):
        rng = np.random.default_rng(seed)
        design = make(rng)
        build = write(design, tmp_path / str(seed))
        codes = random_frames(design.network, 5, rng)
        beats = CSimulation(build, build / "csim").run(to_beats(codes, design.formats[0]), len(codes))
        np.testing.assert_array_equal(results(design, beats), run(design.original, codes))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A build of a small network with every kind of layer, and the design."""
    rng = np.random.default_rng(7)
    maker = NetworkMaker((9, 8, 2), IntType(8, False), rng)
    maker.conv(6, (3, 3), (1, 1), (1, 1, 1, 1)).pool((2, 2), (2, 2)).rescale(IntType(6, False)).flatten()
    network = maker.dense(10, IntType(8, True)).done()
    design = map_network(network, load_board("pynq").resources, board="pynq", target_interval=400)
    return write(design, tmp_path_factory.mktemp("small")), design


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["rtl", "hls_dpi"])
def test_protocol(implementation, small, tmp_path):
    """One cocotb bench over both implementations: stalls, AP_START, reset in a frame, TLAST, counters."""
    build, design = small
    codes = random_frames(design.network, 6, np.random.default_rng(8))
    link_memories(build, tmp_path)
    axis_in, axis_out = design.formats
    np.savez(
        tmp_path / "bench.npz",
        input=to_beats(codes, axis_in),
        output=to_beats(run(design.network, codes), axis_out),
        in_bytes=axis_in.width // 8,
        out_bytes=axis_out.width // 8,
        model=int(SHA256[:8], 16),
    )
    files, arguments = sources(build, implementation)
    result = run_bench(
        "accelerator_bench",
        top=TOP,
        sources=files,
        build_dir=build / f"{implementation}_cocotb",
        test_dir=tmp_path,
        build_args=arguments,
    )
    assert len(result.tests) >= 7
    assert not result.failed, first_complaint(result.log)


@pytest.mark.slow
def test_hls_in_verilator_under_the_harness(small):
    build, design = small
    codes = random_frames(design.network, 20, np.random.default_rng(9))
    model = Verilated(build, build, "hls_dpi")
    model.compile()
    for stalls in (0, 60):
        seen = model.run(to_beats(codes, design.formats[0]), out_beats=design.out_beats, settle=0, stall_percent=stalls)
        np.testing.assert_array_equal(results(design, seen.output), run(design.network, codes))


@pytest.mark.slow
def test_residual_network(tmp_path):
    """ResNet-8's graph, narrow, on small images: identity and projected shortcuts, average, classifier."""
    rng = np.random.default_rng(0)
    maker = NetworkMaker((6, 6, 3), IntType(8, False), rng)
    maker.conv(2, (3, 3), pads=(1, 1, 1, 1))
    for channels, stride in ((2, 1), (4, 2), (8, 2)):
        start = maker.last
        maker.conv(channels, (3, 3), (stride, stride), (1, 1, 1, 1)).conv(channels, (3, 3), pads=(1, 1, 1, 1))
        branch = maker.last
        if stride > 1:
            maker.last = start
            start = maker.conv(channels, (1, 1), (stride, stride)).last
            maker.last = branch
        maker.add(start)
    network = maker.average(maker.tensor.shape[:2]).flatten().dense(10, IntType(8, True)).done()
    design = map_network(network, load_board("pynq").resources, board="pynq", target_interval=400, explain=False)
    assert {"fork", "add", "average_pool"} <= {stage.block.stem.removeprefix("stream_") for stage in design.stages}
    build = write(design, tmp_path / "build")
    check_rtl(design, build, 3, rng)
    check_hls(design, build, rng)


@pytest.mark.slow
def test_lenet5_on_pynq(tmp_path):
    """The full-size network: bits, cycles, and the bottleneck's multipliers busy."""
    rng = np.random.default_rng(0)
    network = lenet5(rng)
    design = map_network(network, load_board("pynq").resources, board="pynq")
    check_rtl(design, write(design, tmp_path), 3, rng)
