"""The integer network, its types and its reference execution. Imports nothing else of this package."""

from admmfpga.network.compaction import compact
from admmfpga.network.graph import (
    Conv,
    Dense,
    Flatten,
    HostOp,
    MaxPool,
    Network,
    Node,
    Rescale,
    macs,
    requantization_of,
    weighted,
    window_positions,
)
from admmfpga.network.requantization import Requantization, fixed_point, round_shift
from admmfpga.network.types import IntArray, IntType, Tensor

__all__ = [
    "Conv",
    "Dense",
    "Flatten",
    "HostOp",
    "IntArray",
    "IntType",
    "MaxPool",
    "Network",
    "Node",
    "Requantization",
    "Rescale",
    "Tensor",
    "compact",
    "fixed_point",
    "macs",
    "requantization_of",
    "round_shift",
    "weighted",
    "window_positions",
]
