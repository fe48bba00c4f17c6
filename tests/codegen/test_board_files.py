"""What stands around the accelerator on a ULX3S: clock, pins, link."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_design import IMAGE, SCORES, tiny_design

from admmfpga.blocks import uart_link
from admmfpga.boards import Board, load_board
from admmfpga.codegen.board import board_order, clocks_per_bit, link_of, link_rate, render_board
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.pll import TOLERANCE, choose_pll
from admmfpga.errors import UserError
from admmfpga.mapping import AxisFormat, Design
from admmfpga.resources import resource_dir
from admmfpga.tools.verilator import verilator_environment

HLS = resource_dir("hls_templates")


def design() -> Design:
    tiny = tiny_design()
    parts = {"formats": (AxisFormat(4, 8), AxisFormat(1, 8)), "in_beats": 6, "out_beats": 5, "reloadable": False}
    return cast(Design, SimpleNamespace(**(vars(tiny) | parts)))


def ulx3s() -> Board:
    return load_board("ulx3s")


def render(board: Board, clock_mhz: float = 50) -> dict[str, str]:
    return render_board(design(), board, make_environment(), clock_mhz=clock_mhz)


@given(st.floats(10, 400), st.sampled_from([12.0, 16.0, 25.0, 48.0, 100.0]))
def test_pll_stays_inside_its_limits(wanted: float, oscillator: float) -> None:
    try:
        pll = choose_pll(oscillator, wanted)
    except UserError:
        return
    assert 1 <= pll.input_divider <= 128
    assert 1 <= pll.feedback_divider <= 80
    assert 1 <= pll.output_divider <= 128
    assert pll.output_mhz == pytest.approx(oscillator / pll.input_divider * pll.feedback_divider)
    assert 400 <= pll.vco_mhz <= 800
    assert pll.vco_mhz == pytest.approx(pll.output_mhz * pll.output_divider)
    assert abs(pll.output_mhz - wanted) <= TOLERANCE * wanted


def test_pll_of_the_default_clock() -> None:
    """25 to 50 MHz: the dividers that public ULX3S projects use."""
    pll = choose_pll(25, 50)
    assert (pll.input_divider, pll.feedback_divider, pll.output_divider, pll.output_mhz) == (1, 2, 12, 50)


def test_clocks_that_cannot_be() -> None:
    with pytest.raises(UserError, match="makes no 900 MHz from 25 MHz"):
        choose_pll(25, 900)
    with pytest.raises(UserError, match=r"baud cannot be made of 12\.5 MHz"):
        clocks_per_bit(12.5e6, 2_000_000)
    with pytest.raises(UserError, match="2000000 baud cannot be made of 37 MHz"):
        clocks_per_bit(37e6, 2_000_000)
    assert clocks_per_bit(50e6, 115200) == 434


def test_boards_without_an_open_flow_get_nothing() -> None:
    assert render(load_board("pynq")) == {}
    assert link_of(load_board("pynq"), 100, design()) is None


def test_every_port_has_a_site_and_a_standard() -> None:
    files = render(ulx3s())
    header = files["board.sv"].split(");")[0]
    ports = set(re.findall(r"(?:input|output)\s+wire\s+(?:\[\d+:0\]\s+)?(\w+)", header))
    assert ports == {"clk_osc", "button", "uart_rx", "uart_tx", "led"}
    located = dict(re.findall(r'LOCATE COMP "([\w\[\]]+)" SITE "(\w+)";', files["board.lpf"]))
    assert {name.partition("[")[0] for name in located} == ports
    assert located["clk_osc"] == "G2"
    assert (located["uart_rx"], located["uart_tx"]) == ("M1", "L4")
    assert len(set(located.values())) == len(located) == 12
    assert set(re.findall(r'IOBUF PORT "([\w\[\]]+)" IO_TYPE=LVCMOS33', files["board.lpf"])) == set(located)
    assert 'FREQUENCY PORT "clk_osc" 25 MHZ' in files["board.lpf"]


def test_a_board_without_a_button() -> None:
    board = ulx3s()
    assert board.open_flow is not None
    flow = replace(board.open_flow, pins=replace(board.open_flow.pins, reset=""))
    files = render(replace(board, open_flow=flow))
    assert "button" not in files["board.sv"]
    assert "button" not in files["board.lpf"]


@pytest.mark.parametrize("button", ["R1", ""])
def test_top_is_clean(button: str, tmp_path: Path) -> None:
    """The top with a stub of the accelerator's ports."""
    board = ulx3s()
    assert board.open_flow is not None
    flow = replace(board.open_flow, pins=replace(board.open_flow.pins, reset=button))
    for name, text in render(replace(board, open_flow=flow)).items():
        (tmp_path / name).write_text(text)
    environment = make_environment()
    context = {"design": design(), "axis_in": AxisFormat(4, 8), "axis_out": AxisFormat(1, 8), "in_beats": 6}
    top = environment.get_template("rtl/accelerator.sv.j2").render(
        context | {"out_beats": 5, "model_sha256": "0" * 64, "address_bits": 8}
    )
    stub = top[: top.index(");\n") + 3]
    stub = re.sub(r"output wire", "output logic", stub)
    (tmp_path / "accelerator.sv").write_text(
        f"/* verilator lint_off UNDRIVEN */\n/* verilator lint_off UNUSED */\n{stub}endmodule\n"
    )
    sources = [tmp_path / name for name in board_order([path.name for path in tmp_path.glob("*.sv")])]
    done = subprocess.run(
        [
            "verilator",
            "--lint-only",
            "-Wall",
            "-y",
            HLS / "rtl",
            "--top-module",
            "board",
            *sources,
            HLS / "sim" / "ehxplll.sv",
        ],
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module, parameter",
    [("uart_rx", "CLOCKS_PER_BIT=7"), ("uart_tx", "CLOCKS_PER_BIT=7"), ("uart_link", "IN_WIDTH=12")],
)
def test_illegal_parameters(module: str, parameter: str, tmp_path: Path) -> None:
    files = render(ulx3s())
    (tmp_path / "admmfpga_uart.sv").write_text(files["admmfpga_uart.sv"])
    sources = [tmp_path / "admmfpga_uart.sv", HLS / "board" / f"{module}.sv"]
    done = subprocess.run(
        [
            "verilator",
            "--lint-only",
            "-y",
            HLS / "rtl",
            "-y",
            HLS / "board",
            "--top-module",
            module,
            f"-G{parameter}",
            *sources,
        ],
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"{module}: " in done.stderr


def test_link_in_the_report() -> None:
    link = link_of(ulx3s(), 50, design())
    assert link is not None
    assert (link["baud"], link["frame_bytes"], link["result_bytes"]) == (2_000_000, 24, 5)
    assert link["throughput_fps"] == round(uart_link.frames_per_second(2e6, 24, 5), 3)
    assert link_rate(ulx3s(), design().network) == pytest.approx(link["throughput_fps"], abs=0.001)
    assert (IMAGE.elements, SCORES.elements) == (24, 5)


def test_docs_have_the_protocols_tables() -> None:
    """docs/build.md says what blocks/uart_link.py says."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "build.md").read_text()
    for command in uart_link.COMMANDS:
        size = "1 to 1,024 bytes" if command.length is None else f"{command.length} bytes" if command.length else "none"
        assert f"| {command.name} | {command.code:02X} | {size} | {command.text} | {command.reply} |" in text
    for status in uart_link.STATUSES:
        assert f"| {status.name} | {status.code:02X} | {status.text} |" in text
