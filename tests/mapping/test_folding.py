"""The choice of foldings against brute force, and its refusals."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.mapping import map_network
from admmfpga.mapping.folding import Candidate, Folding, divisors, exceeded, fold, pareto, usable
from made import lenet5

PYNQ = Resources(53200, 106400, 280, 220)


def candidate(cycles, lut=0, dsp=0, bram=0):
    return Candidate(Folding(), cycles, Resources(lut=lut, ff=lut, bram18=bram, dsp=dsp))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 50), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=5),
        min_size=1,
        max_size=3,
    )
)
@settings(deadline=None, max_examples=200)
def test_bisection_is_close_to_brute_force(raw):
    layers = {f"l{i}": [candidate(c, lut=10 * u, dsp=d) for c, u, d in layer] for i, layer in enumerate(raw)}
    available = Resources(lut=800, ff=100_000, bram18=10, dsp=45)
    limit = usable(available)
    feasible = [
        max(c.cycles for c in combination)
        for combination in product(*layers.values())
        if not any(exceeded(sum((c.resources for c in combination), Resources()), limit))
    ]
    if not feasible:
        with pytest.raises(UserError, match="does not fit"):
            fold(layers, available, Resources(), board="made")
        return
    try:
        choice = fold(layers, available, Resources(), board="made")
    except UserError:
        pytest.fail("something fits, but nothing was found")
    assert not any(exceeded(choice.resources, limit))
    assert choice.interval >= min(feasible)


def test_divisors():
    assert divisors(12) == (1, 2, 3, 4, 6, 12)
    assert divisors(1) == (1,)


def test_pareto_drops_what_is_beaten():
    good, slow, large = candidate(5, lut=5), candidate(9, lut=5), candidate(5, lut=9)
    assert pareto([slow, large, good]) == [good]


def test_lenet_uses_the_boards_multipliers():
    design = map_network(lenet5(np.random.default_rng(0)), PYNQ, board="pynq")
    used = design.resources()
    assert not any(exceeded(used, PYNQ))
    # 2.3 million MACs: fewer cycles than DSPs alone could do.
    assert design.timing.frame_interval <= 2_293_000 / 220


def test_target_takes_fewer_resources():
    network = lenet5(np.random.default_rng(0))
    fast = map_network(network, PYNQ, board="pynq")
    slow = map_network(network, PYNQ, board="pynq", target_interval=100_000)
    assert slow.timing.frame_interval <= 100_000
    assert slow.resources().lut < fast.resources().lut / 2


def test_unreachable_target_names_the_layer():
    with pytest.raises(UserError, match=r"fastest form of (conv|pool|fc)"):
        map_network(lenet5(np.random.default_rng(0)), PYNQ, board="pynq", target_interval=10)


def test_too_small_board_names_resource_excess_and_layer():
    pattern = r"does not fit tiny: .*(lut|bram18) \d+ of \d+ usable \(\d+ % over\); heaviest: fc"
    with pytest.raises(UserError, match=pattern) as caught:
        map_network(lenet5(np.random.default_rng(0)), Resources(8000, 16000, 20, 20), board="tiny")
    assert caught.value.node.startswith("fc")
    assert "larger board" in caught.value.hint
