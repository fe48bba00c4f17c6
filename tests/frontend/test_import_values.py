"""Elementwise operators, layout, inputs and outputs of QDQ models, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdq_made import Array, Maker, agree, check, ops

from admmfpga.errors import UserError
from admmfpga.frontend import Import, compare_with_onnxruntime, load
from admmfpga.frontend.values import is_permutation, same_positions, stream_positions
from admmfpga.network import Conv, Dense, HostOp, IntType, reference


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def batch_norm(made: Maker, x: str, channels: int, gamma: Array | None = None) -> str:
    gamma = made.rng.normal(1.0, 0.5, channels) if gamma is None else gamma
    rest = (made.real(channels), made.real(channels), made.const(made.rng.uniform(0.5, 2.0, channels)))
    return made.node("BatchNormalization", x, made.const(np.asarray(gamma, dtype=np.float64)), *rest)


def conv_input(made: Maker) -> str:
    return made.node("Conv", made.input(), made.weights(5, made.shape[1], 3, 3), made.real(5))


# Positions


@given(st.lists(st.integers(-2, 7), max_size=6) | st.permutations(range(7)))
def test_a_permutation_has_every_position_once(values: list[int]) -> None:
    positions = np.array(values, dtype=np.int64).reshape(1, -1)
    assert is_permutation(positions) == (sorted(values) == list(range(len(values))))


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_same_positions_are_equal_ones(values: list[int]) -> None:
    usual = stream_positions((1, 2, 3))
    other = np.array(values, dtype=np.int64).reshape(1, 1, 2, 3).transpose(0, 3, 1, 2)
    assert same_positions(usual, other) == np.array_equal(usual, other)
    assert same_positions(usual, usual.reshape(1, 3, -1, 2))
    assert not same_positions(usual, usual[:, ::-1])
    assert not same_positions(usual[:, :2], usual[:, 1:])


# Folding


def test_batch_normalization_folds(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    x = batch_norm(made, conv_input(made), 5, np.array([1.0, -0.7, 0.3, -1.5, 2.0]))
    imported = check(made, made.fit(made.node("Relu", x)), tmp_path)
    assert ops(imported) == ["Conv"]


def test_batch_normalization_behind_a_product(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 20), rng)
    x = batch_norm(made, made.node("Gemm", made.input(), made.weights(20, 6)), 6)
    assert ops(check(made, made.fit(x), tmp_path)) == ["Dense"]


def test_dead_channels_become_their_offset(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    x = batch_norm(made, conv_input(made), 5, np.array([1.0, 0.0, 1e-9, 1.5, 1e-6]))
    imported = check(made, made.fit(x), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert not conv.weights[1].any()
    assert not conv.weights[2].any()
    assert conv.weights[0].any()


def test_all_channels_dead(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    check(made, made.fit(batch_norm(made, conv_input(made), 5, np.zeros(5))), tmp_path)


def test_arithmetic_with_constants_folds(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    x = conv_input(made)
    x = made.node("Mul", x, made.real(5, 1, 1))
    x = made.node("Sub", x, made.real(1, 5, 1, 1))
    x = made.node("Sub", made.const(0.3), x)
    x = made.node("Div", x, made.const(-1.7))
    x = made.node("Add", made.real(1, 5, 1, 1), x)
    x = made.node("Clip", x, made.const(-0.5), made.const(1.0))
    x = made.node("Add", made.node("Mul", x, made.const(2.0)), made.const(0.25))
    assert ops(check(made, made.fit(x), tmp_path)) == ["Conv"]


def test_constant_in_flattened_order(rng: np.random.Generator, tmp_path: Path) -> None:
    """Added behind Flatten, one number per channel is C, H, W repeated values."""
    made = Maker((1, 3, 6, 6), rng)
    x = made.node("Flatten", conv_input(made))
    x = made.node("Add", x, made.const(np.repeat(rng.standard_normal(5), 16)))
    imported = check(made, made.fit(made.node("Reshape", x, made.const([1, 5, 4, 4]))), tmp_path)
    assert ops(imported) == ["Conv"]


@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-0.4, 0.3), (0.5, np.inf), (None, 0.2), (0.1, None), (1.0, -1.0)])
def test_clip(bounds: tuple[float | None, float | None], rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    given = ["" if b is None else made.const(b) for b in bounds]
    x = made.node("Clip", conv_input(made), *given)
    imported = check(made, made.fit(x, "int8"), tmp_path)
    assert ops(imported) == ["Conv"]


def test_clip_with_attributes(rng: np.random.Generator, tmp_path: Path) -> None:
    """Before opset 11 the bounds are attributes; the model is converted."""
    made = Maker((1, 3, 9, 9), rng, opset=10)
    x = made.node("Clip", conv_input(made), min=0.0, max=0.4)
    check(made, made.qdq(x, 0.01), tmp_path)


def test_relu_behind_codes_is_a_rescale_or_nothing(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    made.images = made.images * 2 - 1
    x = made.node("Relu", made.input(2 / 255, 128))
    imported = check(made, made.qdq(x, 2 / 255, 128), tmp_path, exact=True)
    (rescale,) = imported.network.nodes
    assert rescale.op == "Rescale"
    assert imported.network.tensors[rescale.output].zero_point == 128

    free = Maker((1, 3, 9, 9), rng)
    x = free.node("Relu", free.input())  # codes start at zero: Relu changes nothing
    x = free.node("Conv", x, free.weights(4, 3, 3, 3))
    assert ops(check(free, free.fit(x), tmp_path)) == ["Conv"]


@pytest.mark.parametrize("to", [("uint8", 0.0171, 13), ("int8", 0.005, -20), ("uint4", 0.09, 3), ("uint8", 2**-7, 1)])
def test_rescale(to: tuple[str, float, int], rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    dtype, scale, zero_point = to
    imported = check(made, made.qdq(made.input(), scale, zero_point, dtype), tmp_path)
    assert ops(imported) == ["Rescale"]


def test_every_code_is_rescaled_as_floats_do_it(rng: np.random.Generator, tmp_path: Path) -> None:
    """A ratio just beside 3/2: the fraction itself would round every second code the wrong way."""
    made = Maker((1, 256), rng)
    scale = float(np.float32(1 / 255))
    made.images = (np.arange(256, dtype=np.float32) * np.float32(scale))[None]
    for ratio in (1.5 - 1e-6, 1.5 + 1e-6, 0.75 - 3e-7, 1.25 + 3e-7, 0.333333):
        check(made, made.qdq(made.input(scale), scale / ratio), tmp_path, exact=True)


def test_same_quantization_again_costs_nothing(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    x = made.fit(conv_input(made))
    again = made.node("QuantizeLinear", x, *made.nodes[-1].input[1:])
    x = made.node("DequantizeLinear", again, *made.nodes[-1].input[1:])
    assert ops(check(made, x, tmp_path)) == ["Conv"]


def test_two_readers_share_one_layer(rng: np.random.Generator, tmp_path: Path) -> None:
    """QuantizeLinear twice with the same parameters on one convolution: one layer."""
    made = Maker((1, 3, 9, 9), rng)
    x = conv_input(made)
    parameters = (made.const(0.02), made.const(np.uint8(100)))
    codes = [made.node("QuantizeLinear", x, *parameters) for _ in range(2)]
    made.node("DequantizeLinear", codes[0], *parameters)
    assert ops(check(made, made.node("DequantizeLinear", codes[1], *parameters), tmp_path)) == ["Conv"]


def test_identity_dropout_and_cast_pass(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 9, 9), rng)
    x = made.node("Identity", conv_input(made))
    x = made.node("Dropout", x, made.const(0.5))
    x = made.node("Cast", x, to=onnx.TensorProto.FLOAT)
    assert ops(check(made, made.fit(x), tmp_path)) == ["Conv"]


def test_offsets_that_steps_cannot_express_are_reported(rng: np.random.Generator, tmp_path: Path) -> None:
    """Four-bit codes with a large step: a real bias is rounded to whole accumulator steps, and the user is told."""
    made = Maker((1, 2), rng)
    weights = made.dequantize(made.const(made.codes(2, 3).astype(np.int8)), 1.0, 0, "int8")
    x = made.node("Gemm", made.input(1 / 8, dtype="uint4"), weights, made.const([0.03, 1.09, -0.56]))
    imported = load(made.save(tmp_path / "m.onnx", made.qdq(x, 0.5, 128)))
    assert any("the bias is rounded by up to 0.1" in warning for warning in imported.warnings)


# Layout


def dense_after(made: Maker, x: str, features: int) -> str:
    return made.fit(made.node("MatMul", x, made.weights(features, 6)))


@pytest.mark.parametrize("how", ["flatten", "reshape", "zero", "shape", "squeeze", "transpose"])
def test_ways_to_flatten(how: str, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 7), rng)
    x = made.fit(conv_input(made))  # 1, 5, 4, 5
    if how == "flatten":
        x = made.node("Flatten", x)
    elif how == "reshape":
        x = made.node("Reshape", x, made.const([-1, 100]))
    elif how == "zero":
        x = made.node("Reshape", x, made.const([0, -1]))
    elif how == "shape":
        batch = made.node("Gather", made.node("Shape", x), made.const(np.array(0)), axis=0)
        target = made.node("Concat", made.node("Unsqueeze", batch, made.const([0])), made.const([-1]), axis=0)
        x = made.node("Reshape", x, target)
    elif how == "squeeze":
        x = made.node("Unsqueeze", made.node("Squeeze", x, made.const([0])), made.const([0]))
        x = made.node("Flatten", x, axis=-3)
    else:
        x = made.node("Flatten", made.node("Transpose", x, perm=[0, 3, 1, 2]))
    assert ops(check(made, dense_after(made, x, 100), tmp_path)) == ["Conv", "Flatten", "Dense"]


def test_codes_may_be_reshaped_too(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    x = conv_input(made)
    parameters = (made.const(0.02), made.const(np.uint8(100)))
    x = made.node("MaxPool", made.node("QuantizeLinear", x, *parameters), kernel_shape=[2, 2], strides=[2, 2])
    x = made.node("DequantizeLinear", made.node("Flatten", x), *parameters)
    assert ops(check(made, dense_after(made, x, 20), tmp_path)) == ["Conv", "MaxPool", "Flatten", "Dense"]


def test_input_with_channels_last(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 7, 8, 3), rng)
    x = made.node("Transpose", made.input(), perm=[0, 3, 1, 2])
    imported = check(made, made.fit(made.node("Conv", x, made.weights(4, 3, 3, 3))), tmp_path)
    assert imported.network.tensors["frame"].shape == (7, 8, 3)
    assert imported.frame_shape == (7, 8, 3)
    codes = imported.quantize(made.images)
    assert np.array_equal(codes, np.rint(made.images * 255))


def test_transpose_before_the_quantizer(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 7, 8, 3), rng)
    x = made.qdq(made.node("Transpose", "x", perm=[0, 3, 1, 2]), 1 / 255)
    imported = check(made, made.fit(made.node("Conv", x, made.weights(4, 3, 3, 3))), tmp_path)
    assert imported.network.tensors["frame"].shape == (7, 8, 3)


def test_flat_input_that_becomes_an_image(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 90), rng)
    x = made.node("Reshape", made.input(), made.const([1, 2, 9, 5]))
    imported = check(made, made.fit(made.node("Conv", x, made.weights(4, 2, 3, 3))), tmp_path)
    assert imported.network.tensors["frame"].shape == (9, 5, 2)


def test_image_input_of_a_perceptron(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 2, 4, 5), rng)
    x = made.node("Flatten", made.input())
    assert ops(check(made, dense_after(made, x, 40), tmp_path)) == ["Flatten", "Dense"]


# Inputs


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_integer_input(kind: str, rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng, kind=kind)
    x = made.node("Conv", made.dequantize("x", 0.02, 3, kind), made.weights(4, 3, 3, 3))
    imported = check(made, made.fit(x), tmp_path)
    tensor = imported.network.tensors["frame"]
    assert tensor.dtype == IntType(8, signed=kind == "int8")
    assert np.array_equal(imported.quantize(made.images), made.images.transpose(0, 2, 3, 1))


def test_integer_input_that_is_cast(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng, kind="uint8")
    x = made.node("Mul", made.node("Cast", "x", to=onnx.TensorProto.FLOAT), made.const(1 / 255))
    x = made.node("Conv", x, made.weights(4, 3, 3, 3))
    check(made, made.fit(x), tmp_path)


def test_pixels_scaled_inside_the_model(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    made.images = np.floor(made.images * 256)
    x = made.qdq(made.node("Div", "x", made.const(255.0)), 1 / 255)
    imported = check(made, made.fit(made.node("Conv", x, made.weights(4, 3, 3, 3))), tmp_path)
    assert float(imported.network.tensors["frame"].scale) == pytest.approx(1.0)


def test_pixels_shifted_inside_the_model(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    made.images = np.floor(made.images * 256)
    x = made.qdq(made.node("Sub", "x", made.const(128.0)), 1.0, 0, "int8")
    check(made, made.fit(made.node("Conv", x, made.weights(4, 3, 3, 3, scale=0.001), pads=[1] * 4)), tmp_path)


def test_symbolic_and_large_batch(rng: np.random.Generator, tmp_path: Path) -> None:
    for batch in ("N", 16, 0):
        made = Maker((1, 3, 6, 6), rng)
        x = made.node("Reshape", made.fit(conv_input(made)), made.const([batch if isinstance(batch, int) else 0, 80]))
        if batch != "N":
            made.nodes[-1].input[1] = made.const([batch or 1, 80])
        output = made.node("MatMul", x, made.weights(80, 6))
        codes = made.qdq(output, 0.1, 128)
        made.shape = (batch, 3, 6, 6)
        path = made.save(tmp_path / "m.onnx", codes)
        imported = load(path)
        assert imported.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
        assert bool(imported.warnings) == (batch == 16)
        check_runs(imported, made)


def check_runs(imported: Import, made: Maker) -> None:
    from qdq_made import agree

    agree(imported, made.images)


def test_weights_among_the_inputs(rng: np.random.Generator, tmp_path: Path) -> None:
    """Before IR version 4 every initializer was an input too."""
    made = Maker((1, 3, 6, 6), rng, opset=13)
    check(made, made.fit(conv_input(made)), tmp_path, legacy=True)


def test_weights_in_constant_nodes_and_every_encoding(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 12), rng)
    codes = made.codes(12, 5).astype(np.int8)
    typed = onnx.helper.make_tensor("w", onnx.TensorProto.INT8, [12, 5], codes.ravel().tolist())
    weights = made.dequantize(made.node("Constant", value=typed), made_scale := 0.01, 0, "int8")
    bias = made.node("Constant", value_floats=[0.1, 0.2, -0.3, 0.0, 1.0])
    x = made.node("Mul", made.node("Gemm", made.input(), weights, bias), made.node("Constant", value_float=0.9))
    imported = check(made, made.fit(x), tmp_path)
    (dense,) = imported.network.nodes
    assert isinstance(dense, Dense)
    assert np.array_equal(dense.weights, codes.T)
    assert made_scale == 0.01


# Outputs


def test_output_that_nothing_quantizes_is_the_accumulator(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 40), rng)
    x = made.node("Gemm", made.input(), made.weights(40, 5, axis=1), made.real(5))
    imported = check(made, x, tmp_path)
    (dense,) = imported.network.nodes
    assert isinstance(dense, Dense)
    tensor = imported.network.output_of(dense)
    assert tensor.scale.shape == (5,)
    assert np.all(dense.requantization.multiplier == 1)
    assert dense.requantization.shift == 0
    low = np.minimum(dense.weights, 0).sum(axis=1) * 255 + dense.requantization.bias
    high = np.maximum(dense.weights, 0).sum(axis=1) * 255 + dense.requantization.bias
    assert tensor.dtype == IntType.signed_holding(int(low.min()), int(high.max()))
    real = tensor.dequantize(reference.run(imported.network, imported.quantize(made.images)))
    assert real == pytest.approx(made.run(x)[:, 0], abs=float(tensor.scale.max()))


def test_relu_and_pool_on_such_an_output(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    x = made.node("MaxPool", made.node("Relu", conv_input(made)), kernel_shape=[2, 2], strides=[2, 2])
    imported = check(made, x, tmp_path)
    assert ops(imported) == ["Conv", "MaxPool"]
    assert imported.network.tensors[imported.network.outputs[0]].scale.shape == ()


@pytest.mark.parametrize(
    "chain",
    [["Softmax"], ["LogSoftmax"], ["Sigmoid"], ["ArgMax"], ["Softmax", "ArgMax"], ["Softmax", "Q"], ["ArgMax", "Cast"]],
)
def test_operators_at_the_end_are_the_hosts(chain: list[str], rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 20), rng)
    x = made.fit(made.node("Gemm", made.input(), made.weights(20, 6)))
    for op in chain:
        if op == "Q":
            x = made.qdq(x, 1 / 255)
        elif op == "Cast":
            x = made.node("Cast", made.node("Squeeze", x, made.const([1])), to=onnx.TensorProto.FLOAT)
        else:
            x = made.node(op, x, **({} if op == "Sigmoid" else {"axis": 1}))
    imported = check(made, x, tmp_path)
    assert imported.network.host_ops == tuple(
        HostOp(op, -1, keep=op == "ArgMax") for op in chain if op not in ("Q", "Cast")
    )
    assert ops(imported) == ["Dense"]


@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("shape", [(1, 2, 5, 6), (1, 1, 5, 6)])
def test_constant_joined_to_channels(
    shape: tuple[int, ...], constant_first: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Coordinates as channels, say; alike in all pixels or not."""
    made = Maker((1, 3, 5, 6), rng)
    constant = rng.random(shape).astype(np.float32) if shape[1] == 1 else np.broadcast_to([[[[0.7]], [[0.2]]]], shape)
    pair = [made.input(), made.const(constant.astype(np.float32))]
    joined = made.qdq(made.node("Concat", *(pair[::-1] if constant_first else pair), axis=1), 1 / 255)
    made.images[0] = np.array([0.0, 1.0, 0.5])[:, None, None]
    check(made, joined, tmp_path, exact=True)
    x = made.fit(made.node("Conv", joined, made.weights(4, 3 + shape[1], 3, 3)))
    check(made, x, tmp_path)


