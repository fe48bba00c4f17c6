"""The HLS C++ inside Verilator behind the ports of the RTL data path."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from rendered import in_beats_of, out_beats_of, write_hls

from admmfpga.mapping import Folding, build_design
from admmfpga.network import IntType
from admmfpga.network.reference import run
from admmfpga.resources import resource_dir
from admmfpga.tools.cocotb_bench import run_bench
from admmfpga.tools.csim import FAST, LOAD
from admmfpga.tools.gpp import ap_types_include
from admmfpga.tools.verilator import verilator_environment
from made import NetworkMaker

SIM = resource_dir("hls_templates") / "sim"


def test_shell_is_lint_clean(tmp_path: Path) -> None:
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "dataflow", str(SIM / "dataflow_dpi.sv")]
    for sizes in ([], ["-GIN_BEATS=1", "-GOUT_BEATS=1", "-GAXIS_IN_WIDTH=8", "-GAXIS_OUT_WIDTH=64"]):
        done = subprocess.run(
            [*command, *sizes], env=verilator_environment(), capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_bench(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    maker = NetworkMaker((6, 6, 2), IntType(8, False), rng)
    network = maker.conv(4, (3, 3), pads=(1, 1, 1, 1)).pool((2, 2), (2, 2)).flatten().dense(6, IntType(8, True)).done()
    foldings = {node.name: Folding() for node in network.nodes if node.op != "Flatten"}
    design = build_design(network, foldings)
    write_hls(design, tmp_path / "hls")
    codes = rng.integers(0, 256, (8, 6, 6, 2))
    (tmp_path / "run").mkdir()
    np.savez(
        tmp_path / "run" / "bench.npz",
        input=in_beats_of(design, codes),
        output=out_beats_of(design, run(network, codes)),
        in_bytes=design.formats[0].width // 8,
        out_bytes=design.formats[1].width // 8,
    )
    flags = f"-I{tmp_path / 'hls'} -I{SIM} -isystem {ap_types_include()} -Wno-unknown-pragmas -D{FAST} -D{LOAD}"
    result = run_bench(
        "dataflow_bench",
        top="dataflow",
        sources=[SIM / "dataflow_dpi.sv"],
        build_dir=tmp_path / "build",
        test_dir=tmp_path / "run",
        build_args=[
            str(SIM / "dataflow_dpi.cpp"),
            str(tmp_path / "hls" / "dataflow.cpp"),
            "-Wall",
            "-CFLAGS",
            flags,
            f"-GAXIS_IN_WIDTH={design.formats[0].width}",
            f"-GAXIS_OUT_WIDTH={design.formats[1].width}",
            f"-GIN_BEATS={design.in_beats}",
            f"-GOUT_BEATS={design.out_beats}",
        ],
    )
    assert len(result.tests) == 8
    assert result.failed == (), result.log.read_text()[-3000:]
