"""Weights and parameters -> memory images and the binary container."""

from admmfpga.packing.container import container_model, read_container, write_container
from admmfpga.packing.images import from_coe, from_mem, from_mif, to_coe, to_mem, to_mif
from admmfpga.packing.memory import Memory, pack_words, unpack_words
from admmfpga.packing.sizes import Storage, dense_storage

__all__ = [
    "Memory",
    "Storage",
    "container_model",
    "dense_storage",
    "from_coe",
    "from_mem",
    "from_mif",
    "pack_words",
    "read_container",
    "to_coe",
    "to_mem",
    "to_mif",
    "unpack_words",
    "write_container",
]
