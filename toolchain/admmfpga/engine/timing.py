"""Exact cycles of a program on DRAM with a fixed latency: what the RTL does, event by event instead of cycle by cycle.

DRAM takes an address in any cycle, gives the first beat `latency` cycles later and one beat a cycle from then on,
bursts in order, on both ports; a write burst is answered `latency` cycles after its last beat. Cycle 0 is the one in
which the engine starts. Of a count ("transfers done") what matters is from which cycle on it can be seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from admmfpga.blocks.base import clog2
from admmfpga.engine.program import CLEAR, DRAIN, GATHERED, LOAD, SERIAL, STORE, TRANSFER_BYTES
from admmfpga.engine.schedule import Command, Program, Transfer
from admmfpga.engine.shape import LEAST_STEP, STREAM_FIFO, EngineShape

BURST = 64
"""Beats of a burst of the weight stream."""

DEFAULT_LATENCY = 30
"""Cycles that reports assume: a Zynq's DDR3 controller takes about as long at 100 MHz."""


@dataclass(frozen=True)
class EngineTiming:
    """A frame on the engine.

    Attributes:
        cycles: from start to the end of the last command and transfer.
        busy: of these, cycles in which the array took a position.
        latency: of DRAM, as assumed.
        layer_ends: cycle in which each layer's last command is complete.
    """

    cycles: int
    busy: int
    latency: int
    layer_ends: tuple[int, ...]


def time_program(program: Program, latency: int = DEFAULT_LATENCY) -> EngineTiming:
    """Evaluate a program. `latency` is at least 1."""
    clock = _Clock(program, latency)
    return clock.run()


class _Stream:
    """When each word of the weight stream is there."""

    def __init__(self, shape: EngineShape, beats: int, latency: int) -> None:
        self.left = beats  # that were not asked for
        self.latency = latency
        self.asked = 0
        self.ask_time = 0
        self.last_arrival = -1
        # Runs of consecutive beats that arrive in consecutive cycles: (first beat, beats, cycle of the first).
        self.bursts: deque[tuple[int, int, int]] = deque()
        # The same for reads from the FIFO, as far as requests still depend on them.
        self.reads: deque[tuple[int, int, int]] = deque()
        self.next_beat = 0
        self.placed = -1

    def word(self, taken: int, beats: int) -> int:
        """Cycle from which the next word is there, if nothing has to be waited for behind its last beat.

        Args:
            taken: cycle in which the word before it was taken; -1 for the first.
            beats: of the word.
        """
        end, free = self.next_beat + beats, taken
        while self.next_beat < end:
            while not self.bursts or self.bursts[0][0] + self.bursts[0][1] <= self.next_beat:
                if self.bursts:
                    self.bursts.popleft()
                else:
                    self._ask()
            first, count, arrival = self.bursts[0]
            count = min(end, first + count) - self.next_beat
            # A beat is read when it is in the FIFO and the one before leaves the output, and placed a cycle later, the
            # word's first one not before the word before is taken.
            read = max(self.placed, arrival + self.next_beat - first + 1)
            placed = max(read + 1, free)
            self.reads.append((self.next_beat, 1, read))
            if count > 1:
                self.reads.append((self.next_beat + 1, count - 1, placed))
            self.placed = placed + count - 1
            self.next_beat += count
            free = -1
        return self.placed + 1

    def state(self, taken: int, now: int) -> tuple[object, ...]:
        """All that later words depend on, beats counted from the next one and cycles from `now`."""
        beat = self.next_beat
        return (
            taken - now,
            self.placed - now,
            self.ask_time - now,
            self.last_arrival - now,
            self.asked - beat,
            tuple((first - beat, count, at - now) for first, count, at in self.bursts),
            tuple((first - beat, count, at - now) for first, count, at in self.reads),
        )

    def advance(self, beats: int, cycles: int) -> None:
        """So many beats and cycles later the state is the same."""
        self.next_beat += beats
        self.asked += beats
        self.left -= beats
        self.placed += cycles
        self.ask_time += cycles
        self.last_arrival += cycles
        for runs in (self.bursts, self.reads):
            for index, (first, count, at) in enumerate(runs):
                runs[index] = (first + beats, count, at + cycles)

    def _ask(self) -> None:
        beats = min(self.left, BURST)
        # The FIFO has room when so many beats were read.
        needed = self.asked + beats - STREAM_FIFO
        time = self.ask_time + 1
        if needed > 0:
            time = max(time, self._read_time(needed - 1) + 1)
        self.ask_time = time
        arrival = max(time + 1 + self.latency, self.last_arrival + 1)
        self.bursts.append((self.asked, beats, arrival))
        self.last_arrival = arrival + beats - 1
        self.asked += beats
        self.left -= beats

    def _read_time(self, beat: int) -> int:
        while self.reads[0][0] + self.reads[0][1] <= beat:
            self.reads.popleft()
        first, _, at = self.reads[0]
        return at + beat - first


