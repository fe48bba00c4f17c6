"""Design -> files: memory images, HLS C++, RTL, vectors, driver, board top, Vivado project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from admmfpga.boards import Board
from admmfpga.codegen.board import render_board
from admmfpga.codegen.driver import render_driver
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.hls import render_hls
from admmfpga.codegen.rtl import compile_order, render_rtl
from admmfpga.codegen.vectors import render_vectors
from admmfpga.codegen.vivado import render_vivado
from admmfpga.codegen.weights import render_container
from admmfpga.mapping import Design
from admmfpga.packing import to_coe, to_mem, to_mif

CONTAINER = "memory/weights.admm"
"""The binary container inside a build folder."""


def render_design(design: Design, board: Board, clock_mhz: float, model_sha256: str) -> dict[str, str | bytes]:
    """What follows from the design alone: memory images, HLS C++, RTL, vectors, driver and Vivado project."""
    environment = make_environment()
    memories = design.memories()
    axis_in, axis_out = design.formats
    files: dict[str, str | bytes] = {CONTAINER: render_container(design, model_sha256)}
    for memory in memories:
        files[f"memory/{memory.name}.mem"] = to_mem(memory)
        files[f"memory/{memory.name}.coe"] = to_coe(memory)
        files[f"memory/{memory.name}.mif"] = to_mif(memory)
    rtl = render_rtl(design, environment, model_sha256=model_sha256)
    files |= _under("rtl", rtl)
    files |= _under("board", render_board(design, board, environment, clock_mhz=clock_mhz))
    files |= _under("hls", render_hls(design, environment, part=board.part, clock_mhz=clock_mhz))
    files |= _under("vectors", render_vectors(design))
    files |= _under(
        "driver",
        render_driver(
            design,
            environment,
            model_sha256=model_sha256,
            axis_in=(axis_in.lanes, axis_in.container_bits),
            axis_out=(axis_out.lanes, axis_out.container_bits),
        ),
    )
    files |= _under(
        "vivado",
        render_vivado(
            design,
            board,
            environment,
            clock_mhz=clock_mhz,
            rtl_files=compile_order(list(rtl)),
            memory_files=[f"{memory.name}.mem" for memory in memories],
            axis_in_width=axis_in.width,
            axis_out_width=axis_out.width,
        ),
    )
    return files


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write rendered files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _under(folder: str, files: Mapping[str, str | bytes]) -> dict[str, str | bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}
