"""Weights and parameters -> formats, memory images and the binary container."""

from admmfpga.packing.container import container_model, memories_of, open_container, read_container, write_container
from admmfpga.packing.formats import FORMATS, Format, Kept, Packed, Size, sizes, smallest
from admmfpga.packing.images import from_coe, from_mem, from_mif, to_coe, to_mem, to_mif
from admmfpga.packing.lanes import LaneLayout, LaneProgram, lane_program
from admmfpga.packing.memory import Memory, pack_words, unpack_words

__all__ = [
    "FORMATS",
    "Format",
    "Kept",
    "LaneLayout",
    "LaneProgram",
    "Memory",
    "Packed",
    "Size",
    "container_model",
    "from_coe",
    "from_mem",
    "from_mif",
    "lane_program",
    "memories_of",
    "open_container",
    "pack_words",
    "read_container",
    "sizes",
    "smallest",
    "to_coe",
    "to_mem",
    "to_mif",
    "unpack_words",
    "write_container",
]
