"""What cannot become hardware: every node is named at once, with a hint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_made import Maker

from admmfpga.errors import UserError
from admmfpga.frontend import UnsupportedModelError, load, unsupported


def conv(made: Maker, x: str | None = None, channels: int = 4, **attributes: object) -> str:
    kernel = made.weights(channels, channels, 3, 3)
    return made.node("Conv", made.input() if x is None else x, kernel, **attributes)


def int8(made: Maker, *shape: int) -> str:
    return made.const(made.codes(*shape).astype(np.int8))


def mean(made: Maker) -> str:
    return made.real(4, 1, 1)


# Each makes a model of (1, 4, 8, 8) images with one bad node, and returns the output.
CASES: dict[str, tuple[Callable[[Maker], str], str]] = {
    "pooling of volumes": (
        lambda m: m.node(
            "MaxPool", m.node("Reshape", m.input(), m.const([1, 4, 4, 4, 4])), kernel_shape=[2, 2, 2], ceil_mode=1
        ),
        "ceil_mode over 3 dimensions",
    ),
    "biases of volumes": (
        lambda m: m.node(
            "Conv", m.node("Reshape", m.input(), m.const([1, 1, 4, 8, 8])), m.weights(2, 1, 2, 2, 2), m.real(3)
        ),
        "3 biases for 2 channels",
    ),
    "linear resize": (
        lambda m: m.node("Resize", m.input(), "", m.const([1.0, 1.0, 2.0, 2.0]), mode="linear"),
        "mode=linear",
    ),
    "normalization over pixels": (
        lambda m: m.node("InstanceNormalization", m.qdq(conv(m), 0.1), m.real(4), m.real(4)),
        "not supported",
    ),
    "function of accumulators": (lambda m: m.node("Tanh", conv(m)), "input is not quantized"),
    "sum of accumulators": (lambda m: m.node("Add", conv(m), m.qdq(conv(m), 0.1)), "input is not quantized"),
    "average of accumulators": (lambda m: m.node("GlobalAveragePool", conv(m)), "input is not quantized"),
    "padding with what has no code": (
        lambda m: m.node("Pad", m.input(), m.const([0, 0, 1, 1, 0, 0, 1, 1]), m.const(-3.0)),
        "outside the range",
    ),
    "padding of channels": (
        lambda m: m.node("Pad", m.input(), m.const([0, 1, 0, 0, 0, 0, 0, 0])),
        "other axes",
    ),
    "joined results of the host": (
        lambda m: m.node("Concat", m.input(), m.node("Softmax", m.input(), axis=1), axis=1),
        "left to the host",
    ),
    "division of tensors": (
        lambda m: m.node("Div", m.qdq(conv(m), 0.1), m.qdq(conv(m), 0.1)),
        "divides by a computed tensor",
    ),
    "float weights": (lambda m: m.node("Conv", m.input(), m.real(2, 4, 3, 3)), "weights are not quantized"),
    "float activations": (
        lambda m: m.node("Conv", m.node("Relu", conv(m)), m.weights(2, 4, 3, 3)),
        "input is not quantized",
    ),
    "float input": (lambda m: m.node("Conv", "x", m.weights(2, 4, 3, 3)), "input is not quantized"),
    "wide weights": (
        lambda m: m.node(
            "Conv", m.input(), m.dequantize(m.const(np.full((2, 4, 3, 3), 300, np.uint16)), 0.1, 0, "uint16")
        ),
        "more than 9 signed bits",
    ),
    "scales along the inputs": (
        lambda m: m.node("Conv", m.input(), m.weights(2, 4, 3, 3, axis=1)),
        "per input channel",
    ),
    "computed weights": (
        lambda m: m.node("MatMul", m.input(), m.qdq(conv(m, pads=[1] * 4), 0.1)),
        "computed at run time",
    ),
    "weights first": (lambda m: m.node("MatMul", m.weights(8, 8), m.input()), "weights times activations"),
    "scaled per channel": (
        lambda m: m.node("Conv", m.qdq(m.node("Mul", "x", mean(m)), 1 / 255), m.weights(2, 4, 3, 3)),
        "scaled per channel",
    ),
    "input quantized twice": (lambda m: (conv(m), m.qdq("x", 0.3))[1], "two different ways"),
    "constant that differs between pixels": (lambda m: m.node("Add", conv(m), m.real(1, 4, 6, 6)), "between pixels"),
    "constant that enlarges": (lambda m: m.node("Add", conv(m), m.real(2, 1, 4, 6, 6)), "constant of shape"),
    "scaling after relu": (lambda m: m.node("Mul", m.node("Relu", conv(m)), mean(m)), "after Relu or Clip"),
    "negative after pool": (
        lambda m: m.node("Mul", m.node("MaxPool", conv(m), kernel_shape=[2, 2]), m.const(-1.0)),
        "turns the maximum into a minimum",
    ),
    "softmax inside": (
        lambda m: m.node("Relu", m.node("Softmax", m.qdq(conv(m), 0.1), axis=1)),
        "after an operator that is left to the host",
    ),
    "softmax over frames": (lambda m: m.node("Softmax", m.qdq(conv(m), 0.1), axis=0), "across the frames"),
    "softmax of indices": (
        lambda m: m.node("Softmax", m.node("ArgMax", m.qdq(conv(m), 0.1), axis=1), axis=2),
        "what ArgMax gives",
    ),
    "image reshaped on the host": (
        lambda m: m.node("Softmax", m.node("Flatten", m.node("Softmax", m.qdq(conv(m), 0.1), axis=1)), axis=1),
        "image is reshaped",
    ),
    "training": (
        lambda m: m.node("Dropout", conv(m), m.const(0.5), m.const(np.array(True))),
        "training_mode",
    ),
    "zero scale": (lambda m: m.qdq(conv(m), 0.0), "a scale of 0"),
    "negative scale": (lambda m: m.qdq(conv(m), -0.1), "a scale of -0.1"),
    "NaN scale": (lambda m: m.qdq(conv(m), float("nan")), "NaN"),
    "zero weight scale": (
        lambda m: m.node("Conv", m.input(), m.dequantize(int8(m, 2, 4, 3, 3), 0.0, 0, "int8")),
        "scale that is not positive",
    ),
    "infinite bias": (lambda m: m.node("Add", conv(m), m.const(float("inf"))), "NaN or infinity"),
    "NaN clip": (lambda m: m.node("Clip", conv(m), m.const(float("nan"))), "NaN"),
    "scale per channel of activations": (
        lambda m: m.node("QuantizeLinear", conv(m), m.const([0.1] * 4), m.const(np.zeros(4, np.uint8)), axis=1),
        "one scale per channel",
    ),
    "float8": (
        lambda m: m.node("QuantizeLinear", conv(m), m.const(0.1), output_dtype=onnx.TensorProto.FLOAT8E4M3FN),
        "float8",
    ),
    "blocked": (
        lambda m: m.node(
            "MatMul",
            m.node("Flatten", m.input()),
            m.node("DequantizeLinear", int8(m, 256, 4), m.const(np.full((16, 4), 0.1)), block_size=16, axis=0),
        ),
        "blocked",
    ),
    "computed bound": (
        lambda m: m.node("Clip", conv(m), m.node("GlobalMaxPool", m.qdq(conv(m, channels=4), 0.1))),
        "lower bound is computed",
    ),
    "shifted output": (lambda m: m.node("Add", m.qdq(conv(m), 0.1), m.const(3.0)), "scaled after it is quantized"),
    "clipped output": (lambda m: m.node("Clip", conv(m), m.const(0.0), m.const(6.0)), "nothing quantizes"),
    "constant output": (lambda m: m.node("Mul", m.real(3), m.real(3)), "not computed from the input"),
    "indices": (
        lambda m: m.node("Add", pool_indices(m), m.const(np.array(1))),
        "indices",
    ),
    "wrong inputs": (lambda m: m.node("Einsum", conv(m), equation="abcd->ab"), "not supported"),
}


def pool_indices(made: Maker) -> str:
    names = [made.name("pooled"), made.name("indices")]
    made.nodes.append(onnx.helper.make_node("MaxPool", [made.qdq(conv(made), 0.1)], names, kernel_shape=[2, 2]))
    return names[1]


@pytest.mark.parametrize("case", CASES)
def test_problem_is_named_with_a_hint(case: str, tmp_path: Path) -> None:
    build, message = CASES[case]
    made = Maker((1, 4, 8, 8), np.random.default_rng(1))
    path = made.save(tmp_path / "m.onnx", build(made))
    with pytest.raises(UnsupportedModelError) as caught:
        load(path)
    problem, *same = caught.value.problems
    # A bad scale is a problem of QuantizeLinear and of the DequantizeLinear that shares it.
    assert [p.op for p in same] == ["DequantizeLinear"] * (problem.op == "QuantizeLinear" and case.endswith("scale"))
    assert message in problem.message
    assert problem.node
    assert problem.op
    assert "\n" not in problem.message + problem.hint
    assert unsupported(path) == [problem, *same]


def test_all_problems_at_once(tmp_path: Path) -> None:
    made = Maker((1, 4, 8, 8), np.random.default_rng(1))
    x = made.node("Einsum", made.input(), equation="abcd->abdc")  # what reads this is not reported again
    x = made.qdq(x, 0.1)
    x = made.qdq(made.node("Conv", x, made.weights(4, 4, 1, 1), name="fine"), 0.1)
    x = made.node("InstanceNormalization", x, made.real(4), made.real(4), name="normalise")
    x = made.qdq(made.node("LpPool", x, kernel_shape=[2, 2], name="squares"), 0.1)
    path = made.save(tmp_path / "m.onnx", made.node("Resize", x, "", made.const([1.0, 1.0, 2.0, 2.0]), mode="cubic"))
    found = unsupported(path)
    assert [p.op for p in found] == ["Einsum", "InstanceNormalization", "LpPool", "Resize"]
    assert all(p.hint for p in found)
    with pytest.raises(UnsupportedModelError) as caught:
        load(path)
    text = str(caught.value)
    assert "4 nodes" in text
    for word in ("Einsum", "normalise (InstanceNormalization)", "squares (LpPool)", "BatchNormalization", "cubic"):
        assert word in text
    assert caught.value.hint


def test_float_model_shows_the_same_problems(tmp_path: Path) -> None:
    """Before anything is quantized, and including what only shows in a layer's attributes."""
    made = Maker((1, 4, 8, 8), np.random.default_rng(1))
    x = made.node("Relu", made.node("Conv", "x", made.real(4, 4, 3, 3), dilations=[2, 2]))
    x = made.node("LpPool", x, kernel_shape=[1, 1])
    x = made.node("Div", x, made.node("Conv", x, made.real(4, 1, 1, 1), group=4))
    x = made.node("Resize", x, "", made.const([1.0, 1.0, 2.0, 2.0]), mode="linear")
    path = made.save(tmp_path / "m.onnx", made.node("Softmax", x, axis=0))
    assert [p.op for p in unsupported(path)] == ["LpPool", "Div", "Resize", "Softmax"]
    with pytest.raises(UnsupportedModelError):
        load(path, calibration=made.images)


def test_operators_of_other_domains(tmp_path: Path) -> None:
    made = Maker((1, 4), np.random.default_rng(1))
    made.domains = ["qonnx.custom_op.general", "com.example"]
    made.nodes.append(onnx.helper.make_node("Trunc", ["x"], ["q"], name="fake", domain="qonnx.custom_op.general"))
    made.nodes.append(onnx.helper.make_node("FusedGelu", ["q"], ["y"], name="gelu", domain="com.example"))
    model = made.model("y")
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    found = unsupported(tmp_path / "m.onnx")
    assert [(p.node, p.op) for p in found] == [("fake", "Trunc"), ("gelu", "FusedGelu")]
    assert "supported are" in found[0].hint


def test_operator_that_onnx_does_not_know(tmp_path: Path) -> None:
    made = Maker((1, 4), np.random.default_rng(1))
    made.nodes.append(onnx.helper.make_node("Frobnicate", ["x"], ["a"], name="first"))
    made.nodes.append(onnx.helper.make_node("Defenestrate", ["a"], ["y"]))
    model = made.model("y")
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert [p.node for p in unsupported(tmp_path / "m.onnx")] == ["first", "y"]
    with pytest.raises(UserError, match="2 nodes"):
        load(tmp_path / "m.onnx")
