"""Vivado, Vitis HLS and Bambu: report formats, scripts, and what a run can end in, played by stand-ins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from admmfpga.blocks import Resources
from admmfpga.errors import ToolError
from admmfpga.resources import resource_dir
from admmfpga.tools.bambu import rewrite_text
from admmfpga.tools.vitis import Vitis, parse_csynth
from admmfpga.tools.vivado import Vivado, parse_utilization, script
from stand_ins import CSYNTH, SEVEN_SERIES, ULTRASCALE, install


def test_utilization_of_seven_series() -> None:
    report = parse_utilization(SEVEN_SERIES)
    # 14.5 tiles are 29 RAMB18.
    assert report.resources == Resources(lut=15852, ff=9249, bram18=29, dsp=37)
    assert report.version == "2021.2"


def test_utilization_of_ultrascale() -> None:
    assert parse_utilization(ULTRASCALE).resources == Resources(lut=5365, ff=6171, bram18=8, dsp=0)


@pytest.mark.parametrize("row", ["Slice LUTs", "Slice Registers", "Block RAM Tile", "DSPs"])
def test_a_missing_row_is_named(row: str) -> None:
    text = "\n".join(line for line in SEVEN_SERIES.splitlines() if row not in line)
    with pytest.raises(ValueError, match=row):
        parse_utilization(text)


def test_csynth_of_vitis_and_of_vivado_hls() -> None:
    expected = Resources(lut=19834, ff=9744, bram18=4, dsp=171)
    assert parse_csynth(CSYNTH).resources == expected
    assert parse_csynth(CSYNTH).version == "2022.2"
    assert parse_csynth(CSYNTH.replace("DSP>", "DSP48E>")).resources == expected


@pytest.mark.parametrize("text", ["", "<profile>", "<profile/>", CSYNTH.replace("<FF>9744", "<FF>undef")])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"XML|no figure"):
        parse_csynth(text)


def test_script_names_everything(tmp_path: Path) -> None:
    text = script("accelerator", [tmp_path / "a b.sv"], [tmp_path / "w.mem"], "xc7z020clg400-1")
    assert f"read_verilog -sv {{{tmp_path}/a b.sv}}" in text
    assert f"read_mem {{{tmp_path}/w.mem}}" in text
    assert "synth_design -top accelerator -part xc7z020clg400-1 -mode out_of_context" in text


def run(folder: Path, timeout: float = 60.0) -> Resources:
    return Vivado(timeout=timeout).synthesize("accelerator", [], [], "xc7z020clg400-1", folder / "run").resources


def test_vivado_from_call_to_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado")
    assert run(tmp_path) == Resources(lut=15852, ff=9249, bram18=29, dsp=37)
    assert "synth_design -top accelerator" in (tmp_path / "run" / "vivado.log").read_text()


@pytest.mark.parametrize("program", ["vitis-run", "vitis_hls", "vivado_hls"])
def test_vitis_from_call_to_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    install(monkeypatch, tmp_path, program)
    (tmp_path / "run_hls.tcl").write_text("# made\n")
    report = Vitis().synthesize(tmp_path / "run_hls.tcl", "accelerator", tmp_path / "run")
    assert report.resources.lut == 19834
    log = (tmp_path / "run" / "vitis.log").read_text()
    assert log.startswith(f"$ {program} {'--mode hls --tcl' if program == 'vitis-run' else '-f'}")
    assert "steps: csynth" in log, "only C synthesis was asked for"


def test_no_licence_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado", mode="licence")
    with pytest.raises(ToolError, match="synthesizing with Vivado: no licence") as caught:
        run(tmp_path)
    assert "Common 17-345" in caught.value.tail


def test_other_failures_show_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado", mode="error")
    with pytest.raises(ToolError, match="exit status 1") as caught:
        run(tmp_path)
    assert "Synth 8-439" in caught.value.tail
    assert caught.value.log is not None


def test_a_hanging_tool_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado", mode="hang")
    with pytest.raises(ToolError, match=r"timed out after 0\.2 s"):
        run(tmp_path, timeout=0.2)


def test_an_old_tool_is_refused_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado", version="2018.3")
    with pytest.raises(ToolError, match=r"version 2018\.3 is too old, 2020\.1 is the least"):
        run(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="vivado is not installed") as caught:
        run(tmp_path)
    assert "settings64.sh" in caught.value.tail
    with pytest.raises(ToolError, match="vitis-run is not installed"):
        Vitis().check_version()


def test_no_report_is_an_error_even_after_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tmp_path, "vivado")
    run(tmp_path)
    install(monkeypatch, tmp_path, "vivado", mode="silent")
    with pytest.raises(ToolError, match=r"wrote no utilization\.rpt"):
        run(tmp_path)


def test_pragmas_for_bambu() -> None:
    text = """\
void dataflow(hls::stream<input_word>& s_axis, hls::stream<output_word>& m_axis) {
#pragma HLS DATAFLOW
#pragma HLS PIPELINE II=1
#pragma HLS INTERFACE axis port=x
#pragma HLS INTERFACE s_axilite port=return bundle=control
  #pragma HLS INLINE
"""
    assert rewrite_text(text).splitlines() == [
        "#pragma HLS interface port = s_axis mode = axis",
        "#pragma HLS interface port = m_axis mode = axis",
        "void dataflow(hls::stream<input_word>& s_axis, hls::stream<output_word>& m_axis) {",
        "#pragma HLS DATAFLOW",
        "",
        "#pragma HLS interface port = x mode = axis",
        "",
        "  #pragma HLS INLINE",
    ]


def test_every_pragma_of_the_templates_can_be_rewritten() -> None:
    for path in (resource_dir("hls_templates") / "hls").glob("*.hpp"):
        kept = re.findall(r"#\s*pragma\s+HLS\s+(\w+)", rewrite_text(path.read_text()))
        assert {word.lower() for word in kept} <= {"dataflow", "inline", "interface"}, path.name
