"""Every HLS block against its Python model, bit for bit: random parameters, random and extreme data, several frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from block_program import MAIN, Case, compile_and_run, frames_of, run_blocks, words_of

from admmfpga.blocks import (
    BLOCKS,
    Add,
    AveragePool,
    AxisInput,
    AxisOutput,
    Block,
    Concat,
    CsrPE,
    Deal,
    DensePE,
    DepthwisePE,
    Fifo,
    Gearbox,
    Lookup,
    MaxPool,
    Pad,
    Port,
    Requantize,
    Resize,
    StreamFork,
    Threshold,
    WidthConverter,
    Window,
)
from admmfpga.blocks.dsp_packing import PACKS, spacing
from admmfpga.codegen.hls import Rom
from admmfpga.network import BIPOLAR, IntArray, IntType
from admmfpga.packing import LaneLayout, Memory
from admmfpga.resources import resource_dir
from made import binary, random_gather, unrolled

Made = tuple[Block, dict[str, IntArray], IntArray] | tuple[Block, dict[str, IntArray], IntArray, IntArray]


def _case(block: Block, rng: np.random.Generator, contents: dict[str, IntArray] | None = None) -> Made:
    frames = [frames_of(port, rng, beats) for port, beats in zip(block.sources, block.beats_by_input, strict=True)]
    return block, contents or {}, *frames


def _signed(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


def _axis_input(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, bits, box in [(8, 8, 8), (1, 1, 8), (4, 5, 8), (3, 16, 16), (1, 64, 64), (2, 17, 32)]:
        yield _case(AxisInput(lanes=lanes, bits=bits, signed=_signed(rng), container_bits=box, beats=7), rng)


def _axis_output(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, bits, box in [(1, 8, 8), (8, 8, 8), (2, 3, 8), (3, 13, 16), (1, 24, 32), (1, 62, 64)]:
        for signed in (False, True):
            beats = int(rng.integers(1, 6))
            yield _case(AxisOutput(lanes=lanes, bits=bits, signed=signed, container_bits=box, beats=beats), rng)


def _fifo(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, bits in [(1, 1), (8, 8), (5, 13), (40, 8)]:
        yield _case(Fifo(lanes=lanes, bits=bits, beats=int(rng.integers(1, 9))), rng)


def _width_converter(rng: np.random.Generator) -> Iterator[Made]:
    for few, ratio in [(1, 1), (3, 1), (1, 7), (2, 4), (5, 30), (16, 2)]:
        bits, many = int(rng.integers(1, 10)), few * ratio
        for a, b in [(few, many), (many, few)]:
            block = WidthConverter(in_lanes=a, out_lanes=b, bits=bits, signed=_signed(rng), elements=3 * many)
            yield _case(block, rng)
    for a, b, unit in [(1, 2, 3), (2, 1, 3), (7, 1, 20), (4, 12, 28), (12, 4, 28)]:
        bits = int(rng.integers(1, 10))
        block = WidthConverter(in_lanes=a, out_lanes=b, bits=bits, signed=_signed(rng), elements=2 * unit, unit=unit)
        yield _case(block, rng)


def _deal(rng: np.random.Generator) -> Iterator[Made]:
    # (lanes, extra lanes, stored beats, beats)
    for lanes, extra, stored, beats in [(1, 1, 1, 2), (5, 3, 2, 7), (3, 3, 2, 9), (2, 4, 2, 5), (50, 6, 1, 10)]:
        bits = int(rng.integers(1, 9))
        shape = {"lanes": lanes, "extra": extra, "stored": stored, "beats": beats, "bits": bits, "units": 3}
        yield _case(Deal(**shape, signed=_signed(rng)), rng)


def _max_pool(rng: np.random.Generator) -> Iterator[Made]:
    for taps, channels, bits in [(1, 1, 1), (4, 1, 8), (9, 3, 4), (6, 16, 7), (2, 5, 16)]:
        for signed in (False, True):
            yield _case(MaxPool(taps=taps, channels=channels, bits=bits, signed=signed, beats=6), rng)


def _stream_fork(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, bits in [(1, 1), (5, 13), (40, 8)]:
        yield _case(StreamFork(lanes=lanes, bits=bits, signed=False, beats=int(rng.integers(1, 9))), rng)


def _add(rng: np.random.Generator) -> Iterator[Made]:
    # (bits, factors)
    fixed = [((8, 8), (1, 1)), ((8, 4), (77201, -131071)), ((24, 8), (1, 54321)), ((1, 16), (-1, -(1 << 30)))]
    for bits, factors in fixed:
        signed = _signed(rng), _signed(rng)
        types = [IntType(*one) for one in zip(bits, signed, strict=True)]
        ends = [sorted((f * t.min, f * t.max)) for f, t in zip(factors, types, strict=True)]
        sum_bits = IntType.signed_holding(ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]).bits
        block = Add(
            lanes=int(rng.integers(1, 4)),
            bits=bits,
            signed=signed,
            factors=factors,
            sum_bits=sum_bits,
            beats=5,
            use_dsp=_signed(rng),
        )
        yield _case(block, rng)


def _average_pool(rng: np.random.Generator) -> Iterator[Made]:
    # (taps, channels, groups, count, outputs)
    for taps, channels, groups, count, outputs in [(1, 1, 1, 1, 4), (9, 3, 2, 1, 3), (1, 2, 3, 12, 2), (2, 1, 1, 5, 1)]:
        dtype = IntType(int(rng.integers(1, 9)), _signed(rng))
        block = AveragePool(
            taps=taps,
            channels=channels,
            bits=dtype.bits,
            signed=dtype.signed,
            groups=groups,
            count=count,
            outputs=outputs,
            sum_bits=IntType.signed_holding(taps * count * dtype.min, taps * count * dtype.max).bits,
        )
        yield _case(block, rng)


def _depthwise_pe(rng: np.random.Generator) -> Iterator[Made]:
    # (pe, simd, taps, filters, groups)
    for pe, simd, taps, filters, groups in [(1, 1, 9, 1, 2), (4, 9, 9, 1, 3), (2, 3, 9, 2, 1), (3, 1, 1, 1, 2)]:
        bits = int(rng.integers(2, 9))
        top = (1 << (bits - 1)) - 1
        filters_ = rng.integers(-top, top, (pe * groups * filters, taps), endpoint=True)
        activation = IntType(int(rng.integers(1, 9)), _signed(rng))
        bound = taps * top * max(activation.max, -activation.min)
        block = DepthwisePE(
            pe=pe,
            simd=simd,
            taps=taps,
            filters=filters,
            groups=groups,
            positions=3,
            in_bits=activation.bits,
            in_signed=activation.signed,
            weight_bits=bits,
            acc_bits=IntType.signed_holding(-bound, bound).bits,
            use_dsp=_signed(rng),
        )
        yield _case(block, rng, {"filters": filters_})


def _concat(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, first, second, repeats in [(1, 1, 1, 5), (3, 2, 5, 2), (9, 7, 1, 1)]:
        bits = int(rng.integers(1, 10))
        yield _case(
            Concat(lanes=lanes, bits=bits, signed=_signed(rng), first=first, second=second, repeats=repeats), rng
        )


def _lookup(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, in_bits, out_bits, count in [(3, 8, 8, 1), (1, 3, 6, 5), (1, 1, 1, 1)]:
        for in_signed in (False, True):
            result = IntType(out_bits, _signed(rng))
            block = Lookup(
                lanes=lanes,
                in_bits=in_bits,
                in_signed=in_signed,
                out_bits=out_bits,
                out_signed=result.signed,
                count=count,
                beats=4 * count,
            )
            table = rng.integers(result.min, result.max, (count, 1 << in_bits), endpoint=True)
            yield _case(block, rng, {"table": table})


def _image_shape(rng: np.random.Generator) -> dict[str, Any]:
    shape = {name: int(rng.integers(1, 5)) for name in ("height", "width", "channels", "groups")}
    return shape | {"bits": int(rng.integers(2, 9)), "signed": _signed(rng)}


def _pad(rng: np.random.Generator) -> Iterator[Made]:
    for gaps in [(1, 1), (2, 3), (1, 2)]:
        pads = tuple(int(v) for v in rng.integers(0, 4, 4))
        yield _case(Pad(**_image_shape(rng), pads=pads, pad_value=int(rng.integers(0, 2)), spacing=gaps), rng)


def _gearbox(rng: np.random.Generator) -> Iterator[Made]:
    shapes = [
        (8, 12, 28, 4, False, True),
        (12, 8, 28, 2, True, False),
        (4, 6, 5, 3, True, True),
        (3, 3, 3, 2, False, False),
    ]
    for in_lanes, out_lanes, row, rows, in_filled, out_filled in shapes:
        dtype = IntType(int(rng.integers(1, 9)), _signed(rng))
        block = Gearbox(
            in_lanes=in_lanes,
            out_lanes=out_lanes,
            bits=dtype.bits,
            signed=dtype.signed,
            row=row,
            rows=rows,
            in_filled=in_filled,
            out_filled=out_filled,
            fill=int(rng.integers(dtype.min, dtype.max, endpoint=True)),
        )
        yield _case(block, rng)


def _resize(rng: np.random.Generator) -> Iterator[Made]:
    for factors in [(2, 2), (1, 3), (3, 1)]:
        yield _case(Resize(**_image_shape(rng), factors=factors), rng)


def _window(rng: np.random.Generator) -> Iterator[Made]:
    # Line buffers and taps as registers and as memories, one-pixel images, kernels of one row or column.
    fixed = [
        (1, 1, 1, 1, (1, 1), (1, 1), (0, 0, 0, 0)),
        (2, 2, 1, 1, (2, 2), (2, 2), (0, 0, 0, 0)),
        (3, 2, 2, 1, (2, 2), (1, 1), (1, 0, 0, 1)),
        (6, 7, 1, 1, (5, 5), (1, 1), (2, 2, 2, 2)),
        (5, 9, 3, 1, (3, 3), (2, 1), (1, 1, 1, 1)),
        (4, 5, 2, 9, (3, 3), (1, 1), (1, 1, 1, 1)),
        (4, 4, 1, 8, (2, 2), (2, 2), (0, 0, 0, 0)),
        (7, 4, 12, 1, (1, 3), (1, 2), (0, 2, 0, 0)),
        (4, 6, 9, 2, (3, 1), (1, 1), (2, 0, 1, 0)),
        (5, 5, 1, 3, (2, 3), (3, 3), (1, 2, 0, 1)),
    ]
    for height, width, channels, groups, kernel, strides, pads in fixed:
        bits, signed = int(rng.integers(1, 9)), _signed(rng)
        dtype = IntType(bits, signed)
        block = Window(
            height=height,
            width=width,
            channels=channels,
            groups=groups,
            bits=bits,
            signed=signed,
            kernel=kernel,
            strides=strides,
            pads=pads,
            pad_value=int(rng.integers(dtype.min, dtype.max, endpoint=True)),
        )
        yield _case(block, rng)
        yield _case(replace(block, gather=random_gather(block, rng)), rng)


def _dense_pe(rng: np.random.Generator) -> Iterator[Made]:
    # (PE, SIMD, neuron folds, synapse folds, activation bits, weight bits)
    fixed = [
        (1, 1, 1, 1, 1, 2),
        (1, 1, 3, 4, 8, 8),
        (3, 5, 2, 1, 8, 8),
        (4, 9, 1, 6, 4, 3),
        (2, 25, 2, 2, 8, 8),
        (5, 4, 3, 5, 7, 5),
        (2, 3, 2, 3, 16, 8),
        (7, 11, 1, 1, 2, 7),
        (3, 40, 2, 2, 8, 6),
        (2, 8, 1, 2, 5, 4),
    ]
    packed = [
        # the same, with signedness and rows a DSP block
        (2, 5, 3, 2, 8, 8, False, 2),
        (4, 3, 1, 2, 11, 8, True, 2),
        (4, 9, 2, 3, 4, 4, False, 4),
        (8, 4, 1, 1, 4, 4, True, 4),
        (4, 1, 2, 5, 5, 3, True, 4),
    ]
    # Some rows in LUTs, and some with their weights there.
    mixed = [(5, 3, 2, 2, 8, 8, False, 2, 1, 2), (7, 2, 1, 3, 4, 4, True, 4, 3, 1), (3, 9, 2, 1, 9, 8, False, 2, 1, 0)]
    # Row groups and vectors filled up.
    mixed += [(5, 3, 1.6, 2.4, 8, 8, False, 2, 1, 2), (4, 5, 2.5, 1.2, 4, 4, True, 4, 0, 0)]
    shapes = [(*shape, _signed(rng), 1, 0, 0) for shape in fixed] + [(*shape, 0, 0) for shape in packed] + mixed
    for pe, simd, rows, columns, in_bits, weight_bits, signed, pack, lut_rows, lut_weight_rows in shapes:
        top = (1 << (weight_bits - 1)) - 1
        matrix = rng.integers(-top, top, (round(pe * rows), round(simd * columns)), endpoint=True)
        matrix[0] = top
        matrix[-1] = -top
        activation = IntType(in_bits, signed)
        bound = int(np.abs(matrix).sum(axis=1).max()) * max(activation.max, -activation.min)
        block = DensePE(
            rows=len(matrix),
            columns=matrix.shape[1],
            vectors=int(rng.integers(1, 5)),
            pe=pe,
            simd=simd,
            in_bits=in_bits,
            in_signed=activation.signed,
            weight_bits=weight_bits,
            acc_bits=IntType.signed_holding(-bound, bound).bits,
            use_dsp=pack > 1 or _signed(rng),
            pack=pack,
            lut_rows=lut_rows,
            lut_weight_rows=lut_weight_rows,
        )
        yield _case(block, rng, {"matrix": matrix})


def _csr_pe(rng: np.random.Generator) -> Iterator[Made]:
    # (rows, columns, density, activation bits, weight bits, layout)
    fixed = [
        (1, 1, 1.0, 8, 8, LaneLayout()),
        (1, 1, 0.0, 1, 2, LaneLayout()),
        (6, 12, 0.0, 8, 4, LaneLayout(groups=2, lanes=3)),
        (6, 12, 1.0, 8, 8, LaneLayout(groups=2, lanes=4, in_lanes=2)),
        (9, 40, 0.2, 7, 3, LaneLayout(lanes=5)),
        (4, 30, 0.03, 8, 5, LaneLayout(lanes=2)),
        (12, 24, 0.3, 8, 8, LaneLayout(groups=3, lanes=2, height=2)),
        (6, 70, 0.1, 4, 4, LaneLayout(lanes=2, index_format="relative", index_bits=2)),
        (8, 9, 0.4, 8, 8, LaneLayout(groups=2, lanes=3, in_lanes=3, index_format="relative", index_bits=12)),
        (7, 40, 0.2, 8, 4, LaneLayout(lanes=2, in_lanes=2, index_format="bitmap")),
        (8, 150, 0.1, 16, 8, LaneLayout(groups=2, height=4, index_format="bitmap")),
        (6, 1, 0.5, 2, 2, LaneLayout(lanes=2, index_format="bitmap")),
        (30, 9, 0.1, 8, 8, LaneLayout(skips=True)),
        (40, 16, 0.05, 4, 4, LaneLayout(groups=2, lanes=4, in_lanes=2, skips=True)),
        (12, 140, 0.02, 8, 4, LaneLayout(lanes=70, skips=True)),
        (12, 70, 0.1, 4, 4, LaneLayout(lanes=2, height=2, index_format="relative", index_bits=2, skips=True)),
    ]
    packed = [
        (8, 20, 0.4, 8, 8, LaneLayout(lanes=2, height=2), False, 2),
        (8, 20, 0.4, 8, 6, LaneLayout(groups=2, height=4), True, 2),
        (8, 30, 0.2, 4, 4, LaneLayout(lanes=3, height=4), False, 4),
    ]
    shapes = [(*shape, _signed(rng), 1) for shape in fixed] + packed
    for rows, columns, density, in_bits, weight_bits, layout, signed, pack in shapes:
        top = (1 << (weight_bits - 1)) - 1
        matrix = rng.integers(-top, top, (rows, columns), endpoint=True)
        matrix[rng.random(matrix.shape) < 0.2] = top
        matrix[rng.random(matrix.shape) >= density] = 0
        activation = IntType(in_bits, signed)
        bound = max(1, int(np.abs(matrix).sum(axis=1).max()) * max(activation.max, -activation.min))
        block = CsrPE.of(
            matrix,
            layout,
            vectors=int(rng.integers(1, 5)),
            in_bits=in_bits,
            in_signed=activation.signed,
            weight_bits=weight_bits,
            acc_bits=IntType.signed_holding(-bound, bound).bits,
            use_dsp=pack > 1 or _signed(rng),
            pack=pack,
        )
        yield _case(block, rng, {"matrix": matrix})


def _unrolled_pe(rng: np.random.Generator) -> Iterator[Made]:
    yield _case(unrolled(np.zeros((2, 3), dtype=np.int64), IntType(4, True), vectors=3), rng)
    for rows, columns, bits in [(1, 1, 8), (3, 9, 2), (5, 25, 4), (16, 6, 8), (10, 40, 5)]:
        for density in (0.2, 1.0):
            top = (1 << (bits - 1)) - 1
            matrix = rng.integers(-top, top, (rows, columns), endpoint=True) * (rng.random((rows, columns)) < density)
            source = IntType(int(rng.integers(1, 9)), _signed(rng))
            yield _case(unrolled(matrix, source, vectors=4), rng)


def _binary_pe(rng: np.random.Generator) -> Iterator[Made]:
    for source in (BIPOLAR, IntType(1, False), IntType(8, False), IntType(5, True)):
        for rows, columns, pe, simd in [(1, 1, 1, 1), (4, 12, 2, 12), (6, 70, 3, 35), (5, 9, 5, 3)]:
            for matrix in (rng.choice([-1, 1], (rows, columns)), rng.integers(-1, 2, (rows, columns))):
                yield _case(binary(matrix, source, vectors=3, pe=pe, simd=simd), rng, {"matrix": matrix})
    for weight in (-1, 0, 1):
        matrix = np.full((4, 66), weight)
        yield _case(binary(matrix, BIPOLAR, vectors=2, pe=2, simd=33), rng, {"matrix": matrix})


def _requantize(rng: np.random.Generator) -> Iterator[Made]:
    # (accumulator bits, bias bits, multiplier bits, shift, output bits)
    fixed = [
        (20, 18, 17, 25, 8),
        (8, 9, 1, 0, 8),
        (12, 4, 3, 0, 16),
        (24, 24, 24, 40, 8),
        (10, 12, 6, 30, 4),
        (16, 2, 1, 9, 1),
        (31, 30, 24, 50, 8),
        (4, 6, 10, 1, 2),
        (16, 33, 14, 31, 8),
        (9, 8, 12, 61, 5),
    ]
    for in_bits, bias_bits, multiplier_bits, shift, out_bits in fixed:
        for out_signed in (False, True):
            lanes, groups = int(rng.integers(1, 6)), int(rng.integers(1, 4))
            source, output = IntType(in_bits, _signed(rng)), IntType(out_bits, out_signed)
            bias_type = IntType(bias_bits, True)
            low, high = sorted(int(v) for v in rng.integers(output.min, output.max, 2, endpoint=True))
            bias = rng.integers(bias_type.min, bias_type.max, lanes * groups, endpoint=True)
            multiplier = rng.integers(0, 1 << multiplier_bits, lanes * groups)
            bias[0], multiplier[0], multiplier[-1] = bias_type.min, (1 << multiplier_bits) - 1, 0
            block = Requantize(
                lanes=lanes,
                groups=groups,
                positions=4,
                in_bits=in_bits,
                in_signed=source.signed,
                bias_bits=bias_bits,
                sum_bits=IntType.signed_holding(source.min + bias_type.min, source.max + bias_type.max).bits,
                multiplier_bits=multiplier_bits,
                shift=shift,
                zero_point=int(rng.integers(output.min, output.max, endpoint=True)),
                low=output.min if _signed(rng) else low,
                high=output.max if _signed(rng) else high,
                out_bits=out_bits,
                out_signed=out_signed,
            )
            yield _case(block, rng, {"bias": bias, "multiplier": multiplier})


def _threshold(rng: np.random.Generator) -> Iterator[Made]:
    for lanes, groups, in_bits, out_bits in [(1, 1, 2, 1), (5, 3, 12, 1), (3, 2, 9, 2), (2, 4, 20, 3), (4, 1, 33, 4)]:
        for signed in (False, True):
            low = -(1 << (out_bits - 1)) if signed and out_bits > 1 else 0
            count = max(1, (1 << out_bits) - 1 - int(rng.integers(2)))
            half = 1 << (in_bits - 1)
            thresholds = np.sort(rng.integers(-half, half + 1, (lanes * groups, count)), axis=1)
            block = Threshold(
                lanes=lanes,
                groups=groups,
                positions=5,
                in_bits=in_bits,
                in_signed=signed,
                count=count,
                threshold_bits=in_bits + 1,
                low=low,
                out_bits=out_bits,
                out_signed=low < 0,
            )
            yield _case(block, rng, {"thresholds": thresholds})


MAKERS: dict[str, Callable[[np.random.Generator], Iterator[Made]]] = {
    "axis_input": _axis_input,
    "window": _window,
    "width_converter": _width_converter,
    "gearbox": _gearbox,
    "deal": _deal,
    "dense_pe": _dense_pe,
    "csr_pe": _csr_pe,
    "requantize": _requantize,
    "max_pool": _max_pool,
    "unrolled_pe": _unrolled_pe,
    "binary_pe": _binary_pe,
    "threshold": _threshold,
    "average_pool": _average_pool,
    "depthwise_pe": _depthwise_pe,
    "concat": _concat,
    "lookup": _lookup,
    "pad": _pad,
    "resize": _resize,
    "stream_fork": _stream_fork,
    "add": _add,
    "fifo": _fifo,
    "axis_output": _axis_output,
}


def _exhaustive() -> Iterator[Case]:
    """Every 6-bit accumulator with biases and multipliers, at shifts around the width of the product: all ties."""
    accumulators = np.arange(-32, 32)
    channels = [(bias, multiplier) for bias in (-3, 0, 1) for multiplier in range(8)]
    bias, multiplier = (np.array(column) for column in zip(*channels, strict=True))
    for shift in (0, 1, 2, 3, 5, 9, 11):
        block = Requantize(
            lanes=8,
            groups=3,
            positions=len(accumulators),
            in_bits=6,
            in_signed=True,
            bias_bits=3,
            sum_bits=7,
            multiplier_bits=3,
            shift=shift,
            zero_point=3,
            low=-100,
            high=101,
            out_bits=8,
            out_signed=True,
        )
        frame = np.repeat(accumulators, 24).reshape(1, -1, 8)
        yield Case(f"exhaustive_{shift}", block, {"bias": bias, "multiplier": multiplier}, frame)


def cases() -> list[Case]:
    found = []
    for stem, maker in MAKERS.items():
        rng = np.random.default_rng(len(stem))
        found += [Case(f"{stem}_{index}", *made) for index, made in enumerate(maker(rng))]
    return [*found, *_exhaustive()]


def test_every_block_is_tested() -> None:
    assert set(MAKERS) == set(BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "exact"])
def test_blocks(tmp_path: Path, fast: bool) -> None:
    tested = cases()
    results = run_blocks(tested, tmp_path, fast=fast)
    for case in tested:
        for expected, got in zip(case.expected(), results[case.name], strict=True):
            wrong = np.argwhere(got != expected)
            assert not len(wrong), (
                f"{case.name} {case.block}: (frame, beat, lane) {wrong[0].tolist()}: "
                f"{got[tuple(wrong[0])]} where the model gives {expected[tuple(wrong[0])]}; {len(wrong)} differ"
            )


PACKED_MAIN = """\
#include "lanes.hpp"

