"""Layers that are no matrix product: depthwise convolutions, pools, sums, products, joins, tables, movements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import gcd

import numpy as np

from admmfpga.blocks import Add, AveragePool, Concat, DepthwisePE, Lookup, MaxPool, Pad, Resize
from admmfpga.mapping.folding import Folding, divisors
from admmfpga.mapping.part import BEFORE, Part, output_part, window_of
from admmfpga.mapping.pixels import filled_rows, pool_pixels, spread_window
from admmfpga.network import Add as AddNode
from admmfpga.network import AveragePool as AveragePoolNode
from admmfpga.network import Concat as ConcatNode
from admmfpga.network import Conv, IntType, Network, Node, Rescale, Tensor
from admmfpga.network import Lookup as LookupNode
from admmfpga.network import MaxPool as MaxPoolNode
from admmfpga.network import Pad as PadNode
from admmfpga.network import Resize as ResizeNode
from admmfpga.network.graph import taps_inside
from admmfpga.network.ranges import accumulator_range, accumulator_type, weight_type


def parts(network: Network, node: Node, folding: Folding) -> list[Part]:
    """The blocks of one layer, in order; widths between them may differ (converters come between)."""
    source, output = network.input_of(node), network.output_of(node)
    match node:
        case Conv():
            return _depthwise(node, source, output, folding)
        case MaxPoolNode():
            window = window_of(
                source, node.kernel, node.strides, node.pads, source.dtype.min, folding.channels, node.dilations
            )
            channels = folding.channels
            if folding.pixels > 1:
                window = spread_window(network, node, folding.pixels)
                channels = pool_pixels(node, folding.pixels) * source.channels
            pool = MaxPool(
                taps=node.kernel[0] * node.kernel[1],
                channels=channels,
                bits=source.dtype.bits,
                signed=source.dtype.signed,
                beats=output.elements // channels,
            )
            filled = filled_rows(network, node, folding.pixels)
            return [Part("window", window, {}, filled=filled), Part("pool", pool, {})]
        case AveragePoolNode():
            return _average(node, source, output, folding)
        case AddNode():
            return _add(network, node, folding)
        case ConcatNode():
            return _concat(network, node, folding)
        case LookupNode():
            table = Lookup(
                lanes=folding.pe,
                in_bits=source.dtype.bits,
                in_signed=source.dtype.signed,
                out_bits=node.dtype.bits,
                out_signed=node.dtype.signed,
                count=len(node.table),
                table_block_ram=folding.weight_block_ram,
                beats=source.elements // folding.pe,
            )
            return [Part("table", table, {"table": node.table})]
        case PadNode():
            border = Pad(
                height=source.shape[0],
                width=source.shape[1],
                channels=folding.channels,
                groups=source.channels // folding.channels,
                bits=source.dtype.bits,
                signed=source.dtype.signed,
                pads=node.pads,
                pad_value=node.pad_value,
                spacing=node.spacing,
            )
            return [Part("border", border, {})]
        case ResizeNode():
            larger = Resize(
                height=source.shape[0],
                width=source.shape[1],
                channels=folding.channels,
                groups=source.channels // folding.channels,
                bits=source.dtype.bits,
                signed=source.dtype.signed,
                factors=node.factors,
            )
            return [Part("larger", larger, {})]
        case Rescale():
            low = np.full(source.channels, source.dtype.min)
            high = np.full(source.channels, source.dtype.max)
            budget = network.budgets.get(node.name)
            return [output_part(node.requantization, source.dtype, low, high, folding, source.elements, budget)]
    raise AssertionError(f"no hardware for {node.op}")


def foldings(network: Network, node: Node) -> Iterable[Folding]:
    """Every folding that a layer can take."""
    source = network.input_of(node)
    match node:
        case Conv():
            for channels in divisors(source.channels):
                for simd in divisors(node.kernel[0] * node.kernel[1]):
                    for use_dsp in (True, False):
                        for block_ram in (True, False):
                            pe = channels * (len(node.weights) // source.channels)
                            yield Folding(pe, simd, channels, use_dsp, block_ram)
        case AveragePoolNode():
            yield from (Folding(pe=channels, channels=channels) for channels in divisors(source.channels))
        case MaxPoolNode() | PadNode() | ResizeNode():
            yield from (Folding(channels=channels) for channels in divisors(source.channels))
        case AddNode():
            channels = network.output_of(node).channels
            yield from (Folding(pe=lanes, use_dsp=dsp) for lanes in divisors(channels) for dsp in (True, False))
        case ConcatNode():
            yield from (Folding(pe=lanes) for lanes in divisors(gcd(*_runs(network, node))))
        case LookupNode():
            lanes = divisors(source.channels) if len(node.table) == 1 else (1,)
            yield from (Folding(pe=pe, weight_block_ram=ram) for pe in lanes for ram in (True, False))
        case _:
            yield from (Folding(pe=lanes) for lanes in divisors(source.channels))


def _depthwise(node: Conv, source: Tensor, output: Tensor, folding: Folding) -> list[Part]:
    filters = node.matrix
    low, high = accumulator_range(filters, source.dtype)
    accumulator = accumulator_type(filters, source.dtype)
    window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels, node.dilations)
    unit = DepthwisePE(
        pe=folding.channels,
        simd=folding.simd,
        taps=filters.shape[1],
        filters=len(filters) // source.channels,
        groups=source.channels // folding.channels,
        positions=output.elements // output.channels,
        in_bits=source.dtype.bits,
        in_signed=source.dtype.signed,
        weight_bits=weight_type(filters).bits,
        acc_bits=accumulator.bits,
        use_dsp=folding.use_dsp,
        weight_block_ram=folding.weight_block_ram,
    )
    requantize = output_part(node.requantization, accumulator, low, high, folding, output.elements)
    return [Part("window", window, {}), Part("pe", unit, {"filters": filters}), requantize]


def _average(node: AveragePoolNode, source: Tensor, output: Tensor, folding: Folding) -> list[Part]:
    taps = node.kernel[0] * node.kernel[1]
    whole = node.kernel == source.shape[:2] and not any(node.pads)
    ends = taps * source.dtype.min, taps * source.dtype.max
    total = IntType.signed_holding(*ends)
    pool = AveragePool(
        taps=1 if whole else taps,
        channels=folding.channels,
        bits=source.dtype.bits,
        signed=source.dtype.signed,
        groups=source.channels // folding.channels,
        count=taps if whole else 1,
        outputs=output.elements // output.channels,
        sum_bits=total.bits,
    )
    rule = node.requantization
    if node.edge_multipliers:
        # Multipliers differ from position to position: one parameter word for every beat of a frame.
        inside = taps_inside((source.shape[0], source.shape[1]), node).ravel()
        rows = [node.edge_multipliers.get(int(count), rule.multiplier) for count in inside]
        rule = replace(rule, bias=np.tile(rule.bias, len(rows)), multiplier=np.concatenate(rows))
    low, high = (np.full(len(rule.bias), end) for end in ends)
    requantize = output_part(rule, total, low, high, folding, output.elements)
    blocks = [Part("sum", pool, {}), requantize]
    if whole:
        return blocks
    window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels, node.dilations)
    return [Part("window", window, {}), *blocks]


def _concat(network: Network, node: ConcatNode, folding: Folding) -> list[Part]:
    """Two at a time."""
    dtype = network.output_of(node).dtype
    runs = [run // folding.pe for run in _runs(network, node)]
    result = []
    for index in range(1, len(runs)):
        block = Concat(
            lanes=folding.pe,
            bits=dtype.bits,
            signed=dtype.signed,
            first=sum(runs[:index]),
            second=runs[index],
            repeats=network.input_of(node).elements // (runs[0] * folding.pe),
        )
        result.append(Part("join" if len(runs) == 2 else f"join{index}", block, {}, (BEFORE, index)))
    return result


def _runs(network: Network, node: ConcatNode) -> list[int]:
    """Codes of each input that follow each other in the output's stream."""
    return [int(np.prod(network.tensors[name].shape[node.axis :])) for name in node.inputs]


