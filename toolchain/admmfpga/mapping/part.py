"""A block of a layer before it is wired, and the blocks that many layers have."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm

import numpy as np

from admmfpga.blocks import Block, Gearbox, Port, Requantize, Threshold, WidthConverter, Window
from admmfpga.mapping.folding import Folding
from admmfpga.network import Budget, IntArray, IntType, Requantization, Tensor
from admmfpga.network.graph import window_extent
from admmfpga.network.ranges import sum_type

BEFORE = -1
"""What the part before gives; of the first part, the node's first input."""


@dataclass(frozen=True)
class FilledRows:
    """Rows of an image that are filled up to whole beats before a block takes them.

    Attributes:
        rows: of a frame.
        row: codes of a row.
        lanes: of a beat with which each row begins anew; the last one is filled up.
        fill: code that fills it.
    """

    rows: int
    row: int
    lanes: int
    fill: int

    def gearbox(self, port: Port) -> Gearbox:
        """What fills the rows of a stream up."""
        return Gearbox(
            in_lanes=port.lanes,
            out_lanes=self.lanes,
            bits=port.bits,
            signed=port.signed,
            row=self.row,
            rows=self.rows,
            out_filled=True,
            fill=self.fill,
        )

    def likely(self, port: Port) -> Gearbox:
        """The same where it is not known yet how many lanes arrive: a power of two, as many as leave or fewer.

        Args:
            port: what the block takes.
        """
        lanes = next(n for n in (64, 32, 16, 8, 4, 2, 1) if n <= self.lanes and self.row * self.rows % n == 0)
        return self.gearbox(Port(lanes, port.bits, port.signed))


@dataclass(frozen=True, eq=False)
class Part:
    """A block of a layer, before it is wired.

    Attributes:
        suffix: of its name.
        block: parameters.
        contents: of its memories.
        inputs: what each input of the block reads: an index into the node's inputs, or `BEFORE`.
        filled: how the rows that it reads are filled up; None: as they are.
    """

    suffix: str
    block: Block
    contents: dict[str, IntArray]
    inputs: tuple[int, ...] = (BEFORE,)
    filled: FilledRows | None = None


def window_of(
    source: Tensor,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    pad_value: int,
    channels: int,
    dilations: tuple[int, int] = (1, 1),
) -> Window:
    """The window unit in front of a layer; of a dilated kernel it gathers the taps that there are."""
    extent = window_extent(kernel, dilations)
    groups = source.channels // channels
    gather: tuple[tuple[int, ...], ...] = ()
    if extent != kernel:
        taps = (
            (row * dilations[0] * extent[1] + column * dilations[1]) * channels + channel
            for row in range(kernel[0])
            for column in range(kernel[1])
            for channel in range(channels)
        )
        gather = (tuple(taps),) * groups
    return Window(
        height=source.shape[0],
        width=source.shape[1],
        channels=channels,
        groups=groups,
        bits=source.dtype.bits,
        signed=source.dtype.signed,
        kernel=extent,
        strides=strides,
        pads=pads,
        pad_value=pad_value,
        gather=gather,
    )


def may_threshold(rule: Requantization) -> bool:
    """Whether comparisons can stand for a requantization: outputs of at most 4 bits, and more than one code."""
    return rule.dtype.bits <= 4 and rule.low < rule.high


def output_part(
    rule: Requantization,
    source: IntType,
    low: IntArray,
    high: IntArray,
    folding: Folding,
    elements: int,
    budget: Budget | None = None,
) -> Part:
    """From accumulators to codes.

    Args:
        source: type of the accumulators.
        low, high: (C,) their range.
        elements: of a frame.
        budget: parameters may be exchanged within it; None: they are constants.
    """
    lanes = folding.lanes_out or folding.pe
    if not folding.thresholds:
        return _requantize(rule, source, low, high, lanes, elements, budget)
    assert budget is None, "thresholds have no budgets"
    found = rule.thresholds(low, high)
    found = np.tile(found, (_copies(lanes, len(found)), 1))
    channels, count = found.shape
    block = Threshold(
        lanes=lanes,
        groups=channels // lanes,
        positions=elements // channels,
        in_bits=source.bits,
        in_signed=source.signed,
        count=count,
        threshold_bits=IntType.signed_holding(int(found.min()), int(found.max())).bits,
        low=rule.low,
        out_bits=rule.dtype.bits,
        out_signed=rule.dtype.signed,
    )
    return Part("threshold", block, {"thresholds": found})