def test_constant_joined_in_a_float_model(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 8), rng)
    joined = made.node("Concat", made.node("Gemm", "x", made.real(8, 4)), made.const(np.full((1, 3), 9.0)), axis=1)
    imported = load(made.save(tmp_path / "m.onnx", joined), calibration=made.images)
    agree(imported, made.images)
    real = imported.dequantize(reference.run(imported.network, imported.quantize(made.images)))
    assert np.abs(real - made.run(joined)[:, 0]).max() < 0.1  # 9 lies in the range
    assert np.ptp(real[:, 4:]) == 0


def test_weights_of_nine_bits(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    codes = rng.integers(0, 256, (4, 3, 3, 3))
    weights = made.dequantize(made.const(codes.astype(np.uint8)), 0.01, 3)
    imported = check(made, made.fit(made.node("Conv", made.input(), weights)), tmp_path)
    (conv,) = imported.network.nodes
    assert isinstance(conv, Conv)
    assert np.array_equal(conv.weights, codes.transpose(0, 2, 3, 1) - 3)


@pytest.mark.parametrize("axis", [None, 1, 2])
def test_codes_that_the_output_gives_a_meaning(axis: int | None, rng: np.random.Generator, tmp_path: Path) -> None:
    """A model that takes codes and ends with their DequantizeLinear."""
    made = Maker((1, 3, 4), rng, kind="uint8")
    size = () if axis is None else (made.shape[axis],)
    scale, zero = rng.uniform(0.1, 0.2, size), rng.integers(0, 256, size)
    x = made.dequantize("x", scale, zero, "uint8", **({} if axis is None else {"axis": axis}))
    imported = load(made.save(tmp_path / "m.onnx", x))
    real = imported.dequantize(reference.run(imported.network, imported.quantize(made.images)))
    assert np.allclose(real, made.run(x)[:, 0], atol=1e-4)


def test_softmax_over_channels_of_an_image(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    x = made.node("Softmax", made.fit(conv_input(made)), axis=1)
    assert check(made, x, tmp_path).network.host_ops == (HostOp("Softmax", -1),)


def test_fully_convolutional_classifier(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    x = made.fit(made.node("Conv", made.input(), made.weights(10, 3, 6, 6)))
    imported = check(made, made.node("Flatten", x), tmp_path)
    assert imported.network.tensors[imported.network.outputs[0]].shape == (10,)


# Names


def test_names_are_readable_and_unique(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 12, 12), rng)
    x = made.input()
    names = ["/features/Conv 1/Conv", "/features/Conv-1/Conv", "node_conv2d_7", "for", "3", "/stem/Conv"]
    names += ["/body/body.0/body.0.1/Conv"]
    channels = 3
    for name in names:
        x = made.fit(made.node("Conv", x, made.weights(4, channels, 1, 1), name=name))
        channels = 4
    imported = load(made.save(tmp_path / "m.onnx", x))
    assert [n.name for n in imported.network.nodes] == [
        "features_conv_1",
        "features_conv_1_2",
        "conv1",
        "conv2",
        "conv3",
        "stem",
        "body_0_1",
    ]


def test_network_is_named_after_the_file(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 6), rng)
    x = made.fit(conv_input(made))
    assert load(made.save(tmp_path / "My Net-v2.onnx", x)).network.name == "my_net_v2"
    assert load(made.save(tmp_path / "My Net-v2.onnx", x), name="other").network.name == "other"


# The comparison itself


def test_comparison_finds_a_wrong_layer(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    x = made.fit(conv_input(made))
    x = made.fit(made.node("Conv", x, made.weights(4, 5, 3, 3)))
    imported = load(made.save(tmp_path / "m.onnx", x))
    first, second = imported.network.nodes
    assert isinstance(first, Conv)
    first.weights[0, 0, 0, 0] += 60  # the arrays of a frozen layer can still be damaged
    whole = {a.name: a for a in compare_with_onnxruntime(imported, made.images)}
    alone = {a.name: a for a in compare_with_onnxruntime(imported, made.images, isolated=True)}
    assert whole["input"].share == alone["input"].share == 1
    assert whole[first.name].share < 0.99
    assert alone[first.name] == whole[first.name]
    assert whole[second.name].share < 0.99
    assert alone[second.name].share > 0.999
    assert alone[second.name].max_step <= 1


def test_comparison_refuses_images_of_another_shape(rng: np.random.Generator, tmp_path: Path) -> None:
    made = Maker((1, 3, 8, 8), rng)
    imported = load(made.save(tmp_path / "m.onnx", made.fit(conv_input(made))))
    with pytest.raises(UserError, match="images are N x 8 x 8 x 3, the model takes N x 3 x 8 x 8"):
        compare_with_onnxruntime(imported, made.images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("offsets", [0.0, 0.3])
def test_normalization_of_codes_with_a_channel_that_is_dead(
    offsets: float, rng: np.random.Generator, tmp_path: Path
) -> None:
    """A trained network has such channels: their scale is nothing beside the others'."""
    made = Maker((1, 4, 5, 5), rng)
    gamma = made.const(np.array([1.0, 0.7, 1e-12, 1.3]))
    parameters = [made.const(np.array(v, dtype=np.float32)) for v in ([offsets, 0, 0.4, 0], [0.1, 0, 0, 0], [1.0] * 4)]
    x = made.node("BatchNormalization", made.input(), gamma, *parameters)
    imported = check(made, made.fit(made.node("Relu", x)), tmp_path)
    codes = reference.run(imported.network, imported.quantize(made.images))
    assert np.ptp(codes[..., 2]) == 0
    assert codes[0, 0, 0, 2] > 50
