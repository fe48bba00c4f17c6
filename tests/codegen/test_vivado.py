"""The rendered Vivado script, run in a Tcl interpreter with recorded stand-ins for Vivado's commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_design import tiny_design

from admmfpga.blocks.registers import ADDRESS_BITS
from admmfpga.boards import Board, all_boards, load_board
from admmfpga.codegen.driver import ACCELERATOR_CELL, DMA_CELL
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.vivado import PROCESSING_SYSTEMS, render_vivado
from admmfpga.resources import resource_dir

STAND_IN = Path(__file__).with_name("vivado_stand_in.tcl")
RTL = ["admmfpga_registers.sv", "accelerator.sv", "dataflow.sv"]
MEMORIES = ["conv1.weights.mem", "conv1.parameters.mem"]
BOARDS = [board for board in all_boards() if board.family != "ecp5"]
WITH_PROCESSOR = [board for board in BOARDS if board.processor != "none"]


def name_of(board: Board) -> str:
    return board.name


def render(board: Board, *, memories: list[str] = MEMORIES, clock_mhz: float = 125.0) -> dict[str, str]:
    return render_vivado(
        tiny_design(),
        board,
        make_environment(),
        clock_mhz=clock_mhz,
        rtl_files=RTL,
        memory_files=memories,
        axis_in_width=32,
        axis_out_width=8,
    )


def interpreter() -> list[str]:
    """A command that runs a Tcl file given as its last argument."""
    if tclsh := shutil.which("tclsh"):
        return [tclsh]
    try:
        import tkinter  # noqa: F401
    except ImportError:
        pytest.skip("no Tcl interpreter: neither tclsh nor tkinter")
    program = (
        "import sys, tkinter as t; i = t.Tcl(); i.call('set', 'argv', sys.argv[2:]); i.call('source', sys.argv[1])"
    )
    return [sys.executable, "-c", program]


class Build:
    """A build folder with the rendered script, and what a run of it did."""

    def __init__(self, folder: Path, board: Board, files: dict[str, str] | None = None) -> None:
        self.folder = folder / "build"
        self.vivado = self.folder / "vivado"
        self.products = self.vivado / "products"
        for name in [*(f"rtl/{name}" for name in RTL), *(f"memory/{name}" for name in MEMORIES)]:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        self.vivado.mkdir()
        for name, text in (files or render(board)).items():
            (self.vivado / name).write_text(text)
        self.log = folder / "calls.log"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "SCRIPT": str(self.vivado / "build.tcl"),
            "LOG": str(self.log),
            "RUNS": str(self.folder.parent / "runs"),
            "BOARD_FILES": "1",
            "FAILING_RUN": "",
            "SLACK": "0.5",
            "HANDOFF": "gen",
        }
        command = [*interpreter(), str(STAND_IN), "-tclargs", *arguments]
        return subprocess.run(
            command,
            env={**os.environ, **settings, **environment},
            capture_output=True,
            text=True,
            cwd=self.folder.parent,
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    def position(self, start: str) -> int:
        """Index of the only call that begins so."""
        found = [index for index, call in enumerate(self.calls) if call.startswith(start)]
        assert len(found) == 1, (start, found, self.calls)
        return found[0]

    def cells(self) -> dict[str, str]:
        """Cell name -> IP or module."""
        pattern = re.compile(
            r"create_bd_cell -type (?:ip -vlnv xilinx.com:ip:(\w+):9.9|module -reference (\w+)) (\w+)$"
        )
        found = [pattern.match(call) for call in self.calls if call.startswith("create_bd_cell")]
        return {match[3]: match[1] or match[2] for match in found if match}

    def links(self, command: str) -> list[tuple[str, str]]:
        return [(call.split()[1], call.split()[2]) for call in self.calls if call.startswith(f"{command} ")]


@pytest.mark.parametrize("board", WITH_PROCESSOR, ids=name_of)
def test_sequence_for_boards_with_a_processor(board: Board, tmp_path: Path) -> None:
    build = Build(tmp_path, board)
    result = build.run()
    assert result.returncode == 0, result.stderr
    steps = [
        f"create_project -force accelerator {build.vivado}/project -part {board.part}",
        f"set_property board_part {board.board_part}",
        "add_files -norecurse {" + " ".join(f"{build.folder}/rtl/{name}" for name in RTL) + "}",
        "add_files -norecurse {" + " ".join(f"{build.folder}/memory/{name}" for name in MEMORIES) + "}",
        "set_property file_type {Memory Initialization Files}",
        f"add_files -norecurse {build.vivado}/accelerator_bd.v",
        "set_property file_type SystemVerilog",
        "create_bd_design system",
        "set_property synth_checkpoint_mode None {files system.bd}",
        "apply_bd_automation",
        "assign_bd_address",
        "validate_bd_design",
        "save_bd_design",
        "make_wrapper -files {files system.bd} -top",
        "add_files -norecurse wrapper.v",
        "set_property top system_wrapper",
        "launch_runs synth_1 -jobs 4",
        "wait_on_run synth_1",
        "launch_runs impl_1 -jobs 4 -to_step write_bitstream",
        "wait_on_run impl_1",
        "open_run impl_1",
        f"report_utilization -file {build.products}/utilization.rpt",
        f"report_timing_summary -file {build.products}/timing.rpt",
        f"write_hw_platform -fixed -include_bit -force -file {build.products}/accelerator.xsa",
    ]
    positions = [build.position(step) for step in steps]
    assert positions == sorted(positions)
    assert sorted(path.name for path in build.products.iterdir()) == ["accelerator.bit", "accelerator.hwh"]


@pytest.mark.parametrize("board", WITH_PROCESSOR, ids=name_of)
def test_block_design_is_complete(board: Board, tmp_path: Path) -> None:
    build = Build(tmp_path, board)
    assert build.run().returncode == 0
    ps = PROCESSING_SYSTEMS[board.processor](125.0, board.port_bits)
    cells = build.cells()
    assert cells == {
        "ps_0": ps.ip,
        "reset_0": "proc_sys_reset",
        DMA_CELL: "axi_dma",
        ACCELERATOR_CELL: "accelerator_bd",
        "control_0": "smartconnect",
        "data_0": "smartconnect",
        "interrupts_0": "xlconcat",
    }
    assert sorted(build.links("connect_bd_intf_net")) == sorted(
        [
            (f"{DMA_CELL}/M_AXIS_MM2S", f"{ACCELERATOR_CELL}/s_axis"),
            (f"{ACCELERATOR_CELL}/m_axis", f"{DMA_CELL}/S_AXIS_S2MM"),
            (f"{DMA_CELL}/M_AXI_MM2S", "data_0/S00_AXI"),
            (f"{DMA_CELL}/M_AXI_S2MM", "data_0/S01_AXI"),
            ("data_0/M00_AXI", f"ps_0/{ps.memory_port}"),
            (f"ps_0/{ps.control_port}", "control_0/S00_AXI"),
            ("control_0/M00_AXI", f"{ACCELERATOR_CELL}/s_axi_control"),
            ("control_0/M01_AXI", f"{DMA_CELL}/S_AXI_LITE"),
        ]
    )
    nets = build.links("connect_bd_net")
    sinks = [sink for _, sink in nets]
    assert len(set(sinks)) == len(sinks), "a pin has one driver"
    driver = {sink: source for source, sink in nets}
    clocked = [
        f"ps_0/{ps.control_clock}",
        f"ps_0/{ps.memory_clock}",
        "reset_0/slowest_sync_clk",
        f"{DMA_CELL}/s_axi_lite_aclk",
        f"{DMA_CELL}/m_axi_mm2s_aclk",
        f"{DMA_CELL}/m_axi_s2mm_aclk",
        f"{ACCELERATOR_CELL}/aclk",
        "control_0/aclk",
        "data_0/aclk",
    ]
    resets = [f"{DMA_CELL}/axi_resetn", f"{ACCELERATOR_CELL}/aresetn", "control_0/aresetn", "data_0/aresetn"]
    assert driver == {
        **dict.fromkeys(clocked, f"ps_0/{ps.clock}"),
        **dict.fromkeys(resets, "reset_0/peripheral_aresetn"),
        "reset_0/ext_reset_in": f"ps_0/{ps.reset}",
        "interrupts_0/In0": f"{DMA_CELL}/mm2s_introut",
        "interrupts_0/In1": f"{DMA_CELL}/s2mm_introut",
        "interrupts_0/In2": f"{ACCELERATOR_CELL}/interrupt",
        f"ps_0/{ps.interrupt}": "interrupts_0/dout",
    }
    links = [*nets, *build.links("connect_bd_intf_net")]
    assert {pin.split("/")[0] for link in links for pin in link} == set(cells)


@pytest.mark.parametrize("board", WITH_PROCESSOR, ids=name_of)
def test_settings(board: Board, tmp_path: Path) -> None:
    build = Build(tmp_path, board)
    assert build.run().returncode == 0
    joined = "\n".join(build.calls)
    system = "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ" if board.processor == "zynq7" else "PL0_REF_CTRL__FREQMHZ"
    assert f"{system} 125" in joined
    assert "apply_board_preset 1" in joined
    # Settings that stand in a list of several lines are one call each.
    dma = re.search(r"set_property -dict \{([^}]*c_sg_length_width[^}]*)\} (\w+)", joined)
    assert dma is not None
    words = dma[1].split()
    settings = dict(zip(words[::2], words[1::2], strict=True))
    assert dma[2] == DMA_CELL
    assert settings["CONFIG.c_include_sg"] == "0"
    assert settings["CONFIG.c_sg_length_width"] == "26"
    assert settings["CONFIG.c_m_axis_mm2s_tdata_width"] == "32"
    assert settings["CONFIG.c_s_axis_s2mm_tdata_width"] == "8"
    assert settings["CONFIG.c_m_axi_mm2s_data_width"] == str(board.port_bits)
    assert settings["CONFIG.c_addr_width"] == ("32" if board.processor == "zynq7" else "40")


def test_board_without_a_processor_is_built_out_of_context(tmp_path: Path) -> None:
    board = load_board("arty-a7-100t")
    build = Build(tmp_path, board)
    result = build.run()
    assert result.returncode == 0, result.stderr
    steps = [
        "create_project",
        "set_property top accelerator",
        f"add_files -fileset constrs_1 -norecurse {build.vivado}/project/clock.xdc",
        "set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} -objects synth_1",
        "launch_runs synth_1",
        "launch_runs impl_1",
        f"write_checkpoint -force {build.products}/accelerator.dcp",
    ]
    positions = [build.position(step) for step in steps]
    assert positions == sorted(positions)
    assert not any("bd_" in call.split()[0] for call in build.calls)
    constraint = (build.vivado / "project" / "clock.xdc").read_text()
    assert constraint == "create_clock -name aclk -period 8.000 [get_ports aclk]\n"


def test_no_vivado_for_other_vendors() -> None:
    assert render(load_board("ulx3s-85f")) == {}


def test_options_and_hooks(tmp_path: Path) -> None:
    build = Build(tmp_path, load_board("pynq"))
    hooks = tmp_path / "my hooks"
    hooks.mkdir()
    names = ["after_project", "after_design", "before_synthesis", "before_implementation", "after_implementation"]
    for name in names:
        (hooks / f"{name}.tcl").write_text(f"record hook {name}\n")
    result = build.run("-jobs", "7", "-hooks", str(hooks), "-products", "out", "-project", str(tmp_path / "p"))
    assert result.returncode == 0, result.stderr
    before = [
        "create_bd_design",
        "validate_bd_design",
        "launch_runs synth_1",
        "launch_runs impl_1",
        "write_hw_platform",
    ]
    for name, step in zip(names, before, strict=True):
        assert build.position(f"hook {name}") < build.position(step)
    build.position("launch_runs synth_1 -jobs 7")
    assert (tmp_path / "out" / "accelerator.bit").exists()
    assert (tmp_path / "p").is_dir()
    assert not build.products.exists()


def test_unknown_option(tmp_path: Path) -> None:
    result = Build(tmp_path, load_board("pynq")).run("-job", "7")
    assert result.returncode != 0
    assert "unknown option -job, expected one of -hooks, -jobs, -products, -project" in result.stderr


def test_missing_board_files_are_a_warning(tmp_path: Path) -> None:
    build = Build(tmp_path, load_board("pynq"))
    result = build.run(BOARD_FILES="0")
    assert result.returncode == 0, result.stderr
    assert "no board definition tul.com.tw:pynq-z2:part0:1.0" in result.stdout
    assert not any(call.startswith("set_property board_part") for call in build.calls)
    assert "apply_board_preset 0" in "\n".join(build.calls)


def test_own_board_without_a_definition(tmp_path: Path) -> None:
    board = replace(load_board("pynq"), board_part="")
    result = Build(tmp_path, board).run()
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stdout


@pytest.mark.parametrize("run", ["synth_1", "impl_1"])
def test_failing_run_stops_the_script(tmp_path: Path, run: str) -> None:
    build = Build(tmp_path, load_board("pynq"))
    result = build.run(FAILING_RUN=run)
    assert result.returncode != 0
    assert f"{run} failed, see {tmp_path}/runs/{run}/runme.log" in result.stderr
    assert not build.products.exists()


def test_missed_timing_gives_reports_and_no_bitstream(tmp_path: Path) -> None:
    build = Build(tmp_path, load_board("pynq"))
    result = build.run(SLACK="-0.25")
    assert result.returncode != 0
    assert "timing is not met at 125 MHz: worst slack -0.25 ns" in result.stderr
    build.position("report_timing_summary")
    assert list(build.products.iterdir()) == []


def test_missing_file_is_named_before_anything_starts(tmp_path: Path) -> None:
    build = Build(tmp_path, load_board("pynq"))
    (build.folder / "memory" / MEMORIES[1]).unlink()
    result = build.run()
    assert result.returncode != 0
    assert "conv1.parameters.mem is missing" in result.stderr
    assert build.calls == []


def test_hardware_description_of_old_versions(tmp_path: Path) -> None:
    build = Build(tmp_path, load_board("pynq"))
    assert build.run(HANDOFF="srcs").returncode == 0
    assert (build.products / "accelerator.hwh").exists()


def test_design_without_memories(tmp_path: Path) -> None:
    board = load_board("pynq")
    build = Build(tmp_path, board, render(board, memories=[]))
    result = build.run()
    assert result.returncode == 0, result.stderr
    assert not any("Memory Initialization" in call for call in build.calls)


PORT = re.compile(r"^\s*(input|output)\s+wire\s+(?:\[\s*(\d+):0\]\s*)?(\w+),?$", re.MULTILINE)


def test_shell_has_the_ports_of_the_accelerator() -> None:
    template = (resource_dir("hls_templates") / "rtl" / "accelerator.sv.j2").read_text()
    header = template[template.index("module accelerator") : template.index(");\n")]
    core = (
        make_environment()
        .from_string(header)
        .render(axis_in={"width": 32}, axis_out={"width": 8}, address_bits=ADDRESS_BITS)
    )
    shell = render(load_board("pynq"))["accelerator_bd.v"]
    assert set(PORT.findall(shell)) == set(PORT.findall(core))
    assert len(PORT.findall(core)) == 30
    for _, _, port in PORT.findall(core):
        assert f".{port}({port})" in shell


@pytest.mark.parametrize("width", [0, 24, 2048])
def test_widths_that_the_dma_does_not_take_are_our_mistake(width: int) -> None:
    with pytest.raises(AssertionError):
        render_vivado(
            tiny_design(),
            load_board("pynq"),
            make_environment(),
            clock_mhz=100,
            rtl_files=RTL,
            memory_files=[],
            axis_in_width=width,
            axis_out_width=8,
        )
