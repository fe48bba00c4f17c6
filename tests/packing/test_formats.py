"""Weight formats: back to the same matrix, and exactly as many bits as said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.network import IntArray
from admmfpga.packing import FORMATS, Kept, Packed, Size, read_container, sizes, write_container
from admmfpga.packing.formats import (
    Relative,
    best_relative,
    entropy_bits,
    expected_dummy_factor,
    needed_ratio,
    reported,
    smallest,
)

MODEL = "0123456789abcdef" * 4


@st.composite
def matrices(draw: st.DrawFn) -> tuple[IntArray, int]:
    """(matrix, bits): all masks, the extreme ones on purpose; weights of 1 to 8 bits."""
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    bits = draw(st.integers(1, 8))
    top = max(1, (1 << (bits - 1)) - 1)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    values = rng.integers(1, top, shape, endpoint=True) * rng.choice((-1, 1), shape)
    kind = draw(st.sampled_from(("random", "none", "all", "column", "row", "corner", "lines")))
    mask = rng.random(shape) < draw(st.sampled_from((0.02, 0.1, 0.5, 0.9)))
    if kind in ("none", "corner", "column", "row"):
        mask[:] = False
    if kind == "all":
        mask[:] = True
    if kind == "corner":
        mask[draw(st.sampled_from((0, -1))), draw(st.sampled_from((0, -1)))] = True
    if kind == "column":
        mask[:, draw(st.integers(0, shape[1] - 1))] = True
    if kind == "row":
        mask[draw(st.integers(0, shape[0] - 1))] = True
    if kind == "lines":
        mask[:] = (rng.random(shape[0]) < 0.5)[:, None] & (rng.random(shape[1]) < 0.7)
    return values * mask, bits


def bits_written(packed: Packed) -> int:
    return sum(memory.depth * memory.width for memory in packed.memories("layer_pe", "layer"))


@pytest.mark.parametrize("name", FORMATS)
@given(made=matrices())
def test_there_and_back_through_the_container(name: str, made: tuple[IntArray, int]) -> None:
    matrix, bits = made
    form = FORMATS[name]
    packed = form.pack(matrix, bits)
    assert np.array_equal(form.unpack(packed), matrix)
    images = read_container(write_container(packed.memories("layer_pe", "layer"), MODEL), MODEL)
    again = Packed.from_memories(images, matrix.shape)
    assert (again.format, again.bits) == (name, packed.bits)
    assert np.array_equal(form.unpack(again), matrix)


@pytest.mark.parametrize("name", FORMATS)
@given(made=matrices())
def test_size_is_what_is_written(name: str, made: tuple[IntArray, int]) -> None:
    matrix, bits = made
    form = FORMATS[name]
    size, packed = form.size(matrix, bits), form.pack(matrix, bits)
    assert size.total == bits_written(packed)
    assert size.weights == np.count_nonzero(matrix) * packed.bits
    assert min(size.as_dict().values()) >= 0
    assert form.size(Kept.of(matrix), bits) == size
    assert np.array_equal(form.unpack(form.pack(Kept.of(matrix), bits)), matrix)


def walked(matrix: IntArray, index_bits: int, *, one_bit: bool) -> list[tuple[int, int]]:
    """Entries of the relative index, position by position: (gap, value), value 0 for a dummy."""
    entries, zeros = [], 0
    pending = 0
    for value in matrix.reshape(-1).tolist():
        if value == 0:
            zeros += 1
            continue
        while zeros >= (1 << index_bits) - one_bit:
            pending += 1
            entries.append(((1 << index_bits) - 1, 0))
            zeros -= (1 << index_bits) - one_bit
        entries.append((zeros, value))
        zeros = 0
    assert pending == sum(value == 0 for _, value in entries)
    return entries


@given(matrices(), st.integers(2, 6))
def test_dummies_by_walking_through_the_matrix(made: tuple[IntArray, int], index_bits: int) -> None:
    matrix, bits = made
    form = Relative(index_bits)
    entries = walked(matrix, index_bits, one_bit=bits == 1)
    dummies = sum(value == 0 for _, value in entries)
    assert form.dummies(matrix, bits) == dummies
    assert form.size(matrix, bits).dummies == dummies * (bits + index_bits)
    packed = form.pack(matrix, bits)
    assert packed.numbers("gaps").tolist() == [gap for gap, _ in entries]
    if bits > 1:
        assert packed.weights.tolist() == [value for _, value in entries]


def test_relative_by_hand() -> None:
    # Gaps of 0, 4 (a dummy takes the fourth zero's place), 3 and 9 zeros; two zeros at the end need nothing.
    row = np.array([[5, 0, 0, 0, 0, -3, 0, 0, 0, 2] + [0] * 9 + [1, 0, 0]])
    packed = Relative(2).pack(row, 4)
    assert packed.numbers("gaps").tolist() == [0, 3, 0, 3, 3, 3, 1]
    assert packed.weights.tolist() == [5, 0, -3, 2, 0, 0, 1]
    assert Relative(2).size(row, 4) == Size(weights=16, dummies=3 * 6, indices=8)


def test_csr_by_hand() -> None:
    matrix = np.array([[0, 3, 0, 0, 0], [0, 0, 0, 0, 0], [-2, 0, 0, 0, 1]])
    packed = FORMATS["csr"].pack(matrix, 3)
    assert packed.numbers("columns").tolist() == [1, 0, 4]
    assert packed.numbers("pointers").tolist() == [0, 1, 1, 3]
    assert FORMATS["csr"].size(matrix, 3) == Size(weights=9, indices=9, pointers=4 * 2)


def test_row_blocks_by_hand() -> None:
    matrix = np.array([[0, 3, 0, 0, 0], [0, 1, 0, 0, 2], [-2, 0, 0, 0, 1]])
    packed = FORMATS["row_blocked2"].pack(matrix, 3)
    # Rows 0 and 1 share columns 1 and 4; row 2 has a zero row beside it.
    assert packed.numbers("columns").tolist() == [1, 4, 0, 4]
    assert packed.numbers("pointers").tolist() == [0, 2, 4]
    assert packed.weights.tolist() == [3, 1, 0, 2, -2, 0, 1, 0]
    assert FORMATS["row_blocked2"].size(matrix, 3) == Size(weights=15, zeros=9, indices=12, pointers=3 * 3)


def test_bitmap_by_hand() -> None:
    assert FORMATS["bitmap"].size(np.eye(6, dtype=np.int64), 4) == Size(weights=24, indices=36)


def test_compact_by_hand() -> None:
    matrix = np.zeros((50, 500), dtype=np.int64)
    matrix[np.ix_([0, 7, 49], [1, 2, 3, 499])] = 1
    matrix[0, 1] = 0
    assert FORMATS["compact"].size(matrix, 3) == Size(weights=33, zeros=3, lists=3 * 6 + 4 * 9)


def test_nothing_removed_needs_no_list() -> None:
    assert FORMATS["compact"].size(np.ones((20, 25), dtype=np.int64), 8) == Size(weights=20 * 25 * 8)
    assert FORMATS["compact"].size(np.eye(6, dtype=np.int64), 4) == Size(weights=6 * 4, zeros=30 * 4)


def test_many_kept_lines_are_a_mask() -> None:
    matrix = np.ones((8, 10), dtype=np.int64)
    matrix[3] = 0
    # 7 numbers of 3 bits are more than 8 bits.
    assert FORMATS["compact"].size(matrix, 8).lists == 8


def test_all_zero_takes_next_to_nothing() -> None:
    found = sizes(np.zeros((4, 4), dtype=np.int64), 8)
    assert found.pop("dense").total == 16 * 8
    assert found.pop("bitmap").total == 16
    assert not any(size.total for size in found.values()), found


def test_signs_alone_take_one_bit_where_no_zero_is_stored() -> None:
    matrix = np.array([[1, 0, -1, 0], [0, 1, 0, 0]])
    found = sizes(matrix)
    assert found["csr"].weights == found["relative4"].weights == found["bitmap"].weights == 3
    assert found["dense"] == Size(weights=6, zeros=10)
    assert sizes(np.array([[1, -1], [-1, 1]]))["dense"].total == 4


def test_least_bits() -> None:
    assert Kept.of(np.array([[0, 3]])).least_bits == 3
    assert Kept.of(np.array([[-4, 3]])).least_bits == 3
    assert Kept.of(np.array([[2, 1]])).least_bits == 3
    assert Kept.of(np.array([[-2, 1]])).least_bits == 2
    with pytest.raises(AssertionError):
        FORMATS["csr"].pack(np.array([[9]]), 4)


def test_best_index_width_and_what_is_shown() -> None:
    rng = np.random.default_rng(0)
    found = sizes((rng.random((100, 400)) < 0.01).astype(np.int64) * 7, 4)
    best = best_relative(found)
    assert found[best].total == min(size.total for name, size in found.items() if name.startswith("relative"))
    assert best != "relative4"
    assert [name for name in reported(found) if name.startswith("relative")] == ["relative4", best]
    assert found[smallest(found)].total == min(size.total for size in found.values())


@pytest.mark.parametrize("density, index_bits", [(0.1, 2), (0.1, 4), (0.02, 4), (0.01, 6)])
def test_dummies_at_random_positions_as_expected(density: float, index_bits: int) -> None:
    mask = (np.random.default_rng(1).random((500, 800)) < density).astype(np.int64)
    exact = 1 + Relative(index_bits).dummies(mask, 2) / np.count_nonzero(mask)
    assert exact == pytest.approx(expected_dummy_factor(density, index_bits), rel=0.02)


def best_needed_ratio(rate: float, bits: int) -> float:
    return min(needed_ratio(expected_dummy_factor(1 / rate, k), bits, k) for k in range(2, 13))


@pytest.mark.parametrize(
    "bits, rate, ratio",
    [(4, 10, 2.33), (4, 36, 2.83), (4, 100, 3.25), (4, 348, 3.69), (1, 10, 6.1), (1, 36, 8.2), (1, 100, 9.7)],
)
def test_needed_ratio_at_known_rates(bits: int, rate: float, ratio: float) -> None:
    assert best_needed_ratio(rate, bits) == pytest.approx(ratio, abs=0.06)


def test_entropy_bound() -> None:
    mask = np.zeros((10, 100), dtype=np.int64)
    assert entropy_bits(mask) == 0
    mask.reshape(-1)[::10] = 1
    assert entropy_bits(mask) == pytest.approx(1000 * 0.4689956)
    assert FORMATS["bitmap"].size(mask).indices > entropy_bits(mask)