class _Clock:
    """Walks through a program.

    Args:
        steady: skip what repeats itself; the result is the same.
    """

    def __init__(self, program: Program, latency: int, *, steady: bool = True) -> None:
        assert latency >= 1, latency
        self.steady = steady
        self.program, self.shape, self.latency = program, program.shape, latency
        self.word_beats = self.shape.word_bytes // self.shape.axi
        self.stream = _Stream(self.shape, program.stream_beats, latency)
        # From which cycle on a count can be seen, by the count.
        self.transfers_seen = [1]
        self.commands_seen = [1]
        # Array: when a header may be taken, when a command may begin, the memories, the drain.
        self.taken = -1
        self.header_free = 1
        self.idle = 1
        self.bank = 0
        self.bank_free = [1, 1]
        self.drain_idle = 1
        self.busy = 0
        # Transfers: when the next descriptor is asked for.
        self.ask = 1

    def run(self) -> EngineTiming:
        commands, transfers = self.program.commands, self.program.transfers
        ends = [0] * len(self.program.lowered.layers)
        while len(self.commands_seen) <= len(commands) or len(self.transfers_seen) <= len(transfers):
            at = len(self.commands_seen) - 1
            moved = len(self.transfers_seen) - 1
            if at < len(commands) and commands[at].fields["wait_transfers"] <= moved:
                self._command(commands[at])
                ends[commands[at].layer] = self.commands_seen[-1]
            else:
                assert transfers[moved].fields["wait_commands"] <= at, "the program deadlocks"
                self._transfer(transfers[moved])
        cycles = max(self.commands_seen[-1], self.transfers_seen[-1]) + 1
        return EngineTiming(cycles, self.busy, self.latency, tuple(ends))

    def _take(self, earliest: int, values: int | None = None) -> int:
        """Cycle in which a word is taken.

        Args:
            values: value beats of a packed word.
        """
        beats = self.word_beats if values is None else self.shape.mask_beats + values
        # That a mask is empty is seen a cycle after it is complete.
        self.taken = max(self.stream.word(self.taken, beats) + (values == 0), earliest)
        return self.taken

    def _command(self, command: Command) -> None:
        fields, shape = command.fields, self.shape
        for _ in range(shape.header_words):
            self._take(self.header_free)
        positions = fields["rows"] * fields["columns"]
        serial = bool(fields["flags"] & SERIAL)
        begins = max(
            self.taken + 1,
            self.idle,
            self.bank_free[self.bank],
            self.transfers_seen[fields["wait_transfers"]],
            self.commands_seen[fields["wait_commands"]],
            self.drain_idle if serial else 0,
        )
        if serial:
            self._serial(begins, command)
            return
        if fields["flags"] & GATHERED:
            end, last = self._gathered(begins, command)
            begins = self.taken
        else:
            end, last, begins = self._steps(begins, command)
        self.busy += visited_steps(command) * positions
        self.header_free = max(begins, self.taken) + 1
        levels = clog2(shape.simd)
        flushed = max(end + 1, last + 5 + levels + 3) + 3
        hand_over = max(flushed, self.drain_idle)
        self.idle = hand_over + 1
        if not fields["flags"] & DRAIN:
            self.commands_seen.append(hand_over + 2)
            return
        written = _next(hand_over + positions * fields["out_words"] * (shape.simd // shape.requant) + 8, odd=True)
        self.drain_idle = written + 1
        self.bank_free[self.bank] = written + 2
        self.bank = 1 - self.bank
        self.commands_seen.append(written + 2)

    def _steps(self, begins: int, command: Command) -> tuple[int, int, int]:
        """Cycles in which the steps end, in which the last position was taken, and in which the command began."""
        fields, weights = command.fields, command.weights
        positions = fields["rows"] * fields["columns"]
        steps = fields["planes"] * fields["kernel_rows"] * fields["kernel_columns"]
        words = weights.words
        values = [None] * words if weights.values is None else weights.values.tolist()
        if words:
            begins = self._take(begins, values[0])
        per_word = steps if not words else (1 if words == steps else self.shape.pe)
        length = max(positions, LEAST_STEP)
        end, step, last, began = begins, 0, -1, 0
        word, before = 0, None
        # Words of one size for the same number of steps: once they come at a steady pace, the rest follows from it.
        period = BURST // self.word_beats if self.steady and weights.values is None else 0
        while word < max(words, 1):
            if period and word % period == 0 and words - word > 2 * period:
                now = self.stream.state(self.taken, end)
                if now == before:
                    times = min((words - word - 1) // period, self.stream.left // BURST) - 1
                    if times > 0:
                        duration = end - began
                        self.stream.advance(times * BURST, times * duration)
                        self.taken += times * duration
                        end += times * duration
                        word += times * period
                        step += times * period * per_word
                before, began = now, end
            count = min(per_word, steps - step)
            if skipped(command, word):
                end += LEAST_STEP
            else:
                end += count * length
                last = end - length + positions
            step += count
            if step < steps:
                end = self._take(end, values[word + 1])
            word += 1
        return end, last, begins

    def _gathered(self, begins: int, command: Command) -> tuple[int, int]:
        """The same of gathered steps: the rows of the taps are counted first, and words of indices come between."""
        fields = command.fields
        positions = fields["rows"] * fields["columns"]
        length = max(positions, LEAST_STEP)
        at = self._take(self._take(begins) + fields["kernel_rows"] + 1)
        for step in range(1, fields["planes"]):
            end = at + length
            if step % self.shape.indices == 0:
                end = max(end, self._take(at + 1) + 1)
            at = self._take(end)
        return at + length, at + positions

    def _serial(self, begins: int, command: Command) -> None:
        """Words of the stream into the scratchpad, or a normalization."""
        fields, shape = command.fields, self.shape
        if fields["flags"] & 3 == LOAD:
            begins = self._take(begins)
            written = _next(begins + 2, odd=True) + 2 * (shape.pe - 1)
            for _ in range(1, command.weights.words):
                self._take(written + 1)
                written = _next(self.taken + 1, odd=True) + 2 * (shape.pe - 1)
        else:
            elements = fields["planes"] * shape.simd + fields["kernel_columns"]
            last = begins + 2 + 2 * (fields["rows"] * fields["columns"] * elements - 1)
            written = _next(last + 16, odd=True)
        self.header_free = max(begins, self.taken) + 1
        self.idle = written + 2
        self.commands_seen.append(written + 2)

    def _transfer(self, transfer: Transfer) -> None:
        fields = transfer.fields
        fetched = self.ask + 1 + self.latency + TRANSFER_BYTES // self.shape.axi
        runs = max(fetched, self.commands_seen[fields["wait_commands"]])
        complete = self._moved(runs, fields)
        self.transfers_seen.append(complete + 1)
        self.ask = complete + 1

    def _moved(self, runs: int, fields: Mapping[str, int]) -> int:
        """Cycle in which a transfer that runs from the cycle behind `runs` is complete."""
        beats = fields["count"] * fields["length"] * (self.shape.simd // self.shape.axi)
        if fields["flags"] & STORE:
            first = _next(runs + 1, odd=False) + 3
            return first + beats - 1 + self.latency + 1
        return _next(runs + 2 + self.latency + beats, odd=False)


def skipped(command: Command, word: int) -> bool:
    """Whether the step of a packed word has nothing to multiply; the one that clears the accumulators visits them."""
    values = command.weights.values
    return values is not None and values[word] == 0 and not (word == 0 and command.fields["flags"] & CLEAR)


def visited_steps(command: Command) -> int:
    """Steps of a command in which the array goes over the tile's positions."""
    fields, values = command.fields, command.weights.values
    if fields["flags"] & SERIAL:
        return 0
    if fields["flags"] & GATHERED:
        return fields["planes"]
    steps = fields["planes"] * fields["kernel_rows"] * fields["kernel_columns"]
    if values is None:
        return steps
    return int(np.count_nonzero(values)) + int(values[0] == 0 and not skipped(command, 0))


def _next(cycle: int, *, odd: bool) -> int:
    """The first odd or even cycle from this one on."""
    return cycle if cycle % 2 == int(odd) else cycle + 1
