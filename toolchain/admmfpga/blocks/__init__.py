"""Hardware blocks. `BLOCKS` is the only place that lists them."""

from admmfpga.blocks.add import Add
from admmfpga.blocks.average_pool import AveragePool
from admmfpga.blocks.axis_input import AxisInput
from admmfpga.blocks.axis_output import AxisOutput
from admmfpga.blocks.base import Block, Contents, Join, Port, Resources, Schedule
from admmfpga.blocks.binary_pe import BinaryPE
from admmfpga.blocks.concat import Concat
from admmfpga.blocks.csr_pe import CsrPE
from admmfpga.blocks.deal import Deal
from admmfpga.blocks.dense_pe import DensePE
from admmfpga.blocks.depthwise_pe import DepthwisePE
from admmfpga.blocks.fifo import Fifo
from admmfpga.blocks.gearbox import Gearbox
from admmfpga.blocks.lookup import Lookup
from admmfpga.blocks.matrix_unit import MatrixUnit
from admmfpga.blocks.max_pool import MaxPool
from admmfpga.blocks.pad import Pad
from admmfpga.blocks.requantize import Requantize
from admmfpga.blocks.resize import Resize
from admmfpga.blocks.stream_fork import StreamFork
from admmfpga.blocks.threshold import Threshold
from admmfpga.blocks.unrolled_pe import UnrolledPE
from admmfpga.blocks.width_converter import WidthConverter
from admmfpga.blocks.window import Window

BLOCKS: dict[str, type[Block]] = {
    block.stem: block
    for block in (
        AxisInput,
        Window,
        WidthConverter,
        Gearbox,
        Deal,
        DensePE,
        CsrPE,
        UnrolledPE,
        BinaryPE,
        Requantize,
        Threshold,
        MaxPool,
        AveragePool,
        DepthwisePE,
        StreamFork,
        Add,
        Concat,
        Lookup,
        Pad,
        Resize,
        Fifo,
        AxisOutput,
    )
}
"""Every stream block by its stem."""

__all__ = [
    "BLOCKS",
    "Add",
    "AveragePool",
    "AxisInput",
    "AxisOutput",
    "BinaryPE",
    "Block",
    "Concat",
    "Contents",
    "CsrPE",
    "Deal",
    "DensePE",
    "DepthwisePE",
    "Fifo",
    "Gearbox",
    "Join",
    "Lookup",
    "MatrixUnit",
    "MaxPool",
    "Pad",
    "Port",
    "Requantize",
    "Resize",
    "Resources",
    "Schedule",
    "StreamFork",
    "Threshold",
    "UnrolledPE",
    "WidthConverter",
    "Window",
]
