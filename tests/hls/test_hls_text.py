"""The text of the HLS C++: rules that let more than one HLS compiler take it, determinism, the Tcl of the project."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from rendered import write_hls
from test_hls_design import small_design

from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.hls import Rom, render_hls
from admmfpga.packing import Memory
from admmfpga.packing.memory import unpack_words
from admmfpga.resources import resource_dir

PART = "xc7z020clg400-1"
OUTER = {"accelerator.hpp", "accelerator.cpp", "testbench.cpp"}
"""What only Vitis HLS and Vivado HLS read; the rest is the core."""


def rendered() -> dict[str, str]:
    files = render_hls(small_design(), make_environment(), part=PART, clock_mhz=125.0)
    return {name: content if isinstance(content, str) else content.decode() for name, content in files.items()}


def core() -> dict[str, str]:
    return {n: t for n, t in rendered().items() if n not in OUTER and n.endswith((".hpp", ".cpp"))}


def code(text: str) -> str:
    return re.sub(r"//.*", "", text)


def test_core_is_all_there() -> None:
    stems = {path.name for path in (resource_dir("hls_templates") / "hls").glob("*.hpp")} - OUTER
    assert set(core()) == (stems | {"dataflow.hpp", "dataflow.cpp"}) - {"engine.hpp"}


@pytest.mark.parametrize("name", sorted(core()))
def test_portability_rules(name: str) -> None:
    text = code(core()[name])
    # Words, never structs, in streams.
    for element in re.findall(r"hls::stream<\s*(\w+)", text):
        assert element in {"ap_uint", "input_word", "output_word"}, element
    assert not re.search(r"\.range\s*\(|\.(empty|full|size)\s*\(|\.(read|write)_nb\s*\(", text)
    for header in re.findall(r"#include <(.*?)>", text):
        assert header in {"ap_int.h", "hls_stream.h"}, header
    assert "_Pragma" not in text
    for line in text.splitlines():
        if "#pragma" in line:
            assert re.fullmatch(r"#pragma HLS [A-Z_]+( \S.*)?", line), line
            assert not line.endswith("\\"), line
        if "#define" in line:
            assert re.fullmatch(r"#define (ADMMFPGA_\w+_HPP|AP_INT_MAX_W \d+)", line), line
        assert len(line) <= 120 or name == "dataflow.cpp", line
    for included in re.findall(r'#include "(.*?)"', text):
        assert included not in OUTER, included


def test_every_loop_over_steps_is_pipelined() -> None:
    for name, text in core().items():
        for loop in re.finditer(r"for \(int (step|beat) = 0;[^\n]*\{\n([^\n]*)\n", text):
            assert loop[2] == "#pragma HLS PIPELINE II=1", (name, loop[0])
    assert sum(text.count("PIPELINE II=1") for text in core().values()) >= 8


def test_rendering_is_deterministic() -> None:
    assert rendered() == rendered()


def test_streams_have_the_designs_depths() -> None:
    design, text = small_design(), core()["dataflow.cpp"]
    for stage in design.stages[:-1]:
        assert f"#pragma HLS STREAM variable={stage.outputs[0]}_stream depth={stage.block.out_depth}\n" in text
    calls = re.findall(r"^  (\w+)<(\w+)_parameters>\((\w+), (\w+)\);$", text, re.MULTILINE)
    assert [(stem, name) for stem, name, _, _ in calls] == [(stage.block.stem, stage.name) for stage in design.stages]


@pytest.mark.parametrize("bits, lanes", [(8, 1), (8, 8), (8, 9), (3, 43), (5, 12), (63, 2), (40, 3), (2, 16)])
def test_tables_hold_the_memories(bits: int, lanes: int) -> None:
    rng = np.random.default_rng(bits)
    values = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (7, lanes))
    rom = Rom("weights", Memory("m", values, bits, "", "dense"), block_ram=True)
    rows = re.findall(r"\{([^{}]*)\}", rom.text())
    assert len(rows) == 7
    literals = [int(literal, 16) for row in rows for literal in row.split(",")]
    assert len(literals) == 7 * rom.chunks
    widths = {"unsigned char": 8, "unsigned short": 16, "unsigned int": 32, "unsigned long long": 64}
    assert max(literals) < 1 << widths[rom.type]
    words = [
        sum(chunk << (i * rom.per_chunk * bits) for i, chunk in enumerate(literals[row * rom.chunks :][: rom.chunks]))
        for row in range(7)
    ]
    assert np.array_equal(unpack_words(words, rom.chunks * rom.per_chunk, bits, signed=True)[:, :lanes], values)
    assert all(len(line) <= 112 for line in rom.text().splitlines())


def run_tcl(tmp_path: Path, environment: dict[str, str], *, vivado: bool = False) -> list[str]:
    """The commands that the script gives to the tool, which is replaced by procedures that write them down."""
    tkinter = pytest.importorskip("tkinter")
    write_hls(small_design(), tmp_path / "hls")
    tcl = tkinter.Tcl()
    tcl.eval("set said {}")
    for command in (
        "open_project",
        "set_top",
        "add_files",
        "set_part",
        "create_clock",
        "csim_design",
        "csynth_design",
        "cosim_design",
        "export_design",
    ):
        tcl.eval(f"proc {command} args {{ global said; lappend said [concat {command} $args] }}")
    refuse = 'if {"-flow_target" in $args} { error "unknown option" };' if vivado else ""
    tcl.eval(f"proc open_solution args {{ global said; {refuse} lappend said [concat open_solution $args] }}")
    tcl.eval("proc exit {{code 0}} { global said; lappend said [concat exit $code]; error left }")
    tcl.eval("proc puts args {}")
    tcl.eval("array unset env HLS_*")
    for name, value in environment.items():
        tcl.eval(f"set env({name}) {{{value}}}")
    with pytest.raises(tkinter.TclError, match="left"):
        tcl.eval(f"source {{{tmp_path / 'hls' / 'run_hls.tcl'}}}")
    return [str(line) for line in tcl.splitlist(tcl.eval("set said"))]


def test_tcl_runs_the_steps_in_order(tmp_path: Path) -> None:
    said = run_tcl(tmp_path, {})
    verbs = [line.split()[0] for line in said]
    assert verbs == [
        "open_project",
        "set_top",
        "add_files",
        "add_files",
        "add_files",
        "open_solution",
        "set_part",
        "create_clock",
        "csim_design",
        "csynth_design",
        "export_design",
        "exit",
    ]
    assert f"set_part {PART}" in said
    assert "create_clock -period 10.000 -name default" in said
    assert "open_solution -reset -flow_target vivado solution" in said
    for path in re.findall(r"\S+\.cpp", " ".join(said)):
        assert Path(path).is_file(), path


def test_tcl_takes_steps_part_and_clock_from_outside(tmp_path: Path) -> None:
    said = run_tcl(
        tmp_path,
        {"HLS_STEPS": " csynth  cosim", "HLS_PART": "xck26-sfvc784-2LV-c", "HLS_PERIOD_NS": "3.3"},
        vivado=True,
    )
    verbs = [line.split()[0] for line in said]
    assert verbs[-3:] == ["csynth_design", "cosim_design", "exit"]
    assert "set_part xck26-sfvc784-2LV-c" in said
    assert "create_clock -period 3.3 -name default" in said
    # Vivado HLS knows no -flow_target.
    assert "open_solution -reset solution" in said


def test_tcl_refuses_unknown_steps(tmp_path: Path) -> None:
    assert run_tcl(tmp_path, {"HLS_STEPS": "csim sinth"}) == ["exit 2"]
