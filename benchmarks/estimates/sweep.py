"""Synthesizes every block over its parameters with Yosys and keeps what came out: the ground of the resource model.

python benchmarks/estimates/sweep.py [--family xc7|xcup|ecp5] [--batch 12]
python benchmarks/estimates/sweep.py --recheck 3    # whether sources have changed since: three runs of a block anew

Configurations are drawn with fixed seeds. Those of the set "fit" go into `fit.py`; those of "held-out" have other seeds
and serve to measure the error (`table.py`), as do whole random designs. Results are appended to raw_<family>.json after
each batch; what is there already is not run again, and what is not drawn any more is dropped.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from admmfpga.atomic import atomic_write  # noqa: E402
from admmfpga.blocks import BLOCKS, Block, CsrPE, Resources  # noqa: E402
from admmfpga.blocks.dsp_packing import DSP_FACTORS, PACKS, spacing  # noqa: E402
from admmfpga.blocks.families import FAMILIES  # noqa: E402
from admmfpga.blocks.shift_add import digit_count  # noqa: E402
from admmfpga.codegen.environment import make_environment  # noqa: E402
from admmfpga.codegen.rtl import TOP, block_sources, compile_order, render_registers, render_rtl  # noqa: E402
from admmfpga.errors import ToolError  # noqa: E402
from admmfpga.mapping import Design  # noqa: E402
from admmfpga.mapping.gather import KeptColumns  # noqa: E402
from admmfpga.network import IntType  # noqa: E402
from admmfpga.network.ranges import accumulator_type  # noqa: E402
from admmfpga.packing import LaneLayout, Memory  # noqa: E402
from admmfpga.tools.yosys import FLOWS, Job, Yosys  # noqa: E402
from made import random_design  # noqa: E402  (the tests' folder is not a package)

Parameters = dict[str, Any]
DEPTHS = (1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 12, 16, 20, 32, 33, 48, 64, 65, 100, 200)
"""Output FIFOs; the depths that full rate needs are the small ones."""


@dataclass(frozen=True)
class Run:
    """One synthesis.

    Attributes:
        stem: block, or "rom" and "multiplier" (parts of blocks), "axi_lite_control", or "design" for a whole one.
        parameters: of the block as its Python class takes them; of a part as its module does; of a design its seed.
        seed: of the memory contents.
        part: "fit" or "held-out".
    """

    stem: str
    parameters: Parameters
    seed: int
    part: str

    @property
    def key(self) -> str:
        return json.dumps([self.stem, self.parameters, self.seed], sort_keys=True)


@dataclass
class Prepared:
    """A run's job and its memory images."""

    job: Job
    memories: list[Memory] = field(default_factory=list)


# --- parameters ------------------------------------------------------------------------------------------------------


def _pick(rng: np.random.Generator, *values: int) -> int:
    return int(values[rng.integers(len(values))])


def _fifo(rng: np.random.Generator) -> Parameters:
    width = _pick(rng, 1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 36, 48, 64, 72, 100, 150, 200)
    depth = _pick(rng, *DEPTHS, 24, 128, 300, 600, 1100)
    return {"lanes": width, "bits": 1, "beats": 4, "out_depth": depth}


def _axis(rng: np.random.Generator) -> Parameters:
    bits = int(rng.integers(1, 9))
    shape = {"lanes": _pick(rng, 1, 2, 4, 8), "bits": bits, "signed": bool(rng.integers(2)), "container_bits": 8}
    return shape | {"beats": int(rng.integers(1, 900)), "out_depth": _pick(rng, 2, 2, 3, 4, 16)}


def _width_converter(rng: np.random.Generator) -> Parameters:
    narrow, ratio = _pick(rng, 1, 1, 2, 3, 4, 5), _pick(rng, 2, 2, 3, 4, 5, 8, 9, 16, 25)
    lanes = {"in_lanes": narrow, "out_lanes": narrow * ratio}
    if rng.integers(2):
        lanes = {"in_lanes": narrow * ratio, "out_lanes": narrow}
    return lanes | {
        "bits": int(rng.integers(1, 9)),
        "signed": False,
        "elements": narrow * ratio * 4,
        "out_depth": _pick(rng, 2, 2, 3, 4, 8, 20),
    }


