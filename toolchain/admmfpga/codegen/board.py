"""Renders what stands around the accelerator on a board without a processor: top module, UART link, pins."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment

from admmfpga.blocks import uart_link
from admmfpga.blocks.registers import ADDRESS_BITS
from admmfpga.boards import Board
from admmfpga.codegen.pll import choose_pll
from admmfpga.errors import UserError
from admmfpga.mapping import Design
from admmfpga.mapping.design import container_bits
from admmfpga.network import Network
from admmfpga.resources import resource_dir

TOP = "board"
PACKAGE = "admmfpga_uart.sv"
CONSTRAINTS = f"{TOP}.lpf"

BAUD_TOLERANCE = 0.015
"""Both ends together may be off by about 5 % of a bit in ten; clocks and edges take their part of it."""


def link_of(board: Board, clock_mhz: float, design: Design) -> dict[str, Any] | None:
    """The link to the host for report.json, None for boards that have none.

    Raises:
        UserError: the clock does not go with the board's PLL or baud rate.
    """
    flow = board.open_flow
    if flow is None:
        return None
    clock = choose_pll(flow.oscillator_mhz, clock_mhz).output_mhz * 1e6
    baud = clock / clocks_per_bit(clock, flow.baud)
    in_bytes, out_bytes = (
        beats * form.width // 8 for beats, form in zip((design.in_beats, design.out_beats), design.formats, strict=True)
    )
    return {
        "type": "uart",
        "baud": flow.baud,
        "frame_bytes": in_bytes,
        "result_bytes": out_bytes,
        # What the line carries at most; a host's delays come on top.
        "throughput_fps": round(uart_link.frames_per_second(baud, in_bytes, out_bytes), 3),
    }


def link_rate(board: Board, network: Network) -> float:
    """Frames a second that the board's link carries for a network, one byte-aligned container an element.

    Args:
        board: one with an open flow.
    """
    assert board.open_flow is not None
    sizes = [
        tensor.elements * container_bits(tensor.dtype) // 8
        for tensor in (network.tensors[network.inputs[0]], network.tensors[network.outputs[0]])
    ]
    return uart_link.frames_per_second(board.open_flow.baud, *sizes)


def clocks_per_bit(clock_hz: float, baud: int) -> int:
    """Clocks of a bit on the line.

    Raises:
        UserError: too few, or too far off the baud rate.
    """
    clocks = round(clock_hz / baud)
    if clocks < 8 or abs(clock_hz / clocks / baud - 1) > BAUD_TOLERANCE:
        raise UserError(
            f"{baud} baud cannot be made of {clock_hz / 1e6:g} MHz",
            "choose a --clock that is a multiple of the baud rate, at least eight times as high",
        )
    return clocks


def render_board(design: Design, board: Board, environment: Environment, *, clock_mhz: float) -> dict[str, str]:
    """Files of the build's board/ folder by name; none for boards that have no open flow.

    Raises:
        UserError: see `link_of`.
    """
    flow = board.open_flow
    if flow is None:
        return {}
    pll = choose_pll(flow.oscillator_mhz, clock_mhz)
    clock = pll.output_mhz * 1e6
    pins = flow.pins
    ports = [("clk_osc", pins.clock, "NONE", False), ("uart_rx", pins.uart_rx, "UP", False)]
    ports += [("uart_tx", pins.uart_tx, "UP", True)]
    ports += [("button", pins.reset, "DOWN", False)] if pins.reset else []
    ports += [(f"led[{index}]", site, "NONE", True) for index, site in enumerate(pins.leds)]
    context = {
        "design": design,
        "board": board,
        "flow": flow,
        "pins": pins,
        "pll": pll,
        "axis_in": design.formats[0],
        "axis_out": design.formats[1],
        "address_bits": ADDRESS_BITS,
        "clocks_per_bit": clocks_per_bit(clock, flow.baud),
        "silence_clocks": round(clock * uart_link.SILENCE_S),
        # Lamps stay on for a twentieth of a second or a bit more.
        "lamp_bits": max(2, round(clock / 20).bit_length()),
        "placed": [dict(zip(("port", "site", "pull", "output"), port, strict=True)) for port in ports],
        "top": TOP,
    }
    files = {path.name: path.read_text() for path in sorted((resource_dir("hls_templates") / "board").glob("*.sv"))}
    files |= render_protocol(environment)
    for name in (f"{TOP}.sv", CONSTRAINTS):
        files[name] = environment.get_template(f"board/{name}.j2").render(context)
    return files


def render_protocol(environment: Environment, *, buffer_bytes: int = uart_link.BUFFER_BYTES) -> dict[str, str]:
    """The package with the protocol's codes, the same for every design.

    Args:
        buffer_bytes: of each direction, a power of two.
    """
    context = {"protocol": uart_link, "buffer_bytes": buffer_bytes}
    return {PACKAGE: environment.get_template(f"board/{PACKAGE}.j2").render(context)}


def board_order(names: list[str]) -> list[str]:
    """Names of the SystemVerilog files of a board/ folder, the package first."""
    return sorted((name for name in names if name.endswith(".sv")), key=lambda name: (name != PACKAGE, name))
