"""Reference execution against loops that are too plain to be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from admmfpga.network import (
    Conv,
    Dense,
    Flatten,
    IntArray,
    IntType,
    MaxPool,
    Network,
    Requantization,
    Tensor,
    reference,
    window_positions,
)
from admmfpga.network.ranges import accumulator_range, accumulator_type, sum_type, weight_type


def plain(rows: int) -> Requantization:
    """The accumulators themselves."""
    wide = IntType(60, signed=True)
    ones = np.ones(rows, np.int64)
    return Requantization(np.zeros(rows, np.int64), ones, 0, 0, wide.min, wide.max, wide)


def naive_windows(
    x: IntArray, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int], value: int
) -> list[list[IntArray]]:
    """Windows of one (H, W, C) image, tap by tap."""
    rows, columns = window_positions((x.shape[0], x.shape[1]), kernel, strides, pads)
    result = []
    for row in range(rows):
        line = []
        for column in range(columns):
            window = np.full((*kernel, x.shape[2]), value, np.int64)
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    y, z = row * strides[0] + i - pads[0], column * strides[1] + j - pads[1]
                    if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                        window[i, j] = x[y, z]
            line.append(window)
        result.append(line)
    return result


windows = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 7), st.integers(1, 7)),
        "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)),
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "pads": st.tuples(*[st.integers(0, 3)] * 4),
        "channels": st.integers(1, 3),
        "signed": st.booleans(),
        "pad_value": st.integers(0, 127),
        "seed": st.integers(0, 999),
    }
)


@settings(max_examples=80, deadline=None)
@given(windows)
def test_convolution_and_pooling(w: dict) -> None:  # type: ignore[type-arg]
    size, kernel, strides, pads = w["size"], w["kernel"], w["strides"], w["pads"]
    assume(min(window_positions(size, kernel, strides, pads)) >= 1)
    assume(size[0] + pads[0] + pads[2] >= kernel[0] and size[1] + pads[1] + pads[3] >= kernel[1])
    rng = np.random.default_rng(w["seed"])
    dtype = IntType(8, w["signed"])
    source = Tensor("x", (*size, w["channels"]), dtype)
    x = rng.integers(dtype.min, dtype.max + 1, (2, *source.shape))
    weights = rng.integers(-128, 128, (3, *kernel, w["channels"]))
    conv = Conv("c", ("x",), "y", weights, strides, pads, w["pad_value"], plain(3))
    pool = MaxPool("p", ("x",), "y", kernel, strides, pads)
    got, best = reference.run_node(conv, [x], source), reference.run_node(pool, [x], source)
    for frame in range(2):
        for row, line in enumerate(naive_windows(x[frame], kernel, strides, pads, w["pad_value"])):
            for column, window in enumerate(line):
                expected = [int((window * filter_).sum()) for filter_ in weights]
                assert got[frame, row, column].tolist() == expected
        for row, line in enumerate(naive_windows(x[frame], kernel, strides, pads, dtype.min)):
            for column, window in enumerate(line):
                assert best[frame, row, column].tolist() == window.max(axis=(0, 1)).tolist()


@pytest.mark.parametrize("columns", [1, 500, 518, 600, 4096, 70000])
@pytest.mark.parametrize("source", [IntType(8, signed=False), IntType(8, signed=True), IntType(16, signed=False)])
def test_matmul_is_exact_at_the_extremes(columns: int, source: IntType) -> None:
    """All products at their limits, so that sums pass 2**24, where float32 stops being exact."""
    rng = np.random.default_rng(columns)
    matrix = np.where(rng.random((4, columns)) < 0.5, -128, 127)
    matrix[0], matrix[1] = 127, -128
    x = np.stack(
        [np.full(columns, source.min), np.full(columns, source.max), rng.integers(source.min, source.max + 1, columns)]
    )
    x = np.concatenate([x, np.where(matrix > 0, source.max, source.min), np.where(matrix > 0, source.min, source.max)])
    expected = x.astype(np.int64) @ matrix.T.astype(np.int64)
    assert np.array_equal(reference.exact_matmul(x, matrix, source), expected)
    low, high = accumulator_range(matrix, source)
    assert np.array_equal(expected.min(axis=0), low)
    assert np.array_equal(expected.max(axis=0), high)


def test_odd_sums_near_the_significand() -> None:
    """2**24 + 1 is the first integer that float32 lacks."""
    matrix = np.full((1, 520), 127)
    x = np.full((1, 520), 255)
    x[0, 0] = 254
    expected = 127 * (519 * 255 + 254)
    assert expected > 2**24
    assert expected % 2
    assert int(reference.exact_matmul(x, matrix, IntType(8, signed=False))[0, 0]) == expected


def test_matmul_wider_than_float64() -> None:
    source = IntType(48, signed=False)
    matrix = np.array([[127, 127, 1]])
    x = np.array([[source.max, source.max, 1], [source.max, 0, 0]])
    assert reference.exact_matmul(x, matrix, source).tolist() == (x @ matrix.T).tolist()


def test_ranges() -> None:
    matrix = np.array([[3, -2], [-1, -1]])
    assert [r.tolist() for r in accumulator_range(matrix, IntType(2, signed=False))] == [[-6, -6], [9, 0]]
    assert [r.tolist() for r in accumulator_range(matrix, IntType(2, signed=True))] == [[-8, -2], [7, 4]]
    assert str(accumulator_type(matrix, IntType(2, signed=False))) == "int5"
    assert str(weight_type(np.array([0, 0]))) == "int2"
    assert str(weight_type(np.array([-8, 7]))) == "int4"
    rule = Requantization(np.array([100]), np.array([1]), 0, 0, 0, 255, IntType(8, signed=False))
    assert str(sum_type(np.array([-6]), np.array([9]), rule)) == "int8"


def test_large_batches_run_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    network = Network("n", ("x",), ("z",))
    dtype = IntType(4, signed=False)
    network.tensors = {"x": Tensor("x", (3, 4, 2), dtype), "y": Tensor("y", (24,), dtype)}
    network.tensors["z"] = Tensor("z", (5,), plain(5).dtype)
    network.nodes = [
        Flatten("flat", ("x",), "y"),
        Dense("fc", ("y",), "z", rng.integers(-8, 8, (5, 24)), plain(5)),
    ]
    network.verify()
    frames = rng.integers(0, 16, (50, 3, 4, 2))
    whole = reference.run(network, frames)
    monkeypatch.setattr(reference, "CHUNK_BYTES", 1)
    assert np.array_equal(reference.run(network, frames), whole)
    assert np.array_equal(whole, frames.reshape(50, -1) @ network.nodes[1].weights.T)  # type: ignore[attr-defined]
    assert reference.run(network, frames[:0]).shape == (0, 5)
    assert set(reference.run_all(network, frames)) == {"x", "y", "z"}
    with pytest.raises(ValueError, match="where the network takes"):
        reference.run(network, frames[:, :2])
    with pytest.raises(ValueError, match="leave the range"):
        reference.run(network, frames + 1)
