"""Yosys: counting cells, small modules synthesized, contents of ROMs in LUTs, errors."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from admmfpga.blocks import Fifo, Resources
from admmfpga.errors import ToolError
from admmfpga.resources import resource_dir
from admmfpga.tools.runner import run_command
from admmfpga.tools.yosys import LUT_ROM, Job, Yosys, count_resources, lut_rom_commands

RTL = resource_dir("hls_templates") / "rtl"
SOURCES = [RTL / f"{name}.sv" for name in ("fifo", "ram", "rom", "multiplier")]
DEPTHS = (5, 64, 100, 200, 300)


def test_cells_are_counted_by_what_they_occupy() -> None:
    cells = {
        "LUT6": 3,
        "INV": 1,
        "SRL16E": 2,
        "RAM32M": 2,
        "RAM64X1D": 1,
        "CARRY4": 9,
        "MUXF7": 4,
        "FDRE": 5,
        "FDSE": 2,
    }
    assert count_resources(cells) == Resources(lut=3 + 1 + 2 + 8 + 2, ff=7)
    assert count_resources({"RAMB36E1": 2, "RAMB18E1": 1, "DSP48E1": 3}) == Resources(bram18=5, dsp=3)
    assert count_resources({"DP16KD": 2, "MULT18X18D": 1, "LUT4": 5, "CCU2C": 2, "TRELLIS_FF": 3}) == Resources(
        lut=9, ff=3, bram18=2, dsp=1
    )


def test_unknown_cells_are_named() -> None:
    with pytest.raises(ValueError, match="unknown type: NEWCELL"):
        count_resources({"LUT2": 1, "NEWCELL": 1})


@pytest.mark.slow
def test_modules_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    block = Fifo(lanes=3, bits=8, beats=1, out_depth=100)
    jobs = {
        "deep": Job("fifo", {key: str(value) for key, value in block.rtl_parameters().items()}),
        "in_dsp": Job("multiplier", {"USE_DSP": "1"}),
        "in_luts": Job("multiplier", {"USE_DSP": "0"}),
    }
    found = Yosys().synthesize(jobs, SOURCES, family="xc7", folder=folder)
    assert found["deep"].resources.bram18 == 1
    assert found["deep"].resources.ff == block.resources().ff
    assert found["in_dsp"].resources == Resources(dsp=1)
    assert found["in_luts"].resources.dsp == 0
    assert 30 < found["in_luts"].resources.lut < 60


@pytest.mark.slow
def test_missing_image_is_an_error_with_log(tmp_path: Path) -> None:
    job = Job("rom", {"WIDTH": "8", "DEPTH": "16", "CONTENTS": '"absent.mem"'})
    with pytest.raises(ToolError, match="synthesizing with Yosys: exit status") as caught:
        Yosys().synthesize({"rom": job}, SOURCES, family="xc7", folder=tmp_path)
    assert caught.value.log is not None
    assert "absent.mem" in caught.value.log.read_text()
    assert caught.value.tail


def test_without_pyosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="pyosys is not installed") as caught:
        Yosys().synthesize({}, SOURCES, family="xc7", folder=tmp_path)
    assert "admmfpga[synth]" in caught.value.tail


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
def test_rom_in_luts_holds_its_contents(tmp_path: Path, depth: int) -> None:
    """Yosys evaluates the mapped ROM at every address."""
    words = np.random.default_rng(depth).integers(0, 16, depth)
    bits = int(depth - 1).bit_length()
    (tmp_path / "w.mem").write_text("".join(f"{word:x}\n" for word in words))
    (tmp_path / "top.v").write_text(
        f"module top(input [{bits - 1}:0] a, output [3:0] d);\n"
        f'(* rom_style = "distributed" *) reg [3:0] memory [0:{depth - 1}];\n'
        'initial $readmemh("w.mem", memory);\nassign d = memory[a];\nendmodule\n'
    )
    for name in LUT_ROM:
        shutil.copy(resource_dir("hls_templates") / "yosys" / name, tmp_path)
    commands = "\n".join(lut_rom_commands("t:$mem_v2"))
    (tmp_path / "eval.ys").write_text(
        f"read_verilog top.v\nproc\nmemory_collect\n{commands}\nselect -assert-none t:$mem_v2\n"
        "read_verilog +/xilinx/cells_sim.v\nhierarchy -top top\nproc\nflatten\nopt_clean\n"
        "select top\neval -table a -show d\n"
    )
    program = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
    log = tmp_path / "log"
    run_command("evaluating", [sys.executable, "-c", program, "eval.ys"], log=log, cwd=tmp_path)
    read = re.findall(r"^\s*\d+'[01]+ \| 4'([01]+)$", log.read_text(), flags=re.MULTILINE)
    assert [int(code, 2) for code in read[:depth]] == words.tolist()
