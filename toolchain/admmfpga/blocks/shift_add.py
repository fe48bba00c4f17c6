"""A constant matrix times a vector as a network of shifts, adders and registers.

Weights are written in canonical signed digits (of two neighbours one is zero; Reitwiesner 1960), so that a row is a sum
of shifted inputs with signs. Pairs of terms that occur more than once, up to a common shift and sign, become one adder
whose result all of them use; the most frequent pair goes first (R. Hartley, "Subexpression sharing in filters using
canonic signed digit multipliers", IEEE TCAS-II 43, 1996; M. Potkonjak et al., "Multiple constant multiplications", IEEE
TCAD 15, 1996). What is left of a row is added in a tree. Every adder ends in a register; values that are needed later
wait in registers of their own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from admmfpga.network import IntArray, IntType


class Operation(IntEnum):
    """What a register takes."""

    COPY = 0
    ADD = 1
    SUBTRACT = 2
    NEGATE = 3


@dataclass(frozen=True)
class Register:
    """One register: its operands, by the number of their value (inputs first, then registers), and its range.

    COPY and NEGATE have the left operand only, twice. At most one of the shifts is not zero.
    """

    operation: Operation
    left: int
    right: int
    left_shift: int
    right_shift: int
    stage: int
    low: int
    high: int

    @property
    def dtype(self) -> IntType:
        """The narrowest type that holds the whole range."""
        return IntType.holding(self.low, self.high)


@dataclass(frozen=True)
class Output:
    """A row's result: a value shifted to the left; no value: zero."""

    value: int | None
    shift: int


@dataclass(frozen=True)
class ShiftAdd:
    """The network.

    Attributes:
        inputs: columns of the matrix.
        registers: operands before results.
        outputs: by row, all in the last stage.
        stages: registers from any input to any output.
    """

    inputs: int
    registers: tuple[Register, ...]
    outputs: tuple[Output, ...]
    stages: int

    @property
    def adders(self) -> int:
        return sum(register.operation is not Operation.COPY for register in self.registers)

    def execute(self, vectors: IntArray) -> IntArray:
        """(n, inputs) to (n, rows): what the network computes, register by register."""
        values = list(vectors.T)
        for r in self.registers:
            left, right = values[r.left] << r.left_shift, values[r.right] << r.right_shift
            values.append(
                {
                    Operation.COPY: left,
                    Operation.ADD: left + right,
                    Operation.SUBTRACT: left - right,
                    Operation.NEGATE: -left,
                }[r.operation]
            )
        zero = np.zeros(len(vectors), dtype=np.int64)
        return np.stack([zero if o.value is None else values[o.value] << o.shift for o in self.outputs], axis=1)


def signed_digits(value: int) -> list[tuple[int, int]]:
    """Canonical signed digits of an integer: (shift, +1 or -1), the lowest first."""
    digits, shift = [], 0
    while value:
        if value & 1:
            digit = 2 - (value & 3)
            digits.append((shift, digit))
            value -= digit
        value >>= 1
        shift += 1
    return digits


def digit_count(matrix: IntArray) -> IntArray:
    """Non-zero signed digits of every row: what its sum has as terms before sharing."""
    magnitude = np.abs(matrix)
    # The digits of x that are not zero are the bits of x ^ 3x, but for the lowest one.
    digits = magnitude ^ (3 * magnitude)
    total = np.zeros(len(matrix), dtype=np.int64)
    while digits.any():
        digits = digits >> 1
        total += (digits & 1).sum(axis=1)
    return total


# --- shared pairs ----------------------------------------------------------------------------------------------------

Term = tuple[int, int]
"""(value, shift)"""

Pair = tuple[int, int, int, int]
"""(value, value, shift of the second less that of the first, product of the signs); terms of one value lower first."""


def _pair(a: Term, b: Term, sign: int) -> Pair:
    """Two terms as a pair."""
    first, second = (a, b) if a < b else (b, a)
    return first[0], second[0], second[1] - first[1], sign


