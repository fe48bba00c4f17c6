"""Lanes to words and back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing_strategies import memories

from admmfpga.blocks import DensePE, Requantize
from admmfpga.packing import Memory, pack_words, to_mem, unpack_words
from admmfpga.packing import memory as memory_module


@given(memories())
def test_words_and_back(memory: Memory) -> None:
    words = memory.words()
    assert len(words) == memory.depth
    assert all(0 <= word < 1 << memory.width for word in words)
    back = unpack_words(words, memory.lanes.shape[1], memory.lane_bits, signed=memory.signed)
    assert np.array_equal(back, memory.lanes)


@given(memories())
def test_lane_zero_is_least_significant(memory: Memory) -> None:
    mask = (1 << memory.lane_bits) - 1
    for row, word in zip(memory.lanes.tolist(), memory.words(), strict=True):
        assert word == sum((value & mask) << (i * memory.lane_bits) for i, value in enumerate(row))


def test_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = np.random.default_rng(1).integers(-8, 8, (37, 5))
    whole = pack_words(lanes, 4)
    monkeypatch.setattr(memory_module, "_CHUNK_BITS", 100)
    assert pack_words(lanes, 4) == whole
    assert np.array_equal(unpack_words(whole, 5, 4, signed=True), lanes)


@pytest.mark.parametrize(
    "lanes, bits, signed", [([[2]], 2, True), ([[-3]], 2, True), ([[-1]], 2, False), ([[4]], 2, False)]
)
def test_lanes_out_of_range_are_our_mistake(lanes: list[list[int]], bits: int, signed: bool) -> None:
    with pytest.raises(AssertionError):
        Memory("m", np.array(lanes), bits, "", "dense", signed)


@given(st.data())
def test_dense_pe_matrix_and_back(data: st.DataObject) -> None:
    pe, simd, nf, sf = (data.draw(st.integers(1, 5)) for _ in range(4))
    bits, pack = data.draw(st.sampled_from([(b, 1) for b in range(2, 9)] + [(8, 2), (4, 2), (3, 4)]))
    pe *= pack
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # Weights that share a DSP block are narrow.
    matrix = rng.integers((pack > 1) - (1 << (bits - 1)), 1 << (bits - 1), (pe * nf, simd * sf))
    block = DensePE(
        rows=pe * nf,
        columns=simd * sf,
        vectors=1,
        pe=pe,
        simd=simd,
        in_bits=8 if pack < 4 else 4,
        in_signed=False,
        weight_bits=bits,
        acc_bits=32,
        pack=pack,
    )
    memory = block.memories("fc1", "fc1", {"matrix": matrix})["WEIGHTS"]
    assert (memory.depth, memory.width) == (nf * sf, pe * simd * bits)
    lanes = unpack_words(memory.words(), pe * simd, bits, signed=memory.signed)
    assert np.array_equal(DensePE.matrix_from(lanes, pe, simd, sf, pack), matrix)


def test_requantize_parameters_fit_their_memory() -> None:
    block = Requantize(
        lanes=2,
        groups=2,
        positions=1,
        in_bits=20,
        in_signed=True,
        bias_bits=10,
        sum_bits=21,
        multiplier_bits=5,
        shift=4,
        zero_point=0,
        low=0,
        high=255,
        out_bits=8,
        out_signed=False,
    )
    contents = {"bias": np.array([-512, 511, 0, -1]), "multiplier": np.array([31, 31, 0, 1])}
    memory = block.memories("r", "r", contents)["PARAMETERS"]
    lanes = unpack_words(memory.words(), 2, memory.lane_bits, signed=True).ravel()
    assert (lanes >> 5).tolist() == contents["bias"].tolist()
    assert (lanes & 31).tolist() == contents["multiplier"].tolist()


def test_large_rom_is_quick() -> None:
    lanes = np.random.default_rng(2).integers(-128, 128, (1024, 200))
    memory = Memory("m", lanes, 8, "", "dense")
    start = time.process_time()
    text = to_mem(memory)
    assert time.process_time() - start < 0.9
    assert len(text) == 1024 * 401