def _requantize(
    rule: Requantization,
    source: IntType,
    low: IntArray,
    high: IntArray,
    lanes: int,
    elements: int,
    budget: Budget | None,
) -> Part:
    copies = _copies(lanes, len(rule.bias))
    channels = copies * len(rule.bias)
    bias = IntType.signed_holding(int(rule.bias.min()), int(rule.bias.max()))
    sums, multiplier_bits = sum_type(low, high, rule), rule.multiplier_bits
    if budget is not None:
        bias, multiplier_bits = budget.bias_type, budget.multiplier_bits
        sums = IntType.signed_holding(int(low.min()) + bias.min, int(high.max()) + bias.max)
    block = Requantize(
        lanes=lanes,
        groups=channels // lanes,
        positions=elements // channels,
        in_bits=source.bits,
        in_signed=source.signed,
        bias_bits=bias.bits,
        sum_bits=sums.bits,
        multiplier_bits=multiplier_bits,
        shift=rule.shift,
        zero_point=rule.zero_point,
        low=rule.low,
        high=rule.high,
        out_bits=rule.dtype.bits,
        out_signed=rule.dtype.signed,
        reloadable=budget is not None,
    )
    contents = {"bias": np.tile(rule.bias, copies), "multiplier": np.tile(rule.multiplier, copies)}
    return Part("requantize", block, contents)


def _copies(lanes: int, channels: int) -> int:
    """How often parameters are repeated: beats of lanes that do not divide the channels go over several pixels."""
    return lcm(lanes, channels) // channels


def converters(port: Port, lanes: int, elements: int, ends: int = 0, begins: int = 0) -> list[WidthConverter]:
    """Width converters from a stream to another number of lanes: none, one, or two by way of the common multiple, or of
    the common divisor where beats are filled up.

    Args:
        elements: a frame.
        ends: elements after which the stream's last beat is filled up, see `Block.unit_out`; 0: none is.
        begins: elements that are to begin in a beat of their own, see `Block.unit_in`; 0: beats go on.
    """
    if ends or begins:
        middle = gcd(port.lanes, lanes, ends, begins)
        waypoints = [(middle, ends), (lanes, begins)]
    else:
        waypoints = [(lcm(port.lanes, lanes), 0), (lanes, 0)]
    result, current = [], port.lanes
    for waypoint, unit in waypoints:
        if waypoint != current:
            result.append(
                WidthConverter(
                    in_lanes=current,
                    out_lanes=waypoint,
                    bits=port.bits,
                    signed=port.signed,
                    elements=elements,
                    unit=unit,
                )
            )
            current = waypoint
    return result


def fitted(
    port: Port, lanes: int, elements: int, filled: FilledRows | None, ends: int = 0, begins: int = 0
) -> list[Block]:
    """What brings a stream to another number of lanes, its rows filled up if need be; arguments as of `converters`."""
    if filled is None:
        return list(converters(port, lanes, elements, ends, begins))
    assert not ends, "rows that are filled up come from another layer"
    gearbox = filled.gearbox(port)
    return [gearbox, *converters(gearbox.sink, lanes, elements_of(gearbox), begins=begins)]


def between(before: Block, after: Block) -> list[WidthConverter]:
    """Converters from one block of a layer to the next."""
    return converters(before.sink, after.source.lanes, elements_of(before), before.unit_out, after.unit_in)


def elements_of(block: Block) -> int:
    """Codes that a block gives per frame, padding of beats included unless it is to be dropped."""
    if not block.unit_out:
        return block.beats_out * block.sink.lanes
    return block.beats_out // -(-block.unit_out // block.sink.lanes) * block.unit_out
