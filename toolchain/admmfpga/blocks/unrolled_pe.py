"""Unrolled PE: a whole constant matrix in logic, one vector a cycle.

Weights are structure: zeros vanish, others become shifts and adders, and what rows have in common is computed once
(see `shift_add`). A beat brings a whole vector and gives all accumulators. New weights are a new design; there is no
memory to load them into.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    Contents,
    Port,
    Resources,
    Schedule,
    Table,
    clog2,
    every,
    fifo_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.blocks.matrix_unit import MatrixUnit
from admmfpga.blocks.shift_add import Operation, Register, ShiftAdd, shift_add
from admmfpga.network import IntArray, IntType


@dataclass(frozen=True, kw_only=True)
class UnrolledPE(MatrixUnit):
    """A constant matrix.

    Attributes:
        matrix: (rows, columns) weights, columns in the order of the lanes.
    """

    stem: ClassVar[str] = "unrolled_pe"
    kind: ClassVar[str] = "unrolled"
    matrix: tuple[tuple[int, ...], ...] = field(hash=False)

    def __post_init__(self) -> None:
        assert len(self.matrix) == self.rows, self
        assert {len(row) for row in self.matrix} == {self.columns}, self

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The lanes that the network reads, by its inputs; the same network whatever order the columns come in."""
        columns = sorted((column, lane) for lane, column in enumerate(zip(*self.matrix, strict=True)) if any(column))
        return tuple(lane for _, lane in columns) or (0,)

    @cached_property
    def network(self) -> ShiftAdd:
        """Adders and registers."""
        matrix = tuple(tuple(row[lane] for lane in self.order) for row in self.matrix)
        return _network(matrix, IntType(self.in_bits, self.in_signed))

    @property
    def source(self) -> Port:
        return Port(self.columns, self.in_bits, self.in_signed)

    @property
    def sink_lanes(self) -> int:
        return self.rows

    @property
    def multipliers(self) -> int:
        """Weights that are not zero: there is nothing for the others."""
        return max(1, sum(weight != 0 for row in self.matrix for weight in row))

    @property
    def vector_products(self) -> int:
        return self.multipliers

    @property
    def format(self) -> str | None:
        return None

    @property
    def vector_cycles(self) -> int:
        return 1

    @property
    def vector_beats(self) -> int:
        return 1

    @property
    def core_latency(self) -> int:
        return self.network.stages

    @property
    def beats_out(self) -> int:
        return self.vectors

    def schedule(self) -> Schedule:
        steps = every(1, self.vectors)
        return Schedule(self.vectors, steps, steps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        found: IntArray = beats @ np.array(self.matrix).T
        return found

    def _bits(self, register: Register) -> int:
        return min(register.dtype.bits, self.acc_bits)

    def core_terms(self) -> Terms:
        registers, inputs = self.network.registers, self.network.inputs
        readers = Counter(value for r in registers for value in {r.left, r.right})
        readers.update(output.value for output in self.network.outputs if output.value is not None)
        adders = held = shifted = 0
        # Registers in a row up to and with each one, none of them read in between.
        run: dict[int, int] = {}
        for number, r in enumerate(registers, inputs):
            run[number] = 1
            if r.operation is Operation.COPY:
                behind = r.left >= inputs and readers[r.left] == 1
                run[number] += run.pop(r.left) if behind else 0
            else:
                # Low bits of the left operand alone pass by the adder.
                adders += self._bits(r) - min(r.right_shift, self._bits(r))
        for number, length in run.items():
            bits = self._bits(registers[number - inputs])
            shifted += bits * (length >= family().shift_register)
            held += bits * length * (length < family().shift_register)
        return Terms(
            lut={"control": 1, "adder_bits": adders, "shift_registers": shifted},
            ff={"stages": self.core_latency, "register_bits": held},
        )

    def output_resources(self) -> Resources:
        """The output FIFO, without bits that are always zero or a sign's repetition."""
        network = self.network
        values = [output.value for output in network.outputs if output.value is not None]
        width = sum(self._bits(network.registers[value - network.inputs]) for value in values)
        return fifo_resources(self.out_depth, max(1, width))

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "IN_LANES": self.columns,
            "OUT_LANES": self.rows,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "ACC_BITS": self.acc_bits,
            "STAGES": self.network.stages,
            "NODES": len(self.network.registers),
            "SHIFT_BITS": self._shift_bits,
            **{name: table.literal for name, table in self.tables().items()},
            **self.output_parameters(),
        }

    @property
    def _shift_bits(self) -> int:
        shifts = [max(r.left_shift, r.right_shift) for r in self.network.registers]
        return max(1, *(shift.bit_length() for shift in (*shifts, *(o.shift for o in self.network.outputs))))

    def tables(self) -> dict[str, Table]:
        """The network: of each register its operation, operands, their shifts, and its type; of each row its value.

        Values are numbered: lanes of the input, registers, zero.
        """
        network, lanes = self.network, self.columns
        registers, inputs = network.registers, network.inputs
        index_bits = clog2(lanes + len(registers) + 1)

        def number(value: int | None) -> int:
            if value is None:
                return lanes + len(registers)
            return self.order[value] if value < inputs else value - inputs + lanes

        def table(values: list[int], bits: int) -> Table:
            return Table(np.array([values]), bits)

        return {
            "OPERATION": table([int(r.operation) for r in registers], 2),
            "LEFT": table([number(r.left) for r in registers], index_bits),
            "RIGHT": table([number(r.right) for r in registers], index_bits),
            "LEFT_SHIFT": table([r.left_shift for r in registers], self._shift_bits),
            "RIGHT_SHIFT": table([r.right_shift for r in registers], self._shift_bits),
            "NODE_BITS": table([self._bits(r) for r in registers], self.acc_bits.bit_length()),
            "NODE_SIGNED": table([int(r.dtype.signed) for r in registers], 1),
            "RESULT": table([number(o.value) for o in network.outputs], index_bits),
            "RESULT_SHIFT": table([o.shift for o in network.outputs], self._shift_bits),
        }


@lru_cache(maxsize=256)
def _network(matrix: tuple[tuple[int, ...], ...], source: IntType) -> ShiftAdd:
    return shift_add(np.array(matrix), source)
