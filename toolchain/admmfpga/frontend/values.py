"""What the front end knows about an ONNX tensor while it walks through the graph.

A tensor is either known (`Const`, `QuantConst`), or it stands in some relation to a tensor of the network that is being
built. Layout is part of that relation: `positions` has the ONNX tensor's shape, and each entry says where in the
network tensor's stream (H, W, C flattened) that element is. Reshape, Flatten, Transpose, Squeeze and Unsqueeze are then
the numpy operation of the same name on `positions`, and no layer needs to know how its input got its shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.frontend.layers import Layer
from admmfpga.frontend.problems import Unsupported
from admmfpga.network import HostOp, IntArray, IntType
from admmfpga.network.types import FloatArray


@lru_cache(maxsize=64)
def stream_positions(shape: tuple[int, ...]) -> IntArray:
    """Positions of the usual ONNX counterpart of a network tensor: (1, C, H, W) of (H, W, C), (1, C) of (C,).

    Large networks ask for the same ones hundreds of times; they are not to be written to.
    """
    positions = np.arange(prod(shape), dtype=np.int64).reshape(1, *shape)
    positions.flags.writeable = False
    return positions.transpose(0, 3, 1, 2) if len(shape) == 3 else positions


def same_positions(a: IntArray, b: IntArray) -> bool:
    """Whether two arrays hold the same positions; at once where they are the same memory, as they are as a rule."""
    alike = a.shape == b.shape and a.strides == b.strides
    return (alike and a.ctypes.data == b.ctypes.data) or np.array_equal(a, b)


def is_permutation(positions: IntArray) -> bool:
    """Whether positions are 0 to their number less one, each once, in any order."""
    if positions.size and (positions.min() < 0 or positions.max() >= positions.size):
        return False
    seen = np.zeros(positions.size, dtype=bool)
    seen[positions.ravel(order="K")] = True  # memory's order, which makes no copy
    return bool(seen.all())


@dataclass(frozen=True, eq=False)
class Const:
    """A tensor known at compile time."""

    array: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class QuantConst:
    """A quantized constant: real = scale * codes.

    Attributes:
        codes: integers of any type that holds them, zero point already subtracted.
        scale: () or (C,) along `axis`, positive.
        axis: of the scale; meaningless for a scalar scale.
    """

    codes: IntArray
    scale: FloatArray
    axis: int

    @property
    def real(self) -> FloatArray:
        """The numbers that it stands for."""
        if self.scale.ndim == 0:
            return self.scale * self.codes
        shape = [1] * self.codes.ndim
        shape[self.axis] = -1
        return self.scale.reshape(shape) * self.codes


@dataclass(frozen=True, eq=False)
class GraphInput:
    """The model's real input before it is quantized: real = factor * input + shift.

    Attributes:
        name: of the input.
        shape: of the input, batch included.
        positions: of this value's elements in the flattened input.
    """

    name: str
    shape: tuple[int, ...]
    positions: IntArray
    factor: float = 1.0
    shift: float = 0.0

    def affine(self, factor: FloatArray, shift: FloatArray) -> GraphInput:
        """After multiplication and addition of constants, which must be the same for all pixels."""
        if factor.min() != factor.max() or shift.min() != shift.max():
            raise Unsupported(
                "the input is scaled per channel before it is quantized",
                "do this scaling on the host, and quantize the input first thing in the model",
            )
        a, b = float(factor.flat[0]), float(shift.flat[0])
        return replace(self, factor=a * self.factor, shift=a * self.shift + b)


@dataclass(frozen=True, eq=False)
class Codes:
    """The integers of a network tensor (what QuantizeLinear returns)."""

    tensor: str
    positions: IntArray


@dataclass(frozen=True)
class Pool:
    """A maximum over windows. Quantization is monotone, so it may be done before or after."""

    name: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    source: str
    dilations: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Affine:
    """Real numbers that are a scaled integer: real = clip(scale * (acc + correction) + offset, low, high), then pools.

    Attributes:
        tensor: the network tensor it is computed from (the first, if there are several).
        layer: what computes `acc` from the tensor; None: acc is the values of the tensor's codes themselves.
        shape: of `acc` after the pools, (H, W, C) or (C,).
        positions: of the ONNX tensor's elements in that shape.
        scale, offset: (C,) real.
        correction: (C,) integers: what zero points add to the accumulator.
        low, high: clip bounds, real.
        pools: maxima taken after all this; only with a layer.
        source: name of the ONNX tensor that these numbers are.
    """

    tensor: str
    layer: Layer | None
    shape: tuple[int, ...]
    positions: IntArray
    scale: FloatArray
    offset: FloatArray
    correction: IntArray
    low: float = -inf
    high: float = inf
    pools: tuple[Pool, ...] = ()
    source: str = ""

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def clipped(self) -> bool:
        return self.low > -inf or self.high < inf

    def tabulated(self, dtype: IntType) -> Mapped:
        """The same numbers by code; only without a layer.

        Args:
            dtype: of the tensor.
        """
        assert self.layer is None
        codes = dtype.values(np.arange(dtype.min, dtype.max + 1))
        alike = not np.ptp(self.scale) and not np.ptp(self.offset) and not np.ptp(self.correction)
        pick = slice(0, 1) if alike else slice(None)
        scale, offset = self.scale[pick, None].astype(np.float32), self.offset[pick, None].astype(np.float32)
        real = (codes + self.correction[pick, None]).astype(np.float32) * scale + offset
        clipped = np.clip(real, np.float32(self.low), np.float32(self.high)).astype(np.float32)
        return Mapped(self.tensor, self.shape, self.positions, clipped, self.source)

    def spread(self, channels: int) -> Affine:
        """The same numbers for another number of channels, where all channels are alike."""
        if channels == len(self.scale):
            return self
        return replace(
            self,
            scale=np.full(channels, self.scale[0]),
            offset=np.full(channels, self.offset[0]),
            correction=np.full(channels, self.correction[0]),
        )

    def affine(self, factor: FloatArray, shift: FloatArray) -> Affine:
        """After multiplication and addition of constants per channel.

        Args:
            factor, shift: (C,).
        """
        if self.pools and factor.min() < 0:
            raise Unsupported(
                "a negative factor after MaxPool turns the maximum into a minimum", "scale before the MaxPool"
            )
        low, high = self.low, self.high
        if self.clipped:
            if factor.min() != factor.max() or shift.min() != shift.max() or factor[0] <= 0:
                raise Unsupported(
                    "scaling or adding per channel after Relu or Clip without quantizing in between",
                    "quantize after the Relu, or swap the two (batch normalization before Relu)",
                )
            low, high = float(factor[0] * low + shift[0]), float(factor[0] * high + shift[0])
        return replace(self, scale=self.scale * factor, offset=self.offset * factor + shift, low=low, high=high)

    def clip(self, low: float, high: float) -> Affine:
        """After Relu or Clip."""
        return replace(self, low=min(max(self.low, low), high), high=max(min(self.high, high), low))


@dataclass(frozen=True, eq=False)
class Mapped:
    """Real numbers that are a function of a tensor's codes, one by one.

    Attributes:
        tensor: the network tensor.
        shape: of that tensor.
        positions: of the ONNX tensor's elements in it.
        table: (1, 2**bits) real values by code, least code first; (C, 2**bits) for a function per channel.
        source: name of the ONNX tensor that these numbers are.
    """

    tensor: str
    shape: tuple[int, ...]
    positions: IntArray
    table: npt.NDArray[np.float32]
    source: str = ""


@dataclass(frozen=True, eq=False)
class Joined:
    """Tensors behind each other that do not share a scale yet (what Concat returns).

    Attributes:
        parts: computed values, and constants.
        axis: of the ONNX tensor.
        positions: of the ONNX tensor's elements, numbered from 0 in its own order (there is no stream yet).
        source: name of the ONNX tensor.
    """

    parts: tuple[Affine | Mapped | Const, ...]
    axis: int
    positions: IntArray
    source: str = ""


@dataclass(frozen=True, eq=False)
class HostOutput:
    """What the host computes from the last tensor.

    Attributes:
        value: of the tensor that the host's operators start from.
        name: ONNX name of that tensor.
        ops: the host's operators; their shapes and axes are those of the ONNX tensors that they work on.
        positions: of the ONNX tensor's elements, numbered in its own order.
    """

    value: Affine | Codes | Mapped | Joined
    name: str
    ops: tuple[HostOp, ...]
    positions: IntArray


@dataclass(frozen=True)
class Unknown:
    """Result of a node that is already reported; what reads it is not reported again."""


Dynamic = GraphInput | Codes | Affine | Mapped | Joined
"""What is computed from the input."""

Value = Const | QuantConst | GraphInput | Codes | Affine | Mapped | Joined | HostOutput | Unknown