def _add(network: Network, node: AddNode, folding: Folding) -> list[Part]:
    """Sums of two at a time, exact; one rounding at the end."""
    output = network.output_of(node)
    types = [network.input_of(node, index).dtype for index in range(len(node.inputs))]
    factors = [int(factor) for factor in node.multipliers]
    total, low, high = types[0], *_weighted_range(types[0], factors[0])
    result = []
    for index in range(1, len(types)):
        ends = _weighted_range(types[index], factors[index])
        low, high = low + ends[0], high + ends[1]
        block = Add(
            lanes=folding.pe,
            bits=(total.bits, types[index].bits),
            signed=(total.signed, types[index].signed),
            factors=(factors[0] if index == 1 else 1, factors[index]),
            sum_bits=IntType.signed_holding(low, high).bits,
            beats=output.elements // folding.pe,
            use_dsp=folding.use_dsp,
        )
        result.append(Part("sum" if len(types) == 2 else f"sum{index}", block, {}, (BEFORE, index)))
        total = IntType(block.sum_bits, signed=True)
    low_, high_ = np.full(output.channels, low), np.full(output.channels, high)
    return [*result, output_part(node.requantization, total, low_, high_, folding, output.elements)]


def _weighted_range(dtype: IntType, factor: int) -> tuple[int, int]:
    ends = (factor * dtype.min, factor * dtype.max)
    return min(ends), max(ends)
