"""Integer types and tensors."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from admmfpga.network import IntType, Tensor


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_holding_is_tight(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    dtype = IntType.holding(low, high)
    assert dtype.min <= low <= high <= dtype.max
    assert dtype.signed == (low < 0)
    if dtype.bits > 1:
        narrower = IntType(dtype.bits - 1, dtype.signed)
        assert not narrower.min <= low <= high <= narrower.max


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40))
def test_signed_holding_is_tight(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    dtype = IntType.signed_holding(low, high)
    assert dtype.signed
    assert dtype.min <= low <= high <= dtype.max
    if dtype.bits > 1:
        narrower = IntType(dtype.bits - 1, signed=True)
        assert not narrower.min <= low <= high <= narrower.max


@pytest.mark.parametrize(
    "low,high,name",
    [
        (0, 0, "uint1"),
        (0, 1, "uint1"),
        (0, 255, "uint8"),
        (0, 256, "uint9"),
        (-1, 0, "int1"),
        (-128, 127, "int8"),
        (-129, 0, "int9"),
        (-1, 128, "int9"),
        (-3, 1, "int3"),
    ],
)
def test_examples(low: int, high: int, name: str) -> None:
    assert str(IntType.holding(low, high)) == name


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 7, 8, 16, 64])
def test_range(bits: int, signed: bool) -> None:
    dtype = IntType(bits, signed)
    assert dtype.max - dtype.min == 2**bits - 1
    assert dtype.min == (-(2 ** (bits - 1)) if signed else 0)


@pytest.mark.parametrize("name", ["UINT8", "INT8"])
@pytest.mark.parametrize("scale,zero_point", [(0.1, 0), (1 / 255, 3), (0.25, 100), (3e-5, 7)])
def test_quantize_is_onnx_quantize_linear(name: str, scale: float, zero_point: int) -> None:
    ort = pytest.importorskip("onnxruntime")
    kind = getattr(TensorProto, name)
    real = np.concatenate(
        [np.random.default_rng(0).normal(0, 60 * scale, 5000), (np.arange(-300, 300) + 0.5) * scale]
    ).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        "quantize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(real)])],
        [helper.make_tensor_value_info("y", kind, [len(real)])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [scale]), helper.make_tensor("z", kind, [], [zero_point])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    runs = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = runs.run(None, {"x": real})
    tensor = Tensor("t", (), IntType(8, name == "INT8"), np.array(float(np.float32(scale))), zero_point)
    assert np.array_equal(tensor.quantize(real), expected)


def test_dequantize_inverts_codes() -> None:
    tensor = Tensor("t", (3,), IntType(8, signed=True), np.array([0.5, 0.25, 2.0]), 0)
    codes = np.array([[-128, 127, 3]])
    assert tensor.dequantize(codes).tolist() == [[-64.0, 31.75, 6.0]]
    assert np.array_equal(tensor.quantize(tensor.dequantize(codes)), codes)
