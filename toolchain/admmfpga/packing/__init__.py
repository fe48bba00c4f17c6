"""Weights and parameters -> memory images and the binary container."""

from admmfpga.packing.memory import Memory, pack_words, unpack_words

__all__ = ["Memory", "pack_words", "unpack_words"]
