"""Layers whose requantization is not known yet: what stands between a layer's inputs and the QuantizeLinear behind it.

Each knows the range of its accumulators and which node it becomes. `Affine` (in `values`) says what real numbers the
accumulators stand for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import frexp, prod

import numpy as np
import numpy.typing as npt

from admmfpga.frontend.problems import Unsupported
from admmfpga.network import (
    Add,
    AveragePool,
    Conv,
    Dense,
    IntArray,
    LocalResponseNorm,
    Multiply,
    Node,
    Requantization,
    Tensor,
    fixed_point,
    round_shift,
)
from admmfpga.network.graph import taps_inside
from admmfpga.network.ranges import sums_range
from admmfpga.network.requantization import MULTIPLIER_BITS
from admmfpga.network.types import FloatArray, IntType

Tensors = Callable[[str], Tensor]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A layer that computes integers from tensors.

    Attributes:
        name: of the ONNX node.
        inputs: network tensors that it reads.
        output: ONNX name of what it computes.
    """

    name: str
    inputs: tuple[str, ...]
    output: str

    kind = "layer"
    """Stem of the network node's name."""

    @abstractmethod
    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        """Per channel, (C,), the least and greatest accumulator."""

    @abstractmethod
    def node(self, name: str, requantization: Requantization) -> Node:
        """The network's node."""

    def negated(self, channels: Mask) -> Layer:
        """The layer with accumulators of the opposite sign where `channels` (a mask) says so.

        Raises:
            Unsupported: if it cannot.
        """
        raise Unsupported("a negative factor behind it", "fold it into a Conv or Gemm")

    def settled(
        self, tensors: Tensors, scale: FloatArray, target: float | None
    ) -> tuple[Layer, FloatArray, IntArray] | None:
        """Layers whose integers depend on the output's scale: the layer with them, its scale and correction.

        Args:
            tensors: of the network.
            scale: (C,) what the result is multiplied by.
            target: the output's scale; None for accumulators that nothing quantizes.
        """
        return None


@dataclass(frozen=True, eq=False)
class WeightLayer(Layer):
    """A convolution or matrix product.

    Attributes:
        weights: (O, KH, KW, I / groups) or (O, I) integers.
        sums: per output, the sum of the positive and the sum of the negative weights.
        strides, pads, pad_value, groups, dilations: as network.Conv; ignored for matrix products.
    """

    weights: IntArray = field(default_factory=lambda: np.zeros((1, 1), dtype=np.int64))
    sums: tuple[IntArray, IntArray] = field(default_factory=lambda: (np.zeros(1, dtype=np.int64),) * 2)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    groups: int = 1
    dilations: tuple[int, int] = (1, 1)

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "conv" if self.weights.ndim == 4 else "fc"

    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        return sums_range(*self.sums, tensors(self.inputs[0]).dtype)

    def node(self, name: str, requantization: Requantization) -> Node:
        if self.weights.ndim == 2:
            return Dense(name, self.inputs, f"{name}_out", self.weights, requantization)
        return Conv(
            name,
            self.inputs,
            f"{name}_out",
            self.weights,
            self.strides,
            self.pads,
            self.pad_value,
            requantization,
            self.groups,
            self.dilations,
        )

    def negated(self, channels: Mask) -> Layer:
        if int(self.weights[channels].min()) == -128:
            raise Unsupported(
                "a weight of -128 in a row with a negative scale, which would have to become +128",
                "quantize the weights to -127..127 (symmetric, narrow range)",
            )
        sign = np.where(channels, -1, 1)
        positive, negative = self.sums
        sums = (np.where(channels, -negative, positive), np.where(channels, -positive, negative))
        return replace(self, weights=self.weights * sign.reshape(-1, *[1] * (self.weights.ndim - 1)), sums=sums)

    def silenced(self, channels: Mask) -> WeightLayer:
        """The layer with no weights in some channels (a mask)."""
        weights = self.weights.copy()
        weights[channels] = 0
        positive, negative = self.sums
        return replace(self, weights=weights, sums=(np.where(channels, 0, positive), np.where(channels, 0, negative)))


