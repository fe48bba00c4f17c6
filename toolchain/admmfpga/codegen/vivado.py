"""Renders the Vivado project of a build: one Tcl script and, for boards with a processor, a Verilog shell.

The script runs as `vivado -mode batch -source build.tcl`; its header names the required tool, the options, the hooks
for the user's own Tcl and the products.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment

from admmfpga.blocks.registers import ADDRESS_BITS
from admmfpga.boards import Board
from admmfpga.codegen.driver import ACCELERATOR_CELL, BITSTREAM, DMA_CELL
from admmfpga.mapping import Design

BLOCK_DESIGN = "system"
SHELL = "accelerator_bd"

WORK_FILES = (
    "vivado/.Xil",
    "vivado/hooks",
    "vivado/products",
    "vivado/project",
    "vivado/vivado*.jou",
    "vivado/vivado*.log",
    "vivado/vivado*.str",
)
"""What a Vivado run and its user leave in the build folder; not in the manifest."""

CONTROL_PORTS = (
    ("AWADDR", "input ", ADDRESS_BITS),
    ("AWPROT", "input ", 3),
    ("AWVALID", "input ", 1),
    ("AWREADY", "output", 1),
    ("WDATA", "input ", 32),
    ("WSTRB", "input ", 4),
    ("WVALID", "input ", 1),
    ("WREADY", "output", 1),
    ("BRESP", "output", 2),
    ("BVALID", "output", 1),
    ("BREADY", "input ", 1),
    ("ARADDR", "input ", ADDRESS_BITS),
    ("ARPROT", "input ", 3),
    ("ARVALID", "input ", 1),
    ("ARREADY", "output", 1),
    ("RDATA", "output", 32),
    ("RRESP", "output", 2),
    ("RVALID", "output", 1),
    ("RREADY", "input ", 1),
)
"""AXI4-Lite: signal, direction, bits."""


@dataclass(frozen=True)
class ProcessingSystem:
    """How a processing system's IP calls what the block design connects.

    Attributes:
        ip: name in the catalogue, also of its automation rule.
        automation: further arguments of the rule, Tcl words.
        settings: CONFIG properties.
        address_bits: of the memory as the DMA sees it.
        control_port, control_clock: master towards the registers.
        memory_port, memory_clock: slave towards the DRAM.
        clock, reset, interrupt: pins.
    """

    ip: str
    automation: str
    settings: tuple[tuple[str, str], ...]
    address_bits: int
    control_port: str
    control_clock: str
    memory_port: str
    memory_clock: str
    clock: str
    reset: str
    interrupt: str


def zynq7(clock_mhz: float, port_bits: int) -> ProcessingSystem:
    """Zynq-7000: registers on GP0, memory on HP0, clock FCLK_CLK0."""
    return ProcessingSystem(
        ip="processing_system7",
        automation='make_external "FIXED_IO, DDR" Master Disable Slave Disable',
        settings=(
            ("PCW_USE_M_AXI_GP0", "1"),
            ("PCW_USE_S_AXI_HP0", "1"),
            ("PCW_S_AXI_HP0_DATA_WIDTH", str(port_bits)),
            ("PCW_FPGA0_PERIPHERAL_FREQMHZ", f"{clock_mhz:g}"),
            ("PCW_USE_FABRIC_INTERRUPT", "1"),
            ("PCW_IRQ_F2P_INTR", "1"),
        ),
        address_bits=32,
        control_port="M_AXI_GP0",
        control_clock="M_AXI_GP0_ACLK",
        memory_port="S_AXI_HP0",
        memory_clock="S_AXI_HP0_ACLK",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        interrupt="IRQ_F2P",
    )


def zynqmp(clock_mhz: float, port_bits: int) -> ProcessingSystem:
    """Zynq UltraScale+: registers on HPM0_FPD, memory on HP0_FPD (S_AXI_GP2 in Vivado's settings), clock pl_clk0."""
    return ProcessingSystem(
        ip="zynq_ultra_ps_e",
        automation="",
        settings=(
            ("PSU__USE__M_AXI_GP0", "1"),
            ("PSU__USE__M_AXI_GP1", "0"),
            ("PSU__USE__M_AXI_GP2", "0"),
            ("PSU__USE__S_AXI_GP2", "1"),
            ("PSU__SAXIGP2__DATA_WIDTH", str(port_bits)),
            ("PSU__FPGA_PL0_ENABLE", "1"),
            ("PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", f"{clock_mhz:g}"),
            ("PSU__USE__IRQ0", "1"),
        ),
        # The upper DRAM of boards with more than 2 GiB lies above 32 bits.
        address_bits=40,
        control_port="M_AXI_HPM0_FPD",
        control_clock="maxihpm0_fpd_aclk",
        memory_port="S_AXI_HP0_FPD",
        memory_clock="saxihp0_fpd_aclk",
        clock="pl_clk0",
        reset="pl_resetn0",
        interrupt="pl_ps_irq0",
    )


PROCESSING_SYSTEMS = {"zynq7": zynq7, "zynqmp": zynqmp}
"""By a board's `processor`."""


def render_vivado(
    design: Design,
    board: Board,
    environment: Environment,
    *,
    clock_mhz: float,
    rtl_files: list[str],
    memory_files: list[str],
    axis_in_width: int,
    axis_out_width: int,
) -> dict[str, str]:
    """Files of the build's vivado/ folder by name; none for boards that Vivado does not know.

    Args:
        environment: from `make_environment`.
        clock_mhz: of the accelerator.
        rtl_files: names in the build's rtl/ folder, packages first.
        memory_files: names of .mem files in the build's memory/ folder.
        axis_in_width, axis_out_width: bits of TDATA, powers of two from 8 to 1024 as the DMA takes them.
    """
    if board.family not in ("xc7", "xcup"):
        return {}
    for width in (axis_in_width, axis_out_width):
        assert width in (8, 16, 32, 64, 128, 256, 512, 1024), width
    make_system = PROCESSING_SYSTEMS.get(board.processor)
    context = {
        "design": design,
        "board": board,
        "processor": make_system is not None,
        "ps": make_system(clock_mhz, board.port_bits) if make_system else None,
        "clock_mhz": f"{clock_mhz:g}",
        "period_ns": f"{1000 / clock_mhz:.3f}",
        "rtl_files": rtl_files,
        "memory_files": memory_files,
        "axis_in_width": axis_in_width,
        "axis_out_width": axis_out_width,
        "control_ports": CONTROL_PORTS,
        "accelerator_cell": ACCELERATOR_CELL,
        "dma_cell": DMA_CELL,
        "bitstream": BITSTREAM,
        "block_design": BLOCK_DESIGN,
        "shell": SHELL,
    }
    names = ["build.tcl", f"{SHELL}.v"] if make_system else ["build.tcl"]
    return {name: environment.get_template(f"vivado/{name}.j2").render(context) for name in names}
