"""Convolutions, matrix products and pooling of QDQ models, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdq_made import Maker, check, narrow, ops

from admmfpga.frontend import load
from admmfpga.network import Conv, Dense, IntType, MaxPool


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_conv_with_stride_and_asymmetric_pads(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 11), rng)
    x = made.node("Conv", made.input(), made.weights(5, 3, 3, 2), made.real(5), strides=[2, 1], pads=[1, 0, 2, 1])
    imported = check(made, made.fit(x), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert conv.weights.shape == (5, 3, 2, 3)
    assert conv.strides == (2, 1)
    assert conv.pads == (1, 0, 2, 1)
    assert imported.network.output_of(conv).shape == (5, 11, 5)
    assert conv.name == "conv1"


def test_padding_is_the_zero_point(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 6, 6), rng)
    made.images = made.images * 4 - 1
    x = made.node("Conv", made.input(4 / 255, 64), made.weights(4, 2, 3, 3), pads=[1, 1, 1, 1])
    imported = check(made, made.fit(x), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert conv.pad_value == 64


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(mode: str, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 8, 7), rng)
    x = made.node("Conv", made.input(), made.weights(4, 2, 3, 4), auto_pad=mode, strides=[2, 1])
    x = made.node("MaxPool", made.fit(x), auto_pad=mode, kernel_shape=[2, 3], strides=[1, 2])
    check(made, made.fit(x, shrink=0.93), tmp_path)


def test_weights_with_one_scale_per_channel(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    x = made.fit(made.node("Conv", made.input(), made.weights(6, 3, 3, 3, axis=0), made.real(6)))
    x = made.node("Flatten", x)
    x = made.node("Gemm", x, made.weights(10, 216, axis=0, scale=0.002), made.real(10), transB=1)
    imported = check(made, made.fit(x), tmp_path)
    assert ops(imported) == ["Conv", "Flatten", "Dense"]


def test_unsigned_weights_lose_their_zero_point(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    codes = rng.integers(0, 256, (4, 3, 3, 3))
    weights = made.dequantize(made.const(codes.astype(np.uint8)), 0.01, 128)
    imported = check(made, made.fit(made.node("Conv", made.input(), weights)), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert np.array_equal(conv.weights, codes.transpose(0, 2, 3, 1) - 128)


def test_bias_as_int32_codes_is_taken_as_it_is(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 6, 6), rng)
    bias = rng.integers(-5000, 5000, 4).astype(np.int32)
    step = float(np.float32(1 / 255)) * float(np.float32(0.01))
    x = made.node("Conv", made.input(), made.weights(4, 2, 3, 3), made.dequantize(made.const(bias), step, 0, "int32"))
    imported = check(made, made.fit(x), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert np.array_equal(conv.requantization.bias, bias)


@pytest.mark.parametrize("activations", ["uint8", "int8", "uint4", "int4", "int16"])
@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_types_follow_the_model(activations: str, weights: str, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 7, 7), rng)
    codes = made.codes(5, 3, 3, 3, dtype=weights)
    kernel = made.dequantize(made.const(narrow(codes, weights)), 0.05, 0, weights)
    first = made.fit(made.node("Conv", made.fit("x", activations), kernel), activations)
    product = made.weights(125, 6, dtype=weights, axis=1)
    x = made.node("MatMul", made.node("Reshape", first, made.const([1, -1])), product)
    imported = check(made, made.fit(x, activations), tmp_path)
    conv, _, dense = imported.network.nodes
    assert isinstance(conv, Conv)
    assert isinstance(dense, Dense)
    assert np.array_equal(conv.weights, codes.transpose(0, 2, 3, 1))
    bits = int(activations[-1]) if activations[-1] in "48" else 16
    expected = IntType(bits, signed=activations[0] == "i")
    assert {t.dtype for t in imported.network.tensors.values()} == {expected}


def test_two_bit_types_import(rng: np.random.Generator, tmp_path: Path) -> None:
    if not hasattr(onnx.TensorProto, "INT2"):
        pytest.skip("this onnx has no two-bit types")
    made = Maker((1, 8), rng, opset=25)
    codes = rng.integers(-1, 2, (8, 3))
    weights = made.dequantize(made.const(narrow(codes, "int2")), 0.5, 0, "int2")
    x = made.node("MatMul", made.input(0.4, dtype="uint2"), weights)
    imported = load(made.save(tmp_path / "m.onnx", made.qdq(x, 1.0, 1, "uint2")))
    (dense,) = imported.network.nodes
    assert isinstance(dense, Dense)
    assert np.array_equal(dense.weights, codes.T)
    assert imported.network.output_of(dense).dtype == IntType(2, signed=False)


def test_powers_of_two_become_shifts_and_agree_exactly(rng: np.random.Generator, tmp_path: Path) -> None:
    """With such scales ties are common and ONNX Runtime's floats are exact: half to even must be the same."""
    made = Maker((1, 3, 8, 8), rng)
    codes = made.const(made.codes(6, 3, 3, 3).astype(np.int8))
    x = made.node("Conv", made.input(2**-8), made.dequantize(codes, 2**-7, 0, "int8"))
    x = made.qdq(made.node("Relu", x), 2**-6)
    imported = check(made, x, tmp_path, exact=True)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert np.all(conv.requantization.multiplier == 1)
    assert conv.requantization.shift == 9


