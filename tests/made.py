"""Networks and designs that tests make themselves: small, random, reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admmfpga.blocks import BinaryPE, UnrolledPE, Window
from admmfpga.blocks.window import gather_lanes
from admmfpga.mapping import Design, Folding, build_design
from admmfpga.mapping.candidates import (
    finer_foldings,
    foldings,
    layer_layouts,
    layout_candidates,
    mixed,
    narrowed,
    unrolled_candidates,
)
from admmfpga.mapping.part import may_threshold
from admmfpga.mapping.support import hardware_nodes
from admmfpga.mapping.units import is_binary, is_tiny, other_indices
from admmfpga.network import (
    BIPOLAR,
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    Flatten,
    IntArray,
    IntType,
    Lookup,
    MaxPool,
    Network,
    Node,
    Pad,
    Requantization,
    Rescale,
    Resize,
    Tensor,
    compact,
    fixed_point,
    plain,
    requantization_of,
    window_positions,
)
from admmfpga.network.graph import output_shape, window_extent
from admmfpga.network.ranges import accumulator_type, weight_type


class NetworkMaker:
    """Builds a chain of layers with random weights, keeping track of shapes and types."""

    def __init__(self, shape: tuple[int, ...], dtype: IntType, rng: np.random.Generator, name: str = "made") -> None:
        self.rng = rng
        self.network = Network(name, ("input",), ())
        self.network.tensors["input"] = Tensor("input", shape, dtype)
        self.last = "input"

    @property
    def tensor(self) -> Tensor:
        return self.network.tensors[self.last]

    def _add(self, node: Node, shape: tuple[int, ...], dtype: IntType) -> NetworkMaker:
        self.network.nodes.append(node)
        self.network.tensors[node.output] = Tensor(node.output, shape, dtype)
        self.last = node.output
        return self

    def requantization(self, columns: int, channels: int, dtype: IntType, weight_bits: int) -> Requantization:
        """Scales that spread the accumulators over the output's range; now and then a clip as a Relu makes it."""
        rng, source = self.rng, self.tensor.dtype
        if dtype.bipolar:
            # A sign: what is not below the threshold is +1.
            half = int(np.sqrt(columns) * 2.0 ** (weight_bits - 1) * source.greatest / 2) + 1
            bias = rng.integers(-half, half, channels, endpoint=True)
            return Requantization(bias, np.ones(channels, dtype=np.int64), 0, 1, 0, 1, dtype)
        spread = np.sqrt(columns) * 2.0 ** (weight_bits - 1) * 2.0**source.bits / 3
        ratio = 2.0**dtype.bits / spread * rng.uniform(0.3, 1.0, channels)
        if rng.integers(4) == 0:
            ratio = np.full(channels, 2.0 ** np.round(np.log2(ratio[0])))
        multiplier, shift = fixed_point(ratio)
        bias = rng.integers(-int(spread / 4) - 1, int(spread / 4) + 2, channels)
        zero_point = int(rng.integers(dtype.min, dtype.max, endpoint=True)) if rng.integers(2) else 0
        low = max(dtype.min, zero_point) if rng.integers(2) else dtype.min
        return Requantization(bias, multiplier, shift, zero_point, low, dtype.max, dtype)

    def weights(self, *shape: int, bits: int) -> IntArray:
        if bits == 1:
            return self.rng.choice([-1, 1], shape)
        top = (1 << (bits - 1)) - 1
        return self.rng.integers(-top, top, shape, endpoint=True)

    def conv(
        self,
        channels: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dtype: IntType | None = None,
        bits: int = 8,
    ) -> NetworkMaker:
        source, dtype = self.tensor, dtype or IntType(8, False)
        height, width = window_positions(source.shape[:2], kernel, strides, pads)
        weights = self.weights(channels, *kernel, source.channels, bits=bits)
        rule = self.requantization(weights[0].size, channels, dtype, bits)
        name = f"conv{len(self.network.nodes)}"
        pad_value = int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True))
        node = Conv(name, (self.last,), f"{name}_out", weights, strides, pads, pad_value, rule)
        return self._add(node, (height, width, channels), dtype)

    def pool(
        self, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> NetworkMaker:
        source = self.tensor
        height, width = window_positions(source.shape[:2], kernel, strides, pads)
        name = f"pool{len(self.network.nodes)}"
        node = MaxPool(name, (self.last,), f"{name}_out", kernel, strides, pads)
        return self._add(node, (height, width, source.channels), source.dtype)

    def flatten(self) -> NetworkMaker:
        name = f"flatten{len(self.network.nodes)}"
        return self._add(Flatten(name, (self.last,), f"{name}_out"), (self.tensor.elements,), self.tensor.dtype)

    def dense(self, rows: int, dtype: IntType | None = None, bits: int = 8) -> NetworkMaker:
        dtype = dtype or IntType(8, False)
        weights = self.weights(rows, self.tensor.elements, bits=bits)
        rule = self.requantization(weights.shape[1], rows, dtype, bits)
        name = f"fc{len(self.network.nodes)}"
        return self._add(Dense(name, (self.last,), f"{name}_out", weights, rule), (rows,), dtype)

    def rescale(self, dtype: IntType) -> NetworkMaker:
        source = self.tensor
        channels = source.channels
        multiplier, shift = fixed_point(self.rng.uniform(0.2, 2.0, channels))
        bias = np.full(channels, -int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True)))
        rule = Requantization(bias, multiplier, shift, 0, dtype.min, dtype.max, dtype)
        name = f"rescale{len(self.network.nodes)}"
        return self._add(Rescale(name, (self.last,), f"{name}_out", rule), source.shape, dtype)

    def grouped(
        self,
        filters: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        dtype: IntType | None = None,
        groups: int | None = None,
    ) -> NetworkMaker:
        """A grouped convolution with as many output channels as input channels times `filters`.

        Args:
            groups: as many as channels if None.
        """
        source, dtype = self.tensor, dtype or IntType(8, False)
        groups = groups or source.channels
        height, width = window_positions(source.shape[:2], window_extent(kernel, dilations), strides, pads)
        rows = source.channels * filters
        weights = self.weights(rows, *kernel, source.channels // groups, bits=int(self.rng.integers(2, 9)))
        rule = self.requantization(weights[0].size, rows, dtype, 8)
        name = f"conv{len(self.network.nodes)}"
        pad_value = int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True))
        node = Conv(name, (self.last,), f"{name}_out", weights, strides, pads, pad_value, rule, groups, dilations)
        return self._add(node, (height, width, rows), dtype)

    def average(
        self,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dtype: IntType | None = None,
        *,
        count_pads: bool = True,
    ) -> NetworkMaker:
        """Average over windows; without `count_pads` those at the edges have multipliers of their own."""
        source, dtype = self.tensor, dtype or IntType(8, False)
        height, width = window_positions(source.shape[:2], kernel, strides, pads)
        channels, taps = source.channels, kernel[0] * kernel[1]
        multiplier, shift = fixed_point(np.full(channels, 2.0 ** (dtype.bits - source.dtype.bits) / taps))
        bias = np.full(channels, -taps * source.dtype.min)
        rule = Requantization(bias, multiplier, shift, 0, dtype.min, dtype.max, dtype)
        name = f"average{len(self.network.nodes)}"
        edges = {} if count_pads else {count: multiplier * taps // count for count in range(1, taps)}
        node = AveragePool(name, (self.last,), f"{name}_out", kernel, strides, pads, 0, rule, edge_multipliers=edges)
        return self._add(node, (height, width, channels), dtype)

    def lookup(self, dtype: IntType, *, per_channel: bool = False) -> NetworkMaker:
        source = self.tensor
        shape = (source.channels if per_channel else 1, 1 << source.dtype.bits)
        table = self.rng.integers(dtype.min, dtype.max, shape, endpoint=True)
        name = f"lookup{len(self.network.nodes)}"
        return self._add(Lookup(name, (self.last,), f"{name}_out", table, dtype), source.shape, dtype)

    def concat(self, *others: str, axis: int = 2) -> NetworkMaker:
        """The last tensor and others of its type behind each other."""
        names = (self.last, *others)
        name = f"concat{len(self.network.nodes)}"
        node = Concat(name, names, f"{name}_out", axis)
        return self._add(node, output_shape(node, [self.network.tensors[one] for one in names]), self.tensor.dtype)

    def resize(self, factors: tuple[int, int]) -> NetworkMaker:
        name = f"resize{len(self.network.nodes)}"
        node = Resize(name, (self.last,), f"{name}_out", factors)
        return self._add(node, output_shape(node, [self.tensor]), self.tensor.dtype)

    def pad(self, pads: tuple[int, int, int, int], spacing: tuple[int, int] = (1, 1)) -> NetworkMaker:
        name, source = f"pad{len(self.network.nodes)}", self.tensor
        value = int(self.rng.integers(source.dtype.min, source.dtype.max, endpoint=True))
        node = Pad(name, (self.last,), f"{name}_out", pads, value, spacing)
        return self._add(node, output_shape(node, [source]), source.dtype)

    def add(self, *others: str, dtype: IntType | None = None) -> NetworkMaker:
        """Sum of the last tensor and others of its shape."""
        dtype, names = dtype or IntType(8, False), (self.last, *others)
        types = [self.network.tensors[name].dtype for name in names]
        factors = self.rng.integers(1, 1 << int(self.rng.integers(1, 12)), len(names))
        factors *= self.rng.choice([1, 1, -1], len(names))
        reach = float(sum(abs(f) * 2.0**t.bits for f, t in zip(factors.tolist(), types, strict=True)))
        channels = self.tensor.channels
        multiplier, shift = fixed_point(2.0**dtype.bits / reach * self.rng.uniform(0.5, 2.0, channels))
        if self.rng.integers(2):
            multiplier, shift = np.ones(channels, dtype=np.int64), max(0, round(np.log2(reach)) - dtype.bits)
        bias = self.rng.integers(-int(reach / 4) - 1, int(reach / 4) + 2, channels)
        rule = Requantization(bias, multiplier, shift, 0, dtype.min, dtype.max, dtype)
        name = f"add{len(self.network.nodes)}"
        return self._add(Add(name, names, f"{name}_out", factors, rule), self.tensor.shape, dtype)

    def done(self) -> Network:
        self.network.outputs = (self.last,)
        self.network.verify()
        return self.network


def lenet5(rng: np.random.Generator) -> Network:
    """LeNet-5 (20-50-500-10) with random 8-bit weights."""
    maker = NetworkMaker((28, 28, 1), IntType(8, False), rng, "lenet5")
    maker.conv(20, (5, 5)).pool((2, 2), (2, 2)).conv(50, (5, 5)).pool((2, 2), (2, 2)).flatten()
    return maker.dense(500).dense(10, IntType(8, True)).done()


def random_type(rng: np.random.Generator) -> IntType:
    return IntType(int(rng.integers(2, 9)), bool(rng.integers(2)))


def random_network(rng: np.random.Generator) -> Network:
    """One to five layers of random kinds, shapes, widths, strides and padding; small enough for RTL simulation."""
    if rng.integers(4) == 0:
        maker = NetworkMaker((int(rng.integers(1, 25)),), random_type(rng), rng)
    else:
        height, width, channels = (int(v) for v in rng.integers([1, 1, 1], [10, 10, 7]))
        maker = NetworkMaker((height, width, channels), random_type(rng), rng)
        for _ in range(rng.integers(1, 4)):
            _random_image_layer(maker, rng)
        maker.flatten()
    if rng.integers(3) or len(maker.tensor.shape) == 3:
        for _ in range(rng.integers(1, 3)):
            maker.dense(int(rng.integers(1, 13)), random_type(rng), bits=int(rng.integers(2, 9)))
    if not any(node.op != "Flatten" for node in maker.network.nodes):
        maker.dense(3)
    return maker.done()


def _random_image_layer(maker: NetworkMaker, rng: np.random.Generator) -> None:
    height, width, _ = maker.tensor.shape
    kernel = tuple(int(rng.integers(1, min(4, size + 2))) for size in (height, width))
    pads = [int(rng.integers(0, k)) for k in (*kernel, *kernel)]
    for axis, size in enumerate((height, width)):
        while size + pads[axis] + pads[axis + 2] < kernel[axis]:
            pads[axis if pads[axis] <= pads[axis + 2] else axis + 2] += 1
    strides = tuple(int(v) for v in rng.integers(1, 4, 2))
    kind = rng.integers(8)
    if kind == 0:
        maker.rescale(random_type(rng))
    elif kind <= 2:
        maker.pool(kernel, strides, tuple(pads))
    else:
        maker.conv(
            int(rng.integers(1, 9)), kernel, strides, tuple(pads), random_type(rng), bits=int(rng.integers(2, 9))
        )


def random_graph(rng: np.random.Generator) -> Network:
    """A few layers with branches: sums and joins around one or two layers, layers of all other kinds, a dense layer."""
    height, width, channels = (int(v) for v in rng.integers([2, 2, 1], [8, 8, 6]))
    maker = NetworkMaker((height, width, channels), random_type(rng), rng)
    if rng.integers(2):
        _random_image_layer(maker, rng)
    for _ in range(int(rng.integers(1, 3))):
        _random_shortcut(maker, rng)
        _random_other_layer(maker, rng)
    maker.flatten()
    if rng.integers(2):
        maker.dense(int(rng.integers(1, 9)), random_type(rng), bits=int(rng.integers(2, 9)))
    return maker.done()


def _random_other_layer(maker: NetworkMaker, rng: np.random.Generator) -> None:
    """A layer that is no matrix product."""
    height, width, channels = maker.tensor.shape
    kind = rng.integers(8)
    pads = (1, 1, 1, 1)
    if kind == 0:
        maker.grouped(int(rng.integers(1, 3)), (3, 3), pads=pads, dtype=random_type(rng))
    elif kind == 1:
        maker.average((height, width), dtype=random_type(rng))
    elif kind == 2:
        maker.average((min(3, height), min(3, width)), (2, 1), dtype=random_type(rng))
    elif kind == 3:
        maker.average((3, 3), pads=pads, dtype=random_type(rng), count_pads=False)
    elif kind == 4:
        maker.lookup(random_type(rng), per_channel=bool(rng.integers(2)))
    elif kind == 5:
        maker.resize(tuple(int(v) for v in rng.integers(1, 3, 2)))
    elif kind == 6:
        maker.pad(tuple(int(v) for v in rng.integers(0, 3, 4)), tuple(int(v) for v in rng.integers(1, 3, 2)))
    else:
        dilations = (2, 1) if height > 1 else (1, 2)
        groups = [g for g in (2, 3, channels) if channels % g == 0]
        maker.grouped(1, (2, 2), pads=pads, dilations=dilations, groups=groups[0], dtype=random_type(rng))


def _random_shortcut(maker: NetworkMaker, rng: np.random.Generator) -> None:
    """Convolutions that keep the size, and a sum with what they started from."""
    start, branches = maker.last, []
    for _ in range(int(rng.integers(1, 3))):
        kernel = tuple(int(v) for v in rng.choice([1, 3], 2))
        pads = (kernel[0] // 2, kernel[1] // 2) * 2
        last = maker.tensor.channels if rng.integers(2) else int(rng.integers(1, 6))
        maker.conv(last, kernel, (1, 1), pads, random_type(rng), bits=int(rng.integers(2, 9)))
        branches.append(maker.last)
    joined = maker.tensor
    same = [one for one in (start, *branches[:-1]) if maker.network.tensors[one].shape == joined.shape]
    if not same:
        end = maker.last
        maker.last = start
        maker.conv(joined.channels, (1, 1), dtype=random_type(rng))
        same, maker.last = [maker.last], end
    if rng.integers(3):
        maker.add(*same[: int(rng.integers(1, 3))], dtype=random_type(rng))
        return
    # A join wants one type.
    dtype = random_type(rng)
    maker.rescale(dtype)
    end, names = maker.last, []
    for name in same[: int(rng.integers(1, 3))]:
        maker.last = name
        names.append(maker.rescale(dtype).last)
    maker.last = end
    maker.concat(*names, axis=int(rng.integers(3)))


def pruned(network: Network, rng: np.random.Generator) -> Network:
    """The network with random rows, columns and input channels of its weights set to zero; now and then all of them."""
    nodes: list[Node] = []
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            rows, columns, channels = (rng.random(n) < rng.choice([0.0, 0.4, 0.8]) for n in _pruned_shape(node))
            weights = node.weights.copy()
            weights[rows] = 0
            weights[..., channels] = 0
            weights.reshape(len(weights), -1)[:, columns] = 0
            if rng.integers(12) == 0:
                weights[:] = 0
            rule = node.requantization
            if rng.integers(3) == 0:
                # Pruned rows give the padding's code after a Relu, mostly.
                rule = replace(rule, bias=np.where(rows, 0, rule.bias), zero_point=0, low=0)
            node = replace(node, weights=weights, requantization=rule)
            if isinstance(node, Conv) and rng.integers(2):
                node = replace(node, pad_value=0)
        nodes.append(node)
    result = replace(network, nodes=nodes)
    result.verify()
    return result


def _pruned_shape(node: Conv | Dense) -> tuple[int, int, int]:
    return *node.matrix.shape, node.weights.shape[-1]


def unrolled(matrix: IntArray, source: IntType, *, vectors: int, out_depth: int = 2) -> UnrolledPE:
    """A constant matrix in logic."""
    return UnrolledPE(
        rows=len(matrix),
        columns=matrix.shape[1],
        vectors=vectors,
        matrix=tuple(map(tuple, matrix.tolist())),
        in_bits=source.bits,
        in_signed=source.signed,
        weight_bits=weight_type(matrix).bits,
        acc_bits=accumulator_type(matrix, source).bits,
        out_depth=out_depth,
    )


def random_gather(block: Window, rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
    """A gather list of random kept taps, padding among them; now and then a group without any."""
    density = rng.choice([0.1, 0.4, 0.9, 1.0])
    kept = [np.flatnonzero(rng.random(block.taps) < density).tolist() for _ in range(block.groups)]
    if rng.integers(3) == 0:
        kept[rng.integers(block.groups)] = []
    if not any(kept):
        kept[rng.integers(block.groups)] = [int(rng.integers(block.taps))]
    found = gather_lanes(kept, max(map(len, kept)) + int(rng.integers(0, 2)))
    padding = rng.integers(0, block.taps, found.shape)
    lists = np.where(found < 0, padding, found).tolist()
    return tuple(tuple(taps) if some else () for taps, some in zip(lists, kept, strict=True))


def random_foldings(network: Network, rng: np.random.Generator, *, packed: bool = True) -> dict[str, Folding]:
    """A random folding for every layer.

    Args:
        packed: rows may share DSP blocks.
    """
    chosen = {}
    for node in hardware_nodes(network):
        options = [one for one in foldings(network, node) if packed or one.pack == 1]
        chosen[node.name] = options[rng.integers(len(options))]
    return chosen


def random_design(rng: np.random.Generator, *, packed: bool = True) -> Design:
    network = random_network(rng)
    return build_design(network, random_foldings(network, rng, packed=packed))


def random_graph_design(rng: np.random.Generator) -> Design:
    """A random network with branches, under a random folding."""
    network = random_graph(rng)
    small = compact(plain(network))
    return build_design(small, random_foldings(small, rng), network)


def random_finer_design(rng: np.random.Generator) -> Design:
    """Foldings that need padding, and fewer rows requantized at a time than the PE array gives."""
    network, chosen = random_network(rng), {}
    for node in hardware_nodes(network):
        options = [*finer_foldings(network, node)] if rng.integers(4) else []
        options = options or [*foldings(network, node)]
        folding = options[rng.integers(len(options))]
        if isinstance(node, Conv | Dense) and rng.integers(4):
            folding = narrowed(folding, node.matrix.shape[1], len(node.weights)) or folding
            mixtures = [] if folding.pack > 1 or not folding.use_dsp else [*mixed(folding, 1, deep=False)]
            folding = mixtures[rng.integers(len(mixtures))] if mixtures else folding
        chosen[node.name] = folding
    return build_design(network, chosen)


def random_pruned_design(rng: np.random.Generator) -> Design:
    """A random network with pruned rows and columns, without what its result does not depend on."""
    network = pruned(random_network(rng), rng)
    small = compact(network)
    return build_design(small, random_foldings(small, rng), network)


def thinned(network: Network, rng: np.random.Generator) -> Network:
    """The network with random masks on its weights: from all to none, with rows and columns that are gone."""
    nodes: list[Node] = []
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            mask = rng.random(node.matrix.shape) < rng.choice([0.05, 0.2, 0.5, 1.0])
            mask[rng.random(len(mask)) < rng.choice([0.0, 0.3])] = False
            mask[:, rng.random(mask.shape[1]) < rng.choice([0.0, 0.5])] = False
            if not mask.any():
                mask[0, 0] = True
            node = replace(node, weights=node.weights * mask.reshape(node.weights.shape))
        nodes.append(node)
    return Network(network.name, network.inputs, network.outputs, network.tensors, nodes)


def random_sparse_design(rng: np.random.Generator) -> Design:
    """Pruned layers on index-decoding PEs of random layouts, formats and memories; now and then a dense one."""
    original = thinned(random_network(rng), rng)
    network = compact(original)
    chosen = random_foldings(network, rng)
    for node in hardware_nodes(network):
        if isinstance(node, Conv | Dense) and rng.integers(4):
            lean = list(layer_layouts(network, node))
            layout = lean[rng.integers(len(lean))]
            others = [layout, *other_indices(layout, node.matrix)]
            options = layout_candidates(network, node, others[rng.integers(len(others))])
            if options:
                chosen[node.name] = options[rng.integers(len(options))].folding
    return build_design(network, chosen, original)


def random_unrolled_design(rng: np.random.Generator) -> Design:
    """A pruned network with layers in logic, others on PE arrays."""
    original = pruned(random_network(rng), rng)
    network = compact(original)
    chosen = random_foldings(network, rng)
    for node in hardware_nodes(network):
        if isinstance(node, Conv | Dense) and is_tiny(node.matrix) and rng.integers(4):
            options = unrolled_candidates(network, node)
            chosen[node.name] = options[rng.integers(len(options))].folding
    return build_design(network, chosen, original)


def binary(matrix: IntArray, source: IntType, *, vectors: int, pe: int, simd: int, out_depth: int = 2) -> BinaryPE:
    """An array for weights -1, 0 and +1."""
    bits = BinaryPE.bits_of(matrix)
    assert bits is not None
    return BinaryPE(
        rows=len(matrix),
        columns=matrix.shape[1],
        vectors=vectors,
        pe=pe,
        simd=simd,
        in_bits=source.bits,
        in_signed=source.signed,
        in_bipolar=source.bipolar,
        weight_bits=bits,
        acc_bits=accumulator_type(matrix, source).bits,
        use_dsp=False,
        out_depth=out_depth,
    )


def random_low_bit_network(rng: np.random.Generator) -> Network:
    """Bipolar activations, binary and ternary weights, now and then wider ones; pools and padding between."""
    first = (BIPOLAR, IntType(8, False), IntType(3, True))[rng.integers(3)]
    if rng.integers(3):
        maker = NetworkMaker(tuple(int(v) for v in rng.integers([4, 4, 1], [9, 9, 5])), first, rng, "low_bit")
        for _ in range(rng.integers(1, 3)):
            if min(maker.tensor.shape[:2]) < 2:
                break
            pads = tuple(int(v) for v in rng.integers(0, 2, 4)) if rng.integers(2) else (0, 0, 0, 0)
            maker.conv(int(rng.integers(1, 9)), (2, 2), (1, 1), pads, _low_bit_type(rng), bits=_low_bits(rng))
            if rng.integers(2) and min(maker.tensor.shape[:2]) >= 2:
                maker.pool((2, 2), (2, 2))
        maker.flatten()
    else:
        maker = NetworkMaker((int(rng.integers(1, 40)),), first, rng, "low_bit")
    for _ in range(rng.integers(0, 2)):
        maker.dense(int(rng.integers(1, 17)), _low_bit_type(rng), bits=_low_bits(rng))
    return maker.dense(int(rng.integers(1, 11)), IntType(8, True), bits=_low_bits(rng)).done()


def _low_bit_type(rng: np.random.Generator) -> IntType:
    return (BIPOLAR, BIPOLAR, IntType(int(rng.integers(1, 5)), bool(rng.integers(2))))[rng.integers(3)]


def _low_bits(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 1, 2, 3]))


def random_binary_design(rng: np.random.Generator) -> Design:
    """A low-bit network, now and then pruned, with its binary and ternary layers on binary PEs, most of them."""
    original = random_low_bit_network(rng)
    if rng.integers(3) == 0:
        original = pruned(original, rng)
    network = compact(original)
    chosen = random_foldings(network, rng)
    for node in hardware_nodes(network):
        rule = requantization_of(node)
        thresholds = rule is not None and may_threshold(rule) and bool(rng.integers(3))
        chosen[node.name] = replace(chosen[node.name], thresholds=thresholds)
        if isinstance(node, Conv | Dense) and is_binary(node.matrix) and rng.integers(4):
            chosen[node.name] = replace(chosen[node.name], kind="binary", use_dsp=False)
    return build_design(network, chosen, original)


def random_frames(network: Network, count: int, rng: np.random.Generator) -> IntArray:
    source = network.tensors[network.inputs[0]]
    return rng.integers(source.dtype.min, source.dtype.max, (count, *source.shape), endpoint=True)
