"""What no index can do without, and the pruning rate at which an index pays: yardsticks beside the exact sizes."""

from __future__ import annotations

from math import log2

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Kept


def entropy_bits(matrix: IntArray | Kept) -> float:
    """Entropy of a mask whose positions are independent, of the matrix's density: positions * H(d) bits.

    A lower bound of any index for random masks; masks with structure can be told in fewer bits.
    """
    kept = Kept.of(matrix)
    density = kept.count / kept.elements
    if density in (0.0, 1.0):
        return 0.0
    return kept.elements * -(density * log2(density) + (1 - density) * log2(1 - density))


def expected_dummy_factor(density: float, index_bits: int) -> float:
    """Entries of a relative index per weight at random positions: phi = 1 / (1 - (1 - d)^(2^k)).

    Args:
        density: kept share of positions, 0 < d <= 1.
    """
    return 1.0 / (1.0 - (1.0 - density) ** (1 << index_bits))


def needed_ratio(entries_per_weight: float, bits: int, index_bits: int) -> float:
    """Ratio r_n / r_s of pruning rates above which a non-structured matrix is smaller: phi * (b + k) / b.

    Args:
        entries_per_weight: phi.
        bits, index_bits: of a weight and of its relative index.
    """
    return entries_per_weight * (bits + index_bits) / bits