geometry = st.fixed_dictionaries(
    {
        "size": st.tuples(st.integers(1, 9), st.integers(1, 9)),
        "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "pads": st.tuples(*[st.integers(0, 4)] * 4),
        "channels": st.integers(1, 4),
        "filters": st.integers(1, 5),
        "zero_point": st.integers(0, 255),
        "pool": st.booleans(),
        "seed": st.integers(0, 1000),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)  # how many differ is a matter of chance
@given(geometry)
def test_any_window(g: dict) -> None:  # type: ignore[type-arg]
    (height, width), (kh, kw) = g["size"], g["kernel"]
    pads = [min(p, k - 1) for p, k in zip(g["pads"], (kh, kw, kh, kw), strict=True)]
    if height + pads[0] + pads[2] < kh or width + pads[1] + pads[3] < kw:
        return
    made = Maker((1, g["channels"], height, width), np.random.default_rng(g["seed"]), count=8)
    made.images = made.images - np.float32(g["zero_point"] / 255)
    x = made.input(zero_point=g["zero_point"])
    attributes = {"strides": list(g["strides"]), "pads": pads}
    if g["pool"]:
        x = made.node("MaxPool", x, kernel_shape=[kh, kw], **attributes)
    else:
        weights = made.weights(g["filters"], g["channels"], kh, kw)
        # In whole steps of the accumulator: with one tap, rounding a real bias would be a good part of an output step.
        codes = made.const(made.rng.integers(-3000, 3000, g["filters"]).astype(np.int32))
        bias = made.dequantize(codes, float(np.float32(1 / 255)) * float(np.float32(0.01)), 0, "int32")
        x = made.node("Conv", x, weights, bias, **attributes)
    with TemporaryDirectory() as folder:
        # A range of its own: two ranges of whole steps have a ratio like 5/4, where every fourth code is nearly a tie.
        check(made, made.fit(x, shrink=0.937), Path(folder))


# Pooling


def test_pool_of_codes_costs_no_rescale(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    x = made.node("MaxPool", made.input(), kernel_shape=[2, 2], strides=[2, 2])
    imported = check(made, made.qdq(x, np.float32(1 / 255)), tmp_path, exact=True)
    (pool,) = imported.network.nodes
    assert isinstance(pool, MaxPool)


def test_pool_of_signed_codes_with_padding(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 5, 5), rng)
    made.images = made.images - 2  # all negative: padding with zero would win
    x = made.node("MaxPool", made.fit("x", "int8"), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    check(made, made.fit(x, "int8"), tmp_path)


@pytest.mark.parametrize(
    "order", ["pool relu", "relu pool", "pool add", "pool relu pool", "pool mul relu", "pool clip"]
)
def test_quantization_after_pooling_moves_before_it(order: str, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 14, 14), rng)
    x = made.node("Conv", made.input(), made.weights(4, 2, 3, 3), made.real(4))
    for step in order.split():
        if step == "pool":
            x = made.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        elif step == "relu":
            x = made.node("Relu", x)
        elif step == "add":
            x = made.node("Add", x, made.real(1, 4, 1, 1))
        elif step == "clip":
            x = made.node("Clip", x, made.const(-0.1), made.const(0.2))
        else:
            x = made.node("Mul", x, made.const(0.37))
    # A range far wider than the bounds: what clips is the layer, not the type.
    imported = check(made, made.qdq(x, 0.03, 120), tmp_path)
    assert ops(imported) == ["Conv", *["MaxPool"] * order.split().count("pool")]


@pytest.mark.parametrize("size", range(4, 12))
@pytest.mark.parametrize("kernel,stride,pad", [(2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_mode(size: int, kernel: int, stride: int, pad: int, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, size, size + 1), rng, count=4)
    x = made.node("MaxPool", made.input(), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=1)
    check(made, made.qdq(x, np.float32(1 / 255)), tmp_path, exact=True)


def test_global_max_pool(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 6, 5, 4), rng)
    x = made.node("Flatten", made.node("GlobalMaxPool", made.input()))
    x = made.node("Gemm", x, made.weights(6, 3))
    assert ops(check(made, made.fit(x), tmp_path)) == ["MaxPool", "Flatten", "Dense"]


# Matrix products


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [(), (1,), (5,), (1, 5), (1, 1)])
def test_gemm(transposed: int, bias: tuple[int, ...], rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 12), rng)
    shape = (5, 12) if transposed else (12, 5)
    weights = made.weights(*shape, axis=0 if transposed else 1)
    x = made.node("Gemm", made.input(), weights, made.real(*bias), transB=transposed, alpha=0.7, beta=-1.3)
    imported = check(made, made.fit(x), tmp_path)
    assert ops(imported) == ["Dense"]


