"""Rows that share a DSP block: which widths fit, how their weights are stored, what synthesis makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.blocks import DensePE
from admmfpga.blocks.dsp_packing import PACKS, from_borrow_form, is_narrow, spacing, to_borrow_form
from admmfpga.blocks.families import using
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.rtl import block_sources, compile_order, render_registers
from admmfpga.mapping.units import multiplier_forms
from admmfpga.network import IntArray, IntType
from admmfpga.packing.memory import pack_words
from admmfpga.tools.yosys import Job, Yosys


@st.composite
def packed_weights(draw: st.DrawFn) -> tuple[IntArray, int, int]:
    """(n, pack) narrow weights with many extremes, their bits, bits of an activation that fits."""
    pack, bits = draw(st.integers(2, 5)), draw(st.integers(2, 8))
    fitting = [a for a in range(1, 18) if spacing(pack, a, bits, signed=False)]
    activation = draw(st.sampled_from(fitting or [0]))
    top = (1 << (bits - 1)) - 1
    value = st.one_of(st.sampled_from([-top, -1, 0, 1, top]), st.integers(-top, top))
    rows = draw(st.lists(st.lists(value, min_size=pack, max_size=pack), min_size=1, max_size=6))
    return np.array(rows), bits, activation


@given(packed_weights())
def test_borrow_form_and_back(drawn: tuple[IntArray, int, int]) -> None:
    weights, bits, _ = drawn
    stored = to_borrow_form(weights)
    assert stored.min() >= -(1 << (bits - 1))
    assert stored.max() < 1 << (bits - 1)
    np.testing.assert_array_equal(from_borrow_form(stored), weights)


@given(packed_weights())
def test_sign_extended_borrow_form_is_the_wide_factor(drawn: tuple[IntArray, int, int]) -> None:
    weights, bits, activation = drawn
    apart = spacing(weights.shape[1], activation, bits, signed=False) or bits + 3
    width = (weights.shape[1] - 1) * apart + bits
    for row, stored in zip(weights.tolist(), to_borrow_form(weights), strict=True):
        wide = sum(w << (i * apart) for i, w in enumerate(row))
        assert -(1 << (width - 1)) <= wide < 1 << (width - 1)
        assert pack_words(stored.reshape(1, -1), apart)[0] % (1 << width) == wide % (1 << width)


@pytest.mark.parametrize(
    "pack, activation, weight_bits, found",
    [
        (2, IntType(8, False), 8, 16),
        (2, IntType(9, False), 8, 17),
        (2, IntType(10, False), 8, 17),  # overlapping
        (2, IntType(11, False), 8, None),
        (2, IntType(8, True), 8, 15),
        (4, IntType(3, False), 4, 7),
        (4, IntType(4, False), 4, 7),  # overlapping
        (4, IntType(5, False), 4, None),
        (4, IntType(4, True), 4, 7),
        (4, IntType(5, True), 4, 7),  # overlapping
        (2, IntType(1, False), 2, None),  # LUTs would do
        (2, IntType(18, False), 2, None),  # a sign is the nineteenth bit
    ],
)
def test_what_fits(pack: int, activation: IntType, weight_bits: int, found: int | None) -> None:
    assert spacing(pack, activation.bits, weight_bits, signed=activation.signed) == found


def test_a_wider_multiplier_takes_more() -> None:
    assert spacing(2, 12, 8, signed=False) is None
    assert spacing(2, 12, 8, signed=False, wide_bits=27) == 19


@given(st.sampled_from(PACKS), st.integers(2, 8), st.integers(1, 17), st.booleans())
def test_products_and_carries_have_room(pack: int, weight_bits: int, in_bits: int, signed: bool) -> None:
    apart = spacing(pack, in_bits, weight_bits, signed=signed)
    if apart is None:
        return
    exact = in_bits + weight_bits - signed
    top = ((1 << (weight_bits - 1)) - 1) * (1 << (in_bits - 1) if signed else (1 << in_bits) - 1)
    # Half of the range is added and taken away; where lanes overlap, one more may be lost to the lane below.
    assert top + (apart < exact) <= (1 << (exact - 1)) - 1
    assert (pack - 1) * apart + weight_bits <= 25


def test_forms_that_folding_is_offered() -> None:
    matrix = np.array([[7], [-7], [3], [0]])
    unsigned = IntType(4, False)
    assert multiplier_forms(matrix, unsigned) == ((True, 1), (True, 2), (True, 4), (False, 1))
    # Four rows of five bits are too wide.
    assert multiplier_forms(2 * matrix, unsigned) == ((True, 1), (True, 2), (False, 1))
    matrix[1] = -8
    assert not is_narrow(matrix, 4)
    assert multiplier_forms(matrix, unsigned) == ((True, 1), (False, 1))
    with using("ecp5"):
        assert multiplier_forms(np.array([[7], [1]]), unsigned) == ((True, 1), (False, 1))


@pytest.mark.slow
def test_yosys_finds_two_8_bit_and_four_4_bit_multiplications_in_a_dsp_block(tmp_path: Path) -> None:
    jobs, images, expected = {}, [], {}
    for bits, pack in ((8, 2), (4, 4)):
        block = DensePE(
            rows=40,
            columns=10,
            vectors=1,
            pe=20,
            simd=10,
            in_bits=bits,
            in_signed=False,
            weight_bits=bits,
            acc_bits=2 * bits + 4,
            weight_block_ram=False,
            pack=pack,
        )
        name, top = f"bits{bits}", (1 << (bits - 1)) - 1
        matrix = np.random.default_rng(bits).integers(-top, top, (40, 10), endpoint=True)
        memory = block.memories(name, "", {"matrix": matrix})["WEIGHTS"]
        images.append(tmp_path / f"{memory.name}.mem")
        images[-1].write_text("".join(f"{word:x}\n" for word in memory.words()))
        parameters = {key: str(value) for key, value in block.rtl_parameters().items()}
        jobs[name] = Job("dense_pe", parameters | {"WEIGHTS": f'"{memory.name}.mem"'})
        expected[name] = block.resources()
    files = block_sources() | render_registers(make_environment())
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    sources = [tmp_path / file for file in compile_order(list(files))]
    found = Yosys().synthesize(jobs, sources, family="xc7", folder=tmp_path / "work", memories=images)
    assert {name: one.resources.dsp for name, one in found.items()} == {"bits8": 100, "bits4": 50}
    assert {name: one.dsp for name, one in expected.items()} == {"bits8": 100, "bits4": 50}
