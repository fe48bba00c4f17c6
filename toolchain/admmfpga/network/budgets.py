"""How far weights and parameters may change while the hardware stays: the widths of a network whose weights are data.

A budget takes the place of what the weights at hand need: accumulators are as wide as any weights of so many bits can
make them, multipliers have a bit to spare, biases two. Another network *fits* if it has the same layers and its
weights, biases and multipliers are within the budgets; its shifts become those of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from admmfpga.network.graph import Conv, Dense, Network, Node, Rescale
from admmfpga.network.ranges import weight_type
from admmfpga.network.requantization import MAX_MULTIPLIER_BITS, MULTIPLIER_BITS, Requantization, round_shift
from admmfpga.network.types import IntArray, IntType

BIAS_HEADROOM = 2
"""Bits that biases may grow by."""

MAX_SHIFT = 61


@dataclass(frozen=True)
class Budget:
    """What a layer's memories can hold.

    Attributes:
        weight_bits: signed; 0 for layers without weights.
        bias_bits: signed.
        multiplier_bits: unsigned.
        slack: steps that programs of non-zero weights have to spare, as a share.
    """

    weight_bits: int
    bias_bits: int
    multiplier_bits: int
    slack: float = 0.0

    @property
    def bias_type(self) -> IntType:
        return IntType(self.bias_bits, signed=True)

    def accumulator_range(self, columns: int, source: IntType) -> tuple[int, int]:
        """The least and greatest accumulator that any weights can give.

        Args:
            columns: that may have weights.
            source: type of the activations.
        """
        weight = IntType(self.weight_bits, signed=True)
        products = [w * x for w in (weight.min, weight.max) for x in (source.min, source.max)]
        return columns * min(*products, 0), columns * max(*products, 0)


def reloadable(node: Node) -> bool:
    """Whether a layer has weights or parameters that can be exchanged."""
    if isinstance(node, Conv):
        return node.groups == 1
    return isinstance(node, Dense | Rescale)


def with_budgets(network: Network, slack: float = 0.0) -> Network:
    """The network as hardware computes it whose weights can be exchanged: every layer has a budget.

    The largest multiplier of a layer leaves one bit of its width unused. Where it had all bits, its last one is rounded
    away; powers of two stay exact.

    Args:
        slack: see `Budget`.
    """
    nodes, budgets = [], {}
    for node in network.nodes:
        if reloadable(node):
            assert isinstance(node, Conv | Dense | Rescale)
            rule = node.requantization
            bits = max(MULTIPLIER_BITS, rule.multiplier_bits)
            rule = with_shift(rule, min(MAX_SHIFT, max(0, rule.shift + bits - 1 - rule.multiplier_bits)))
            bias = IntType.signed_holding(int(rule.bias.min()), int(rule.bias.max()))
            weight_bits = 0 if isinstance(node, Rescale) else weight_type(node.weights).bits
            budgets[node.name] = Budget(weight_bits, bias.bits + BIAS_HEADROOM, bits, slack)
            node = replace(node, requantization=rule)
        nodes.append(node)
    return replace(network, nodes=nodes, budgets=budgets)


def with_shift(rule: Requantization, shift: int) -> Requantization:
    """The same ratios over another power of two, multipliers rounded half to even."""
    more = shift - rule.shift
    multiplier = rule.multiplier << max(0, more)
    return replace(rule, multiplier=round_shift(multiplier, max(0, -more)), shift=shift)


def rounding(before: Requantization, after: Requantization) -> float:
    """How far outputs can move when `with_shift` rounds multipliers: in output steps, the worst channel's."""
    exact = before.multiplier / 2.0**before.shift
    error = np.abs(after.multiplier / 2.0**after.shift - exact)
    # An output that is not clipped is no more than this many steps from its zero point.
    steps = max(after.high - after.zero_point, after.zero_point - after.low, 1)
    some = exact > 0
    return float((error[some] / exact[some]).max(initial=0.0) * steps)


def complaints(weights: IntArray | None, rule: Requantization, budget: Budget) -> list[str]:
    """What of a layer does not fit into its budget, one line each."""
    found = []
    if weights is not None and (bits := weight_type(weights).bits) > budget.weight_bits:
        found.append(f"weights need {bits} bits, the build has {budget.weight_bits}")
    bias = IntType.signed_holding(int(rule.bias.min()), int(rule.bias.max()))
    if bias.bits > budget.bias_bits:
        found.append(f"biases need {bias.bits} bits, the build has {budget.bias_bits}")
    if rule.multiplier_bits > budget.multiplier_bits:
        found.append(f"multipliers need {rule.multiplier_bits} bits, the build has {budget.multiplier_bits}")
    assert budget.multiplier_bits <= MAX_MULTIPLIER_BITS
    return found
