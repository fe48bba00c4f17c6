"""Every way to build a layer, with cycles and resources: what the search for foldings chooses from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil, gcd

import numpy as np

from admmfpga.blocks import (
    BinaryPE,
    Block,
    CsrPE,
    DensePE,
    Port,
    Requantize,
    Resources,
    Threshold,
    UnrolledPE,
    Window,
)
from admmfpga.blocks.families import family
from admmfpga.errors import UserError
from admmfpga.mapping import other_layers
from admmfpga.mapping.folding import Candidate, Folding, divisors, pareto
from admmfpga.mapping.gather import PADDING, Gather, KeptColumns, all_columns, kept_columns, parts_of
from admmfpga.mapping.part import Part, between, may_threshold, window_of
from admmfpga.mapping.parts import deal_behind, filled_columns, gathers_for, is_pointwise, parts
from admmfpga.mapping.pixels import PIXELS, able, filled_rows, grouped, spread, spread_window
from admmfpga.mapping.units import (
    KINDS,
    RELOADABLE_KINDS,
    is_binary,
    is_sparse,
    is_tiny,
    layouts,
    least_steps,
    multiplier_forms,
    other_indices,
)
from admmfpga.network import Conv, Dense, Network, Node, requantization_of
from admmfpga.packing import LaneLayout

MAX_MULTIPLIERS = 4096
"""Foldings beyond this many multipliers a layer are not considered: no board here holds them."""

MIXED = 48, 1024
"""Multipliers of a layer from which on, and up to which, some rows may be built otherwise than the others: fewer make
no difference to a board, more would not fit."""

SHARES = 8
"""Shares of rows that are tried, equal steps."""

DEEP = 256
"""Words beyond which weights are not moved from block RAM to LUTs."""

NEAR = 0.75
"""Cycles of foldings that are mixed, as a share of the frame interval: faster ones are not worth it."""

SLACK = 2
"""How much faster than the interval a layer must be to be left at a pixel at a time."""

ARRAYS = {DensePE.kind, BinaryPE.kind}
"""Kinds of PEs that are folded arrays."""

FAR = 4
"""How much faster than the interval a form of several pixels is, beyond which no more pixels are tried."""

WIDENED = {"dense", "unrolled"}
"""Kinds of PEs that take several pixels at a time."""

FINE = 1.1
"""Ratio between the sizes of SIMD that are tried besides those that need no padding."""

FILLED = 1.125
"""Multipliers times steps of foldings that are filled up, as a multiple of the products: beyond it there are others."""

CLEARLY = 0.97
"""Multipliers of a folding as a share of another one's: with so many it is cheaper, however they are arranged."""


Made = MutableMapping[tuple[str, str, str], list[Candidate]]
"""Candidates of a compact network by layer name, kind of PE and FPGA family: they do not depend on the board."""


def foldings(network: Network, node: Node) -> Iterable[Folding]:
    """Every folding that a layer can take."""
    source = network.input_of(node)
    match node:
        case Conv() if node.depthwise:
            yield from other_layers.foldings(network, node)
        case Conv() | Dense() if kept := kept_columns(node):
            yield from _gathered_foldings(network, node, kept)
        case Conv() if not is_pointwise(node):
            taps, forms = node.kernel[0] * node.kernel[1], multiplier_forms(node.matrix, source.dtype)
            for channels in divisors(source.channels):
                for simd in divisors(taps * channels):
                    # The same SIMD with fewer window channels is the same work on less hardware, unless the window
                    # unit limits; Pareto filtering decides.
                    yield from _matrix_foldings(len(node.weights), simd, channels, forms)
        case Conv() | Dense():
            forms = multiplier_forms(node.matrix, source.dtype)
            for simd in divisors(node.matrix.shape[1]):
                yield from _matrix_foldings(len(node.weights), simd, 1, forms)
        case _:
            yield from other_layers.foldings(network, node)


@dataclass(frozen=True)
class _Columns:
    """A way to work on the columns of a layer.

    Attributes:
        steps: of a vector.
        filled: whether some columns of the array have nothing to do in some steps.
        lanes: of the beats that are brought, and of those that are kept to be dealt out: what it takes in front of the
            array.
    """

    steps: int
    simd: int
    channels: int = 1
    lanes: int = 0
    dealt: int = 0
    filled: bool = False


