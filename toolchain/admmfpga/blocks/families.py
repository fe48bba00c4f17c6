"""What FPGA families differ in, as far as the resource model has to know.

The family is ambient: `with using("ecp5"):` around whatever counts resources, since blocks are the same for all of them
and only their price differs. Functions that keep resources in a cache need the family's name in its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from admmfpga.blocks import block_ram

_NEVER = 1 << 30


@dataclass(frozen=True)
class Family:
    """Inference rules of a family's synthesis flow.

    Attributes:
        name: as boards name it.
        multiplier: bits of the wider and of the narrower signed factor that one multiplier takes.
        product_bits: products of fewer bits are made of LUTs: by inference on Xilinx, by our choice on ECP5.
        dsp_absorbs: synthesis puts registers and adders around a multiplier into its block.
        splits_two_bits: what is left of a factor after cutting is multiplied in a block even if it has two bits only.
        table_words: words of one bit that a LUT holds.
        lut_ram: LUTs of a LUT-RAM cell with a read port of its own, and bits of its words if there are at most 32;
            half as many at 64 words.
        shift_register: registers in a row from which on they become a shift-register LUT.
        block_rams: cells of block RAM that there are.
        reads_old: a block RAM gives the old word where it is being written; else logic beside it sees to that.
    """

    name: str
    multiplier: tuple[int, int]
    product_bits: int
    dsp_absorbs: bool
    splits_two_bits: bool
    table_words: int
    lut_ram: tuple[int, int]
    shift_register: int
    block_rams: tuple[block_ram.Cell, ...]
    reads_old: bool


_XC7 = Family(
    "xc7",
    (25, 18),
    product_bits=9,
    dsp_absorbs=True,
    splits_two_bits=True,
    table_words=64,
    lut_ram=(4, 6),
    shift_register=3,
    block_rams=(block_ram.HALF, block_ram.FULL, block_ram.CASCADE),
    reads_old=True,
)

FAMILIES = {
    family.name: family
    for family in (
        _XC7,
        replace(
            _XC7,
            name="xcup",
            multiplier=(27, 18),
            # Yosys' pass that puts registers and adders into DSP blocks knows no DSP48E2; Vivado does.
            dsp_absorbs=False,
            lut_ram=(8, 14),
            block_rams=(block_ram.HALF, block_ram.FULL),
        ),
        Family(
            "ecp5",
            (18, 18),
            product_bits=9,
            dsp_absorbs=False,
            splits_two_bits=False,
            table_words=16,
            lut_ram=(6, 4),
            shift_register=_NEVER,
            block_rams=(block_ram.HALF,),
            reads_old=False,
        ),
    )
}

_current: ContextVar[Family] = ContextVar("family", default=_XC7)


def family() -> Family:
    """The family that resources are counted for."""
    return _current.get()


@contextmanager
def using(name: str) -> Iterator[Family]:
    """Count resources for a family.

    Args:
        name: a key of `FAMILIES`.
    """
    token = _current.set(FAMILIES[name])
    try:
        yield FAMILIES[name]
    finally:
        _current.reset(token)