class _Sharing:
    """Rows as sums of signed terms, with the pairs that they hold."""

    def __init__(self, matrix: IntArray) -> None:
        self.rows: list[dict[Term, int]] = [
            {(column, shift): sign for column, weight in enumerate(row) for shift, sign in signed_digits(weight)}
            for row in matrix.tolist()
        ]
        self.values = int(matrix.shape[1])
        # Pairs that became values, and whether as second less first.
        self.made: list[tuple[Pair, bool]] = []
        # How often each row holds a pair.
        self.where: dict[Pair, dict[int, int]] = defaultdict(dict)
        self.heap: list[tuple[int, Pair]] = []
        for row, terms in enumerate(self.rows):
            items = list(terms.items())
            for i, (a, a_sign) in enumerate(items):
                for b, b_sign in items[i + 1 :]:
                    self._count(row, _pair(a, b, a_sign * b_sign), 1)
        self.heap = [(-sum(rows.values()), pair) for pair, rows in self.where.items() if sum(rows.values()) > 1]
        heapq.heapify(self.heap)

    def share(self) -> None:
        """Make values of pairs that occur more than once, the most frequent first, until there are none."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            rows = self.where.get(pair, {})
            now = sum(rows.values())
            if now != -count:
                if now > 1:
                    heapq.heappush(self.heap, (-now, pair))
                continue
            # Pairs of one value overlap (digits 0, 2 and 4); so many can be replaced.
            found = {row: self._occurrences(row, pair) for row in sorted(rows)}
            if sum(map(len, found.values())) < 2:
                continue
            value = self.values
            self.values += 1
            # A difference is taken the way round that most rows want, so that few are left with negative terms only.
            firsts = sum(self.rows[row][first] for row, places in found.items() for first, _ in places)
            turned = pair[3] < 0 and firsts < 0
            self.made.append((pair, turned))
            changed: set[Pair] = set()
            for row, places in found.items():
                for first, second in places:
                    self._replace(row, first, second, value, turned, changed)
            for pair_ in sorted(changed):
                if (total := sum(self.where[pair_].values())) > 1:
                    heapq.heappush(self.heap, (-total, pair_))

    def _occurrences(self, row: int, pair: Pair) -> list[tuple[Term, Term]]:
        """Places of a pair in a row that do not overlap."""
        terms, taken, found = self.rows[row], set[Term](), []
        for first in sorted(term for term in terms if term[0] == pair[0]):
            second = pair[1], first[1] + pair[2]
            if second in terms and not {first, second} & taken and terms[first] * terms[second] == pair[3]:
                taken |= {first, second}
                found.append((first, second))
        return found

    def _replace(self, row: int, first: Term, second: Term, value: int, turned: bool, changed: set[Pair]) -> None:
        terms = self.rows[row]
        first_sign, second_sign = terms.pop(first), terms.pop(second)
        self._count(row, _pair(first, second, first_sign * second_sign), -1)
        # The new value is the pair with the lower shift taken out.
        new, new_sign = (value, min(first[1], second[1])), second_sign if turned else first_sign
        for other, sign in terms.items():
            self._count(row, _pair(first, other, first_sign * sign), -1)
            self._count(row, _pair(second, other, second_sign * sign), -1)
            pair = _pair(new, other, new_sign * sign)
            self._count(row, pair, 1)
            changed.add(pair)
        terms[new] = new_sign

    def _count(self, row: int, pair: Pair, change: int) -> None:
        rows = self.where[pair]
        rows[row] = rows.get(row, 0) + change
        if not rows[row]:
            del rows[row]


def _shared(matrix: IntArray) -> tuple[list[dict[Term, int]], list[tuple[Pair, bool]]]:
    """Rows as sums of signed terms, and the pairs that became values, numbered after the inputs.

    Rows without a column in common share nothing: each such part is looked at alone, equal ones once.
    """
    rows: list[dict[Term, int]] = [{} for _ in matrix]
    made: list[tuple[Pair, bool]] = []
    known: dict[tuple[int, bytes], _Sharing] = {}
    inputs = int(matrix.shape[1])
    for members in _parts(matrix):
        columns = np.flatnonzero(matrix[members].any(axis=0))
        part = matrix[members][:, columns]
        key = len(members), part.tobytes()
        if key not in known:
            known[key] = _Sharing(part)
            known[key].share()
        found, first = known[key], inputs + len(made)
        numbers = [*columns.tolist(), *range(first, first + len(found.made))]
        made += [((numbers[a], numbers[b], distance, sign), turned) for (a, b, distance, sign), turned in found.made]
        for row, terms in zip(members, found.rows, strict=True):
            rows[row] = {(numbers[value], shift): sign for (value, shift), sign in terms.items()}
    return rows, made


def _parts(matrix: IntArray) -> list[list[int]]:
    """Rows with weights, those together that columns connect."""
    left = [int(row) for row in np.flatnonzero(matrix.any(axis=1))]
    found = []
    while left:
        members = np.zeros(len(matrix), dtype=np.bool_)
        members[left[0]] = True
        count = 0
        while count != (count := int(members.sum())):
            members |= matrix[:, matrix[members].any(axis=0)].any(axis=1)
        found.append(np.flatnonzero(members).tolist())
        left = [row for row in left if not members[row]]
    return found


# --- registers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """An adder before it has a place in time."""

    operation: Operation
    left: Term
    right: Term


def shift_add(matrix: IntArray, source: IntType) -> ShiftAdd:
    """The network of a constant matrix.

    Args:
        matrix: (rows, columns) weights.
        source: type of the inputs.
    """
    inputs = int(matrix.shape[1])
    rows, made = _shared(matrix)
    nodes: list[_Node] = []
    depth = [0] * inputs

    def add(operation: Operation, left: Term, right: Term) -> int:
        nodes.append(_Node(operation, left, right))
        depth.append(1 + max(depth[left[0]], depth[right[0]]))
        return len(depth) - 1

    negated: dict[int, int] = {}
    for (first, second, distance, sign), turned in made:
        operation = Operation.ADD if sign > 0 else Operation.SUBTRACT
        operands = (first, max(0, -distance)), (second, max(0, distance))
        add(operation, *(operands[::-1] if turned else operands))
    results: list[Term | None] = []
    for terms in rows:
        # The two that are ready first, again and again: the shallowest tree.
        ready = [(depth[value], value, shift, sign) for (value, shift), sign in sorted(terms.items())]
        heapq.heapify(ready)
        while len(ready) > 1:
            (_, a, a_shift, a_sign), (_, b, b_shift, b_sign) = heapq.heappop(ready), heapq.heappop(ready)
            if a_sign < b_sign:
                a, a_shift, a_sign, b, b_shift, b_sign = b, b_shift, b_sign, a, a_shift, a_sign
            low = min(a_shift, b_shift)
            operation = Operation.ADD if a_sign == b_sign else Operation.SUBTRACT
            value = add(operation, (a, a_shift - low), (b, b_shift - low))
            heapq.heappush(ready, (depth[value], value, low, a_sign))
        if not ready:
            results.append(None)
            continue
        _, value, shift, sign = ready[0]
        if sign < 0:
            if value not in negated:
                negated[value] = add(Operation.NEGATE, (value, 0), (value, 0))
            value = negated[value]
        results.append((value, shift))
    stages = max([1, *(depth[result[0]] for result in results if result)])
    choices = [_placed(inputs, nodes, results, stages, source, times) for times in _times(inputs, nodes, depth, stages)]
    return min(choices, key=lambda network: sum(register.dtype.bits for register in network.registers))


def _times(inputs: int, nodes: Sequence[_Node], depth: Sequence[int], stages: int) -> list[list[int]]:
    """Stages of all values: each as early as possible, and each as late as possible."""
    late = [0] * inputs + [stages] * len(nodes)
    for number in range(len(nodes) - 1, -1, -1):
        node = nodes[number]
        for value, _ in (node.left, node.right):
            if value >= inputs:
                late[value] = min(late[value], late[inputs + number] - 1)
    return [list(depth), late]


def _placed(
    inputs: int,
    nodes: Sequence[_Node],
    results: Sequence[Term | None],
    stages: int,
    source: IntType,
    times: Sequence[int],
) -> ShiftAdd:
    """The network with every adder in its stage and copies of values that are needed later."""
    registers: list[Register] = []
    ranges = [(source.min, source.max)] * inputs
    # Number of a node's value, or of its copy, by stage.
    numbers: dict[tuple[int, int], int] = {(value, 0): value for value in range(inputs)}

    def append(operation: Operation, left: Term, right: Term, stage: int) -> int:
        (a_low, a_high), (b_low, b_high) = (
            (ranges[value][0] << shift, ranges[value][1] << shift) for value, shift in (left, right)
        )
        low, high = {
            Operation.COPY: (a_low, a_high),
            Operation.ADD: (a_low + b_low, a_high + b_high),
            Operation.SUBTRACT: (a_low - b_high, a_high - b_low),
            Operation.NEGATE: (-a_high, -a_low),
        }[operation]
        registers.append(Register(operation, left[0], right[0], left[1], right[1], stage, low, high))
        ranges.append((low, high))
        return len(ranges) - 1

    def at(value: int, stage: int) -> int:
        """Number of a value in a stage, copied there if need be."""
        last = stage
        while (value, last) not in numbers:
            last -= 1
        for later in range(last + 1, stage + 1):
            number = numbers[value, later - 1]
            numbers[value, later] = append(Operation.COPY, (number, 0), (number, 0), later)
        return numbers[value, stage]

    for number, node in sorted(enumerate(nodes, inputs), key=lambda item: (times[item[0]], item[0])):
        stage = times[number]
        left, right = ((at(value, stage - 1), shift) for value, shift in (node.left, node.right))
        numbers[number, stage] = append(node.operation, left, right, stage)
    outputs = [Output(None, 0) if result is None else Output(at(result[0], stages), result[1]) for result in results]
    if not registers:
        append(Operation.COPY, (0, 0), (0, 0), 1)
    return ShiftAdd(inputs, tuple(registers), tuple(outputs), stages)
