"""Which tensors stay in the scratchpad, and what each layer works in.

A buffer may be resident: it lies in the scratchpad as a whole from its first write to its last read. What is left at a
layer is its working memory: rings of rows for inputs that come from DRAM, and slots in which outputs wait for DRAM.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from admmfpga.engine.layers import EngineLayer, Lowered
from admmfpga.engine.shape import EngineShape
from admmfpga.errors import UserError

Gap = tuple[int, int]
"""First free word and the one behind the last."""


@dataclass(frozen=True)
class Lifetime:
    """Layers that touch a buffer: the first, the last, and those that read it."""

    first: int
    last: int
    reads: tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """How a layer uses its working memory.

    Attributes:
        rows: output rows of a tile.
        columns: output columns of a tile.
        planes: input planes that are loaded at a time (all for a matrix layer).
        ring: input rows that are kept.
        rings: first word of each ring: input by input, and for each a second one if planes take turns.
        turns: rings of an input, 1 or 2.
        slots: first words of the output slots; empty if the output is resident.
        middles: of the slots between a layer and its tail.
        others: of the slots for the tail's other input; empty if that is resident.
        table: first words of the table's, if there is one.
    """

    rows: int
    columns: int
    planes: int
    ring: int
    rings: tuple[int, ...]
    turns: int
    slots: tuple[int, ...]
    middles: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    table: tuple[int, ...] = ()


@dataclass(frozen=True)
class Residence:
    """A buffer in the scratchpad.

    Attributes:
        address: first word.
        until: the last layer that finds it there; later ones read it from DRAM.
    """

    address: int
    until: int


@dataclass(frozen=True, eq=False)
class MemoryPlan:
    """Resident buffers, and every layer's working memory.

    Attributes:
        resident: buffers in the scratchpad.
        stored: of these, the ones that go to DRAM too.
        lives: of all buffers.
        work: by layer.
    """

    resident: dict[str, Residence]
    stored: frozenset[str]
    lives: dict[str, Lifetime]
    work: tuple[Work, ...]

    def at(self, buffer: str, layer: int) -> int | None:
        """Address of a buffer that is in the scratchpad at a layer."""
        found = self.resident.get(buffer)
        return found.address if found is not None and layer <= found.until else None


def plan_memory(lowered: Lowered, shape: EngineShape) -> MemoryPlan:
    """Keep what saves most traffic for the words and layers that it occupies, as long as every layer still can work.

    First whole lifetimes, then, of what has to go to DRAM, the reads that come soon after the write.

    Raises:
        UserError: a layer does not fit the scratchpad even if it has all of it.
    """
    planner = _Planner(lowered, shape)
    best = planner.attempt({}, spare=None)
    assert best is not None
    lives, sizes = planner.lives, planner.sizes
    outside = (lowered.input.buffer, lowered.output.buffer)
    candidates = [name for name in lives if name not in outside and sizes[name] <= shape.scratchpad]
    # Bytes saved are (1 + reads) * size, what is taken is size * layers.
    saved = {name: (1 + len(lives[name].reads)) / (lives[name].last - lives[name].first + 1) for name in candidates}
    candidates.sort(key=lambda name: (-saved[name], -sizes[name]))
    chosen: dict[str, int] = {}
    options = [(name, lives[name].last) for name in candidates]
    options += [(name, until) for name in candidates for until in sorted(set(lives[name].reads), reverse=True)]
    for name, until in options:
        if name in chosen:
            continue
        attempt = planner.attempt(chosen | {name: until}, spare=best)
        if attempt is not None:
            best, chosen = attempt, chosen | {name: until}
    return best


def lifetimes(lowered: Lowered) -> dict[str, Lifetime]:
    """Of every buffer that a layer touches."""
    found: dict[str, Lifetime] = {}
    for index, layer in enumerate(lowered.layers):
        for view, reads in ((layer.output, ()), *((view, (index,)) for view in layer.reads)):
            before = found.get(view.buffer, Lifetime(index, index, ()))
            found[view.buffer] = Lifetime(before.first, index, before.reads + reads)
    return found


class _Planner:
    """Tries sets of resident buffers."""

    def __init__(self, lowered: Lowered, shape: EngineShape) -> None:
        self.lowered, self.shape = lowered, shape
        self.lives = lifetimes(lowered)
        words = {view.buffer: view.plane_words for view in lowered.views.values()}
        self.sizes = {name: planes * words[name] for name, planes in lowered.buffers.items()}
        self.inherits = {layer.output.buffer: heir for layer in lowered.layers if (heir := self._dying(layer))}

    def attempt(self, chosen: dict[str, int], *, spare: MemoryPlan | None) -> MemoryPlan | None:
        """Place buffers and see whether every layer still has the tile rows that it has in `spare`.

        Args:
            chosen: the last layer at which each buffer is resident.
        """
        resident: dict[str, Residence] = {}
        for name in sorted(chosen, key=lambda n: (self.lives[n].first, -self.sizes[n])):
            first = self.lives[name].first
            heir = resident.get(self.inherits.get(name, ""))
            if heir is not None and heir.until >= first:
                resident[name] = Residence(heir.address, chosen[name])
                if self._collides(name, resident):
                    return None
                continue
            others = [n for n, one in resident.items() if one.until >= first and self.lives[n].first <= chosen[name]]
            address = _fit(self._gaps(resident, others), self.sizes[name])
            if address is None:
                return None
            resident[name] = Residence(address, chosen[name])
        outputs = (self.lowered.output.buffer,)
        stored = {n for n, one in resident.items() if n in outputs or max(self.lives[n].reads, default=-1) > one.until}
        plan = MemoryPlan(resident, frozenset(stored), self.lives, ())
        works = []
        for index, layer in enumerate(self.lowered.layers):
            live = [n for n, one in resident.items() if self.lives[n].first <= index <= one.until]
            work = _work(layer, index, plan, self._gaps(resident, live), self.shape)
            if work is None and spare is None:
                words = self.shape.scratchpad * self.shape.simd
                raise UserError(
                    f"layer {layer.name} does not fit the engine's scratchpad of {words:,} bytes: one row of windows "
                    f"over {layer.inputs[0].width} pixels of {layer.inputs[0].planes * self.shape.simd} bytes is more",
                    "take a board with more block RAM",
                    node=layer.name,
                )
            if work is None or (spare is not None and work.rows < spare.work[index].rows):
                return None
            works.append(work)
        return MemoryPlan(resident, frozenset(stored), self.lives, tuple(works))

    def _gaps(self, resident: dict[str, Residence], names: list[str]) -> list[Gap]:
        return gaps(((resident[n].address, self.sizes[n]) for n in names), self.shape.scratchpad)

    def _dying(self, layer: EngineLayer) -> str:
        """The input of a sum that nobody reads later: the sum may take its place, word by word."""
        output = layer.output
        if layer.tail is not None:
            view, once = layer.tail.other, all(one.buffer != layer.tail.other.buffer for one in layer.inputs)
        elif layer.op == "Add":
            view, once = layer.inputs[0], True
        else:
            return ""
        index = self.lowered.layers.index(layer)
        whole = view.first == 0 and output.first == 0 and self.sizes[view.buffer] == self.sizes[output.buffer]
        dies = self.lives[view.buffer].last == index == self.lives[output.buffer].first
        return view.buffer if once and whole and dies and view.plane_words == output.plane_words else ""

    def _collides(self, name: str, resident: dict[str, Residence]) -> bool:
        """Whether a buffer that took another one's place lies on a third."""
        mine, first = resident[name], self.lives[name].first
        for other, one in resident.items():
            apart = one.until < first or self.lives[other].first > mine.until
            if other in (name, self.inherits[name]) or apart:
                continue
            if one.address < mine.address + self.sizes[name] and mine.address < one.address + self.sizes[other]:
                return True
        return False


