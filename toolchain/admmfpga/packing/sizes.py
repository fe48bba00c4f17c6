"""Exact storage of weight matrices, by format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from admmfpga.network import IntArray


@dataclass(frozen=True)
class Storage:
    """Bits that a layer's weights take.

    Attributes:
        weight_bits: for the weights themselves, zeros inside the kept part counted too.
        index_bits: for saying which rows and columns they are.
        dense_fp32_bits: of the same matrix unpruned in single precision.
    """

    weight_bits: int = 0
    index_bits: int = 0
    dense_fp32_bits: int = 0

    @property
    def total_bits(self) -> int:
        """Weights and indices."""
        return self.weight_bits + self.index_bits

    def __add__(self, other: Storage) -> Storage:
        return Storage(
            self.weight_bits + other.weight_bits,
            self.index_bits + other.index_bits,
            self.dense_fp32_bits + other.dense_fp32_bits,
        )


def dense_storage(matrix: IntArray, bits: int) -> Storage:
    """A (rows, columns) matrix without its all-zero rows and columns.

    Each list names the kept ones with ceil(log2 n) bits each; a list that would name all is not stored.

    Args:
        bits: of one weight.
    """
    rows, columns = matrix.shape
    nonzero = matrix != 0
    kept_rows, kept_columns = int(np.count_nonzero(nonzero.any(axis=1))), int(np.count_nonzero(nonzero.any(axis=0)))
    return Storage(
        weight_bits=kept_rows * kept_columns * bits,
        index_bits=_list_bits(kept_rows, rows) + _list_bits(kept_columns, columns),
        dense_fp32_bits=32 * rows * columns,
    )


def _list_bits(kept: int, total: int) -> int:
    """Bits of a list of `kept` numbers below `total`."""
    return 0 if kept == total else kept * (total - 1).bit_length()