@dataclass(frozen=True, eq=False)
class AverageLayer(Layer):
    """Sums over windows.

    Attributes:
        kernel, strides, pads, pad_value, dilations, counted: as network.AveragePool.
        size: (H, W) of the image.
    """

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    dilations: tuple[int, int] = (1, 1)
    counted: tuple[int, int, int, int] = (0, 0, 0, 0)
    size: tuple[int, int] = (1, 1)

    kind = "average"

    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        dtype, taps = tensors(self.inputs[0]).dtype, prod(self.kernel)
        return np.full(channels, dtype.min * taps), np.full(channels, dtype.max * taps)

    @property
    def ragged(self) -> bool:
        """Windows at the edge divide by fewer taps."""
        return self.pads != self.counted

    def node(self, name: str, requantization: Requantization) -> Node:
        node = AveragePool(
            name,
            self.inputs,
            f"{name}_out",
            self.kernel,
            self.strides,
            self.pads,
            self.pad_value,
            requantization,
            self.dilations,
            self.counted,
        )
        if not self.ragged:
            return node
        taps = prod(self.kernel)
        edges: dict[int, IntArray] = {}
        for count in np.unique(taps_inside(self.size, node)):
            if 0 < count < taps:
                edges[int(count)] = np.rint(requantization.multiplier * (taps / int(count))).astype(np.int64)
        return replace(node, edge_multipliers=edges)


@dataclass(frozen=True, eq=False)
class SumLayer(Layer):
    """A sum of dequantized tensors.

    Attributes:
        steps: (inputs,) real value of one code of each, signed.
        zero_points: (inputs,).
        multipliers: (inputs,) integers that stand for the steps, once settled.
    """

    steps: FloatArray = field(default_factory=lambda: np.ones(1))
    zero_points: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    multipliers: IntArray = field(default_factory=lambda: np.ones(1, dtype=np.int64))

    kind = "add"

    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        low = high = 0
        for name, factor in zip(self.inputs, self.multipliers, strict=True):
            dtype = tensors(name).dtype
            ends = (int(factor) * dtype.min, int(factor) * dtype.max)
            low, high = low + min(ends), high + max(ends)
        return np.full(channels, low), np.full(channels, high)

    def node(self, name: str, requantization: Requantization) -> Node:
        return Add(name, self.inputs, f"{name}_out", self.multipliers, requantization)

    def negated(self, channels: Mask) -> Layer:
        if not np.all(channels):
            return super().negated(channels)
        return replace(self, multipliers=-self.multipliers)

    def settled(self, tensors: Tensors, scale: FloatArray, target: float | None) -> tuple[Layer, FloatArray, IntArray]:
        """One multiplier a branch, so that nothing but a shift is left when all channels are scaled alike."""
        uniform = target is not None and np.ptp(scale) == 0 and scale[0] != 0
        factor = float(scale[0]) / target if uniform and target is not None else 1.0
        largest = float(np.max(np.abs(self.steps)))
        wanted = self.steps * factor if uniform else self.steps / largest
        multipliers, shift = _branch_multipliers(wanted)
        types = [tensors(name).dtype for name in self.inputs]
        if uniform and target is not None and len(types) == 2 and max(dtype.bits for dtype in types) <= 8:
            multipliers, shift = self._best_pair(types, scale[0], target, multipliers, shift)
        unit = 2.0**-shift / factor if uniform else largest * 2.0**-shift
        correction = -int(np.sum(multipliers * self.zero_points))
        return (
            replace(self, multipliers=multipliers),
            np.asarray(scale * unit, dtype=np.float64),
            np.full(len(scale), correction, dtype=np.int64),
        )

    def _best_pair(
        self, types: list[IntType], scale: float, target: float, multipliers: IntArray, shift: int
    ) -> tuple[IntArray, int]:
        """Of the multipliers around the nearest ones, those that agree with floating point on most pairs of codes.

        Ratios between calibrated scales are often within float rounding of a short fraction, which makes ties of many
        pairs; see `scaling.rescaling`.
        """
        codes = [np.arange(t.min, t.max + 1) - z for t, z in zip(types, self.zero_points, strict=True)]
        real = [c.astype(np.float32) * np.float32(s) for c, s in zip(codes, self.steps, strict=True)]
        summed = (real[0][:, None] + real[1][None]) * np.float32(scale)
        expected = np.rint(summed / np.float32(target)).astype(np.int64)
        ratio = self.steps * scale / target

        def wrong(pair: IntArray, at: int) -> int:
            total = codes[0][:, None] * pair[0] + codes[1][None] * pair[1]
            return int(np.count_nonzero(round_shift(total, at) != expected))

        best = (wrong(multipliers, shift), multipliers, shift)
        most = MULTIPLIER_BITS - frexp(float(np.max(np.abs(ratio))))[1]
        for at in range(min(max(most, 0), 61), max(most - 3, -1), -1):
            nearest = np.rint(ratio * 2.0**at).astype(np.int64)
            for first in (0, -1, 1):
                for second in (0, -1, 1):
                    if best[0] * 10000 < expected.size:
                        return best[1], best[2]
                    pair = nearest + np.array([first, second])
                    if np.all(np.abs(pair) < 2**MULTIPLIER_BITS):
                        found = wrong(pair, at)
                        best = min(best, (found, pair, at), key=lambda b: b[0])
        return best[1], best[2]


