"""What the front end gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from admmfpga.errors import UserError
from admmfpga.network import IntArray, Network


@dataclass(frozen=True, eq=False)
class Import:
    """An imported model.

    Attributes:
        network: the integer network.
        model: the QDQ model that it was made from, batch size 1.
        sha256: of the user's file.
        warnings: what the user should know, one line each.
        layouts: per network tensor, in the shape of the ONNX tensor that its `source` names: each element's position in
            the network tensor's stream (H, W, C flattened).
        input_layout: the same for the model's input.
        output_layout: the same for the model's output, in the network's output tensor; where operators are left to the
            host, for the tensor that they start from.
        weights_rounded: the weights were real numbers and were rounded here.
    """

    network: Network
    model: onnx.ModelProto
    sha256: str
    warnings: list[str] = field(default_factory=list)
    layouts: Mapping[str, IntArray] = field(default_factory=dict)
    input_layout: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    output_layout: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    weights_rounded: bool = False

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of one image as the model takes it, (C, H, W) as a rule."""
        return tuple(self.input_layout.shape[1:])

    def quantize(self, images: npt.NDArray[np.generic]) -> IntArray:
        """Images as the model takes them, (N, *frame_shape), to the network's input codes, (N, *input shape).

        Raises:
            UserError: wrong shape, or values that are not finite.
        """
        if images.shape[1:] != self.frame_shape:
            wanted, got = (" x ".join(["N", *map(str, shape)]) for shape in (self.frame_shape, images.shape[1:]))
            raise UserError(f"images are {got}, the model takes {wanted}", "reshape or transpose them")
        if images.dtype.kind == "f" and not np.all(np.isfinite(images)):
            raise UserError("the images hold values that are not finite")
        tensor = self.network.tensors[self.network.inputs[0]]
        real = np.empty((len(images), tensor.elements), dtype=np.float32)
        real[:, self.input_layout.ravel()] = images.reshape(len(images), -1)
        return tensor.quantize(real).reshape(-1, *tensor.shape)

    def dequantize(self, codes: IntArray) -> npt.NDArray[np.float64]:
        """The network's output codes, (N, *output shape), as real numbers in the shape of the model's output.

        Returns:
            (N, *shape of the ONNX output without its batch axis).
        """
        real = self.network.tensors[self.network.outputs[0]].dequantize(codes).reshape(len(codes), -1)
        shape = self.output_layout.shape
        return real[:, self.output_layout.ravel()].reshape(len(codes), *(shape[1:] if shape[:1] == (1,) else shape))
