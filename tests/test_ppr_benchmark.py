"""benchmarks/ppr: its masks, its designs under a budget, and the arithmetic behind docs/ppr.md."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from admmfpga.mapping.candidates import candidates
from admmfpga.mapping.folding import exceeded

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from ppr import results  # noqa: E402
from ppr.designs import decoding, fastest, regular  # noqa: E402
from ppr.layers import PATTERNS, SHAPES, SHARES, Shape, cases, mask_of, network_of, weights_of  # noqa: E402
from ppr.table import Grid  # noqa: E402

SMALL = Shape(16, 64, 1 / 16)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("density", [0.03, 0.1, 0.5])
def test_masks_have_their_density_and_form(pattern, density):
    shape = SHAPES[0]
    mask = mask_of(shape, pattern, density)
    assert mask.sum() == pytest.approx(density * shape.rows * shape.columns, rel=0.05)
    if pattern == "structured":
        assert (mask == mask[0]).all()
        assert len(mask) < shape.rows
    elif pattern != "random":
        height = int(pattern.removeprefix("blocked"))
        blocks = mask.reshape(-1, height, shape.columns)
        assert (blocks == blocks[:, :1]).all()


@pytest.mark.parametrize("bits, values", [(1, {-1, 1}), (2, {-1, 1}), (4, set(range(-7, 8)) - {0})])
def test_kept_weights_are_never_zero(bits, values):
    mask = mask_of(SHAPES[0], "random", 0.1)
    weights = weights_of(mask, bits)
    assert set(weights[mask == 1].tolist()) == values
    assert not weights[mask == 0].any()


def test_every_case_is_there_once():
    keys = [
        (case.shape.name, case.shape.budget, case.pattern, case.density, bits) for case in cases() for bits in case.bits
    ]
    assert len(set(keys)) == len(keys)


def test_designs_keep_the_budget_and_a_larger_one_is_not_slower(tmp_path):
    mask = mask_of(SMALL, "random", 0.2)
    found = {}
    for shape in (SMALL, replace(SMALL, share=1 / 8)):
        network = network_of(shape, mask, 4)
        designs = [*regular(network, shape.limit, ("unrolled",)), *decoding(network, shape.limit, 1, ("csr", "bitmap"))]
        assert {design.option for design in designs} >= {"csr", "bitmap"}
        assert not any(list(exceeded(design.resources, shape.limit)) for design in designs)
        found[shape.share] = {design.option: design.cycles for design in designs}
        packed = [results.packed(design) for design in designs]
        assert [results.folding_of(one) for one in packed] == [design.folding for design in designs]
        # What a file holds comes back.
        raw = {"points": [{"designs": dict.fromkeys("a", packed[0])}], "samples": []}
        results.write(raw, tmp_path / "raw.json")
        assert (
            results.folding_of(results.read(tmp_path / "raw.json")["points"][0]["designs"]["a"]) == designs[0].folding
        )
    assert all(found[1 / 8][option] <= cycles for option, cycles in found[1 / 16].items())


def test_dense_designs_are_as_free_as_those_of_compile():
    """Rows in DSP blocks beside rows in LUTs: where they make the layer faster they are found."""
    shape = Shape(12, 150, 1 / 10, image=6, kernel=5)
    network = network_of(shape, mask_of(shape, "structured", 1.0), 8)
    (best,) = regular(network, shape.limit, ("dense",))
    plain = fastest(candidates(network, network.nodes[0], ("dense",)), shape.limit, "dense")
    assert plain is not None
    assert best.cycles < plain.cycles
    assert not any(exceeded(best.resources, shape.limit))


def test_ppr_by_hand():
    def point(pattern, density, kept, **cycles):
        head = {"shape": "s", "budget": "1/4", "pattern": pattern, "density": density, "bits": 4, "kept": kept}
        return head | {"designs": {option: [count, 1, 1, 1, 1, {}] for option, count in cycles.items()}}

    grid = Grid(
        [
            point("none", 1.0, 1000, dense=400),
            point("random", 0.1, 100, csr=80, unrolled=100),
            point("blocked2", 0.1, 200, row_blocked2=50),
            point("structured", 0.1, 125, dense=50, unrolled=70),
        ]
    )
    ppr = grid.ppr("s", "1/4", 0.1, 4)
    assert ppr == {"csr": 2.0, "unrolled": 2.5, "row_blocked2": 0.625, "structured": 1.0}
    assert grid.needed("s", "1/4", 0.1, 4, ("csr", "unrolled")) == 2.0
    assert grid.needed("s", "1/4", 0.1, 4, ("csr", "row_blocked2")) == 0.625
    assert grid.needed("s", "1/4", 0.5, 4, ("csr",)) is None


def test_committed_results_are_points_of_the_grid():
    known = {
        (case.shape.name, case.shape.budget, case.pattern, case.density, bits) for case in cases() for bits in case.bits
    }
    raw = results.read()
    assert raw["points"]
    assert {results.key(point) for point in raw["points"]} <= known
    for row in raw["samples"]:
        assert row["simulated"] == row["interval"]
        assert results.key(row) in known
    limits = {(shape.name, shape.budget): shape.limit for shape in (*SHAPES, *SHARES)}
    for point in raw["points"]:
        for cycles, *amounts, _ in point["designs"].values():
            limit = limits[point["shape"], point["budget"]]
            assert cycles > 0
            assert all(a <= getattr(limit, name) for a, name in zip(amounts, results.RESOURCES, strict=True))
    assert np.all([point["kept"] > 0 for point in raw["points"]])
