"""A build's bitstream without a vendor's tool: Yosys, nextpnr-ecp5, ecppack."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from admmfpga.boards import Board, load_board
from admmfpga.codegen.board import CONSTRAINTS, TOP, board_order
from admmfpga.codegen.pll import choose_pll
from admmfpga.codegen.rtl import compile_order
from admmfpga.errors import UserError
from admmfpga.runtime.build import BITSTREAM_FOLDER, Build
from admmfpga.tools.nextpnr import Ecppack, Nextpnr
from admmfpga.tools.yosys import Yosys


def require_open_flow(board: Board) -> None:
    """
    Raises:
        UserError: the board has none.
    """
    if board.open_flow is None:
        raise UserError(
            f"there is no way to a bitstream for {board.name} without its vendor's tool",
            "compile for ulx3s-85f; for a Xilinx board vivado/build.tcl in the build folder makes one with Vivado",
        )


def open_flow_board(build: Build) -> Board:
    """The board of a build, which must have an open flow.

    Raises:
        UserError: it has none, or the build is from before it had.
    """
    board = load_board(build.report["board"])
    require_open_flow(board)
    if not (build.folder / "board" / CONSTRAINTS).is_file():
        raise UserError(f"{build.folder} has no board/{CONSTRAINTS}", "compile again with this version")
    return board


def make_bitstream(
    build: Build,
    yosys: Yosys,
    nextpnr: Nextpnr,
    ecppack: Ecppack,
    *,
    seed: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, dict[str, Any]]:
    """Synthesize, place, route and pack; the products are in the build's bitstream/ folder.

    Args:
        seed: of the placer.
        progress: called with each step's name.

    Returns:
        the .bit file; `bitstream` for report.json: tools and versions, synthesized and placed resources, Fmax.

    Raises:
        UserError: the build's board has no open flow.
        ToolError: a program is missing or failed.
    """
    board = open_flow_board(build)
    flow = board.open_flow
    assert flow is not None
    clock_mhz = choose_pll(flow.oscillator_mhz, build.report["clock_mhz"]).output_mhz
    versions = {tool.program: ".".join(map(str, tool.check_version())) for tool in (yosys, nextpnr, ecppack)}
    folder = build.folder / BITSTREAM_FOLDER
    folder.mkdir(exist_ok=True)
    rtl, around = build.folder / "rtl", build.folder / "board"
    sources = [around / name for name in board_order([path.name for path in around.glob("*.sv")])]
    sources += [rtl / name for name in compile_order([path.name for path in rtl.glob("*.sv")])]
    progress(f"synthesizing with Yosys {versions['yosys']}")
    netlist, synthesis = yosys.netlist(TOP, sources, folder=folder, memories=(build.folder / "memory").glob("*.mem"))
    constraints = folder / CONSTRAINTS
    shutil.copyfile(around / CONSTRAINTS, constraints)
    progress(f"packing and placing with nextpnr-ecp5 {versions['nextpnr-ecp5']}")
    config, routed = nextpnr.place_and_route(
        netlist, constraints, flow, clock_mhz=clock_mhz, seed=seed, progress=progress
    )
    progress("packing the bitstream")
    bit = ecppack.pack(config)
    found = {
        "file": f"{BITSTREAM_FOLDER}/{bit.name}",
        "tools": versions,
        "seed": seed,
        "synthesized": synthesis.resources.as_dict(),
        "placed_and_routed": routed.as_dict(),
    }
    return bit, found
