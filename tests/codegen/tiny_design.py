"""The parts of a Design that the host side and the Vivado script look at, without a mapping behind them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from admmfpga.mapping import Design
from admmfpga.network import HostOp, IntType, Network, Tensor

IMAGE = Tensor("x", (2, 3, 4), IntType(8, signed=False), np.array(0.5), 10)
SCORES = Tensor("y", (5,), IntType(8, signed=True), np.array([0.1, 0.2, 0.3, 0.4, 0.5]), -3)


def tiny_design(
    source: Tensor = IMAGE, result: Tensor = SCORES, host_ops: tuple[HostOp, ...] = (), *, reloadable: bool = False
) -> Design:
    """A design of one input and one output tensor."""
    network = Network("tiny", (source.name,), (result.name,), {t.name: t for t in (source, result)}, [], host_ops)
    return cast(
        Design,
        SimpleNamespace(network=network, input=source, output=result, reloadable=reloadable, stages=(), formats=()),
    )
