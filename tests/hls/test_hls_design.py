"""Whole designs as HLS C++: rendered, compiled with g++, run, compared with the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rendered import in_beats_of, results_of, write_hls

from admmfpga.codegen.vectors import render_vectors, vector_frames
from admmfpga.errors import ToolError
from admmfpga.mapping import Design, Folding, build_design
from admmfpga.network import IntArray, IntType
from admmfpga.network.reference import run
from admmfpga.packing import unpack_words
from admmfpga.resources import resource_dir
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.gpp import Gpp, ap_types_include
from admmfpga.tools.runner import run_command
from made import NetworkMaker, random_design


def small_design(seed: int = 1) -> Design:
    """Convolution with padding, pooling, two dense layers; several groups, folds and width converters."""
    rng = np.random.default_rng(seed)
    maker = NetworkMaker((7, 6, 3), IntType(8, True), rng, "small")
    maker.conv(8, (3, 3), pads=(1, 1, 1, 1)).pool((2, 2), (2, 2)).flatten()
    network = maker.dense(10, IntType(6, True), bits=5).dense(4, IntType(8, True)).done()
    conv, pool, _, wide, last = network.nodes
    return build_design(
        network,
        {
            conv.name: Folding(pe=4, simd=9, channels=1),
            pool.name: Folding(channels=2),
            wide.name: Folding(pe=2, simd=6),
            last.name: Folding(pe=4, simd=5),
        },
    )


def frames_for(design: Design, count: int) -> IntArray:
    rng, dtype = np.random.default_rng(9), design.input.dtype
    return rng.integers(dtype.min, dtype.max, (count, *design.input.shape), endpoint=True)


@pytest.mark.slow
def test_c_simulation_equals_the_reference(tmp_path: Path) -> None:
    design = small_design()
    write_hls(design, tmp_path / "hls")
    codes = frames_for(design, 20)
    done: list[int] = []
    simulation = CSimulation(tmp_path, tmp_path / "work")
    beats = simulation.run(in_beats_of(design, codes), len(codes), progress=done.append)
    assert np.array_equal(results_of(design, beats), run(design.network, codes))
    assert done == list(range(1, 21))
    # The code that HLS compilers see, without the short cuts of simulation.
    exact = CSimulation(tmp_path, tmp_path / "exact", fast=False)
    assert np.array_equal(exact.run(in_beats_of(design, codes), len(codes)), beats)
    with pytest.raises(ToolError, match="exit status 2") as caught:
        simulation.run(in_beats_of(design, codes), len(codes) + 1)
    assert "ends within frame 20" in caught.value.tail


@pytest.mark.slow
def test_images_leave_in_beats_of_many_lanes(tmp_path: Path) -> None:
    network = NetworkMaker((6, 5, 1), IntType(8, False), np.random.default_rng(3)).conv(16, (3, 3)).done()
    design = build_design(network, {network.nodes[0].name: Folding(pe=16, simd=9, use_dsp=False)})
    assert design.formats[1].lanes == 8
    write_hls(design, tmp_path / "hls")
    codes = frames_for(design, 5)
    beats = CSimulation(tmp_path, tmp_path / "work").run(in_beats_of(design, codes), len(codes))
    assert np.array_equal(results_of(design, beats), run(design.network, codes))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_random_designs(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = random_design(rng)
    write_hls(design, tmp_path / "hls")
    codes = frames_for(design, 5)
    beats = CSimulation(tmp_path, tmp_path / "work").run(in_beats_of(design, codes), len(codes))
    assert np.array_equal(results_of(design, beats), run(design.network, codes))


@pytest.mark.slow
def test_trace_holds_every_inner_stream(tmp_path: Path) -> None:
    design = small_design()
    write_hls(design, tmp_path / "hls")
    codes = frames_for(design, 2)
    simulation = CSimulation(tmp_path, tmp_path / "work")
    simulation.run(in_beats_of(design, codes), len(codes), trace=True)
    inner = set(design.streams) - {"s_axis", "m_axis"}
    assert {path.stem for path in simulation.trace_folder.iterdir()} == inner
    lanes = design.stages[0].block.source.lanes
    values = {"s_axis": [frame.reshape(-1, lanes) for frame in codes]}
    for stage in design.stages[:-1]:
        values[stage.outputs[0]] = [stage.block.execute(frame, stage.contents) for frame in values[stage.inputs[0]]]
        port, name = design.streams[stage.outputs[0]].port, stage.outputs[0]
        lines = (simulation.trace_folder / f"{name}.hex").read_text().splitlines()
        assert {len(line) for line in lines} == {-(-port.width // 4)}, name
        assert all(line == line.lower() for line in lines)
        got = unpack_words([int(line, 16) for line in lines], port.lanes, port.bits, signed=port.signed)
        assert np.array_equal(got, np.concatenate(values[name])), name


@pytest.mark.slow
def test_top_function_and_its_test_bench(tmp_path: Path) -> None:
    """The files of the HLS project, compiled as they are, without the short cuts of simulation."""
    design = small_design()
    write_hls(design, tmp_path / "hls")
    (tmp_path / "vectors").mkdir()
    for name, text in render_vectors(design).items():
        (tmp_path / "vectors" / name).write_text(text)
    bench = Gpp().compile(
        "compiling the test bench",
        [tmp_path / "hls" / name for name in ("accelerator.cpp", "dataflow.cpp", "testbench.cpp")],
        tmp_path / "work" / "testbench",
        include=[resource_dir("hls_templates") / "sim"],
        system_include=[ap_types_include()],
        flags=["-std=c++11", "-O1"],
    )

    def simulate(*arguments: str) -> str:
        log = tmp_path / "work" / "run.log"
        run_command("running the test bench", [str(bench), *arguments], log=log, cwd=tmp_path)
        return log.read_text()

    assert f"{len(vector_frames(design))} frames, 0 mismatches" in simulate()
    expected = tmp_path / "vectors" / "output.hex"
    lines = expected.read_text().splitlines()
    lines[-1] = f"{int(lines[-1], 16) ^ 1:x}"
    expected.write_text("\n".join(lines))
    with pytest.raises(ToolError, match="exit status 1") as caught:
        simulate()
    assert "1 mismatches" in caught.value.tail
    expected.write_text("\n".join(lines[:-1]))
    with pytest.raises(ToolError, match="exit status 2") as caught:
        simulate()
    assert "not whole frames" in caught.value.tail
    expected.write_text("\n".join([*lines[:-1], "not a number"]))
    with pytest.raises(ToolError, match="exit status 2") as caught:
        simulate()
    assert f"line {len(lines)} is not hexadecimal" in caught.value.tail
    with pytest.raises(ToolError, match="exit status 2"):
        simulate("nowhere")


@pytest.mark.slow
def test_reading_an_empty_stream_names_it(tmp_path: Path) -> None:
    (tmp_path / "main.cpp").write_text(
        '#include <hls_stream.h>\nint main() { hls::stream<int> s("pixels"); s.write(1); s.read(); return s.read(); }\n'
    )
    binary = Gpp().compile(
        "compiling", [tmp_path / "main.cpp"], tmp_path / "main", include=[resource_dir("hls_templates") / "sim"]
    )
    with pytest.raises(ToolError, match="SIGABRT") as caught:
        run_command("running", [str(binary)], log=tmp_path / "log")
    assert "stream pixels is read while it is empty" in caught.value.tail
