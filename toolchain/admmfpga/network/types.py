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
    """A two's complement (or unsigned) integer of 1 to 64 bits.

    Attributes:
        bipolar: the codes 0 and 1 of one bit stand for -1 and +1. Codes are what streams and tensors hold; layers that
            multiply or add take `values`.
    """

    bits: int
    signed: bool
    bipolar: bool = False

    def __post_init__(self) -> None:
        assert 1 <= self.bits <= 64, self.bits
        assert not self.bipolar or (self.bits == 1 and not self.signed), self

    @property
    def min(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def least(self) -> int:
        """The value of the least code."""
        return -1 if self.bipolar else self.min

    @property
    def greatest(self) -> int:
        """The value of the greatest code."""
        return 1 if self.bipolar else self.max

    def values(self, codes: IntArray) -> IntArray:
        """What codes count as in sums and products."""
        return 2 * codes - 1 if self.bipolar else codes

    def code(self, value: int) -> int | None:
        """The code of a value; None if no code has it."""
        if self.bipolar:
            return (value + 1) // 2 if value in (-1, 1) else None
        return value if self.min <= value <= self.max else None

    def __str__(self) -> str:
        if self.bipolar:
            return "bipolar"
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


BIPOLAR = IntType(1, signed=False, bipolar=True)
"""{-1, +1} in one bit."""


@dataclass(frozen=True)
class Tensor:
    """An integer tensor of one frame, with the real numbers that its codes stand for.

    Attributes:
        name: unique in the network.
        shape: (H, W, C) for images, (C,) for vectors. Streams carry it in this order, C innermost.
        dtype: integer type of a code.
        scale: real value of one step; shape () or (C,) (per channel only on network outputs).
        zero_point: the value that means zero: real = scale * (value of the code - zero_point); 0 of bipolar tensors.
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
        """Real values to codes, as ONNX QuantizeLinear does it (float32 division, half to even, saturation).

        Bipolar: +1 from zero upwards, as QONNX BipolarQuant does it.
        """
        if self.dtype.bipolar:
            return (real >= 0).astype(np.int64)
        # QuantizeLinear divides in float32; the same here keeps ties on the same side.
        scaled = np.rint(real.astype(np.float32) / self.scale.astype(np.float32)).astype(np.float64)
        return np.clip(scaled + self.zero_point, self.dtype.min, self.dtype.max).astype(np.int64)

    def dequantize(self, codes: IntArray) -> npt.NDArray[np.float64]:
        """Codes to real values."""
        real: npt.NDArray[np.float64] = self.scale * (self.dtype.values(codes).astype(np.float64) - self.zero_point)
        return real
