"""Yosys: counting cells, small modules synthesized, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from admmfpga.blocks import Fifo, Resources
from admmfpga.errors import ToolError
from admmfpga.resources import resource_dir
from admmfpga.tools.yosys import Job, Yosys, count_resources

RTL = resource_dir("hls_templates") / "rtl"
SOURCES = [RTL / f"{name}.sv" for name in ("fifo", "ram", "rom", "multiplier")]


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
    assert found["in_dsp"].resources == Resources(dsp=1)
    assert found["in_luts"].resources.dsp == 0
    assert found["in_luts"].resources.lut > 20


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