@dataclass(frozen=True)
class _Shape:
    """An array for a layer.

    Attributes:
        steps: of a vector, all rows.
    """

    pe: int
    columns: _Columns
    steps: int

    @property
    def multipliers(self) -> int:
        return self.pe * self.columns.simd


def finer_foldings(network: Network, node: Node, cycles: range | None = None) -> Iterator[Folding]:
    """More foldings of a dense PE: row groups, beats or vectors are filled up, or a vector's first beats are dealt
    out to the others.

    Args:
        cycles: a frame, of those that are wanted, and only such as may be worth it. None: all there are.
    """
    if not isinstance(node, Conv | Dense) or (isinstance(node, Conv) and node.depthwise):
        return
    output, rows = network.output_of(node), len(node.weights)
    forms = multiplier_forms(node.matrix, network.input_of(node).dtype)
    vectors = output.elements // output.channels
    groups = {-(-rows // count): count for count in range(rows, 0, -1)}
    shapes = [
        _Shape(pe, columns, count * columns.steps)
        for columns in _finer_columns(network, node)
        for pe, count in groups.items()
        if pe * columns.simd <= MAX_MULTIPLIERS and (cycles is None or vectors * count * columns.steps in cycles)
    ]
    filled = [shape for shape in shapes if shape.columns.filled or rows % shape.pe]
    if cycles is not None:
        filled = list(_worth(filled, shapes, rows * max(1, int(node.matrix.any(axis=0).sum()))))
    for shape in filled:
        yield from _finer_forms(rows, shape.pe, shape.columns, forms)


def _worth(filled: Sequence[_Shape], shapes: Sequence[_Shape], products: int) -> Iterator[_Shape]:
    """Those that spend little of the array on what fills up, and that no other shape beats: as fast, with no more in
    front of it, and the same array or one that is clearly smaller."""
    rivals = np.array([(one.steps, one.columns.lanes, one.multipliers, one.pe) for one in shapes])
    for shape in filled:
        steps, lanes, multipliers, pe = shape.steps, shape.columns.lanes, shape.multipliers, shape.pe
        near = rivals[(rivals[:, 0] <= steps) & (rivals[:, 1] <= lanes)]
        same = (near[:, 2] == multipliers) & (near[:, 3] == pe) & ((near[:, 0] < steps) | (near[:, 1] < lanes))
        beaten = same.any() or (near[:, 2] <= CLEARLY * multipliers).any()
        if multipliers * steps <= FILLED * products and not beaten:
            yield shape


def _finer_columns(network: Network, node: Conv | Dense) -> Iterator[_Columns]:
    source, kept = network.input_of(node), kept_columns(node)
    if kept:
        for channels in divisors(source.channels):
            for simd in kept.simd(channels):
                brought = kept.beats(channels, simd)
                assert brought is not None
                yield _Columns(brought.columns // simd, simd, channels, brought.lanes)
        return
    if isinstance(node, Dense) or is_pointwise(node):
        columns = node.matrix.shape[1]
        for simd in parts_of(columns, FINE):
            yield _Columns(-(-columns // simd), simd, filled=columns % simd > 0)
        return
    taps = node.kernel[0] * node.kernel[1]
    every = all_columns(taps, source.channels)
    for channels in divisors(source.channels):
        lanes, beats = taps * channels, source.channels // channels
        for simd in parts_of(lanes, FINE):
            if lanes % simd == 0 or every.gathers(channels):
                yield _Columns(beats * -(-lanes // simd), simd, channels, lanes, filled=lanes % simd > 0)
        for stored in range(1, beats // 2 + 1):
            wide = lanes - (-stored * lanes // (beats - stored))
            for simd in parts_of(wide, FINE):
                if -(-wide // simd) * simd - lanes <= stored * lanes:
                    steps = (beats - stored) * -(-wide // simd)
                    yield _Columns(steps, simd, channels, wide + stored * lanes, stored, filled=True)


def _finer_forms(rows: int, pe: int, columns: _Columns, forms: Sequence[tuple[bool, int]]) -> Iterator[Folding]:
    for use_dsp, pack in forms:
        if pe % pack == 0:
            for weight_block_ram in (True, False):
                folding = Folding(
                    pe, columns.simd, columns.channels, use_dsp, weight_block_ram, pack=pack, dealt=columns.dealt
                )
                # What fills a row group up is dropped on the way to fewer rows at a time.
                found = narrowed(folding, columns.simd * columns.steps, rows) if rows % pe else folding
                if found is not None:
                    yield found


def _gathered_foldings(network: Network, node: Conv | Dense, kept: KeptColumns) -> Iterable[Folding]:
    rows, output = len(node.weights), network.output_of(node)
    vectors = output.elements // output.channels
    source = network.input_of(node)
    forms = multiplier_forms(node.matrix, source.dtype)
    pixels = source.elements // source.channels
    widths = divisors(source.channels)
    for narrower, channels in zip((0, *widths), widths, strict=False):
        for simd in kept.simd(channels):
            beats = kept.beats(channels, simd)
            assert beats is not None
            for folding in _matrix_foldings(rows, simd, channels, forms):
                # Without taps nothing but speed asks for more channels at a time than keep up with the PE array.
                cycles = vectors * (rows // folding.pe) * (beats.columns // simd)
                if narrower and kept.mask.shape[0] == 1 and pixels * kept.groups(narrower) <= cycles:
                    continue
                yield folding


def _matrix_foldings(rows: int, simd: int, channels: int, forms: Sequence[tuple[bool, int]]) -> Iterable[Folding]:
    for pe in divisors(rows):
        if pe * simd <= MAX_MULTIPLIERS:
            # A DSP block each, as many to one as divide the rows, and none.
            most = max(pack for _, pack in forms if pe % pack == 0)
            for use_dsp, pack in forms:
                if pack in (1, most):
                    for weight_block_ram in (True, False):
                        yield Folding(pe, simd, channels, use_dsp, weight_block_ram, pack=pack)


def candidates(
    network: Network, node: Node, kinds: Collection[str] = KINDS, made: Made | None = None
) -> list[Candidate]:
    """Pareto-optimal ways to build a layer; arguments and errors as `candidates_by_kind`."""
    return pareto([one for options in candidates_by_kind(network, node, kinds, made).values() for one in options])


_UNFIT = {
    "unrolled": "has too many weights to be built of logic",
    "binary": "has weights other than -1, 0 and +1",
}
"""Why a kind of PE cannot build a layer."""


def candidates_by_kind(
    network: Network, node: Node, kinds: Collection[str] = KINDS, made: Made | None = None
) -> dict[str, list[Candidate]]:
    """Ways to build a layer, Pareto-optimal among those on the same kind of PE.

    Args:
        kinds: of PEs that may multiply.
        made: what is there of this network already is not made again, what is made is added.

    Raises:
        UserError: only PEs that the layer is too large for may multiply.
    """
    made = {} if made is None else made

    def once(kind: str, make: Callable[[], list[Candidate]]) -> list[Candidate]:
        key = node.name, kind, family().name
        if key not in made:
            made[key] = pareto(make())
        return made[key]

    if not isinstance(node, Conv | Dense) or (isinstance(node, Conv) and node.depthwise):
        return {"": once("", lambda: _other_candidates(network, node))}
    if network.budgets:
        kinds = [kind for kind in kinds if kind in RELOADABLE_KINDS]
        if not kinds:
            raise UserError(
                f"the PE chosen for {node.name} is none whose weights can be exchanged",
                f"take one of {', '.join(RELOADABLE_KINDS)}, or compile without --reloadable",
                node=node.name,
            )
    found = {}
    if "dense" in kinds:
        found["dense"] = once("dense", lambda: _dense_candidates(network, node))
    if "csr" in kinds and (is_sparse(node.matrix) or "dense" not in kinds):
        found["csr"] = once("csr", lambda: sparse_candidates(network, node))
    if "unrolled" in kinds and is_tiny(node.matrix):
        found["unrolled"] = once("unrolled", lambda: unrolled_candidates(network, node))
    if "binary" in kinds and is_binary(node.matrix):
        found["binary"] = once("binary", lambda: _dense_candidates(network, node, "binary"))
    if not found:
        reasons = [reason for kind, reason in _UNFIT.items() if kind in kinds]
        raise UserError(f"{node.name} {' and '.join(reasons)}", "choose another PE for this layer", node=node.name)
    return found


def _candidate(network: Network, node: Node, folding: Folding) -> Candidate:
    """A folding with what it costs, converters between its blocks included."""
    blocks: list[Block] = []
    for part in parts(network, node, folding):
        if part.filled and not blocks:
            blocks.append(part.filled.likely(part.block.source))
        if blocks:
            blocks.extend(between(blocks[-1], part.block))
        blocks.append(part.block)
    return Candidate(folding, *_total(blocks))


def _other_candidates(network: Network, node: Node) -> list[Candidate]:
    """Ways to build a layer that is no matrix product."""
    return [
        _candidate(network, node, replace(folding, thresholds=thresholds))
        for folding in foldings(network, node)
        for thresholds in _outputs(network, node)
    ]


class _Arrays:
    """A layer on folded arrays of one kind: what does not change with the folding is computed once.

    Args:
        before: blocks that stand in front whatever the folding is.
    """

    def __init__(
        self, network: Network, node: Conv | Dense, kind: str, thresholds: bool, before: Sequence[Block] = ()
    ) -> None:
        self._node, self._kept, self._before = node, kept_columns(node), before
        self._windows: dict[tuple[int, int], Window] = {}
        self._seen: dict[tuple[Block, ...], tuple[int, Resources]] = {}
        first = next(iter(foldings(network, node)))
        base = parts(network, node, replace(first, kind=kind, thresholds=thresholds))
        self._base = [_unpadded(part, node) for part in base] if self._kept else base

    def candidate(self, folding: Folding) -> Candidate:
        """A folding of the array, with what it costs."""
        kept = self._kept or filled_columns(self._node, folding)
        blocks = tuple(_refold(self._base, folding, kept, self._windows))
        if blocks not in self._seen:
            self._seen[blocks] = _total([*self._before, *blocks])
        return Candidate(folding, *self._seen[blocks])


def _dense_candidates(network: Network, node: Conv | Dense, kind: str = "dense") -> list[Candidate]:
    """Ways to build a layer on a folded array.

    Args:
        kind: of the array.
    """
    found = []
    columns = int(np.count_nonzero(node.matrix.any(axis=0)))
    options = [narrowed(each, columns, len(node.weights)) or each for each in foldings(network, node)]
    for thresholds in _outputs(network, node):
        arrays = _Arrays(network, node, kind, thresholds)
        found += [
            arrays.candidate(replace(each, kind=kind, thresholds=thresholds))
            for each in options
            if kind == each.kind or not each.use_dsp
        ]
    return found


class Refinement:
    """Adds what is only wanted near the interval that was found, since there is much of it.

    * Foldings of dense PEs whose PE or SIMD needs row groups or beats that are filled up, and those that requantize all
      rows at a time though fewer would do.
    * Foldings of dense PEs that have something of each: some rows in DSP blocks and the others in LUTs, weights of some
      rows in block RAM and the others' in LUTs.
    * Layers that take several pixels at a time, where one at a time is not much faster than the interval.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes = {node.name: node for node in network.nodes}
        self._arrays: dict[tuple[str, str, int, bool], _Arrays] = {}
        self._made: dict[tuple[str, Folding], list[Candidate]] = {}
        self._filled: dict[tuple[str, Folding], list[Candidate]] = {}
        self._wider: dict[tuple[str, str, int], list[Candidate]] = {}

    def __call__(self, layers: Mapping[str, Sequence[Candidate]], interval: int) -> dict[str, Sequence[Candidate]]:
        """The candidates, with more of them that take this frame interval or a little less.

        Args:
            layers: by layer name.
        """
        found = {}
        for name, options in layers.items():
            slow = interval < SLACK * min(c.cycles for c in options)
            wider = self._of_pixels(name, options, interval) if slow else []
            wider = [*wider, *self._finer(name, options, interval)]
            made = [
                mixture
                for one in (*options, *wider)
                if NEAR * interval <= one.cycles <= interval
                for mixture in (*self._mixtures(name, one.folding), *self._widened(name, one.folding))
            ]
            found[name] = pareto([*options, *wider, *made]) if wider or made else options
        return found

    def _finer(self, name: str, options: Sequence[Candidate], interval: int) -> list[Candidate]:
        """Foldings with row groups and beats that are filled up, where a layer may have a dense PE."""
        node = self._nodes[name]
        if not isinstance(node, Conv | Dense) or all(one.folding.kind != DensePE.kind for one in options):
            return []
        columns, found = int(np.count_nonzero(node.matrix.any(axis=0))), []
        for folding in finer_foldings(self._network, node, range(ceil(NEAR * interval), interval + 1)):
            key = name, folding
            if key not in self._filled:
                forms = [folding]
                if folding.lanes_out is None and (fewer := narrowed(folding, columns, len(node.weights))):
                    forms.append(fewer)
                both = [replace(one, thresholds=use) for one in forms for use in _outputs(self._network, node)]
                self._filled[key] = pareto([self._array(name, one).candidate(one) for one in both])
            found += self._filled[key]
        return pareto(found)

    def _widened(self, name: str, folding: Folding) -> list[Candidate]:
        """The folding of an array with as many rows requantized at a time as it gives."""
        node = self._nodes[name]
        if folding.kind not in ARRAYS or folding.lanes_out is None or folding.together:
            return []
        if isinstance(node, Conv | Dense) and folding.pixels == 1 and len(node.weights) % folding.pe:
            return []
        return [self._array(name, folding).candidate(replace(folding, lanes_out=None))]

    def _array(self, name: str, folding: Folding) -> _Arrays:
        key = name, folding.kind, folding.pixels, folding.thresholds
        if key not in self._arrays:
            before = self._before(name, folding.pixels)
            self._arrays[key] = _Arrays(*self._of(name, folding.pixels), folding.kind, folding.thresholds, before)
        return self._arrays[key]

    def _mixtures(self, name: str, folding: Folding) -> list[Candidate]:
        plain = folding.use_dsp and folding.pack == 1 and not folding.lut_rows and not folding.lut_weight_rows
        multipliers = folding.pe * folding.simd
        if folding.kind != DensePE.kind or not plain or not MIXED[0] <= multipliers <= MIXED[1]:
            return []
        if (name, folding) not in self._made:
            network, node = self._of(name, folding.pixels)
            forms = multiplier_forms(node.matrix, network.input_of(node).dtype)
            deep = node.matrix.size > DEEP * multipliers
            pack = max(pack for use_dsp, pack in forms if use_dsp)
            array = self._array(name, folding)
            self._made[name, folding] = pareto([array.candidate(one) for one in mixed(folding, pack, deep=deep)])
        return self._made[name, folding]

    def _of(self, name: str, pixels: int) -> tuple[Network, Conv | Dense]:
        """A layer as its PE sees it."""
        node = self._nodes[name]
        if isinstance(node, Conv) and pixels > 1:
            return grouped(self._network, node, pixels)
        assert isinstance(node, Conv | Dense), node
        return self._network, node

    def _before(self, name: str, pixels: int) -> list[Block]:
        """What fills rows up in front of a layer."""
        node = self._nodes[name]
        filled = filled_rows(self._network, node, pixels)
        source = self._network.input_of(node).dtype
        return [filled.likely(Port(filled.lanes, source.bits, source.signed))] if filled else []

    def _of_pixels(self, name: str, options: Sequence[Candidate], interval: int) -> list[Candidate]:
        """Forms that take several pixels at a time, up to the first one that is fast enough by far."""
        node, found = self._nodes[name], list[Candidate]()
        kinds = sorted({one.folding.kind for one in options} & WIDENED) if isinstance(node, Conv) else [""]
        for count in PIXELS if not self._network.budgets else ():
            if spread(self._network, node, count) is None:
                continue
            made = [one for kind in kinds for one in self._with_pixels(node, count, kind)]
            found += made
            if made and FAR * min(one.cycles for one in made) <= interval:
                break
        return pareto(found)

    def _with_pixels(self, node: Node, count: int, kind: str) -> list[Candidate]:
        """Forms of a layer that take so many pixels at a time, on one kind of PE."""
        key = node.name, kind, count
        if key not in self._wider:
            self._wider[key] = pareto([*self._whole(node, count, kind), *self._spread(node, count, kind)])
        return self._wider[key]

    def _whole(self, node: Node, count: int, kind: str) -> list[Candidate]:
        """Forms whose PE works on the grouped form too."""
        if not able(self._network, node, count):
            return []
        if not isinstance(node, Conv):
            channels = count * self._network.input_of(node).channels
            return [_candidate(self._network, node, Folding(channels=channels, pixels=count))]
        wide, whole = grouped(self._network, node, count)
        if kind == UnrolledPE.kind and not is_tiny(whole.matrix):
            return []
        cycles, resources = _total(self._before(node.name, count))
        return [
            Candidate(replace(one.folding, pixels=count), max(one.cycles, cycles), one.resources + resources)
            for one in candidates_by_kind(wide, whole, [kind])[kind]
        ]

    def _spread(self, node: Node, count: int, kind: str) -> list[Candidate]:
        """Forms on logic for fewer results at a time than come out of the window unit together, or for all where the
        grouped form does not go."""
        if not isinstance(node, Conv) or kind != UnrolledPE.kind:
            return []
        shape, output = spread(self._network, node, count), self._network.output_of(node)
        assert shape is not None, node
        columns = max(1, int(np.count_nonzero(node.matrix.any(axis=0))))
        found = []
        for together in divisors(shape.together):
            whole = together == shape.together and able(self._network, node, count)
            if whole or together * columns > MAX_MULTIPLIERS or not is_tiny(node.matrix, together):
                continue
            vectors, rows = output.elements // output.channels // together, together * len(node.weights)
            # As many rows requantized at a time as the PE gives, or as keep up with a vector's share of the frame.
            steps = spread_window(self._network, node, count).cycles / vectors
            enough = next(pe for pe in divisors(rows) if rows <= pe * max(1.0, steps))
            for pe in {enough, rows}:
                folding = Folding(
                    pe,
                    together * columns,
                    count * self._network.input_of(node).channels,
                    use_dsp=False,
                    weight_block_ram=False,
                    kind=UnrolledPE.kind,
                    pixels=count,
                    together=together,
                )
                found += [
                    _candidate(self._network, node, replace(folding, thresholds=thresholds))
                    for thresholds in _outputs(self._network, node)
                ]
        return found


def mixed(folding: Folding, pack: int, *, deep: bool) -> Iterator[Folding]:
    """A folding in DSP blocks with some of its rows in LUTs instead.

    Args:
        pack: rows that share a DSP block where they are in one.
        deep: weights are too many to have them in LUTs.
    """
    shared, steps = folding.pe // pack, min(folding.pe // pack, SHARES)
    for count in sorted({shared * step // steps for step in range(1, steps + 1)}):
        lut_rows = folding.pe - count * pack
        in_luts = {folding.pe * step // SHARES for step in range(SHARES)} | {lut_rows}
        for weights in sorted(in_luts) if folding.weight_block_ram and not deep else (0,):
            if lut_rows or weights:
                yield replace(folding, pack=pack, lut_rows=lut_rows, lut_weight_rows=weights)


def _outputs(network: Network, node: Node) -> tuple[bool, ...]:
    """Values of `Folding.thresholds`; where scales may be exchanged they are multiplied with."""
    rule = requantization_of(node)
    return (False, True) if rule is not None and may_threshold(rule) and not network.budgets else (False,)


def narrowed(folding: Folding, columns: int, rows: int) -> Folding | None:
    """The folding with as few rows requantized at a time as keep up with its dense PE array; None if that needs all, or
    if row groups are filled up and no number does.

    Args:
        columns: that have weights; 0 for a layer without weights.
        rows: of the layer.
    """
    if not columns:
        return None
    # A row group's accumulators come every so many cycles, padding left out: it only gives more time.
    steps = columns // folding.simd
    able = (lanes for lanes in divisors(gcd(folding.pe, rows)) if lanes * max(1, steps) >= folding.pe)
    lanes = next(able, folding.pe)
    return None if lanes == folding.pe else replace(folding, lanes_out=lanes)


def sparse_candidates(network: Network, node: Conv | Dense, interval: int | None = None) -> list[Candidate]:
    """Ways to build a layer on index-decoding PEs.

    Layouts with absolute indices first; those that are worth it are tried with the other index formats too.

    Args:
        interval: cycles per frame that are wanted: forms that cannot keep up are left out, and those that are several
            times too fast, unless all are. None: all.
    """
    output = network.output_of(node)
    vectors = output.elements // output.channels
    found = list(layer_layouts(network, node))
    if interval is not None:
        cycles = {one: vectors * least_steps(node.matrix, one) for one in found}
        slowest = max((count for count in cycles.values() if count <= interval), default=interval)
        found = [one for one, count in cycles.items() if min(interval, 4 * slowest - 1) < 4 * count <= 4 * interval]
    lean = pareto([one for layout in found for one in layout_candidates(network, node, layout)])
    kept = {one.folding.layout for one in lean if one.folding.layout is not None}
    others = {other for layout in kept for other in other_indices(layout, node.matrix)}
    for layout in sorted(others, key=str):
        lean += layout_candidates(network, node, layout)
    return lean


def layer_layouts(network: Network, node: Conv | Dense) -> Iterable[LaneLayout]:
    """Ways to spread a layer over index-decoding lanes, with absolute indices."""
    output = network.output_of(node)
    vectors = output.elements // output.channels
    filled = isinstance(node, Conv) and not is_pointwise(node)
    return layouts(node.matrix, vectors, filled=filled, exchanged=bool(network.budgets))


def layout_candidates(network: Network, node: Conv | Dense, layout: LaneLayout) -> list[Candidate]:
    """Ways to build a layer on an index-decoding PE of one layout: multipliers in DSP blocks or in LUTs, the program in
    block RAM or in LUTs. Nothing if a window unit cannot bring the columns in beats of `layout.in_lanes`.
    """
    source, kept = network.input_of(node), kept_columns(node)
    channels = 1
    if kept or (isinstance(node, Conv) and not is_pointwise(node)):
        # The narrowest window unit that keeps up with the PE.
        pixels = positions = 1
        if isinstance(node, Conv):
            output = network.output_of(node)
            positions = output.elements // output.channels
            window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, 1)
            pixels = window.padded[0] * window.padded[1]
        cycles = positions * least_steps(node.matrix, layout)
        able = [c for c in divisors(source.channels) if _brings(node, kept, c, layout)]
        fast = [c for c in able if pixels * (source.channels // c) <= cycles]
        if not able:
            return []
        channels = fast[0] if fast else able[-1]
    folding = Folding(pe=layout.groups * layout.height, simd=layout.lanes, channels=channels, kind="csr", layout=layout)
    found = []
    forms = [form for form in multiplier_forms(node.matrix, source.dtype) if layout.height % form[1] == 0]
    for thresholds in _outputs(network, node):
        folding = replace(folding, thresholds=thresholds)
        base = parts(network, node, folding)
        for (use_dsp, pack), block_ram in product(forms, (True, False)):
            blocks: list[Block] = []
            for part in base:
                block = part.block
                if isinstance(block, CsrPE):
                    block = replace(block, use_dsp=use_dsp, pack=pack, weight_block_ram=block_ram)
                if blocks:
                    blocks.extend(between(blocks[-1], block))
                blocks.append(block)
            chosen = replace(folding, use_dsp=use_dsp, pack=pack, weight_block_ram=block_ram)
            found.append(Candidate(chosen, *_total(blocks)))
    return found


def _brings(node: Conv | Dense, kept: KeptColumns | None, channels: int, layout: LaneLayout) -> bool:
    """Whether a window unit with so many channels brings the columns in beats for a layout's lanes."""
    if kept:
        return gathers_for(kept, channels, layout)
    assert isinstance(node, Conv), node
    taps, inputs = node.kernel[0] * node.kernel[1], node.weights.shape[-1]
    return taps * inputs % layout.in_lanes == 0 or gathers_for(all_columns(taps, inputs), channels, layout)


def unrolled_candidates(network: Network, node: Conv | Dense) -> list[Candidate]:
    """Ways to build a layer as logic: channels of the window unit, and how many rows are requantized at a time."""
    source, kept = network.input_of(node), kept_columns(node)
    windowed = kept is not None or (isinstance(node, Conv) and not is_pointwise(node))
    found = []
    for channels in divisors(source.channels) if windowed else (1,):
        columns = node.matrix.shape[1]
        if kept:
            beats = kept.beats(channels)
            if beats is None or not kept.gathers(channels):
                continue
            columns = beats.columns
        for pe in divisors(len(node.weights)):
            folding = Folding(pe, columns, channels, use_dsp=False, weight_block_ram=False, kind="unrolled")
            found += [
                _candidate(network, node, replace(folding, thresholds=thresholds))
                for thresholds in _outputs(network, node)
            ]
    return found


def _total(blocks: Sequence[Block]) -> tuple[int, Resources]:
    """Cycles of the slowest block, resources of all."""
    cycles = max((block.cycles for block in blocks), default=0)
    return cycles, sum((_price(block, family().name) for block in blocks), Resources())


@lru_cache(maxsize=1 << 14)
def _price(block: Block, family_name: str) -> Resources:
    """Resources of a block; the family's name only keeps results apart."""
    return block.resources()


def _refold(
    base: list[Part], folding: Folding, kept: KeptColumns | None, windows: dict[tuple[int, int], Window]
) -> list[Block]:
    """The blocks of a layer under another folding, without touching weights (converters included).

    Args:
        windows: those made so far, by channels and SIMD: gather lists are long.
    """
    blocks: list[Block] = []
    gather = kept.gather(folding.channels, folding.simd) if kept else None
    columns = len(gather.columns) if gather else 0
    for part in base:
        block = part.block
        if isinstance(block, Window):
            all_channels = block.channels * block.groups
            key = folding.channels, folding.simd if gather else 0
            if key not in windows:
                groups, lists = all_channels // folding.channels, gather.lists if gather else ()
                windows[key] = replace(block, channels=folding.channels, groups=groups, gather=lists)
            block = windows[key]
        elif isinstance(block, DensePE):
            block = replace(
                block,
                pe=folding.pe,
                simd=folding.simd,
                columns=columns or block.columns,
                weight_bits=_weight_bits(block, gather),
                use_dsp=folding.use_dsp,
                pack=folding.pack,
                weight_block_ram=folding.weight_block_ram,
                lut_rows=folding.lut_rows,
                lut_weight_rows=folding.lut_weight_rows,
            )
        elif isinstance(block, Requantize | Threshold):
            lanes = folding.lanes_out or folding.pe
            block = replace(block, lanes=lanes, groups=block.lanes * block.groups // lanes)
        if blocks:
            blocks.extend(between(blocks[-1], block))
        blocks.append(block)
        if isinstance(block, Window) and folding.dealt:
            deal = deal_behind(block, folding)
            columns = deal.sink.lanes * (deal.beats - deal.stored)
            blocks.append(deal)
    return blocks


def _unpadded(part: Part, node: Conv | Dense) -> Part:
    """The part with weights as wide as they are without what fills beats up."""
    if not isinstance(part.block, BinaryPE):
        return part
    used = (node.matrix != 0).any(axis=0)
    bits = BinaryPE.bits_of(node.matrix[:, used]) if used.any() else 2
    assert bits is not None, node.name
    return replace(part, block=replace(part.block, weight_bits=bits))


def _weight_bits(block: DensePE, gather: Gather | None) -> int:
    """Padding brings zeros into a matrix of -1 and +1."""
    padded = gather is not None and bool((gather.columns == PADDING).any())
    return 2 if padded and isinstance(block, BinaryPE) else block.weight_bits
