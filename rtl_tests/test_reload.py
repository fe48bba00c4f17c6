"""New contents through the load chain: every block that has memories, one after the other, then frames with them."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

import bench
from admmfpga.blocks import CsrPE, DensePE, Requantize
from admmfpga.packing import LaneLayout

SHAPES = [
    # rows, columns, vectors, pe, simd, weight bits, weights in block RAM
    (4, 6, 3, 2, 3, 8, True),
    (1, 1, 3, 1, 1, 2, False),  # one word of one byte
    (6, 6, 2, 3, 2, 5, False),
    (4, 6, 2, 4, 6, 4, False),  # one word of 12 bytes
]
LAYOUTS = [
    LaneLayout(1, 3, 1, 1),
    LaneLayout(2, 2, 2, 1, "relative", 1),
    LaneLayout(1, 4, 2, 2, "bitmap"),
]


def _cases(values):
    """The same blocks with two contents each."""
    cases = []
    for rows, columns, vectors, pe, simd, bits, block_ram in SHAPES:
        limit = (1 << (bits - 1)) - 1
        block = DensePE(
            rows=rows,
            columns=columns,
            vectors=vectors,
            pe=pe,
            simd=simd,
            in_bits=8,
            in_signed=False,
            weight_bits=bits,
            acc_bits=20,
            weight_block_ram=block_ram,
            reloadable=True,
        )
        cases.append((block, [{"matrix": values.integers(-limit, limit, (rows, columns))} for _ in range(2)]))
    for groups, lanes in ((1, 3), (4, 2)):
        block = Requantize(
            lanes=lanes,
            groups=groups,
            positions=5,
            in_bits=10,
            in_signed=True,
            bias_bits=11,
            sum_bits=13,
            multiplier_bits=9,
            shift=12,
            zero_point=3,
            low=0,
            high=255,
            out_bits=8,
            out_signed=False,
            reloadable=True,
        )
        contents = [
            {
                "bias": values.integers(-1024, 1024, groups * lanes),
                "multiplier": values.integers(0, 512, groups * lanes),
            }
            for _ in range(2)
        ]
        cases.append((block, contents))
    for index, layout in enumerate(LAYOUTS):
        mask = values.random((8, 12)) < 0.3
        # The other matrix has its weights elsewhere, as many in a row.
        contents = [{"matrix": np.roll(mask, shift, axis=1) * values.integers(1, 8, mask.shape)} for shift in (0, 3)]
        block = CsrPE.of(
            contents[0]["matrix"],
            layout,
            vectors=3,
            in_bits=6,
            in_signed=True,
            weight_bits=4,
            acc_bits=16,
            weight_block_ram=index == 0,
            slack=0.2,
        )
        cases.append((block, contents))
    return cases


_MADE = _cases(np.random.default_rng(9))
OLD, NEW = (
    {f"c{index}": bench.Case(block, contents[which], frames=3) for index, (block, contents) in enumerate(_MADE)}
    for which in range(2)
)


def _chain(cases):
    """Memories in the order of the chain."""
    found = [m for name, case in cases.items() for m in case.block.memories(name, name, dict(case.contents)).values()]
    return [memory for memory in found if not memory.constant]


async def _load(dut, data, *, idle, seed):
    """Send bytes; returns the number of words that were written."""
    rng, words = random.Random(seed), 0
    links = [0x200, *(0x100 | byte for byte in data)]
    after = 3 * len(OLD) + 20  # cycles until the last word has come out
    while links or after:
        dut.load.value = links.pop(0) if links and rng.random() >= idle else 0
        after -= not links
        await RisingEdge(dut.clk)
        words += int(dut.loaded.value) >> 10
    dut.load.value = 0
    return words


@cocotb.test()
@cocotb.parametrize(scenario=["full_rate", "both"])
async def reload(dut, scenario):
    """Old contents, new ones, bytes too few and too many, old ones again: values and cycles."""
    dut.load.value = 0
    tb = bench.TB(dut, OLD)
    new = bench.TB.__new__(bench.TB)
    new.dut, new.cases = dut, NEW
    await tb.check(1, *bench.SCENARIOS[scenario])
    for bench_, cases in ((new, NEW), (tb, OLD)):
        data = b"".join(memory.image() for memory in _chain(cases))
        total = sum(memory.depth for memory in _chain(cases))
        await tb.reset()
        # A load that is broken off and begun again leaves nothing behind; bytes behind the last memory are nobody's.
        await _load(dut, data[: len(data) // 2], idle=0, seed=1)
        assert await _load(dut, data + b"\xa5" * 7, idle=0.4 * (scenario == "both"), seed=2) == total
        assert await _load(dut, b"", idle=0, seed=1) == 0
        await bench_.check(2, *bench.SCENARIOS[scenario])


def test_reload():
    bench.simulate("test_reload", OLD)
