"""Storage of layers and networks in every weight format, as `compile` and `compare` report it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing.formats import FORMATS, Kept, best_relative, entropy_bits, reported, sizes, smallest

RELATIVE = "relative"
"""Name of the relative index with each layer's best width, in sums over layers."""


def layer_storage(matrix: IntArray) -> dict[str, Any]:
    """A layer's storage.

    Args:
        matrix: (rows, columns), pruned weights zero.

    Returns:
        positions: rows * columns; kept: weights that are not zero; kept_rows, kept_columns: those with any weight;
        bits: of a weight; formats: bits by format and by what they are for, with `total`; best: the smallest format;
        relative: the relative index of the best width; entropy_bound_bits: of an index at random positions.
    """
    kept = Kept.of(matrix)
    found = sizes(kept)
    return {
        "positions": kept.elements,
        "kept": kept.count,
        "kept_rows": len(np.unique(kept.rows)),
        "kept_columns": len(np.unique(kept.columns)),
        "bits": kept.least_bits,
        "formats": {name: size.as_dict() | {"total": size.total} for name, size in reported(found).items()},
        "best": smallest(found),
        RELATIVE: best_relative(found),
        "entropy_bound_bits": round(entropy_bits(kept)),
    }


def network_storage(layers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Sums of `layer_storage` over the layers of a network.

    Returns:
        positions, kept; formats: as of a layer, one format for all layers, `relative` with each layer's best width;
        best_bits: every layer in its own smallest format; entropy_bound_bits.
    """
    layers = list(layers)
    names = [name for name in FORMATS if not name.startswith(RELATIVE) or name == "relative4"]
    formats = {name: _sum(layer["formats"][name] for layer in layers) for name in names}
    formats[RELATIVE] = _sum(layer["formats"][layer[RELATIVE]] for layer in layers)
    return {
        "positions": sum(layer["positions"] for layer in layers),
        "kept": sum(layer["kept"] for layer in layers),
        "formats": formats,
        "best_bits": sum(layer["formats"][layer["best"]]["total"] for layer in layers),
        "entropy_bound_bits": sum(layer["entropy_bound_bits"] for layer in layers),
    }


def _sum(sizes_: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for size in sizes_:
        for name, amount in size.items():
            total[name] = total.get(name, 0) + amount
    return total