def _unit_converter(rng: np.random.Generator) -> Parameters:
    """Wide beats that are filled up at the end of a unit."""
    parameters = _width_converter(rng)
    narrow, wide = sorted((parameters["in_lanes"], parameters["out_lanes"]))
    unit = wide * _pick(rng, 1, 2, 6, 20, 60) + narrow * int(rng.integers(1, wide // narrow))
    return parameters | {"elements": 2 * unit, "unit": unit}


def _deal(rng: np.random.Generator) -> Parameters:
    lanes, stored = _pick(rng, 1, 2, 4, 9, 18, 25, 50), _pick(rng, 1, 1, 1, 2, 3)
    beats = stored + _pick(rng, 2, 3, 5, 9, 15)
    extra = -(-stored * lanes // (beats - stored))
    shape = {
        "lanes": lanes,
        "extra": min(stored * lanes, extra + _pick(rng, 0, 0, 1)),
        "stored": stored,
        "beats": beats,
    }
    widths = {"bits": int(rng.integers(1, 9)), "signed": False}
    return shape | widths | {"units": 2, "out_depth": _pick(rng, 2, 2, 3, 4, 8)}


def _max_pool(rng: np.random.Generator) -> Parameters:
    return {
        "taps": _pick(rng, 2, 3, 4, 4, 6, 9, 9),
        "channels": _pick(rng, 1, 2, 3, 4, 6, 8, 10),
        "bits": int(rng.integers(1, 9)),
        "signed": bool(rng.integers(2)),
        "beats": 4,
        "out_depth": _pick(rng, 2, 4, 5, 6, 7, 16),
    }


def _stream_fork(rng: np.random.Generator) -> Parameters:
    depths = {"out_depth": _pick(rng, *DEPTHS), "second_depth": _pick(rng, *DEPTHS)}
    return {"lanes": _pick(rng, 1, 2, 4, 8), "bits": int(rng.integers(1, 9)), "signed": False, "beats": 4} | depths


def _add(rng: np.random.Generator) -> Parameters:
    bits, signed = [int(v) for v in rng.integers(2, 9, 2)], [bool(v) for v in rng.integers(0, 2, 2)]
    factors = [int(rng.integers(1, 1 << _pick(rng, 1, 8, 12, 17, 17, 18))) * (1, 1, -1)[rng.integers(3)] for _ in "ab"]
    low = high = 0
    for width, sign, factor in zip(bits, signed, factors, strict=True):
        dtype = IntType(width, sign)
        low, high = (
            low + min(factor * dtype.min, factor * dtype.max),
            high + max(factor * dtype.min, factor * dtype.max),
        )
    return {
        "lanes": _pick(rng, 1, 1, 2, 4, 8),
        "bits": bits,
        "signed": signed,
        "factors": factors,
        "sum_bits": IntType.signed_holding(low, high).bits,
        "beats": 4,
        "use_dsp": bool(rng.integers(3)),
        "out_depth": _pick(rng, 2, 2, 5, 5, 6, 16),
    }


def _average_pool(rng: np.random.Generator) -> Parameters:
    bits, signed = int(rng.integers(2, 9)), bool(rng.integers(2))
    taps, count = _pick(rng, 1, 2, 4, 4, 9, 16), _pick(rng, 1, 1, 4, 49, 64)
    dtype = IntType(bits, signed)
    return {
        "taps": taps if count == 1 else _pick(rng, 1, 1, 2),
        "channels": _pick(rng, 1, 1, 2, 4, 8),
        "bits": bits,
        "signed": signed,
        "groups": _pick(rng, 1, 2, 4, 8, 16, 40),
        "count": count,
        "outputs": 1,
        "sum_bits": IntType.signed_holding(16 * 64 * dtype.min, taps * count * dtype.max).bits,
        "out_depth": _pick(rng, 2, 2, 3, 4, 6, 7),
    }


def _depthwise_pe(rng: np.random.Generator) -> Parameters:
    while True:
        pe, filters, taps = _pick(rng, 1, 1, 2, 4, 8, 16), _pick(rng, 1, 1, 1, 2), _pick(rng, 4, 9, 9, 9, 25)
        simd = _pick(rng, *(d for d in range(1, taps + 1) if taps % d == 0))
        groups, use_dsp, block_ram = _pick(rng, 1, 2, 4, 8, 16, 32), bool(rng.integers(3)), bool(rng.integers(2))
        depth = groups * (taps // simd)
        if pe * filters * simd <= (20 if use_dsp else 10) and (block_ram or depth * pe * filters * simd <= 3000):
            break
    in_bits, weight_bits = _pick(rng, 2, 4, 4, 6, 8, 8, 8), _pick(rng, 2, 3, 4, 4, 6, 8, 8)
    return {
        "pe": pe,
        "simd": simd,
        "taps": taps,
        "filters": filters,
        "groups": groups,
        "positions": 4,
        "in_bits": in_bits,
        "in_signed": bool(rng.integers(2)),
        "weight_bits": weight_bits,
        "acc_bits": in_bits + weight_bits + int(np.ceil(np.log2(taps))),
        "use_dsp": use_dsp,
        "weight_block_ram": block_ram,
        "out_depth": _pick(rng, 2, 2, 4, 8, 9),
    }


def _concat(rng: np.random.Generator) -> Parameters:
    turn = {"first": _pick(rng, 1, 1, 2, 3, 8, 16, 100), "second": _pick(rng, 1, 1, 2, 3, 8, 16, 100), "repeats": 3}
    return {"lanes": _pick(rng, 1, 2, 4, 8), "bits": int(rng.integers(1, 9)), "signed": False, "out_depth": 2} | turn


def _lookup(rng: np.random.Generator) -> Parameters:
    in_bits, count = _pick(rng, 2, 4, 5, 6, 8, 8, 8), _pick(rng, 1, 1, 1, 3, 8)
    return {
        "lanes": _pick(rng, 1, 2, 4) if count == 1 else 1,
        "in_bits": in_bits,
        "in_signed": False,
        "out_bits": int(rng.integers(2, 9)),
        "out_signed": False,
        "count": count,
        "table_block_ram": bool(rng.integers(2)) and count << in_bits >= 64,
        "beats": 8,
        "out_depth": _pick(rng, 2, 3, 3, 8),
    }


def _image(rng: np.random.Generator) -> Parameters:
    shape = {"height": int(rng.integers(1, 33)), "width": int(rng.integers(1, 33))}
    shape |= {"channels": _pick(rng, 1, 1, 2, 4, 8), "groups": _pick(rng, 1, 1, 2, 4, 8, 16, 20)}
    return shape | {"bits": int(rng.integers(2, 9)), "signed": False, "out_depth": _pick(rng, 2, 2, 3, 8)}


def _pad(rng: np.random.Generator) -> Parameters:
    border = {"pads": [int(v) for v in rng.integers(0, 5, 4)], "pad_value": int(rng.integers(0, 3))}
    return _image(rng) | border | {"spacing": [_pick(rng, 1, 1, 2, 3), _pick(rng, 1, 1, 2, 3)]}


def _gearbox(rng: np.random.Generator) -> Parameters:
    unit = _pick(rng, 1, 1, 2, 4, 8, 16)
    ins, outs = (unit * _pick(rng, 1, 2, 2, 3, 4, 5, 6, 8) for _ in range(2))
    row, filled = unit * int(rng.integers(2, 15)), int(rng.integers(5))
    # Rows of which a frame on both sides is whole beats; mostly only the output is filled up.
    return {
        "in_lanes": ins,
        "out_lanes": outs,
        "bits": _pick(rng, 1, 2, 4, 4, 8, 8),
        "signed": False,
        "row": row,
        "rows": ins * outs,
        "in_filled": filled in (0, 4),
        "out_filled": filled != 0,
        "fill": int(rng.integers(2)),
        "out_depth": _pick(rng, 2, 2, 3, 4, 8),
    }


def _resize(rng: np.random.Generator) -> Parameters:
    return _image(rng) | {"factors": [[2, 2], [2, 2], [3, 2], [1, 2], [2, 1], [4, 4]][rng.integers(6)]}


def _window(rng: np.random.Generator) -> Parameters:
    kernel = (_pick(rng, 1, 2, 2, 3, 3, 3, 5), _pick(rng, 1, 2, 2, 3, 3, 3, 5))
    size = [int(rng.integers(k, 33)) for k in kernel]
    padded = bool(rng.integers(2))
    pads = [int(rng.integers(0, k)) if padded else 0 for k in (*kernel, *kernel)]
    return {
        "height": size[0],
        "width": size[1],
        "channels": _pick(rng, 1, 1, 2, 3, 4, 6),
        "groups": _pick(rng, 1, 1, 1, 2, 4, 6, 16, 20, 40),
        "bits": _pick(rng, 1, 2, 3, 4, 6, 8, 8),
        "signed": False,
        "kernel": list(kernel),
        "strides": [int(v) for v in rng.integers(1, 3, 2)],
        "pads": pads,
        "pad_value": int(rng.integers(2)),
        "out_depth": _pick(rng, 2, 3, 3, 3, 4, 8),
    }


def _gather_window(rng: np.random.Generator) -> Parameters:
    """Kept columns only; of filter shapes (the same taps of all channels), or anyhow."""
    while True:
        parameters = _window(rng) | {"groups": _pick(rng, 1, 1, 2, 4, 6, 16, 20, 40)}
        kernel_h, kernel_w = parameters["kernel"]
        mask = rng.random((kernel_h * kernel_w, parameters["channels"] * parameters["groups"])) < rng.uniform(0.1, 0.7)
        if rng.integers(2):
            mask &= rng.random((len(mask), 1)) < 0.7
        if mask.any():
            break
    kept = KeptColumns(mask)
    return parameters | {"gather": kept.gather(parameters["channels"], 1).lists}


def _requantize(rng: np.random.Generator) -> Parameters:
    in_bits = int(rng.integers(6, 25))
    multiplier_bits = _pick(rng, 1, 8, 12, 16, 17, 17, 17, 18, 19, 20)
    out_bits = _pick(rng, 1, 2, 3, 4, 4, 6, 8, 8, 8)
    signed = bool(rng.integers(2))
    low, high = (-(1 << (out_bits - 1)), (1 << (out_bits - 1)) - 1) if signed else (0, (1 << out_bits) - 1)
    sum_bits = in_bits + int(rng.integers(0, 2))
    return {
        "lanes": _pick(rng, 1, 1, 2, 3, 4, 5, 8),
        "groups": _pick(rng, 1, 2, 4, 8, 10, 20, 50, 64, 100, 500),
        "positions": 4,
        "in_bits": in_bits,
        "in_signed": True,
        "bias_bits": max(2, in_bits - int(rng.integers(0, 6))),
        "sum_bits": sum_bits,
        "multiplier_bits": multiplier_bits,
        # One more, and every product would be rounded to zero.
        "shift": max(0, sum_bits + multiplier_bits - max(2, out_bits + int(rng.integers(0, 4)))),
        "zero_point": int(rng.integers(low, high + 1)) if rng.integers(2) else 0,
        "low": low,
        "high": high,
        "out_bits": out_bits,
        "out_signed": signed,
        "out_depth": _pick(rng, 2, 7, 7, 7, 8, 16),
    }


def _wide_requantize(rng: np.random.Generator) -> Parameters:
    """Beyond one 25x18 multiplier."""
    parameters = _requantize(rng)
    bits, multiplier_bits = int(rng.integers(19, 31)), int(rng.integers(17, 25))
    shift = bits + multiplier_bits - max(2, parameters["out_bits"] + int(rng.integers(0, 3)))
    widths = {"in_bits": bits - 1, "sum_bits": bits, "bias_bits": bits - 3, "multiplier_bits": multiplier_bits}
    return parameters | widths | {"shift": shift, "lanes": min(3, parameters["lanes"])}


def _dense_pe(rng: np.random.Generator) -> Parameters:
    while True:
        pe, simd = _pick(rng, 1, 1, 2, 2, 3, 4, 5, 8), _pick(rng, 1, 1, 2, 2, 3, 4, 5, 8, 9, 16, 25)
        rows, columns = pe * _pick(rng, 1, 2, 2, 4, 5, 10, 16), simd * _pick(rng, 1, 2, 2, 4, 5, 8, 16, 20, 50, 100)
        block_ram = bool(rng.integers(2))
        depth = rows * columns // (pe * simd)
        use_dsp = bool(rng.integers(3))
        # A few seconds a run.
        if pe * simd <= (48 if use_dsp else 18) and (block_ram or depth * pe * simd <= 5000) and depth <= 1600:
            break
    in_bits, weight_bits = _pick(rng, 1, 2, 3, 4, 4, 6, 8, 8, 8), _pick(rng, 2, 2, 3, 4, 4, 6, 8, 8, 8)
    signed = bool(rng.integers(2)) and in_bits > 1
    matrix = _matrix(rows, columns, weight_bits, rng)
    return {
        "rows": rows,
        "columns": columns,
        "vectors": 2,
        "pe": pe,
        "simd": simd,
        "in_bits": in_bits,
        "in_signed": signed,
        "weight_bits": weight_bits,
        "acc_bits": accumulator_type(matrix, IntType(in_bits, signed)).bits,
        "use_dsp": use_dsp,
        "weight_block_ram": block_ram,
        "out_depth": _pick(rng, 2, 2, 2, 3, 4, 8, 9, 10),
    }


def _binary_pe(rng: np.random.Generator) -> Parameters:
    while True:
        bipolar = bool(rng.integers(3))
        pe, simd = _pick(rng, 1, 1, 2, 2, 3, 4, 5, 8), _pick(rng, 1, 3, 4, 5, 8, 9, 16, 18, 25, 32, 36, 48, 64)
        rows, columns = pe * _pick(rng, 1, 2, 2, 4, 5, 10, 16), simd * _pick(rng, 1, 2, 2, 4, 5, 8, 16, 20, 50, 100)
        block_ram = bool(rng.integers(2))
        depth = rows * columns // (pe * simd)
        if pe * simd <= (160 if bipolar else 36) and (block_ram or depth * pe * simd <= 4000) and depth <= 1600:
            break
    in_bits = 1 if bipolar else _pick(rng, 1, 2, 3, 4, 4, 6, 8, 8, 8)
    weight_bits = _pick(rng, 1, 1, 2)
    signed = bool(rng.integers(2)) and in_bits > 1
    source = IntType(in_bits, signed, bipolar)
    return {
        "rows": rows,
        "columns": columns,
        "vectors": 2,
        "pe": pe,
        "simd": simd,
        "in_bits": in_bits,
        "in_signed": signed,
        "in_bipolar": bipolar,
        "weight_bits": weight_bits,
        # As wide as without zeros.
        "acc_bits": accumulator_type(np.ones((1, columns), dtype=np.int64), source).bits,
        "use_dsp": False,
        "weight_block_ram": block_ram,
        "out_depth": _pick(rng, 2, 2, 2, 3, 4, 8, 9, 10),
    }


def _threshold(rng: np.random.Generator) -> Parameters:
    in_bits, out_bits = int(rng.integers(4, 20)), _pick(rng, 1, 1, 2, 3, 4)
    signed = bool(rng.integers(2)) and out_bits > 1
    return {
        "lanes": _pick(rng, 1, 2, 3, 4, 5, 8, 16) if out_bits < 3 else _pick(rng, 1, 2, 3, 4),
        "groups": _pick(rng, 1, 2, 4, 8, 10, 20, 50, 64, 100, 500),
        "positions": 4,
        "in_bits": in_bits,
        "in_signed": True,
        "count": (1 << out_bits) - 1 - (int(rng.integers(2)) if out_bits > 1 else 0),
        "threshold_bits": in_bits + int(rng.integers(0, 2)),
        "low": -(1 << (out_bits - 1)) if signed else 0,
        "out_bits": out_bits,
        "out_signed": signed,
        "out_depth": _pick(rng, 2, 4, 5, 5, 8, 16),
    }


def _packed(rng: np.random.Generator) -> Parameters:
    """Widths of a shared DSP block: rows, activations, weights."""
    while True:
        pack, in_bits, weight_bits = _pick(rng, *PACKS), _pick(rng, 2, 3, 4, 4, 6, 8, 8), _pick(rng, 2, 3, 4, 4, 8, 8)
        signed = bool(rng.integers(2))
        if spacing(pack, in_bits, weight_bits, signed=signed):
            return {"pack": pack, "in_bits": in_bits, "in_signed": signed, "weight_bits": weight_bits, "use_dsp": True}


def _packed_dense_pe(rng: np.random.Generator) -> Parameters:
    while True:
        parameters = _dense_pe(rng) | _packed(rng)
        rows, pe = parameters["rows"] * parameters["pack"], parameters["pe"] * parameters["pack"]
        if pe * parameters["simd"] <= 40 and rows * parameters["columns"] <= 5000:
            break
    matrix = _matrix(rows, parameters["columns"], parameters["weight_bits"], rng)
    accumulator = accumulator_type(matrix, IntType(parameters["in_bits"], parameters["in_signed"]))
    return parameters | {"rows": rows, "pe": pe, "acc_bits": accumulator.bits}


def _mixed_dense_pe(rng: np.random.Generator) -> Parameters:
    """Some rows in LUTs, and some with their weights there."""
    while True:
        parameters = _dense_pe(rng) | _packed(rng)
        pack, pe, simd = parameters["pack"], parameters["pe"], parameters["simd"]
        lut_rows = int(rng.integers(1, 4))
        rows, pe = parameters["rows"] // pe * (pe * pack + lut_rows), pe * pack + lut_rows
        if pe * simd <= 40 and lut_rows * simd <= 12 and rows * parameters["columns"] <= 5000:
            break
    matrix = _matrix(rows, parameters["columns"], parameters["weight_bits"], rng)
    accumulator = accumulator_type(matrix, IntType(parameters["in_bits"], parameters["in_signed"]))
    shape = {"rows": rows, "pe": pe, "acc_bits": accumulator.bits, "weight_block_ram": True}
    return parameters | shape | {"lut_rows": lut_rows, "lut_weight_rows": int(rng.integers(0, pe))}


def _filled_dense_pe(rng: np.random.Generator) -> Parameters:
    """Row groups, or vectors, that are filled up."""
    parameters = _dense_pe(rng)
    for matrix, array in (("rows", "pe"), ("columns", "simd")):
        if parameters[array] > 1:
            parameters[matrix] += int(rng.integers(1, parameters[array]))
    return parameters | {"acc_bits": parameters["acc_bits"] + 1}


def _packed_csr_pe(rng: np.random.Generator) -> Parameters:
    while True:
        parameters = _csr_pe(rng) | _packed(rng)
        height, layout = parameters["layout"]["height"], parameters["layout"]
        if height % parameters["pack"] == 0 and layout["lanes"] * layout["groups"] * height <= 16:
            return parameters


def _unrolled_pe(rng: np.random.Generator) -> Parameters:
    while True:
        rows, columns = _pick(rng, 1, 2, 4, 6, 10, 16), _pick(rng, 2, 4, 6, 9, 16, 25)
        in_bits, weight_bits = _pick(rng, 1, 2, 3, 4, 4, 6, 8, 8), _pick(rng, 2, 2, 3, 4, 4, 6, 8)
        signed = bool(rng.integers(2)) and in_bits > 1
        matrix = _matrix(rows, columns, weight_bits, rng)
        matrix *= rng.random((rows, columns)) < rng.choice([0.1, 0.3, 0.6, 1.0])
        # Compaction has left no rows without weights.
        matrix[:, 0] += ~matrix.any(axis=1)
        # Something to add in most rows.
        if digit_count(matrix).sum() >= 1.5 * rows:
            break
    return {
        "rows": rows,
        "columns": columns,
        "vectors": 2,
        "matrix": matrix.tolist(),
        "in_bits": in_bits,
        "in_signed": signed,
        "acc_bits": accumulator_type(matrix, IntType(in_bits, signed)).bits,
        "weight_bits": weight_bits,
        "out_depth": _pick(rng, 2, 5, 8, 9, 10, 12),
    }


def _matrix(rows: int, columns: int, bits: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    top = (1 << (bits - 1)) - 1
    return rng.integers(-top, top, (rows, columns), endpoint=True)


def _csr_pe(rng: np.random.Generator) -> Parameters:
    while True:
        in_lanes = _pick(rng, 1, 1, 1, 2, 4)
        lanes = in_lanes * _pick(rng, 1, 1, 2, 2, 3, 4, 8)
        groups, height = _pick(rng, 1, 1, 1, 2, 2, 4), _pick(rng, 1, 1, 1, 2, 4)
        rows, columns = groups * height * _pick(rng, 1, 2, 4, 5, 10, 16), in_lanes * _pick(rng, 2, 9, 16, 25, 50, 100)
        density = float(rng.choice([0.05, 0.1, 0.2, 0.4]))
        use_dsp, block_ram = bool(rng.integers(3)), bool(rng.integers(2))
        steps = rows * columns * density / (groups * lanes)
        small = groups * lanes * height <= (24 if use_dsp else 12) and (block_ram or steps <= 200) and steps <= 1000
        # Lanes with something to do; what synthesis makes of the others is nothing.
        if small and columns >= 4 * lanes and columns * density >= 1.5 * lanes:
            break
    index_format = ("csr", "csr", "csr", "relative", "bitmap")[rng.integers(5)]
    in_bits, signed = _pick(rng, 2, 4, 4, 6, 8, 8, 8), bool(rng.integers(2))
    weight_bits = _pick(rng, 2, 3, 4, 4, 6, 8)
    return {
        "rows": rows,
        "columns": columns,
        "density": density,
        "weight_seed": int(rng.integers(1 << 30)),
        "vectors": 2,
        "layout": {
            "groups": groups,
            "lanes": lanes,
            "in_lanes": in_lanes,
            "height": height,
            "index_format": index_format,
            "index_bits": _pick(rng, 2, 3, 4) if index_format == "relative" else 0,
        },
        "in_bits": in_bits,
        "in_signed": signed,
        "weight_bits": weight_bits,
        "use_dsp": use_dsp,
        "weight_block_ram": block_ram,
        "out_depth": _pick(rng, 2, 2, 2, 3, 4, 8, 10),
    }


def sparse_matrix(p: Parameters) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Random weights of a csr_pe's run; its row blocks share their columns."""
    rng, height = np.random.default_rng(p["weight_seed"]), p["layout"]["height"]
    matrix = _matrix(p["rows"], p["columns"], p["weight_bits"], rng)
    kept = rng.random((p["rows"] // height, p["columns"])) < p["density"]
    kept[0, 0] = True
    return matrix * np.repeat(kept, height, axis=0)


def _channel_lookup(rng: np.random.Generator) -> Parameters:
    """A table a channel: the plain draws for the fit have none, so the counter's registers would cost nothing."""
    parameters = _lookup(rng)
    return parameters | {"lanes": 1, "count": _pick(rng, 2, 4, 6, 16), "table_block_ram": False}


def _rom(rng: np.random.Generator) -> Parameters:
    depth = _pick(rng, 2, 5, 8, 16, 25, 32, 40, 50, 64, 100, 128, 200, 256, 400)
    return {"WIDTH": _pick(rng, 4, 8, 16, 24), "DEPTH": depth, "BLOCK_RAM": 0}


def _multiplier(rng: np.random.Generator) -> Parameters:
    a, b = (int(v) for v in rng.integers(2, 10, 2))
    return {"A_BITS": a, "B_BITS": min(b, 8), "OUT_BITS": a + min(b, 8), "USE_DSP": 0}


DRAWS: dict[str, tuple[Callable[[np.random.Generator], Parameters], int, int, int]] = {
    "fifo": (_fifo, 36, 12, 8),
    "rom": (_rom, 20, 6, 4),
    "multiplier": (_multiplier, 24, 6, 4),
    "requantize": (_requantize, 30, 12, 12),
    "window": (_window, 32, 14, 10),
    "max_pool": (_max_pool, 16, 8, 8),
    "stream_fork": (_stream_fork, 10, 0, 6),
    "add": (_add, 24, 0, 10),
    "average_pool": (_average_pool, 10, 0, 2),
    "depthwise_pe": (_depthwise_pe, 10, 0, 4),
    "concat": (_concat, 4, 0, 2),
    "lookup": (_lookup, 6, 0, 2),
    "pad": (_pad, 6, 0, 2),
    "resize": (_resize, 6, 0, 2),
    "gearbox": (_gearbox, 14, 12, 0),
    "width_converter": (_width_converter, 16, 8, 8),
    "deal": (_deal, 7, 0, 4),
    "axis_input": (_axis, 8, 4, 5),
    "axis_output": (_axis, 8, 4, 5),
    "dense_pe": (_dense_pe, 52, 24, 20),
    "csr_pe": (_csr_pe, 40, 16, 16),
    "unrolled_pe": (_unrolled_pe, 24, 0, 10),
    "binary_pe": (_binary_pe, 28, 0, 10),
    "threshold": (_threshold, 7, 0, 3),
}
"""How to draw parameters, and how many from each of `SEEDS`."""

MORE: tuple[tuple[str, Callable[[np.random.Generator], Parameters], tuple[int, int, int], int], ...] = (
    ("requantize", _wide_requantize, (8, 0, 4), 500),
    ("window", _gather_window, (22, 0, 8), 500),
    ("dense_pe", _packed_dense_pe, (12, 0, 6), 500),
    ("dense_pe", _mixed_dense_pe, (4, 0, 4), 800),
    ("width_converter", _unit_converter, (4, 0, 4), 500),
    ("dense_pe", _filled_dense_pe, (0, 0, 4), 900),
    ("csr_pe", _packed_csr_pe, (8, 0, 4), 500),
    ("gearbox", _gearbox, (0, 0, 6), 500),
    ("lookup", _channel_lookup, (4, 0, 0), 500),
)
"""Configurations that the draws above seldom or never give: stem, how to draw, how many, first seed beyond `SEEDS`."""

DESIGNS = 6
SEEDS = ((1000, "fit"), (5000, "fit"), (7000, "held-out"))
"""First seed of a drawing, and what it is for. The second one was held out while the model's terms were being found,
and joined the fit then; after the third one only configurations whose result is always zero were drawn anew."""


THINNED = {"xcup": 3}
"""Families of which only some configurations are synthesized: every third one."""
WHOLE = {"xcup": ("requantize", "add")}
"""Families of which only these blocks are fitted (`fit.py`), and all of their configurations synthesized. UltraScale+
has the LUTs of xc7, whose coefficients serve, but Yosys leaves registers and adders outside its DSP blocks."""


def runs(family: str = "xc7") -> Iterator[Run]:
    """Everything that is synthesized for a family, small blocks first."""
    thinned, whole = THINNED.get(family, 1), WHOLE.get(family, ())
    shares = FAMILIES[family].multiplier >= DSP_FACTORS
    return (
        run
        for run in _drawn()
        if (run.seed % thinned == 0 or run.stem in whole) and (shares or run.parameters.get("pack", 1) == 1)
    )


def _drawn() -> Iterator[Run]:
    yield Run("axi_lite_control", {}, 0, "fit")
    drawn = [(stem, draw, tuple(counts), 0) for stem, (draw, *counts) in DRAWS.items()]
    for stem, draw, counts, offset in (*drawn, *MORE):
        for (first, part), count in zip(SEEDS, counts, strict=True):
            for seed in range(first + offset, first + offset + count):
                # The stem's own stream of random numbers.
                yield Run(stem, draw(np.random.default_rng([seed, *stem.encode()])), seed, part)
    for seed in range(9000, 9000 + DESIGNS):
        yield Run("design", {}, seed, "held-out")


# --- synthesis -------------------------------------------------------------------------------------------------------


def block_of(stem: str, parameters: Parameters) -> Block:
    """A block from the parameters that a run keeps."""
    if stem == "csr_pe":
        matrix = sparse_matrix(parameters)
        values = {key: parameters[key] for key in parameters.keys() - {"rows", "columns", "density", "weight_seed"}}
        source = IntType(values["in_bits"], values["in_signed"])
        values |= {"layout": LaneLayout(**values["layout"]), "acc_bits": accumulator_type(matrix, source).bits}
        return CsrPE.of(matrix, **values)
    return BLOCKS[stem](**{key: _tuples(value) for key, value in parameters.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


def design_of(seed: int) -> Design:
    """The whole design of a run."""
    return random_design(np.random.default_rng(seed), packed=False)


def _prepare(run: Run, name: str) -> Prepared:
    """The job of a block or part, and its memory images with random contents."""
    rng = np.random.default_rng([run.seed, 1])
    if run.stem not in BLOCKS:
        parameters = {key: str(value) for key, value in run.parameters.items()}
        if run.stem != "rom":
            return Prepared(Job(run.stem, parameters))
        width, depth = run.parameters["WIDTH"], run.parameters["DEPTH"]
        memory = Memory(name, rng.integers(0, 2, (depth, width)), 1, "", "", signed=False)
        return Prepared(Job("rom", parameters | {"CONTENTS": f'"{name}.mem"'}), [memory])
    block = block_of(run.stem, run.parameters)
    memories = memories_of(run.stem, run.parameters, run.seed, name)
    parameters = {key: str(value) for key, value in block.rtl_parameters().items()}
    images = {key: f'"{memory.name}.mem"' for key, memory in memories.items()}
    return Prepared(Job(run.stem, parameters | images), list(memories.values()))


def memories_of(stem: str, p: Parameters, seed: int, name: str = "made") -> dict[str, Memory]:
    """A block's memories with the random contents of a run."""
    rng = np.random.default_rng([seed, 1])
    contents: dict[str, Any] = {}
    if stem in ("dense_pe", "binary_pe"):
        bits, shape = p["weight_bits"], (p["rows"], p["columns"])
        contents["matrix"] = _matrix(*shape, bits, rng) if bits > 1 else rng.choice([-1, 1], shape)
    if stem == "depthwise_pe":
        contents["filters"] = _matrix(p["pe"] * p["groups"] * p["filters"], p["taps"], p["weight_bits"], rng)
    if stem == "lookup":
        contents["table"] = rng.integers(0, 1 << p["out_bits"], (p["count"], 1 << p["in_bits"]))
    if stem == "csr_pe":
        contents["matrix"] = sparse_matrix(p)
    if stem == "requantize":
        channels = p["lanes"] * p["groups"]
        half = 1 << (p["bias_bits"] - 1)
        top = 1 << p["multiplier_bits"]
        contents["bias"] = rng.integers(-half, half, channels)
        contents["multiplier"] = rng.integers(top // 2, top, channels)
    if stem == "threshold":
        half = 1 << (p["in_bits"] - 1)
        found = rng.integers(-half, half, (p["lanes"] * p["groups"], p["count"]))
        contents["thresholds"] = np.sort(found, axis=1)
    return block_of(stem, p).memories(name, "", contents)


def _write_memory(memory: Memory, folder: Path) -> Path:
    path = folder / f"{memory.name}.mem"
    path.write_text("".join(f"{word:0{-(-memory.width // 4)}x}\n" for word in memory.words()))
    return path


def _write_sources(files: dict[str, str], folder: Path) -> list[Path]:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in compile_order(list(files))]


def synthesize(batch: list[Run], family: str) -> list[dict[str, Any]]:
    """Results of runs that share a process: blocks, or one whole design."""
    environment = make_environment()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if batch[0].stem == "design":
            assert len(batch) == 1
            design = design_of(batch[0].seed)
            files = render_rtl(design, environment, model_sha256="0" * 64)
            prepared = {"design": Prepared(Job(TOP), [m for s in design.stages for m in s.memories.values()])}
        else:
            files = block_sources() | render_registers(environment)
            prepared = {f"run{i}": _prepare(run, f"run{i}") for i, run in enumerate(batch)}
        sources = _write_sources(files, folder / "rtl")
        (folder / "memory").mkdir()
        images = [_write_memory(m, folder / "memory") for p in prepared.values() for m in p.memories]
        found = Yosys().synthesize(
            {name: p.job for name, p in prepared.items()},
            sources,
            family=family,
            folder=folder / "work",
            memories=images,
        )
    return [
        asdict(run) | {"resources": result.resources.as_dict(), "cells": dict(sorted(result.cells.items()))}
        for run, result in zip(batch, found.values(), strict=True)
    ]


def read_raw(path: Path) -> dict[str, Any]:
    """Tool, version and runs of a file of results."""
    raw: dict[str, Any] = json.loads(path.read_text())
    return raw


def _write_raw(path: Path, raw: dict[str, Any]) -> None:
    """One run a line."""
    head = json.dumps({key: value for key, value in raw.items() if key != "runs"}, indent=2)
    rows = ",\n".join(json.dumps(row) for row in raw["runs"])
    atomic_write(path, f'{head[:-2]},\n  "runs": [\n{rows}\n]\n}}\n'.encode())


def _batches(missing: list[Run], size: int) -> Iterator[list[Run]]:
    blocks = [run for run in missing if run.stem != "design"]
    yield from (blocks[i : i + size] for i in range(0, len(blocks), size))
    yield from ([run] for run in missing if run.stem == "design")


def used(row: dict[str, Any]) -> Resources:
    """Synthesized resources of a result."""
    return Resources(**row["resources"])


def _recheck(rows: list[dict[str, Any]], family: str, count: int, batch: int) -> None:
    """Synthesize `count` runs of each block again, spread over what there is, and say which ones differ."""
    chosen: list[dict[str, Any]] = []
    for stem in dict.fromkeys(row["stem"] for row in rows):
        of_stem = [row for row in rows if row["stem"] == stem]
        chosen += [of_stem[i] for i in sorted({len(of_stem) * k // count for k in range(count)})]
    again = [Run(row["stem"], row["parameters"], row["seed"], row["part"]) for row in chosen]
    known = {run.key: row["resources"] for run, row in zip(again, chosen, strict=True)}
    changed = 0
    for part in _batches(again, batch):
        for run, found in zip(part, synthesize(part, family), strict=True):
            if found["resources"] != known[run.key]:
                changed += 1
                click.echo(f"{run.stem} {run.seed}: {known[run.key]} then, {found['resources']} now")
    click.echo(f"{len(again) - changed} of {len(again)} runs as they were")
    if changed:
        raise click.ClickException("sources have changed: take the blocks' runs out of the file and run this again")


@click.command()
@click.option("--family", type=click.Choice(list(FLOWS)), default="xc7", show_default=True)
@click.option("--batch", default=12, show_default=True, help="Blocks that share a process.")
@click.option("--recheck", default=0, help="So many runs of each block again: are the results still what they were?")
def main(family: str, batch: int, recheck: int) -> None:
    """Run what is not in raw_<family>.json yet."""
    path = HERE / f"raw_{family}.json"
    version = ".".join(map(str, Yosys().check_version()))
    raw: dict[str, Any] = {"tool": "yosys", "version": version, "flow": FLOWS[family].name, "runs": []}
    if path.is_file():
        raw = read_raw(path)
        if raw["version"] != version:
            raise click.ClickException(f"{path.name} is from Yosys {raw['version']}, not {version}: remove it first")
    if recheck:
        _recheck(raw["runs"], family, recheck, batch)
        return
    wanted = {run.key for run in runs(family)}
    raw["runs"] = [r for r in raw["runs"] if Run(r["stem"], r["parameters"], r["seed"], r["part"]).key in wanted]
    have = {Run(r["stem"], r["parameters"], r["seed"], r["part"]).key for r in raw["runs"]}
    missing = [run for run in runs(family) if run.key not in have]
    total = len(have) + len(missing)
    for part in _batches(missing, batch):
        try:
            raw["runs"] += synthesize(part, family)
        except ToolError as error:
            raise click.ClickException(f"{error}\n{error.tail}\n{json.dumps([asdict(run) for run in part])}") from None
        _write_raw(path, raw)
        click.echo(f"{len(raw['runs'])}/{total}", err=True)


if __name__ == "__main__":
    main()