def _branch_multipliers(ratio: FloatArray) -> tuple[IntArray, int]:
    """Signed integers over one power of two; of the shifts that 17 bits allow, the one that meets the ratios best."""
    magnitude = np.abs(ratio)
    try:
        best, best_shift = fixed_point(magnitude, MULTIPLIER_BITS)
    except OverflowError as overflow:
        raise Unsupported("the output's scale is far too small for what is computed", "check the scales") from overflow
    most = MULTIPLIER_BITS - frexp(float(magnitude.max()))[1]
    least = float(np.max(np.abs(best * 2.0**-best_shift - magnitude)))
    for shift in range(max(most - 4, 0), max(min(most, 61), 0)):
        trial = np.rint(magnitude * 2.0**shift)
        missed = float(np.max(np.abs(trial * 2.0**-shift - magnitude)))
        if missed < least:
            best, best_shift, least = trial.astype(np.int64), shift, missed
    return np.where(ratio < 0, -best, best).astype(np.int64), best_shift


@dataclass(frozen=True, eq=False)
class ProductLayer(Layer):
    """A product of two dequantized tensors, zero points subtracted."""

    zero_points: tuple[int, int] = (0, 0)

    kind = "multiply"

    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        ends = []
        for name, zero in zip(self.inputs, self.zero_points, strict=True):
            dtype = tensors(name).dtype
            ends.append((dtype.min - zero, dtype.max - zero))
        products = [a * b for a in ends[0] for b in ends[1]]
        return np.full(channels, min(products)), np.full(channels, max(products))

    def node(self, name: str, requantization: Requantization) -> Node:
        return Multiply(name, self.inputs, f"{name}_out", self.zero_points, requantization)


TABLE_ERROR = 2.0**-12
"""Greatest relative error that the steps of a table of factors may add."""

LARGEST_TABLE = 1 << 14


@dataclass(frozen=True, eq=False)
class ResponseLayer(Layer):
    """Local response normalization: codes times a factor that depends on the energy of the neighbouring channels.

    Attributes:
        before, after: channels of the neighbourhood.
        zero_point, step: of the input.
        alpha, beta, bias: as ONNX LRN; alpha is divided by its size already.
    """

    before: int = 0
    after: int = 0
    zero_point: int = 0
    step: float = 1.0
    alpha: float = 0.0
    beta: float = 0.75
    bias: float = 1.0
    table: IntArray = field(default_factory=lambda: np.ones(1, dtype=np.int64))
    table_shift: int = 0

    kind = "lrn"

    def range(self, tensors: Tensors, channels: int) -> tuple[IntArray, IntArray]:
        dtype = tensors(self.inputs[0]).dtype
        return np.full(channels, dtype.min), np.full(channels, dtype.max)

    def factors(self, dtype: IntType) -> tuple[FloatArray, int]:
        """Real factors by energy, and how many bits of the energy they do not see."""
        reach = max(dtype.max - self.zero_point, self.zero_point - dtype.min)
        most = (self.before + self.after + 1) * reach * reach
        slope = self.alpha * self.step**2

        # The factor is (bias + slope * energy) ** -beta, steepest (relative to itself) at energy 0.
        steepest = abs(self.beta) * abs(slope) / self.bias
        shift = 0
        while most >> shift >= LARGEST_TABLE or (most >> shift > 16 and steepest * 2.0**shift / 2 < TABLE_ERROR / 2):
            shift += 1
        if steepest * 2.0**shift / 2 > 2.0**-7 and shift:
            raise Unsupported("its factor changes too fast for a table", "retrain with BatchNormalization in its place")
        energy = np.arange((most >> shift) + 1, dtype=np.float64) * 2.0**shift + (2.0**shift - 1) / 2
        base: FloatArray = self.bias + slope * energy
        if np.any(base <= 0):
            raise Unsupported("its divisor is not positive for all inputs", "check alpha and bias")
        return np.power(base, -self.beta, dtype=np.float64), shift

    def node(self, name: str, requantization: Requantization) -> Node:
        return LocalResponseNorm(
            name,
            self.inputs,
            f"{name}_out",
            self.before,
            self.after,
            self.zero_point,
            self.table,
            self.table_shift,
            requantization,
        )