def gaps(taken: Iterable[tuple[int, int]], size: int) -> list[Gap]:
    """Free intervals of a memory.

    Args:
        taken: (address, words).
    """
    found, at = [], 0
    for address, words in sorted(taken):
        if address > at:
            found.append((at, address))
        at = max(at, address + words)
    if at < size:
        found.append((at, size))
    return found


def _fit(free: list[Gap], words: int) -> int | None:
    return next((start for start, end in free if end - start >= words), None)


def _work(layer: EngineLayer, index: int, plan: MemoryPlan, free: list[Gap], shape: EngineShape) -> Work | None:
    """The largest tile that fits; with room for the next tile's rows, if there is any."""
    output = layer.output
    columns = min(output.width, shape.positions)
    most = min(output.height, max(1, shape.positions // columns)) if columns == output.width else 1
    streamed = [view for view in layer.inputs if plan.at(view.buffer, index) is None]
    kept = plan.at(output.buffer, index) is not None
    words = max(group.planes for group in layer.groups)
    for rows in range(most, 0, -1):
        for ahead in (True, False):
            for planes in _plane_blocks(layer, layer.whole):
                ring = _ring(layer, rows, ahead=ahead and layer.whole)
                turns = 2 if ahead and not layer.whole and planes < layer.inputs[0].planes else 1
                sizes = [planes * ring * layer.inputs[0].width] * (len(streamed) * turns)
                counts = [len(sizes), 0 if kept else (3 if ahead else 1), 0, 0]
                if layer.tail is not None:
                    counts[2] = 3 if ahead else 2
                    there = plan.at(layer.tail.other.buffer, index) is not None
                    counts[3] = 0 if there else (3 if ahead else 1)
                sizes += [words * rows * columns] * sum(counts[1:])
                counts.append(int(layer.table is not None))
                if layer.table is not None:
                    sizes.append(layer.table.weights.words * shape.pe)
                placed = place(free, sizes)
                if placed is not None:
                    rings, *places = _split(placed, counts)
                    return Work(rows, columns, planes, ring, rings, turns, *places)
    return None


def _split(values: list[int], counts: list[int]) -> list[tuple[int, ...]]:
    found, at = [], 0
    for count in counts:
        found.append(tuple(values[at : at + count]))
        at += count
    return found


def _plane_blocks(layer: EngineLayer, matrix: bool) -> list[int]:
    planes = layer.inputs[0].planes
    return [planes] if matrix else [n for n in (8, 4, 2, 1) if n <= planes]


def _ring(layer: EngineLayer, rows: int, *, ahead: bool) -> int:
    """Input rows that a tile needs at once; `ahead`: and those that the next one needs beside them."""
    span = (rows - 1) * layer.strides[0] + (layer.kernel[0] - 1) * layer.dilations[0] + 1
    if ahead and rows < layer.output.height:
        span += rows * layer.strides[0]
    return min(span, layer.inputs[0].height)


def place(free: list[Gap], sizes: list[int]) -> list[int] | None:
    """First fit of blocks, the largest first; None if they do not fit."""
    left = list(free)
    found = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        at = next((i for i, (start, end) in enumerate(left) if end - start >= sizes[index]), None)
        if at is None:
            return None
        start, end = left[at]
        found[index] = start
        left[at] = (start + sizes[index], end)
    return found
