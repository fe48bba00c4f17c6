"""The resource model against the committed synthesis results: inference rules exact, LUT and FF within the bars."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from admmfpga.blocks import BLOCKS, Block, CsrPE, DensePE, Resources, calibration
from admmfpga.blocks.base import bram18, dsp_pieces, rom_resources, tree_chains
from admmfpga.blocks.families import family, using
from admmfpga.packing import Memory

RAW = Path(__file__).resolve().parents[2] / "benchmarks" / "estimates" / "raw_xc7.json"
sys.path.insert(0, str(RAW.parent))
from sweep import block_of as made  # noqa: E402  (programs are not a package)
from sweep import memories_of  # noqa: E402

STEMS = tuple(BLOCKS)


@cache
def runs() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(RAW.read_text())["runs"]
    return [row for row in rows if row["stem"] in BLOCKS]


def block_of(row: dict[str, Any]) -> Block:
    return made(row["stem"], row["parameters"])


def held_out(stem: str) -> list[tuple[Resources, Resources]]:
    rows = [row for row in runs() if row["stem"] == stem and row["part"] == "held-out"]
    return [(block_of(row).resources(), Resources(**row["resources"])) for row in rows]


def test_every_block_was_synthesized() -> None:
    seen = {(row["stem"], row["part"]) for row in runs()}
    assert seen == {(stem, part) for stem in BLOCKS for part in ("fit", "held-out")}


def test_fit_and_held_out_share_no_seed() -> None:
    seeds = {part: {row["seed"] for row in runs() if row["part"] == part} for part in ("fit", "held-out")}
    assert not seeds["fit"] & seeds["held-out"]


@pytest.mark.parametrize("stem", STEMS)
def test_bram_and_dsp_follow_the_inference_rules(stem: str) -> None:
    for row in runs():
        if row["stem"] == stem:
            memories = memories_of(stem, row["parameters"], row["seed"])
            model, real = block_of(row).resources(memories), Resources(**row["resources"])
            assert (model.bram18, model.dsp) == (real.bram18, real.dsp), row["parameters"]


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("name", ["lut", "ff"])
def test_held_out_error_is_below_the_bars(stem: str, name: str) -> None:
    pairs = [(getattr(model, name), getattr(real, name)) for model, real in held_out(stem)]
    errors = sorted(abs(model - real) / real for model, real in pairs)
    # ABC shares more or less of a gearbox' multiplexers than its terms say.
    assert np.median(errors) <= (0.15 if stem == "gearbox" else 0.10)
    assert errors[-1] <= 0.25


def test_calibration_states_the_errors_of_the_held_out_runs() -> None:
    stated = calibration.calibration()["errors"]
    assert stated["lut"]["median_percent"] <= 10
    assert stated["ff"]["median_percent"] <= 10
    blocks = sum(row["part"] == "held-out" for row in runs())
    designs = sum(row["stem"] == "design" for row in json.loads(RAW.read_text())["runs"])
    assert stated["lut"]["of"] == blocks + designs


def test_reports_name_what_the_model_was_fitted_on() -> None:
    here, partly, elsewhere = (calibration.source(name) for name in ("xc7", "xcup", "virtex"))
    assert here["lut"].startswith("modelled (fitted on Yosys ")
    assert "median error" in here["ff"]
    assert "fitted on xc7" not in here["lut"]
    assert "coefficients of xc7 but for requantize, add; Yosys" in partly["lut"]
    assert "the model was fitted on xc7, this is virtex" in elsewhere["lut"]


@pytest.mark.parametrize(
    "depth, width, blocks", [(512, 36, 1), (513, 36, 2), (65, 37, 2), (1100, 100, 9), (2048, 9, 1), (16384, 1, 1)]
)
def test_block_ram_shapes(depth: int, width: int, blocks: int) -> None:
    assert bram18(depth, width) == blocks


def test_slices_of_a_deep_memory_share_block_rams() -> None:
    # Ten slices of 80 bits in block RAMs 9 bits wide: 89 of them, not ten times nine.
    assert bram18(40000, 80, written=False) == 178
    assert bram18(9000, 20, written=False) == 10
    # Bytes that are written are whole ones.
    assert bram18(9000, 20) == 14


def test_bits_that_never_change_are_not_stored() -> None:
    lanes = np.array([[5, -1], [7, -1], [1, -1]])
    assert Memory("m", lanes, 4, "", "dense").varying_bits == 2
    assert Memory("m", np.array([[3], [-3]]), 4, "", "dense").varying_bits == 3
    assert (
        rom_resources(600, 8, block_ram=True, contents=Memory("m", np.zeros((600, 1), int), 8, "", "")) == Resources()
    )


@pytest.mark.parametrize(
    "a, b, pieces", [(25, 18, (1, 1)), (18, 25, (1, 1)), (26, 18, (2, 1)), (20, 19, (1, 2)), (30, 19, (2, 2))]
)
def test_wide_factors_are_cut(a: int, b: int, pieces: tuple[int, int]) -> None:
    assert dsp_pieces(a, b) == pieces


@pytest.mark.parametrize("inputs", range(1, 20))
def test_tree_chains_hold_every_register(inputs: int) -> None:
    nodes, total = inputs, inputs
    while nodes > 1:
        nodes = -(-nodes // 2)
        total += nodes
    assert sum(length for _, length in tree_chains(inputs)) == total


@pytest.mark.parametrize(
    "a, b, pieces", [(18, 18, (1, 1)), (19, 18, (1, 1)), (20, 18, (2, 1)), (35, 18, (2, 1)), (36, 20, (2, 2))]
)
def test_wide_factors_on_ecp5(a: int, b: int, pieces: tuple[int, int]) -> None:
    """What `synth_ecp5` gives; a rest of two bits is multiplied in LUTs."""
    with using("ecp5"):
        assert dsp_pieces(a, b) == pieces


def test_the_family_is_left_as_it_was() -> None:
    shape = {"rows": 20, "columns": 25, "vectors": 4, "pe": 5, "simd": 5}
    block = DensePE(**shape, in_bits=8, in_signed=False, weight_bits=8, acc_bits=20)
    before = block.resources()
    with using("ecp5"):
        assert family().name == "ecp5"
        # Registers around a multiplier are not in its block.
        assert block.resources().ff > before.ff
        with pytest.raises(RuntimeError, match="inside"), using("xcup"):
            raise RuntimeError("inside")
        assert family().name == "ecp5"
    assert family().name == "xc7"
    assert block.resources() == before


@pytest.mark.parametrize("name, worst", [("ecp5", None), ("xcup", 0.25)])
def test_other_families_follow_their_own_rules(name: str, worst: float | None) -> None:
    """BRAM and DSP of every run, median and greatest error of LUT and FF of those held out."""
    rows = [row for row in json.loads(RAW.with_name(f"raw_{name}.json").read_text())["runs"] if row["stem"] in BLOCKS]
    errors: dict[str, list[float]] = {"lut": [], "ff": []}
    with using(name):
        for row in rows:
            block, real = block_of(row), Resources(**row["resources"])
            model = block.resources(memories_of(row["stem"], row["parameters"], row["seed"]))
            assert model.dsp == real.dsp, row["parameters"]
            few = isinstance(block, DensePE) and block.weights_in_block_ram and block.weight_depth <= 4
            slack = 1 if name == "ecp5" and (few or isinstance(block, CsrPE)) else 0
            assert abs(model.bram18 - real.bram18) <= slack, row["parameters"]
            if row["part"] == "held-out":
                for resource, found in errors.items():
                    found.append(abs(getattr(model, resource) - getattr(real, resource)) / getattr(real, resource))
    for found in errors.values():
        assert len(found) > 30
        assert np.median(found) <= 0.10
        assert worst is None or max(found) <= worst
    assert "this is" not in calibration.source(name)["lut"], "not foreign any more"
