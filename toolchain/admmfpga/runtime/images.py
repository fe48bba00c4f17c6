"""Images as the model takes them -> input codes; output codes -> classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admmfpga.errors import UserError
from admmfpga.mapping import Design
from admmfpga.network import IntArray, Tensor


def to_codes(design: Design, images: npt.NDArray[np.generic]) -> IntArray:
    """(N, C, H, W) real images (or (N, C) vectors) to (N, *shape) input codes.

    Raises:
        UserError: wrong shape, no images, or values that are not finite.
    """
    return codes_of(design.input, images)


def codes_of(source: Tensor, images: npt.NDArray[np.generic]) -> IntArray:
    """As `to_codes`, for the tensor that takes the images."""
    shape = source.shape
    expected = (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
    if images.shape[1:] != expected:
        wanted = " x ".join(map(str, expected))
        got = " x ".join(map(str, images.shape[1:]))
        raise UserError(f"images are N x {got or 'scalar'}, the model takes N x {wanted}", "reshape or transpose them")
    if len(images) == 0:
        raise UserError("there are no images")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise UserError("the images hold values that are not finite")
    if len(shape) == 3:
        images = images.transpose(0, 2, 3, 1)
    return source.quantize(images.astype(np.float64))


def accuracy(design: Design, results: IntArray, labels: IntArray | None) -> float | None:
    """Share of frames whose greatest real output is the label's; None without labels."""
    if labels is None:
        return None
    real = design.output.dequantize(results).reshape(len(results), -1)
    return float(np.mean(real.argmax(axis=1) == labels))
