"""Packed weights of the stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.engine.packed import pack, smallest, unpack
from engine_made import SHAPES


@given(st.integers(0, 2**31), st.sampled_from(SHAPES), st.integers(0, 5), st.sampled_from([0.0, 0.03, 0.3, 1.0]))
def test_unpacking_gives_the_words_back(seed: int, shape, words: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 256, words * shape.word_bytes, dtype=np.uint8)
    dense[rng.random(dense.shape) >= density] = 0
    found = smallest(shape, dense)
    assert found.words == words
    assert len(found.data) <= len(dense)
    assert len(found.data) % shape.axi == 0
    if found.packed:
        assert found.values is not None
        assert len(found.data) == (shape.mask_beats * words + found.values.sum()) * shape.axi < len(dense)
        # What comes behind is not touched.
        unpacked, used = unpack(shape, np.concatenate([found.data, rng.integers(0, 256, 64, dtype=np.uint8)]), words)
        assert used == len(found.data)
        assert np.array_equal(unpacked, dense)


def test_a_word_takes_as_many_beats_as_its_fullest_class() -> None:
    shape = SHAPES[0]
    dense = np.zeros(2 * shape.word_bytes, dtype=np.uint8)
    dense[[1, 1 + shape.axi, 2]] = 7, 8, 9
    found = smallest(shape, dense)
    assert found.values is not None
    assert found.values.tolist() == [2, 0]
    mask = [0b00100110, 0, 0, 0, 0, 0, 0, 0]
    assert pack(shape, dense, found.values).tolist() == [*mask, 0, 7, 9, 0, 0, 8, 0, 0, *[0] * 8]
