"""Weight formats. `FORMATS` is the only place that lists them; docs/formats.md describes each."""

from __future__ import annotations

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Section, Size
from admmfpga.packing.formats.bitmap import Bitmap
from admmfpga.packing.formats.bounds import entropy_bits, expected_dummy_factor, needed_ratio
from admmfpga.packing.formats.compact import Compact
from admmfpga.packing.formats.csr import Csr
from admmfpga.packing.formats.dense import Dense
from admmfpga.packing.formats.relative import LEAST, MOST, Relative

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Dense(),
        Compact(),
        Csr(),
        *(Relative(bits) for bits in range(1, MOST + 1)),
        Bitmap(),
        Csr(height=2),
        Csr(height=4),
    )
}
"""Every weight format by its name; images carry the name."""

RELATIVE = tuple(form for form in FORMATS.values() if isinstance(form, Relative) and form.index_bits >= LEAST)
"""The relative index with each of the index widths that are tried for storage; PEs' lanes may have narrower ones."""

FOUR_BIT_INDEX = "relative4"
"""The relative index that is always reported, beside the best one."""


def sizes(matrix: IntArray | Kept, bits: int | None = None) -> dict[str, Size]:
    """Exact size of a matrix in every format, of relative indices those of `RELATIVE`.

    Args:
        matrix: (rows, columns) integers, or its kept weights.
        bits: of a weight; None for the least.
    """
    kept = Kept.of(matrix)
    tried = (form for form in FORMATS.values() if form in RELATIVE or not isinstance(form, Relative))
    return {form.name: form.size(kept, bits) for form in tried}


def best_relative(found: dict[str, Size]) -> str:
    """Name of the smallest relative index; of equal ones the narrowest."""
    return min((form.name for form in RELATIVE), key=lambda name: found[name].total)


def reported(found: dict[str, Size]) -> dict[str, Size]:
    """The sizes worth showing: of the relative indices the best one and the one of 4 bits."""
    shown = {best_relative(found), FOUR_BIT_INDEX}
    return {name: size for name, size in found.items() if not isinstance(FORMATS[name], Relative) or name in shown}


def smallest(found: dict[str, Size]) -> str:
    """Name of the format with the fewest bits; of equal ones the first in `FORMATS`."""
    return min(found, key=lambda name: found[name].total)


__all__ = [
    "FORMATS",
    "FOUR_BIT_INDEX",
    "RELATIVE",
    "Format",
    "Kept",
    "Packed",
    "Relative",
    "Section",
    "Size",
    "best_relative",
    "entropy_bits",
    "expected_dummy_factor",
    "needed_ratio",
    "reported",
    "sizes",
    "smallest",
]