#include <cstdio>

// Every activation times combinations of the weights from -TOP to TOP: every STEP-th, and those at the ends.
template <int LANES, int SPACING, int IN_BITS, bool IN_SIGNED, int WEIGHT_BITS>
static int wrong(int step) {
  const int top = (1 << (WEIGHT_BITS - 1)) - 1;
  int values[1 << WEIGHT_BITS], count = 0;
  for (int w = -top; w <= top; ++w)
    if (w <= -top + 1 || w >= top - 1 || w * w <= 1 || w % step == 0) values[count++] = w;
  long long combinations = 1;
  for (int i = 0; i < LANES; ++i) combinations *= count;
  const int low = IN_SIGNED ? -(1 << (IN_BITS - 1)) : 0;
  for (long long c = 0; c < combinations; ++c) {
    int weight[LANES], borrow = 0;
    typename lanes::Integer<WEIGHT_BITS, true>::type stored[LANES];
    long long rest = c;
    for (int i = 0; i < LANES; ++i) {
      weight[i] = values[rest % count];
      rest /= count;
      stored[i] = weight[i] - borrow;
      borrow = weight[i] - borrow < 0;
    }
    for (int x = low; x < low + (1 << IN_BITS); ++x) {
      const typename lanes::Integer<IN_BITS, IN_SIGNED>::type activation = x;
      typename lanes::Integer<IN_BITS + WEIGHT_BITS, true>::type product[LANES];
      lanes::PackedMultiplier<LANES, SPACING, IN_BITS, IN_SIGNED, WEIGHT_BITS>::products(activation, stored, product);
      for (int i = 0; i < LANES; ++i) {
        if (product[i] == weight[i] * x) continue;
        std::printf("%d lanes %d apart, %d bits, weight %d: %d * %d\\n", LANES, SPACING, IN_BITS, i, weight[i], x);
        return 1;
      }
    }
  }
  return 0;
}