def test_negative_alpha_turns_the_weights_round(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 12), rng)
    check(made, made.fit(made.node("Gemm", made.input(zero_point=9), made.weights(12, 5), alpha=-1.0)), tmp_path)


@pytest.mark.parametrize("lead", [(1,), (1, 1)])
def test_matmul_and_add(lead: tuple[int, ...], rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((*lead, 16), rng)
    x = made.node("Add", made.real(7), made.node("MatMul", made.input(), made.weights(16, 7, axis=1)))
    assert ops(check(made, made.fit(x), tmp_path)) == ["Dense"]


@pytest.mark.parametrize("axis", [None, 0])
def test_weights_behind_transpose_and_reshape(axis: int | None, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 12), rng)
    weights = made.node("Reshape", made.weights(5, 3, 4, axis=axis), made.const([5, 12]))
    x = made.node("MatMul", made.input(), made.node("Transpose", weights, perm=[1, 0]))
    check(made, made.fit(x), tmp_path)


def test_float_weights_that_are_quantized_in_the_graph(rng: np.random.Generator, tmp_path: Path) -> None:
    """Fake quantization of weights: the constants go through QuantizeLinear, DequantizeLinear."""
    made = Maker((1, 12), rng)
    for dtype, scale in (("int8", 0.03), ("int4", 0.5)):
        x = made.node("MatMul", made.input(), made.qdq(made.real(12, 5), scale, 0, dtype))
        check(made, made.fit(x), tmp_path)


def test_images_are_flattened_in_another_order(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 4, 5), rng)
    x = made.fit(made.node("Conv", made.input(), made.weights(4, 3, 1, 1)))
    x = made.node("MatMul", made.node("Flatten", x), made.weights(80, 6))
    imported = check(made, made.fit(x), tmp_path)
    dense = imported.network.nodes[-1]
    weights = next(i for i in made.initializers if i.dims == [80, 6])
    original = onnx.numpy_helper.to_array(weights).T.reshape(6, 4, 4, 5)  # O, C, H, W
    assert isinstance(dense, Dense)
    assert np.array_equal(dense.weights, original.transpose(0, 2, 3, 1).reshape(6, -1))
