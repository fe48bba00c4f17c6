"""`synth --tool`: from a build to `synthesis` in its report, with stand-ins for the tools that are not here."""

import json
import shutil

import pytest

from stand_ins import install


@pytest.fixture
def build(compiled, tmp_path):
    shutil.copytree(compiled, tmp_path / "build", ignore=shutil.ignore_patterns("simulation"))
    return tmp_path / "build"


@pytest.mark.parametrize("tool, program, lut", [("vivado", "vivado", 15852), ("vitis", "vitis_hls", 19834)])
def test_vendor_tools(build, admmfpga, tmp_path, monkeypatch, tool, program, lut):
    install(monkeypatch, tmp_path, program)
    result = admmfpga("synth", build, "--tool", tool)
    assert result.exit_code == 0, result.stderr
    synthesis = json.loads((build / "report.json").read_text())["synthesis"]
    assert set(synthesis) == {"tool", "version", "resources", "source"}
    assert synthesis["tool"] == tool
    assert synthesis["resources"]["lut"] == lut
    assert set(synthesis["resources"]) == {"lut", "ff", "bram18", "dsp"}
    assert "xc7z020clg400-1" in synthesis["source"]
    assert f"{lut:,}" in result.stdout


@pytest.mark.slow
def test_bambu_goes_on_through_yosys(build, admmfpga, tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, "bambu", version="2024.10")
    result = admmfpga("synth", build, "--tool", "bambu")
    assert result.exit_code == 0, result.stderr
    synthesis = json.loads((build / "report.json").read_text())["synthesis"]
    assert (synthesis["tool"], synthesis["version"]) == ("bambu", "2024.10")
    assert synthesis["resources"]["ff"] == 8
    assert "Yosys" in synthesis["source"]


def test_no_licence_leaves_the_report_as_it_was(build, admmfpga, tmp_path, monkeypatch):
    install(monkeypatch, tmp_path, "vivado", mode="licence")
    before = (build / "report.json").read_bytes()
    result = admmfpga("synth", build, "--tool", "vivado")
    assert result.exit_code == 1
    assert "no licence" in result.stderr
    assert (build / "report.json").read_bytes() == before


def test_families_that_a_tool_does_not_know(build, admmfpga):
    result = admmfpga("synth", build, "--tool", "vivado", "--family", "ecp5")
    assert result.exit_code == 2
    assert "vivado does not synthesize for ecp5" in result.stderr
    result = admmfpga("synth", build, "--tool", "vitis", "--family", "xcup")
    assert result.exit_code == 2
    assert "compile for another board" in result.stderr
    assert admmfpga("synth", build, "--layer", "fc", "--tool", "vivado").exit_code == 2
