"""Layers and memory plan -> program: compute commands and transfers, with what each has to wait for.

Commands are made in an order in which they could run one by one. Which commands touch which words of the scratchpad
then says what really has to wait for what; transfers are sorted by when they may begin, so that loads run ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from admmfpga.engine.gathered import words as words_of
from admmfpga.engine.layers import EngineLayer, Group, Lowered, Part
from admmfpga.engine.memory import MemoryPlan, Work, plan_memory
from admmfpga.engine.packed import Weights
from admmfpga.engine.program import (
    CLEAR,
    COMPUTE,
    DRAIN,
    GATHERED,
    LOAD,
    PACKED,
    SERIAL,
    SIGNED,
    STORE,
    TRANSFER,
    TRANSFER_BYTES,
    Bytes,
    encode,
    header,
)
from admmfpga.engine.shape import EngineShape
from admmfpga.engine.views import View
from admmfpga.network import IntArray

ALIGNMENT = 4096
"""Bytes: buffers in DRAM begin at multiples of it."""


@dataclass(eq=False)
class Command:
    """A compute command.

    Attributes:
        layer: index of its layer.
        fields: of program.COMPUTE.
        bias, multiplier, weights: what goes with it.
    """

    layer: int
    fields: dict[str, int]
    bias: IntArray
    multiplier: IntArray
    weights: Weights
    transfers: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Transfer:
    """A transfer.

    Attributes:
        layer: index of the layer that reads or wrote the data.
        fields: of program.TRANSFER.
        after: transfers that must come first, by their number in order of creation.
    """

    layer: int
    fields: dict[str, int]
    after: set[int]


@dataclass(frozen=True, eq=False)
class Program:
    """What the engine runs.

    Attributes:
        shape: of the engine.
        lowered, plan: what it was made from.
        commands, transfers: in the order in which they run.
        addresses: bytes from the base of the activations, by buffer.
        dram_bytes: that the activations take.
    """

    shape: EngineShape
    lowered: Lowered
    plan: MemoryPlan
    commands: tuple[Command, ...]
    transfers: tuple[Transfer, ...]
    addresses: dict[str, int]
    dram_bytes: int

    def stream(self) -> Bytes:
        """The weight stream."""
        parts: list[Bytes] = []
        for command in self.commands:
            parts.append(header(self.shape, command.fields, command.bias, command.multiplier))
            parts.append(command.weights.data)
        return np.concatenate(parts)

    def transfer_list(self) -> Bytes:
        return np.concatenate([encode(transfer.fields, TRANSFER) for transfer in self.transfers])

    @property
    def stream_beats(self) -> int:
        """Of the weight stream."""
        return self.stream_bytes // self.shape.axi

    @property
    def stream_bytes(self) -> int:
        return sum(self.shape.header_words * self.shape.word_bytes + len(c.weights.data) for c in self.commands)

    def moved_bytes(self) -> tuple[int, int]:
        """Activations loaded and stored."""
        moved = [0, 0]
        for transfer in self.transfers:
            fields = transfer.fields
            moved[fields["flags"] & STORE] += fields["count"] * fields["length"] * self.shape.simd
        return moved[0], moved[1]

    @property
    def traffic(self) -> int:
        """Bytes that a frame moves between DRAM and engine, descriptors included."""
        return self.stream_bytes + TRANSFER_BYTES * len(self.transfers) + sum(self.moved_bytes())

    def frame_bytes(self, frame: IntArray) -> Bytes:
        """A frame as it lies in DRAM.

        Args:
            frame: (H, W, C) or (C,) codes of the network's input before folding.
        """
        fold = self.lowered.fold
        codes = frame if fold is None else fold.apply(frame[None])[0]
        return self.lowered.input.pack(codes).reshape(-1)

    @property
    def input_address(self) -> int:
        return self.addresses[self.lowered.input.buffer]

    @property
    def output_address(self) -> int:
        view = self.lowered.output
        return self.addresses[view.buffer] + view.first * view.plane_words * self.shape.simd

    @property
    def output_bytes(self) -> int:
        view = self.lowered.output
        return view.planes * view.plane_words * self.shape.simd

    def result(self, data: Bytes) -> IntArray:
        """The output tensor's codes, in its own shape.

        Args:
            data: (output_bytes,).
        """
        tensor = self.lowered.network.tensors[self.lowered.network.outputs[0]]
        return self.lowered.output.unpack(data).reshape(tensor.shape)


def make_program(lowered: Lowered, shape: EngineShape) -> Program:
    """The program of a network.

    Raises:
        UserError: a layer does not fit the scratchpad.
    """
    plan = plan_memory(lowered, shape)
    addresses, size = _dram(lowered, shape)
    maker = _Maker(lowered, shape, plan, addresses)
    for index in range(len(lowered.layers)):
        maker.layer(index)
    commands, transfers = maker.sorted()
    return Program(shape, lowered, plan, tuple(commands), tuple(transfers), addresses, size)


def _dram(lowered: Lowered, shape: EngineShape) -> tuple[dict[str, int], int]:
    words = {view.buffer: view.plane_words for view in lowered.views.values()}
    addresses, at = {}, 0
    for name, planes in lowered.buffers.items():
        addresses[name] = at
        at += -(-planes * words[name] * shape.simd // ALIGNMENT) * ALIGNMENT
    return addresses, at


Words = npt.NDArray[np.int64]


class _Maker:
    """Makes commands one by one and keeps track of who touched each word of the scratchpad last."""

    def __init__(self, lowered: Lowered, shape: EngineShape, plan: MemoryPlan, addresses: dict[str, int]) -> None:
        self.lowered, self.shape, self.plan, self.addresses = lowered, shape, plan, addresses
        self.commands: list[Command] = []
        self.transfers: list[Transfer] = []
        # Counts of commands that must be complete before others may write (or read) a word; transfers by number.
        self.read_by = np.zeros(shape.scratchpad, dtype=np.int64)
        self.written_by = np.zeros(shape.scratchpad, dtype=np.int64)
        self.moved_by = np.full(shape.scratchpad, -1, dtype=np.int64)
        self.last_store: dict[str, int] = {}
        # Words of gathered parts, by part and distance of planes.
        self.gathered: dict[tuple[int, int], Weights | None] = {}
        # Slots are used in turn.
        self.slot = self.middle = self.other = 0

    # --- One layer.

    def layer(self, index: int) -> None:
        layer, work = self.lowered.layers[index], self.plan.work[index]
        if layer.table is not None:
            self._load_table(index)
        for turn, (first, planes, groups) in enumerate(_blocks(layer, work)):
            loaded = [0] * len(layer.inputs)
            for rows, columns in _tiles(layer, work):
                low, high = layer.input_rows(*rows)
                areas = [self._area(index, i, turn % work.turns, first, planes) for i in range(len(layer.inputs))]
                for i, area in enumerate(areas):
                    if area.streamed:
                        self._load(index, layer.inputs[i], area, max(low, loaded[i]), high)
                        loaded[i] = max(loaded[i], high)
                self._tile(index, areas, groups, rows, columns, (low, high))

    def _load_table(self, index: int) -> None:
        layer, place = self.lowered.layers[index], self.plan.work[index].table[0]
        assert layer.table is not None
        weights = layer.table.weights
        fields = dict.fromkeys((name for name, _ in COMPUTE), 0)
        fields |= {"flags": LOAD | SERIAL | weights.words << 8, "out_base": place}
        command = Command(index, fields, layer.groups[0].bias, layer.groups[0].multiplier, weights)
        self._writes(command, place + np.arange(weights.words * self.shape.pe))
        self.commands.append(command)

    def _area(self, index: int, which: int, turn: int, first: int, planes: int) -> _Area:
        layer, work = self.lowered.layers[index], self.plan.work[index]
        view = layer.inputs[which]
        resident = self.plan.at(view.buffer, index)
        if resident is not None:
            base = resident + (view.first + first) * view.plane_words
            return _Area(base, view.height, view.width, first, planes, streamed=False)
        streamed = [i for i, other in enumerate(layer.inputs) if self.plan.at(other.buffer, index) is None]
        base = work.rings[streamed.index(which) * work.turns + turn]
        return _Area(base, work.ring, view.width, first, planes, streamed=True)

    def _tile(
        self,
        index: int,
        areas: list[_Area],
        groups: tuple[Group, ...],
        rows: tuple[int, int],
        columns: tuple[int, int],
        needed: tuple[int, int],
    ) -> None:
        layer, work = self.lowered.layers[index], self.plan.work[index]
        waiting: list[tuple[Group, int]] = []
        for group in groups:
            if layer.tail is None:
                place = self._output(index, group.first, group.planes, rows, columns)
            else:
                base = work.middles[self.middle % len(work.middles)]
                self.middle += 1
                place = _Place(base, group.planes, _height(columns), _height(rows) * _height(columns), stored=False)
            for number, part in enumerate(group.parts):
                area = areas[part.source]
                fields = self._fields(layer, part, area, rows, columns)
                words = area.words(part.first - area.first, part.planes, *needed)
                if layer.table is not None:
                    fields |= layer.table.fields | {"factor": work.table[0]}
                    fields["flags"] |= SERIAL
                    table = work.table[0] + np.arange(layer.table.weights.words * self.shape.pe)
                    words = np.concatenate([words, table])
                self._command(index, fields, group, number, words, place, rows, columns)
            if layer.tail is None:
                self._store(index, group.first, place, rows, columns)
            else:
                # A group later, so that the array does not wait for what still drains.
                waiting.append((group, place.base))
                if len(waiting) > 1:
                    self._tail(index, *waiting.pop(0), rows, columns)
        for group, base in waiting:
            self._tail(index, group, base, rows, columns)

    def _tail(self, index: int, group: Group, middle: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """Adds a tile of one group's planes to the other input of the sum."""
        layer, work = self.lowered.layers[index], self.plan.work[index]
        tail = layer.tail
        assert tail is not None
        positions = _height(rows) * _height(columns)
        for plane in range(group.first, group.first + group.planes):
            found = tail.layer.groups[plane]
            place = self._output(index, plane, 1, rows, columns)
            for number, part in enumerate(found.parts):
                local = _Area(middle + (plane - group.first) * positions, _height(rows), _height(columns), 0, 1, False)
                window = (0, _height(rows), 0, _height(columns))
                if part.source != tail.which:
                    view = tail.other
                    resident = self.plan.at(view.buffer, index)
                    if resident is not None:
                        base = resident + (view.first + plane) * view.plane_words
                        local = _Area(base, view.height, view.width, 0, 1, False)
                        window = (*rows, *columns)
                    else:
                        base = work.others[self.other % len(work.others)]
                        self.other += 1
                        local = _Area(base, _height(rows), _height(columns), 0, 1, True)
                        slot = _Place(base, 1, _height(columns), positions, stored=False)
                        self._move(index, view, plane, slot, rows, columns, store=False)
                whole = (slice(window[0], window[1]), slice(window[2], window[3]))
                words = local.words(0, 1, 0, local.rows).reshape(local.rows, local.width)[whole].reshape(-1)
                dtype = tail.layer.inputs[part.source].dtype
                fields = self._common(tail.layer, part, local, rows, columns, signed=dtype.signed)
                fields |= {"y": window[0], "x": window[2], "row": window[0] * local.width}
                fields |= {"height": local.rows, "width": local.width}
                self._command(index, fields, found, number, words, place, rows, columns)
            self._store(index, plane, place, rows, columns)

    def _output(self, index: int, first: int, planes: int, rows: tuple[int, int], columns: tuple[int, int]) -> _Place:
        """Where a tile of output planes goes: into its resident buffer, or a slot from which it is stored."""
        output, work = self.lowered.layers[index].output, self.plan.work[index]
        resident = self.plan.at(output.buffer, index)
        if resident is not None:
            at = resident + (output.first + first) * output.plane_words + rows[0] * output.width + columns[0]
            return _Place(at, planes, output.width, output.plane_words, stored=output.buffer in self.plan.stored)
        base = work.slots[self.slot % len(work.slots)]
        self.slot += 1
        return _Place(base, planes, _height(columns), _height(rows) * _height(columns), stored=True)

    def _command(
        self,
        index: int,
        fields: dict[str, int],
        group: Group,
        number: int,
        read: Words,
        place: _Place,
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> None:
        last = number == len(group.parts) - 1
        part = group.parts[number]
        weights = part.weights
        if part.gathered is not None:
            key = (id(part), fields["plane"])
            if key not in self.gathered:
                self.gathered[key] = words_of(self.shape, part.gathered, fields["plane"], fields["kernel_column_step"])
            found = self.gathered[key]
            if found is not None:
                weights = found
                fields |= {"planes": part.gathered.steps, "plane": 0, "kernel_columns": 1}
                fields["flags"] |= GATHERED
        fields["flags"] |= CLEAR * (number == 0) | DRAIN * last | PACKED * weights.packed | weights.words << 8
        fields |= {"out_base": place.base, "out_pitch": place.pitch, "out_plane": place.plane}
        fields["out_words"] = place.planes
        command = Command(index, fields, group.bias, group.multiplier, weights)
        self._reads(command, read)
        if last:
            self._writes(command, place.words(rows, columns))
        self.commands.append(command)

    def _fields(
        self, layer: EngineLayer, part: Part, area: _Area, rows: tuple[int, int], columns: tuple[int, int]
    ) -> dict[str, int]:
        view = layer.inputs[part.source]
        y = rows[0] * layer.strides[0] - layer.pads[0]
        x = columns[0] * layer.strides[1] - layer.pads[1]
        fields = self._common(layer, part, area, rows, columns, signed=view.dtype.signed)
        return fields | {
            "base": area.base + (part.first - area.first) * area.rows * area.width,
            "y": y,
            "x": x,
            "row": y % area.rows * area.width,
            "height": view.height,
            "width": view.width,
        }

    def _common(
        self,
        layer: EngineLayer,
        part: Part,
        area: _Area,
        rows: tuple[int, int],
        columns: tuple[int, int],
        *,
        signed: bool,
    ) -> dict[str, int]:
        """Fields that do not depend on where in the input the tile lies."""
        plane = area.rows * area.width
        return {
            "flags": part.kind | SIGNED * signed,
            "wait_transfers": 0,
            "wait_commands": 0,
            "base": area.base,
            "plane": plane,
            "ring": plane,
            "planes": part.planes,
            "kernel_rows": layer.kernel[0],
            "kernel_columns": layer.kernel[1],
            "rows": rows[1] - rows[0],
            "columns": columns[1] - columns[0],
            # Less than the ring, so that one subtraction brings an address back into it.
            "row_step": layer.strides[0] % area.rows * area.width,
            "column_step": layer.strides[1],
            "kernel_row_step": layer.dilations[0] % area.rows * area.width,
            "kernel_column_step": layer.dilations[1],
            "y_step": layer.strides[0],
            "kernel_y_step": layer.dilations[0],
            "pad_value": layer.pad_value & 0xFF,
            "factor": part.factor,
            "shift": layer.shift,
            "zero_point": layer.zero_point,
            "low": layer.low,
            "high": layer.high,
        }

    # --- Transfers.

    def _load(self, index: int, view: View, area: _Area, low: int, high: int) -> None:
        while low < high:
            slot = low % area.rows
            count = min(high - low, area.rows - slot)
            first = view.first + area.first
            address = self.addresses[view.buffer] + (first * view.height + low) * view.width * self.shape.simd
            words = area.words(0, area.planes, low, low + count)
            after = self._moved(words)
            if view.buffer in self.last_store:
                after.add(self.last_store[view.buffer])
            number = self._transfer(
                index,
                after,
                flags=0,
                wait_commands=int(max(self.read_by[words].max(), self.written_by[words].max())),
                address=address,
                word=area.base + slot * area.width,
                count=area.planes,
                length=count * area.width,
                pitch=view.plane_words * self.shape.simd,
                word_pitch=area.rows * area.width,
            )
            self.moved_by[words] = number
            low += count

    def _store(self, index: int, first: int, place: _Place, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        if place.stored:
            self._move(index, self.lowered.layers[index].output, first, place, rows, columns, store=True)

    def _move(
        self,
        index: int,
        view: View,
        first: int,
        place: _Place,
        rows: tuple[int, int],
        columns: tuple[int, int],
        *,
        store: bool,
    ) -> None:
        """A tile of planes between DRAM and a place in the scratchpad."""
        height, width = _height(rows), _height(columns)
        simd = self.shape.simd
        # One transfer for all planes, if each plane's part of the tile is one piece.
        whole = width == view.width
        for plane in range(1 if whole else place.planes):
            at = view.plane_words * (view.first + first + plane) + rows[0] * view.width + columns[0]
            one = replace(place, base=place.base + plane * place.plane, planes=place.planes if whole else 1)
            words = one.words(rows, columns)
            after = set() if store else self._moved(words)
            if not store and view.buffer in self.last_store:
                after.add(self.last_store[view.buffer])
            wait = len(self.commands) if store else int(max(self.read_by[words].max(), self.written_by[words].max()))
            number = self._transfer(
                index,
                after,
                flags=STORE * store,
                wait_commands=wait,
                address=self.addresses[view.buffer] + at * simd,
                word=one.base,
                count=one.planes if whole else height,
                length=height * width if whole else width,
                pitch=(view.plane_words if whole else view.width) * simd,
                word_pitch=place.plane if whole else place.pitch,
            )
            self.moved_by[words] = number
            if store:
                self.last_store[view.buffer] = number

    def _transfer(self, index: int, after: set[int], **fields: int) -> int:
        self.transfers.append(Transfer(index, fields, after))
        return len(self.transfers) - 1

    # --- Who touches what.

    def _reads(self, command: Command, words: Words) -> None:
        command.transfers |= self._moved(words)
        done = int(self.written_by[words].max(initial=0))
        command.fields["wait_commands"] = max(command.fields["wait_commands"], done)
        self.read_by[words] = len(self.commands) + 1

    def _writes(self, command: Command, words: Words) -> None:
        command.transfers |= self._moved(words)
        self.written_by[words] = len(self.commands) + 1

    def _moved(self, words: Words) -> set[int]:
        return {int(number) for number in np.unique(self.moved_by[words]) if number >= 0}

    # --- Order.

    def sorted(self) -> tuple[list[Command], list[Transfer]]:
        """Commands and transfers with waits; transfers in the order in which they may begin."""
        keys: list[tuple[int, int]] = []
        for transfer in self.transfers:
            key = (transfer.fields["wait_commands"], transfer.fields["flags"] & STORE)
            for other in transfer.after:
                before = keys[other]
                key = max(key, (before[0], before[1] + 1))
            keys.append(key)
        order = sorted(range(len(keys)), key=lambda i: (*keys[i], i))
        position = {number: at for at, number in enumerate(order)}
        for command in self.commands:
            command.fields["wait_transfers"] = max((position[t] + 1 for t in command.transfers), default=0)
        return self.commands, [self.transfers[i] for i in order]


@dataclass(frozen=True)
class _Area:
    """Planes of an input in the scratchpad: rows that begin again after `rows`."""

    base: int
    rows: int
    width: int
    first: int
    planes: int
    streamed: bool

    def words(self, first: int, planes: int, low: int, high: int) -> Words:
        """Addresses of rows [low, high) of planes, counted from the area's first."""
        slots = np.arange(low, high) % self.rows
        rows = (first + np.arange(planes))[:, None] * self.rows + slots
        result: Words = (self.base + rows[..., None] * self.width + np.arange(self.width)).reshape(-1)
        return result


@dataclass(frozen=True)
class _Place:
    """Where a tile of output planes is written."""

    base: int
    planes: int
    pitch: int
    plane: int
    stored: bool

    def words(self, rows: tuple[int, int], columns: tuple[int, int]) -> Words:
        at = self.base + np.arange(self.planes)[:, None, None] * self.plane
        result: Words = (at + np.arange(_height(rows))[:, None] * self.pitch + np.arange(_height(columns))).reshape(-1)
        return result


def _height(extent: tuple[int, int]) -> int:
    return extent[1] - extent[0]


def _tiles(layer: EngineLayer, work: Work) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(rows, columns) of the output, as ranges."""
    output = layer.output
    for row in range(0, output.height, work.rows):
        for column in range(0, output.width, work.columns):
            yield (
                (row, min(row + work.rows, output.height)),
                (column, min(column + work.columns, output.width)),
            )


def _blocks(layer: EngineLayer, work: Work) -> Iterator[tuple[int, int, tuple[Group, ...]]]:
    """First input plane, planes, and the output groups that need no others."""
    if layer.whole:
        yield 0, layer.inputs[0].planes, layer.groups
        return
    for first in range(0, len(layer.groups), work.planes):
        groups = layer.groups[first : first + work.planes]
        yield first, len(groups), groups


assert len(COMPUTE) == 32