int main() {
  int found = 0;
"""


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "exact"])
def test_packed_multiplier(tmp_path: Path, fast: bool) -> None:
    """Widths that fit: all activations, all weights of few bits, of more bits those at the ends and around zero."""
    calls = []
    for pack, weight_bits, signed in itertools.product(PACKS, range(2, 9), (False, True)):
        widths = [a for a in range(1, 13) if spacing(pack, a, weight_bits, signed=signed)]
        # The greatest width, the least that overlaps, one without.
        exact = [a for a in widths if spacing(pack, a, weight_bits, signed=signed) == a + weight_bits - signed]
        for in_bits in sorted({*widths[-1:], *exact[-1:], *widths[len(exact) : len(exact) + 1]}):
            apart = spacing(pack, in_bits, weight_bits, signed=signed)
            count = 2 ** (in_bits + pack * (weight_bits - 1))
            step = 1 if count < 1 << 17 and in_bits < 11 else 1 << weight_bits
            flag = str(signed).lower()
            calls.append(f"  found += wrong<{pack}, {apart}, {in_bits}, {flag}, {weight_bits}>({step});\n")
    assert len(calls) > 30
    (tmp_path / "main.cpp").write_text(PACKED_MAIN + "".join(calls) + "  return found != 0;\n}\n")
    (tmp_path / "hls").symlink_to(resource_dir("hls_templates") / "hls")
    compile_and_run(tmp_path, tmp_path / "main.cpp", fast=fast)


SHAPES = [
    (1, 1),
    (64, 1),
    (130, 1),
    (5, 2),
    (43, 3),
    (32, 4),
    (13, 5),
    (9, 7),
    (1, 8),
    (8, 8),
    (25, 8),
    (11, 12),
    (4, 16),
    (7, 20),
    (3, 31),
    (5, 32),
    (5, 33),
    (3, 63),
    (1, 64),
    (3, 64),
]
"""(lanes, bits)"""

LANES_MAIN = """\
template <int LANES, int BITS, bool SIGNED>
static void check(const char* name) {
  typedef typename lanes::Integer<BITS, SIGNED>::type Lane;
  hls::stream<ap_uint<LANES * BITS> > in("in"), packed("packed"), cut("cut");
  hls::stream<ap_uint<64 * LANES> > values("values"), chunked("chunked");
  hls::stream<ap_uint<64 * lanes::Chunks<LANES, BITS>::COUNT> > memory("memory");
  load((std::string(name) + ".in").c_str(), in);
  load((std::string(name) + ".memory").c_str(), memory);
  while (!in.empty()) {
    const ap_uint<LANES * BITS> word = in.read();
    Lane lane[LANES];
    lanes::unpack<LANES, BITS, SIGNED>(word, lane);
    long long wide[LANES];
    for (int i = 0; i < LANES; ++i) wide[i] = (long long)lane[i];
    values.write(lanes::pack<LANES, 64>(wide));
    packed.write(lanes::pack<LANES, BITS>(lane));
    // What a lane has above its bits is cut off.
    for (int i = 0; i < LANES; ++i) wide[i] ^= BITS < 64 ? (long long)(~0ULL << (BITS % 64)) : 0;
    cut.write(lanes::pack<LANES, BITS>(wide));
    const ap_uint<64 * lanes::Chunks<LANES, BITS>::COUNT> row = memory.read();
    unsigned long long chunk[lanes::Chunks<LANES, BITS>::COUNT];
    for (int i = 0; i < lanes::Chunks<LANES, BITS>::COUNT; ++i) chunk[i] = ((ap_uint<64>)(row >> (64 * i))).to_uint64();
    lanes::unpack_chunks<LANES, BITS, SIGNED>(chunk, lane);
    for (int i = 0; i < LANES; ++i) wide[i] = (long long)lane[i];
    chunked.write(lanes::pack<LANES, 64>(wide));
  }
  store((std::string(name) + ".packed").c_str(), packed);
  store((std::string(name) + ".cut").c_str(), cut);
  store((std::string(name) + ".values").c_str(), values);
  store((std::string(name) + ".chunked").c_str(), chunked);
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "exact"])
def test_lanes(tmp_path: Path, fast: bool) -> None:
    """Packing, unpacking and memory words at widths around every boundary of 64 bits."""
    rng = np.random.default_rng(3)
    calls, expected = [], {}
    for lanes, bits in SHAPES:
        for signed in (False, True):
            name = f"lanes_{lanes}_{bits}_{'signed' if signed else 'unsigned'}"
            raw = rng.integers(0, 1 << 64, (6, lanes), dtype=np.uint64, endpoint=False) >> np.uint64(64 - bits)
            raw[0], raw[1], raw[2] = 0, (1 << bits) - 1, 1 << (bits - 1)
            values = raw.view(np.int64) << (64 - bits) >> (64 - bits) if signed else raw.view(np.int64)
            port = Port(lanes, bits, signed)
            (tmp_path / f"{name}.in").write_bytes(words_of(values, port))
            table = raw
            if bits < 64:
                memory = Memory(name, raw.view(np.int64) if not signed else values, bits, "", "dense", signed=signed)
                table = Rom("weights", memory, block_ram=False).table()
            (tmp_path / f"{name}.memory").write_bytes(table.astype("<u8").tobytes())
            calls.append(f'  check<{lanes}, {bits}, {str(signed).lower()}>("{name}");\n')
            expected[name] = values
    main = MAIN.replace('#include "dataflow.hpp"', '#include <hls_stream.h>\n\n#include "lanes.hpp"')
    main = main[: main.index("template <int IN, int OUT>")] + LANES_MAIN + "\nint main() {\n"
    (tmp_path / "main.cpp").write_text(main + "".join(calls) + "}\n")
    (tmp_path / "hls").symlink_to(resource_dir("hls_templates") / "hls")
    compile_and_run(tmp_path, tmp_path / "main.cpp", fast=fast)
    for name, values in expected.items():
        for kind in ("values", "chunked"):
            got = np.frombuffer((tmp_path / f"{name}.{kind}").read_bytes(), dtype="<i8").reshape(values.shape)
            assert np.array_equal(got, values), (name, kind)
        for kind in ("packed", "cut"):
            assert (tmp_path / f"{name}.{kind}").read_bytes() == (tmp_path / f"{name}.in").read_bytes(), (name, kind)
