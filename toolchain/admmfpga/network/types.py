"""Integer types and tensors: what travels on a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class IntType:
    """A two's complement (or unsigned) integer of 1 to 64 bits."""

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        assert 1 <= self.bits <= 64, self.bits

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @staticmethod
    def holding(low: int, high: int) -> IntType:
        """The narrowest type that holds every integer in [low, high]; signed when low < 0."""
        assert low <= high, (low, high)
        if low >= 0:
            return IntType(max(1, high.bit_length()), signed=False)
        return IntType(max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1, signed=True)

    @staticmethod
    def signed_holding(low: int, high: int) -> IntType:
        """The narrowest signed type that holds every integer in [low, high]."""
        return IntType.holding(min(low, -1), high)


@dataclass(frozen=True)
class Tensor:
    """An integer tensor of one frame, with the real numbers that its codes stand for.

    Attributes:
        name: unique in the network.
        shape: (H, W, C) for images, (C,) for vectors. Streams carry it in this order, C innermost.
        dtype: integer type of a code.
        scale: real value of one step; shape () or (C,) (per channel only on network outputs).
        zero_point: the code that means zero: real = scale * (code - zero_point).
        source: name of the same tensor in the ONNX model, "" if there is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: IntType
    scale: npt.NDArray[np.float64] = field(default_factory=lambda: np.array(1.0))
    zero_point: int = 0
    source: str = ""

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def elements(self) -> int:
        return prod(self.shape)

    def quantize(self, real: npt.NDArray[np.floating]) -> IntArray:
        """Real values to codes, as ONNX QuantizeLinear does it (float32 division, half to even, saturation)."""
        # QuantizeLinear divides in float32; the same here keeps ties on the same side.
        scaled = np.rint(real.astype(np.float32) / self.scale.astype(np.float32)).astype(np.float64)
        return np.clip(scaled + self.zero_point, self.dtype.min, self.dtype.max).astype(np.int64)

    def dequantize(self, codes: IntArray) -> npt.NDArray[np.float64]:
        """Codes to real values."""
        real: npt.NDArray[np.float64] = self.scale * (codes.astype(np.float64) - self.zero_point)
        return real
