"""ADMM-NN-S: pruning and quantization by ADMM. The only part of the project that imports torch."""

from admmfpga.compress.admm import Compressor, Residual
from admmfpga.compress.checker import violations
from admmfpga.compress.levels import Binary, Bits, Ternary
from admmfpga.compress.masking import Masks
from admmfpga.compress.regulation import Constant, Continuous, Staged
from admmfpga.compress.sets import (
    Balanced,
    Channel,
    ConstraintSet,
    Filter,
    FilterShape,
    Frozen,
    NonStructured,
    RowBlocked,
    Then,
    filter_and_shape,
)

__all__ = [
    "Balanced",
    "Binary",
    "Bits",
    "Channel",
    "Compressor",
    "Constant",
    "ConstraintSet",
    "Continuous",
    "Filter",
    "FilterShape",
    "Frozen",
    "Masks",
    "NonStructured",
    "Residual",
    "RowBlocked",
    "Staged",
    "Ternary",
    "Then",
    "filter_and_shape",
    "violations",
]
