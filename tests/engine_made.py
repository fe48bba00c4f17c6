"""Small random networks with everything that the shared engine takes: branches, joins, groups, averages."""

from __future__ import annotations

import numpy as np

from admmfpga.engine.shape import EngineShape
from admmfpga.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    IntArray,
    IntType,
    LocalResponseNorm,
    Lookup,
    Network,
    Requantization,
    window_positions,
)
from made import NetworkMaker, random_type

SHAPES = (
    EngineShape(pe=8, simd=8, requant=4, positions=16, scratchpad=512, axi=4),
    EngineShape(pe=16, simd=8, requant=2, positions=9, scratchpad=700, axi=4),
    EngineShape(pe=16, simd=16, requant=8, positions=32, scratchpad=300, axi=8),
    EngineShape(pe=8, simd=8, requant=4, positions=12, scratchpad=130, axi=4),
)


class EngineMaker(NetworkMaker):
    """Adds layers that only the engine's tests need.

    Attributes:
        prunes: some layers lose weights.
        columns: share of columns, the same for all filters, that layers keep.
    """

    prunes = False
    columns = 1.0

    def at(self, name: str) -> EngineMaker:
        """The next layer reads this tensor."""
        self.last = name
        return self

    def weights(self, *shape: int, bits: int) -> IntArray:
        """Pruned are single weights, and blocks of input channels."""
        found = super().weights(*shape, bits=bits)
        if self.prunes and self.rng.integers(2):
            found = found * (self.rng.random(shape) < self.rng.choice([0.02, 0.1, 0.4]))
            found *= np.repeat(self.rng.random((*shape[:-1], -(-shape[-1] // 8))) < 0.7, 8, axis=-1)[..., : shape[-1]]
        if self.columns < 1:
            found = found * (self.rng.random(shape[1:]) < self.columns)
        return found

    def name(self, stem: str) -> str:
        return f"{stem}{len(self.network.nodes)}"

    def grouped(self, channels: int, groups: int, kernel: tuple[int, int], **window: tuple[int, ...]) -> EngineMaker:
        source = self.tensor
        strides, pads = window.get("strides", (1, 1)), window.get("pads", (0, 0, 0, 0))
        dilations = window.get("dilations", (1, 1))
        weights = self.weights(channels, *kernel, source.channels // groups, bits=8)
        dtype = IntType(8, bool(self.rng.integers(2)))
        rule = self.requantization(weights[0].size, channels, dtype, 8)
        name = self.name("conv")
        pad_value = int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True))
        node = Conv(name, (self.last,), f"{name}_out", weights, strides, pads, pad_value, rule, groups, dilations)
        height, width = window_positions(source.shape[:2], node.extent, strides, pads)
        self._add(node, (height, width, channels), dtype)
        return self

    def average(self, kernel: tuple[int, int], strides: tuple[int, int]) -> EngineMaker:
        source = self.tensor
        dtype = IntType(8, bool(self.rng.integers(2)))
        rule = self.scaled(source.channels, 1.0 / (kernel[0] * kernel[1]), dtype)
        name = self.name("average")
        node = AveragePool(name, (self.last,), f"{name}_out", kernel, strides, (0, 0, 0, 0), 0, rule)
        height, width = window_positions(source.shape[:2], kernel, strides, (0, 0, 0, 0))
        self._add(node, (height, width, source.channels), dtype)
        return self

    def scaled(self, channels: int, ratio: float, dtype: IntType) -> Requantization:
        shift = 18
        multiplier = np.full(channels, max(1, round(ratio * 2**shift)))
        bias = self.rng.integers(-300, 300, channels)
        return Requantization(bias, multiplier, shift, 0, dtype.min, dtype.max, dtype)

    def add(self, *names: str) -> EngineMaker:
        shape = self.network.tensors[names[0]].shape
        factors = self.rng.integers(-(1 << 16), 1 << 16, len(names))
        dtype = IntType(8, bool(self.rng.integers(2)))
        rule = Requantization(
            self.rng.integers(-(1 << 20), 1 << 20, shape[-1]), np.ones(shape[-1], dtype=np.int64), 16, 3, *_range(dtype)
        )
        name = self.name("add")
        self._add(Add(name, names, f"{name}_out", factors, rule), shape, dtype)
        return self

    def normalize(self, before: int, after: int) -> EngineMaker:
        """Local response normalization, with factors that fall as the energy grows."""
        source = self.tensor
        zero = int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True))
        reach = max(source.dtype.max - zero, zero - source.dtype.min)
        most = (before + after + 1) * reach * reach
        shift = max(0, most.bit_length() - int(self.rng.integers(2, 6)))
        entries = (most >> shift) + 1 - int(self.rng.integers(0, 2))
        dtype = IntType(8, bool(self.rng.integers(2)))
        table = np.rint(2**18 / (1 + np.arange(max(1, entries)) * self.rng.uniform(0.1, 1.0))).astype(np.int64)
        bias = np.full(source.channels, -zero)
        rule = Requantization(bias, np.full(source.channels, table.max()), 18, 0, *_range(dtype))
        name = self.name("lrn")
        node = LocalResponseNorm(name, (self.last,), f"{name}_out", before, after, zero, table, shift, rule)
        self._add(node, source.shape, dtype)
        return self

    def activation(self) -> EngineMaker:
        """Any function of one code."""
        source, name = self.tensor, self.name("table")
        dtype = random_type(self.rng)
        table = self.rng.integers(dtype.min, dtype.max, (1, 1 << source.dtype.bits), endpoint=True)
        self._add(Lookup(name, (self.last,), f"{name}_out", table, dtype), source.shape, dtype)
        return self

    def concat(self, *names: str) -> EngineMaker:
        shapes = [self.network.tensors[n].shape for n in names]
        name = self.name("concat")
        shape = (*shapes[0][:2], sum(s[2] for s in shapes))
        self._add(Concat(name, names, f"{name}_out", 2), shape, self.network.tensors[names[0]].dtype)
        return self


def _range(dtype: IntType) -> tuple[int, int, IntType]:
    return dtype.min, dtype.max, dtype


def random_engine_network(rng: np.random.Generator) -> Network:
    """A few layers, branches among them."""
    height, width = (int(v) for v in rng.integers(3, 12, 2))
    maker = EngineMaker((height, width, int(rng.integers(1, 20))), random_type(rng), rng)
    maker.prunes = True
    maker.columns = float(rng.choice([1.0, 1.0, 0.4]))
    if rng.integers(2):
        maker.conv(int(rng.integers(1, 30)), (3, 3), (int(rng.integers(1, 3)), 1), (1, 1, 1, 1))
    for _ in range(int(rng.integers(1, 4))):
        _random_layer(maker, rng)
    if rng.integers(2):
        maker.flatten().dense(int(rng.integers(1, 20)), IntType(8, True))
    return maker.done()


def _random_layer(maker: EngineMaker, rng: np.random.Generator) -> None:
    height, width, channels = maker.tensor.shape
    before = maker.last
    kernel = tuple(int(rng.integers(1, min(4, n + 1))) for n in (height, width))
    pads = tuple(int(rng.integers(0, k)) for k in (*kernel, *kernel))
    strides = tuple(int(v) for v in rng.integers(1, 4, 2))
    match int(rng.integers(12)):
        case 0:
            maker.conv(int(rng.integers(1, 40)), kernel, strides, pads)
        case 1:
            maker.pool(kernel, strides, pads)
        case 2:
            maker.average(kernel, strides)
        case 3:
            maker.grouped(channels, channels, kernel, strides=strides, pads=pads)
        case 4:
            groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
            dilations = (2, 1) if height + pads[0] + pads[2] > 2 * (kernel[0] - 1) else (1, 1)
            maker.grouped(groups * int(rng.integers(1, 5)), groups, kernel, pads=pads, dilations=dilations)
        case 5 | 8 | 9:
            maker.conv(channels, (1, 1))
            maker.add(before, maker.last)
        case 6:
            first = maker.conv(int(rng.integers(1, 20)), (1, 1)).last
            second = maker.at(before).conv(int(rng.integers(1, 20)), (1, 1), dtype=maker.tensor.dtype).last
            if maker.network.tensors[first].dtype == maker.network.tensors[second].dtype:
                joined = maker.concat(first, second).last
                if rng.integers(2):
                    maker.concat(joined, second if rng.integers(2) else first)
        case 7:
            maker.rescale(random_type(rng))
        case 11:
            maker.activation()
        case 10:
            maker.normalize(int(rng.integers(0, 4)), int(rng.integers(0, 4)))


def random_frames(network: Network, count: int, rng: np.random.Generator) -> IntArray:
    source = network.tensors[network.inputs[0]]
    return rng.integers(source.dtype.min, source.dtype.max, (count, *source.shape), endpoint=True)
