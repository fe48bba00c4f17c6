"""Runs a program as the engine does, from nothing but its bytes: the semantics of every command."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from admmfpga.engine.gathered import unwords
from admmfpga.engine.packed import unpack
from admmfpga.engine.program import (
    CLEAR,
    COMPUTE,
    DEPTHWISE,
    DRAIN,
    GATHERED,
    LOAD,
    LOOKUP,
    MATRIX,
    MAXIMUM,
    PACKED,
    SERIAL,
    SERIAL_FIELDS,
    SIGNED,
    STORE,
    TRANSFER,
    TRANSFER_BYTES,
    Bytes,
    decode,
    weight_words,
)
from admmfpga.engine.schedule import Program
from admmfpga.engine.shape import HEADER_BYTES, PARAMETER_BYTES, EngineShape
from admmfpga.network import IntArray, IntType, Requantization


def run_program(program: Program, frames: IntArray, *, rng: random.Random | None = None) -> IntArray:
    """Outputs of a batch of frames.

    Args:
        frames: (N, *input shape) codes.
        rng: chooses between a command and a transfer wherever both may run; without it transfers go first.
    """
    stream, transfers = program.stream(), program.transfer_list()
    results = []
    for frame in frames:
        dram = np.zeros(program.dram_bytes, dtype=np.uint8)
        data = program.frame_bytes(frame)
        dram[program.input_address : program.input_address + len(data)] = data
        run_bytes(program.shape, stream, transfers, dram, rng=rng)
        output = dram[program.output_address : program.output_address + program.output_bytes]
        results.append(program.result(output))
    return np.stack(results)


def run_bytes(
    shape: EngineShape, stream: Bytes, transfers: Bytes, dram: Bytes, *, rng: random.Random | None = None
) -> None:
    """Run a program; `dram` is changed in place."""
    engine = _Engine(shape, stream, transfers, dram)
    while not engine.complete:
        choices = [
            step
            for ready, step in ((engine.transfer_ready, engine.transfer), (engine.command_ready, engine.command))
            if ready()
        ]
        assert choices, "the program deadlocks"
        (choices[0] if rng is None else rng.choice(choices))()


@dataclass(eq=False)
class _Engine:
    shape: EngineShape
    stream: Bytes
    transfers: Bytes
    dram: Bytes

    def __post_init__(self) -> None:
        # Words that nothing has written are not zero, so that nobody relies on it.
        self.scratchpad = np.full((self.shape.scratchpad, self.shape.simd), 0xA5, dtype=np.uint8)
        self.accumulators = np.zeros((self.shape.positions, self.shape.pe), dtype=np.int64)
        self.at = self.transfers_done = self.commands_done = 0
        self._next_command()

    @property
    def complete(self) -> bool:
        return self.at >= len(self.stream) and self.transfers_done * TRANSFER_BYTES >= len(self.transfers)

    # --- Transfers.

    def transfer_ready(self) -> bool:
        at = self.transfers_done * TRANSFER_BYTES
        if at >= len(self.transfers):
            return False
        self.moving = decode(self.transfers[at:], TRANSFER)
        return self.commands_done >= self.moving["wait_commands"]

    def transfer(self) -> None:
        d = self.moving
        width = self.shape.simd
        for piece in range(d["count"]):
            word, address = d["word"] + piece * d["word_pitch"], d["address"] + piece * d["pitch"]
            words = self.scratchpad[word : word + d["length"]]
            data = self.dram[address : address + d["length"] * width].reshape(-1, width)
            if d["flags"] & STORE:
                data[:] = words
            else:
                words[:] = data
        self.transfers_done += 1

    # --- Commands.

    def _next_command(self) -> None:
        if self.at < len(self.stream):
            self.fields = decode(self.stream[self.at :], COMPUTE)

    def command_ready(self) -> bool:
        if self.at >= len(self.stream):
            return False
        d = self.fields
        return self.transfers_done >= d["wait_transfers"] and self.commands_done >= d["wait_commands"]

    def command(self) -> None:
        d, shape = self.fields, self.shape
        parameters = self.stream[self.at + HEADER_BYTES : self.at + HEADER_BYTES + PARAMETER_BYTES * shape.pe]
        bias, multiplier = parameters.view("<i4").astype(np.int64).reshape(-1, 2).T
        start = self.at + shape.header_words * shape.word_bytes
        data, size = self.stream[start:], weight_words(d) * shape.word_bytes
        if d["flags"] & PACKED:
            data, size = unpack(shape, data, weight_words(d))
        kind, lanes = d["flags"] & 3, shape.simd
        if d["flags"] & SERIAL:
            if kind == LOAD:
                words = data[:size].reshape(-1, lanes)
                self.scratchpad[d["out_base"] : d["out_base"] + len(words)] = words
            else:
                self._serial(lookup=kind == LOOKUP)
            self._complete(start + size)
            return
        data = data[: weight_words(d) * shape.word_bytes]
        if d["flags"] & GATHERED:
            places, data = unwords(shape, data, d["planes"])
            taps = self._gathered(*places)
        else:
            taps = self._taps()
        weights = data.view(np.int8)
        positions, steps = taps.shape[:2]
        if kind == MATRIX:
            matrix = weights.reshape(steps, shape.pe, lanes).transpose(0, 2, 1).reshape(-1, shape.pe)
            sums = np.rint(taps.reshape(positions, -1).astype(np.float64) @ matrix.astype(np.float64)).astype(np.int64)
            lanes = shape.pe
        elif kind == DEPTHWISE:
            factors = weights.reshape(-1, lanes)[:steps].astype(np.int64)
            sums = (taps * factors).sum(axis=1)
        elif kind == MAXIMUM:
            sums = taps.max(axis=1)
        else:
            sums = taps.sum(axis=1) * d["factor"]
        before = self.accumulators[:positions, :lanes]
        if not d["flags"] & CLEAR:
            sums = np.maximum(before, sums) if kind == MAXIMUM else before + sums
        before[:] = (sums + (1 << 31)) % (1 << 32) - (1 << 31)
        if d["flags"] & DRAIN:
            self._drain(bias, multiplier)
        self._complete(start + size)

    def _complete(self, end: int) -> None:
        self.at = end
        self.commands_done += 1
        self._next_command()

    def _taps(self) -> IntArray:
        """(positions, steps, simd) codes."""
        d = self.fields
        plane, row, column, y, x = np.ix_(
            *(np.arange(d[n]) for n in ("planes", "kernel_rows", "kernel_columns", "rows", "columns"))
        )
        at_y = d["y"] + y * d["y_step"] + row * d["kernel_y_step"]
        at_x = d["x"] + x * d["column_step"] + column * d["kernel_column_step"]
        offset = (d["row"] + y * d["row_step"] + row * d["kernel_row_step"]) % d["ring"]
        inside = (at_y >= 0) & (at_y < d["height"]) & (at_x >= 0) & (at_x < d["width"])
        address = np.where(inside, d["base"] + plane * d["plane"] + offset + at_x, 0)
        codes = self.scratchpad[address]
        codes[~np.broadcast_to(inside, address.shape)] = d["pad_value"]
        signed = codes.view(np.int8) if d["flags"] & SIGNED else codes
        steps = d["planes"] * d["kernel_rows"] * d["kernel_columns"]
        return signed.astype(np.int64).reshape(steps, -1, self.shape.simd).transpose(1, 0, 2)

    def _gathered(self, offset: IntArray, column: IntArray, kernel_row: IntArray) -> IntArray:
        """(positions, steps, simd) codes, each lane's from a place of its own."""
        d = self.fields
        y, x = np.divmod(np.arange(d["rows"] * d["columns"]), d["columns"])
        at_y = d["y"] + (y * d["y_step"])[:, None, None] + kernel_row * d["kernel_y_step"]
        at_x = d["x"] + (x * d["column_step"])[:, None, None]
        row = (d["row"] + (y * d["row_step"])[:, None, None] + kernel_row * d["kernel_row_step"]) % d["ring"]
        inside = (at_y >= 0) & (at_y < d["height"]) & (at_x + column >= 0) & (at_x + column < d["width"])
        address = np.where(inside, d["base"] + offset + row + at_x, 0)
        codes = self.scratchpad[address, np.arange(self.shape.simd)]
        codes[~inside] = d["pad_value"]
        return (codes.view(np.int8) if d["flags"] & SIGNED else codes).astype(np.int64)

    def _serial(self, *, lookup: bool) -> None:
        d, simd = self.fields, self.shape.simd
        named = {name: d[field] for name, field in SERIAL_FIELDS}
        plane, row, column = np.ix_(*(np.arange(d[name]) for name in ("planes", "rows", "columns")))
        address = d["base"] + plane * d["plane"] + (d["row"] + row * d["row_step"]) % d["ring"] + d["x"] + column
        codes = self.scratchpad[address]
        signed = (codes.view(np.int8) if d["flags"] & SIGNED else codes).astype(np.int64)
        zero = d["pad_value"] - 256 * (d["pad_value"] > 127 and bool(d["flags"] & SIGNED))
        # (positions, lanes of all planes); lanes beyond the channels are no neighbours.
        values = signed.transpose(1, 2, 0, 3).reshape(d["rows"] * d["columns"], -1) - zero
        values[:, named["channels"] :] = 0
        before, after = named["before"], named["after"]
        padded = np.pad(np.square(values), ((0, 0), (before, after)))
        energy = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=1).sum(axis=2)
        entry = np.minimum(energy >> named["table_shift"], named["last_entry"])
        table = (
            self.scratchpad[named["table"] :].reshape(-1)[: 4 * (named["last_entry"] + 1)].view("<u4").astype(np.int64)
        )
        if lookup:
            entry = codes.transpose(1, 2, 0, 3).reshape(values.shape).astype(np.int64)
            values = np.ones_like(values)
        ones = np.ones(values.shape[1], dtype=np.int64)
        rule = Requantization(0 * ones, ones, d["shift"], d["zero_point"], d["low"], d["high"], IntType(9, signed=True))
        found = (rule.apply(values, table[entry]) & 0xFF).astype(np.uint8).reshape(d["rows"], d["columns"], -1, simd)
        target = d["out_base"] + plane * d["out_plane"] + row * d["out_pitch"] + column
        self.scratchpad[target] = found.transpose(2, 0, 1, 3)

    def _drain(self, bias: IntArray, multiplier: IntArray) -> None:
        d, simd = self.fields, self.shape.simd
        positions = d["rows"] * d["columns"]
        whole = IntType(9, signed=True)
        rule = Requantization(bias, multiplier, d["shift"], d["zero_point"], d["low"], d["high"], whole)
        codes = (rule.apply(self.accumulators[:positions]) & 0xFF).astype(np.uint8)
        row, column = np.divmod(np.arange(positions), d["columns"])
        for plane in range(d["out_words"]):
            address = d["out_base"] + plane * d["out_plane"] + row * d["out_pitch"] + column
            self.scratchpad[address] = codes[:, plane * simd : (plane + 1) * simd]
