"""The choice of foldings against brute force, and its refusals."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.mapping import map_network, search
from admmfpga.mapping.bounds import continuous_bound
from admmfpga.mapping.candidates import Refinement, candidates
from admmfpga.mapping.folding import PRICES, Candidate, Folding, divisors, exceeded, pareto, usable
from admmfpga.mapping.search import RELATIVE_GAP, cheapest, exchanges, fold
from admmfpga.network import IntType
from made import NetworkMaker, lenet5

PYNQ = Resources(53200, 106400, 280, 220)


def candidate(cycles, lut=0, dsp=0, bram=0):
    return Candidate(Folding(), cycles, Resources(lut=lut, ff=lut, bram18=bram, dsp=dsp))


MADE = Resources(lut=80, ff=100, bram18=10, dsp=9)
"""A board for the random problems; 60 LUTs, 75 FFs, 9 RAMB18 and 9 DSPs of it are usable."""

amounts = st.tuples(st.integers(0, 60), st.integers(0, 75), st.integers(0, 9), st.integers(0, 9))
problems = st.lists(
    st.lists(st.tuples(st.integers(1, 30), amounts), min_size=1, max_size=6).map(
        lambda layer: [Candidate(Folding(pe=i + 1), c, Resources(*have)) for i, (c, have) in enumerate(layer)]
    ),
    min_size=1,
    max_size=4,
).map(lambda layers: {f"l{i}": layer for i, layer in enumerate(layers)})


def price(resources, limit):
    return sum(PRICES[name] * getattr(resources, name) / getattr(limit, name) for name in PRICES)


def every_fitting_choice(layers, limit, fixed):
    """(interval, price) of all of them."""
    for combination in product(*layers.values()):
        used = sum((c.resources for c in combination), fixed)
        if not any(exceeded(used, limit)):
            yield max(c.cycles for c in combination), price(used, limit)


@given(problems, st.integers(0, 2))
@settings(deadline=None, max_examples=100)
def test_the_search_is_exact(layers, fixed):
    fixed, limit = Resources(lut=fixed), usable(MADE)
    fitting = list(every_fitting_choice(layers, limit, fixed))
    if not fitting:
        with pytest.raises(UserError, match="does not fit"):
            fold(layers, MADE, fixed, board="made")
        return
    choice = fold(layers, MADE, fixed, board="made")
    interval = min(interval for interval, _ in fitting)
    assert choice.interval == choice.least_interval == interval
    cheapest = min(price for reached, price in fitting if reached <= interval)
    assert price(choice.resources, limit) <= cheapest * (1 + 2 * RELATIVE_GAP) + 1e-9
    assert choice.price_gap == 0
    assert choice.resources == sum((c.resources for c in choice.candidates.values()), fixed)
    bound = continuous_bound(layers, limit, fixed)
    assert bound.interval <= interval * (1 + 1e-6)


@given(problems, st.integers(1, 30))
@settings(deadline=None, max_examples=50)
def test_a_target_is_reached_at_the_least_price(layers, target):
    limit = usable(MADE)
    fitting = [cost for reached, cost in every_fitting_choice(layers, limit, Resources()) if reached <= target]
    if not fitting:
        with pytest.raises(UserError, match=r"does not fit|the fastest form"):
            fold(layers, MADE, Resources(), board="made", target_interval=target)
        return
    choice = fold(layers, MADE, Resources(), board="made", target_interval=target)
    assert choice.interval <= target
    assert price(choice.resources, limit) <= min(fitting) * (1 + 2 * RELATIVE_GAP) + 1e-9


def test_what_the_exchanges_miss():
    options = {"a": [(3, 7), (7, 1)], "b": [(4, 1), (1, 4)], "c": [(2, 6), (7, 0), (3, 2)]}
    layers = {
        layer: [Candidate(Folding(pe=i + 1), 1, Resources(lut=lut, dsp=dsp)) for i, (lut, dsp) in enumerate(pairs)]
        for layer, pairs in options.items()
    }
    limit = Resources(10, 10, 10, 10)
    # Only (3, 7), (4, 1), (3, 2) fits; no exchange of one layer leads there.
    assert any(exceeded(exchanges(layers, limit, Resources()).resources, limit))
    answer = cheapest(layers, 1, limit, Resources())
    assert answer.fits
    assert not any(exceeded(answer.choice.resources, limit))


def test_given_up_searches_say_what_is_open(monkeypatch):
    rng = np.random.default_rng(1)
    layers = {
        f"l{i}": [
            Candidate(Folding(pe=pe), 64 // pe, Resources(*(int(v) for v in rng.integers(1, 40, 4))))
            for pe in range(1, 9)
        ]
        for i in range(12)
    }
    board = Resources(lut=280, ff=280, bram18=220, dsp=210)
    proven = fold(layers, board, Resources(), board="made")
    assert proven.least_interval == proven.interval
    monkeypatch.setattr(search, "NODES", 0)
    given_up = fold(layers, board, Resources(), board="made")
    assert given_up.least_interval <= proven.interval <= given_up.interval
    assert not any(exceeded(given_up.resources, usable(board)))


def test_the_bound_names_what_is_scarce():
    layers = {"a": [Candidate(Folding(pe=n), 1000 // n, Resources(lut=n, dsp=4 * n)) for n in (1, 2, 5, 10)]}
    bound = continuous_bound(layers, Resources(100, 100, 100, 8), Resources())
    assert (bound.kind, bound.interval) == ("dsp", 500)
    # Beyond the fastest form in proportion: 4 + 36 * 100 / 48 = 79.
    bound = continuous_bound(layers, Resources(100, 100, 100, 80), Resources())
    assert (bound.kind, bound.interval) == ("dsp", 48)
    assert continuous_bound(layers, Resources(100, 100, 100, 3), Resources()) is None


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
    # 2.3 million MACs: more a cycle than two times the DSPs. That takes rows in DSP blocks and in LUTs side by side.
    assert design.timing.frame_interval <= 3200
    assert any(folding.lut_rows for folding in design.foldings.values())
    (bound,) = (b for b in design.search.bounds if b.kind == "lut")
    assert 0.8 * design.timing.frame_interval <= bound.interval <= design.timing.frame_interval


def test_the_bound_knows_whole_steps_and_fixed_parts():
    """Half of the speed at half of what is beyond the least form; no steps of a vector but whole ones."""
    layers = {"l": [candidate(100, lut=10), candidate(20, lut=50)]}
    found = {limit: continuous_bound(layers, Resources(limit, 99, 9, 9), Resources()) for limit in (9, 10, 30, 34, 50)}
    assert found[9] is None
    # 10 + 40 * 20 / 40 = 30; half of the speed is the least.
    assert [found[limit].interval for limit in (30, 34, 50)] == [40, 34, 20]
    assert found[34].kind == "lut"
    assert found[10].interval == 100
    # In vectors of 15 cycles it takes 20 as it is, and 30 once there is time for two steps.
    stepped = continuous_bound(layers, Resources(40, 99, 9, 9), Resources(), {"l": 15})
    assert stepped.interval == 30


def test_mixtures_cost_what_lies_between_their_kinds():
    """Rows in LUTs cost LUTs and save DSP blocks, weights in LUTs save block RAM; cycles stay."""
    network = NetworkMaker((64,), IntType(8, False), np.random.default_rng(0)).dense(64).done()
    (layer,) = (node.name for node in network.nodes)
    wanted = {"pe": 16, "simd": 16, "use_dsp": True, "pack": 1, "weight_block_ram": True}
    plain = next(
        c
        for c in candidates(network, network.nodes[0], ("dense",))
        if all(getattr(c.folding, name) == value for name, value in wanted.items())
    )
    found = Refinement(network)({layer: [plain]}, plain.cycles)[layer]
    found = [c for c in found if (c.folding.pe, c.folding.simd) == (16, 16)]
    mixtures = [c for c in found if c.folding.lut_rows]
    assert len(mixtures) > 3
    assert {c.cycles for c in found} == {plain.cycles}
    for c in mixtures:
        first = plain.folding.pe - c.folding.lut_rows
        assert c.resources.dsp - plain.resources.dsp == (first / 2 - plain.folding.pe) * plain.folding.simd
        assert c.resources.lut > plain.resources.lut
    by_weights = {c.folding.lut_weight_rows: c.resources.bram18 for c in mixtures}
    assert sorted(by_weights, key=lambda rows: by_weights[rows]) == sorted(by_weights, reverse=True)


def test_target_takes_fewer_resources():
    network = lenet5(np.random.default_rng(0))
    fast = map_network(network, PYNQ, board="pynq")
    slow = map_network(network, PYNQ, board="pynq", target_interval=100_000)
    assert slow.timing.frame_interval <= 100_000
    assert slow.resources().lut < fast.resources().lut / 2
    # Foldings are fine enough to come near what LUTs would allow if they were continuous.
    assert fast.search is not None
    assert fast.search.bounds[0].kind == "lut"
    assert fast.timing.frame_interval <= 1.05 * fast.search.bounds[0].interval


def test_unreachable_target_names_the_layer():
    with pytest.raises(UserError, match=r"fastest form of (conv|pool|fc)"):
        map_network(lenet5(np.random.default_rng(0)), PYNQ, board="pynq", target_interval=10)


def test_too_small_board_names_resource_excess_and_layer():
    pattern = r"does not fit tiny: .*(lut|bram18) \d+ of \d+ usable \(\d+ % over\); heaviest: fc"
    with pytest.raises(UserError, match=pattern) as caught:
        map_network(lenet5(np.random.default_rng(0)), Resources(8000, 16000, 20, 20), board="tiny")
    assert caught.value.node.startswith("fc")
    assert "larger board" in caught.value.hint


def test_bounds_are_told_once():
    network = NetworkMaker((6, 6, 1), IntType(8, False), np.random.default_rng(0)).conv(2, (3, 3)).flatten().dense(4)
    bounds = map_network(network.done(), PYNQ, board="pynq", explain=False).search.bounds
    assert len(set(bounds)) == len(bounds)
    assert {bound.kind for bound in bounds} >= {"input stream", "output stream", "layer parallelism"}
    assert [bound.interval for bound in bounds] == sorted((bound.interval for bound in bounds), reverse=True)
