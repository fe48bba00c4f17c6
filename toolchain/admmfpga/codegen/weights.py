"""The binary container of a design: all memories, what input and output mean, and the results of the test vectors."""

from __future__ import annotations

import numpy as np

from admmfpga.codegen.frames import to_beats
from admmfpga.codegen.vectors import vector_frames
from admmfpga.mapping import Design
from admmfpga.mapping.structure import interface, structure_sha256
from admmfpga.network.reference import run
from admmfpga.packing import Memory, write_container

VECTORS = "vectors.output"
"""Section with the results of the build's test frames: bytes of the output stream, a frame a word."""


def render_container(design: Design, model_sha256: str) -> bytes:
    """The container of a design.

    Args:
        model_sha256: of the ONNX file that the weights are from.
    """
    form = design.formats[1]
    beats = to_beats(run(design.original, vector_frames(design)), form)
    size = form.width // 8
    results = beats.astype("<u8").view(np.uint8).reshape(*beats.shape, 8)[:, :, :size].reshape(len(beats), -1)
    vectors = Memory(VECTORS, results.astype(np.int64), 8, "", "vectors", signed=False, constant=True)
    memories = [*design.memories(), vectors]
    return write_container(memories, model_sha256, structure_sha256(design), interface(design))
