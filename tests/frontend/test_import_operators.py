"""Operators beyond plain convolutions, in QDQ models and in float models, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_made import Maker, agree, check, ops

from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import Add, AveragePool, Conv, Lookup, Reorder, reference

Build = Callable[[Maker], str]


def conv(m: Maker, x: str, rows: int = 6, columns: int = 4, size: int = 3, **attributes: object) -> str:
    weights = m.weights(rows, columns, size, size)
    return m.fit(m.node("Conv", x, weights, m.real(rows), **attributes))


def branches(m: Maker, **attributes: object) -> tuple[str, str]:
    """Two tensors of one shape and different scales, the second one signed."""
    x = m.input()
    first = m.fit(m.node("Relu", m.node("Conv", x, m.weights(5, 4, 3, 3, scale=0.003), m.real(5))))
    second = m.fit(m.node("Conv", x, m.weights(5, 4, 3, 3), m.real(5)), "int8")
    return first, second


def spaced(m: Maker, x: str) -> str:
    return m.fit(m.node("ConvTranspose", x, m.weights(4, 3, 3, 3), m.real(3), strides=[2, 3], pads=[1, 0, 2, 1]))


def per_channel(m: Maker, *shape: int) -> str:
    return m.const(m.rng.uniform(0.2, 0.9, shape))


# Each takes (1, 4, 10, 9) images.
QDQ: dict[str, tuple[Build, list[str]]] = {
    "add": (lambda m: m.fit(m.node("Add", *branches(m))), ["Conv", "Conv", "Add"]),
    "add, relu": (lambda m: m.fit(m.node("Relu", m.node("Add", *branches(m)))), ["Conv", "Conv", "Add"]),
    "sub": (lambda m: m.fit(m.node("Sub", *branches(m)), "int8"), ["Conv", "Conv", "Add"]),
    "sum of three": (
        lambda m: (lambda a, b: m.fit(m.node("Sum", a, b, a)))(*branches(m)),
        ["Conv", "Conv", "Add"],
    ),
    "mean of two": (lambda m: m.fit(m.node("Mean", *branches(m))), ["Conv", "Conv", "Add"]),
    "add, scaled per channel": (
        lambda m: m.fit(m.node("Mul", m.node("Add", *branches(m)), per_channel(m, 5, 1, 1))),
        ["Conv", "Conv", "Add"],
    ),
    "add, max pool": (
        lambda m: m.fit(m.node("MaxPool", m.node("Add", *branches(m)), kernel_shape=[2, 2], strides=[2, 2])),
        ["Conv", "Conv", "Add", "MaxPool"],
    ),
    "product": (lambda m: m.fit(m.node("Mul", *branches(m))), ["Conv", "Conv", "Multiply"]),
    "channel attention": (
        lambda m: (lambda a, b: m.fit(m.node("Mul", a, m.fit(m.node("GlobalAveragePool", b)))))(*branches(m)),
        ["Conv", "Conv", "AveragePool", "Multiply"],
    ),
    "concat": (
        lambda m: m.fit(m.node("Concat", *branches(m), axis=1)),
        ["Conv", "Conv", "Rescale", "Rescale", "Concat"],
    ),
    "concat of layers": (
        lambda m: m.fit(
            m.node(
                "Relu",
                m.node(
                    "Concat",
                    m.node("Conv", m.input(), m.weights(3, 4, 1, 1)),
                    m.node("Conv", m.input(), m.weights(2, 4, 1, 1), m.real(2)),
                    axis=1,
                ),
            )
        ),
        ["Conv", "Conv", "Concat"],
    ),
    "concat of equals": (
        lambda m: (lambda x: conv(m, m.node("Concat", x, x, axis=1), columns=8))(conv(m, m.input(), rows=4)),
        ["Conv", "Concat", "Conv"],
    ),
    "concat of rows": (
        lambda m: (lambda x: conv(m, m.node("Concat", x, x, axis=2)))(conv(m, m.input(), rows=4)),
        ["Conv", "Concat", "Conv"],
    ),
    "average": (
        lambda m: m.fit(m.node("AveragePool", m.input(), kernel_shape=[3, 2], strides=[2, 1])),
        ["AveragePool"],
    ),
    "average, padding counts": (
        lambda m: m.fit(
            m.node("AveragePool", m.input(2 / 255, 128), kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)
        ),
        ["AveragePool"],
    ),
    "average, padding does not count": (
        lambda m: m.fit(m.node("AveragePool", m.input(2 / 255, 128), kernel_shape=[3, 3], pads=[1, 0, 1, 2])),
        ["AveragePool"],
    ),
    "average, rounded up": (
        lambda m: m.fit(
            m.node("AveragePool", m.input(), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1)
        ),
        ["AveragePool"],
    ),
    "global average, relu": (lambda m: m.fit(m.node("Relu", m.node("GlobalAveragePool", m.input()))), ["AveragePool"]),
    "mean of pixels": (
        lambda m: m.fit(m.node("ReduceMean", m.input(), m.const([2, 3]), keepdims=0)),
        ["AveragePool", "Flatten"],
    ),
    "mean of channels": (
        lambda m: m.fit(m.node("ReduceMean", m.input(), m.const([1]), keepdims=0)),
        ["AveragePool", "Flatten"],
    ),
    "depthwise": (
        lambda m: conv(m, conv(m, m.input(), rows=8), rows=8, columns=1, group=8, pads=[1] * 4),
        ["Conv", "Conv"],
    ),
    "depthwise with multiplier": (lambda m: conv(m, m.input(), rows=8, columns=1, group=4), ["Conv"]),
    "grouped": (lambda m: conv(m, m.input(), rows=6, columns=2, group=2), ["Conv"]),
    "dilated": (lambda m: conv(m, m.input(), dilations=[2, 3], pads=[2, 1, 0, 3]), ["Conv"]),
    "dilated pool": (
        lambda m: m.node("MaxPool", m.input(), kernel_shape=[2, 3], dilations=[3, 2], pads=[1] * 4),
        ["MaxPool"],
    ),
    "wide padding": (lambda m: conv(m, m.input(2 / 255, 100), pads=[4, 0, 3, 1]), ["Pad", "Conv"]),
    "transposed": (lambda m: spaced(m, m.input()), ["Pad", "Conv"]),
    "transposed, grouped, padded": (
        lambda m: m.fit(
            m.node("ConvTranspose", m.input(), m.weights(4, 3, 2, 2), group=2, strides=[2, 2], output_padding=[1, 1])
        ),
        ["Pad", "Conv"],
    ),
    "pad": (
        lambda m: conv(m, m.node("Pad", m.input(), m.const([0, 0, 1, 2, 0, 0, 0, 3]))),
        ["Pad", "Conv"],
    ),
    "reflecting pad": (
        lambda m: conv(m, m.node("Pad", m.input(), m.const([0, 0, 1, 2, 0, 0, 0, 3]), mode="reflect")),
        ["Reorder", "Conv"],
    ),
    "crop": (lambda m: conv(m, m.node("Pad", m.input(), m.const([0, 0, -1, 0, 0, 0, 0, -2]))), ["Reorder", "Conv"]),
    "slice": (
        lambda m: conv(
            m, m.node("Slice", m.input(), m.const([1, 8]), m.const([9, 0]), m.const([2, 3]), m.const([2, -1]))
        ),
        ["Reorder", "Conv"],
    ),
    "resize": (
        lambda m: conv(m, m.node("Resize", m.input(), "", m.const([1.0, 1.0, 2.0, 3.0]), mode="nearest")),
        ["Resize", "Conv"],
    ),
    "resize by a fraction": (
        lambda m: conv(m, m.node("Resize", m.input(), "", m.const([1.0, 1.0, 1.5, 0.5]), mode="nearest")),
        ["Reorder", "Conv"],
    ),
    "depth to space": (
        lambda m: conv(m, m.node("DepthToSpace", conv(m, m.input(), rows=8), blocksize=2), columns=2),
        ["Conv", "Reorder", "Conv"],
    ),
    "space to depth": (
        lambda m: conv(
            m,
            m.node("SpaceToDepth", m.node("Slice", m.input(), m.const([0]), m.const([8]), m.const([3])), blocksize=2),
            columns=16,
        ),
        ["Reorder", "Conv"],
    ),
    "channel shuffle": (
        lambda m: conv(m, shuffled(m, conv(m, m.input(), rows=6)), rows=6, columns=1, group=6),
        ["Conv", "Conv"],
    ),
    "channel shuffle into groups": (
        lambda m: conv(m, shuffled(m, conv(m, m.input(), rows=6)), rows=4, columns=3, group=2),
        ["Conv", "Reorder", "Conv"],
    ),
    "transposed image": (
        lambda m: conv(m, m.node("Transpose", conv(m, m.input()), perm=[0, 1, 3, 2]), columns=6),
        ["Conv", "Reorder", "Conv"],
    ),
    "flattened after the last layer": (
        lambda m: m.node("Flatten", conv(m, m.input())),
        ["Conv", "Reorder"],
    ),
    "many vectors": (lambda m: m.fit(m.node("MatMul", m.input(), m.weights(9, 5))), ["Conv"]),
    "split": (
        lambda m: (lambda a, b: m.fit(m.node("Add", a, b)))(*split(m, conv(m, m.input()))),
        ["Conv", "Reorder", "Reorder", "Add"],
    ),
    "leaky relu": (lambda m: m.fit(m.node("LeakyRelu", conv(m, m.input()), alpha=0.1)), ["Conv", "Lookup"]),
    "prelu": (lambda m: m.fit(m.node("PRelu", conv(m, m.input()), per_channel(m, 6, 1, 1))), ["Conv", "Lookup"]),
    "hard swish": (lambda m: m.fit(m.node("HardSwish", conv(m, m.input()))), ["Conv", "Lookup"]),
    "tanh, then scaled": (
        lambda m: m.fit(m.node("Mul", m.node("Tanh", conv(m, m.input())), per_channel(m, 6, 1, 1))),
        ["Conv", "Lookup"],
    ),
    "silu": (
        lambda m: (lambda x: m.fit(m.node("Mul", x, m.node("Sigmoid", x))))(conv(m, m.input())),
        ["Conv", "Lookup"],
    ),
    "gelu in parts": (
        lambda m: (
            lambda x: m.fit(
                m.node("Mul", x, m.node("Add", m.node("Erf", m.node("Div", x, m.const(1.41))), m.const(1.0)))
            )
        )(conv(m, m.input())),
        ["Conv", "Lookup"],
    ),
    "relu6 and negation": (
        lambda m: m.fit(m.node("Neg", m.node("Clip", conv(m, m.input()), m.const(0.0), m.const(6.0)))),
        ["Conv", "Lookup"],
    ),
    "sigmoid, quantized": (lambda m: m.qdq(m.node("Sigmoid", conv(m, m.input())), 1 / 256), ["Conv", "Lookup"]),
    "local response": (
        lambda m: m.fit(m.node("LRN", conv(m, m.input()), size=5, alpha=0.05, bias=2.0)),
        ["Conv", "LocalResponseNorm"],
    ),
    "four bits by Clip": (
        lambda m: m.dequantize(
            m.node(
                "Clip",
                m.quantize(m.node("Conv", m.input(), m.weights(6, 4, 3, 3)), 0.3, 7),
                m.const(np.uint8(0)),
                m.const(np.uint8(15)),
            ),
            0.3,
            7,
        ),
        ["Conv"],
    ),
}


def shuffled(m: Maker, x: str) -> str:
    x = m.node("Reshape", x, m.const([1, 2, 3, 8, 7]))
    return m.node("Reshape", m.node("Transpose", x, perm=[0, 2, 1, 3, 4]), m.const([1, 6, 8, 7]))


def split(m: Maker, x: str) -> tuple[str, str]:
    names = (m.name("left"), m.name("right"))
    m.nodes.append(onnx.helper.make_node("Split", [x, m.const([3, 3])], list(names), axis=1))
    return names


@pytest.mark.parametrize("case", QDQ)
def test_quantized_operator(case: str, tmp_path: Path) -> None:
    build, expected = QDQ[case]
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    imported = check(made, build(made), tmp_path, isolated=True)
    assert ops(imported) == expected


# The same graphs before anyone quantized them: the Q/DQ pairs are left out.
FLOAT: dict[str, Build] = {
    "residual": lambda m: (
        lambda x: m.node("Relu", m.node("Add", x, m.node("Conv", x, m.real(4, 4, 3, 3), pads=[1] * 4)))
    )(m.node("Relu", m.node("Conv", "x", m.real(4, 4, 3, 3)))),
    "inception": lambda m: (
        lambda x: m.node(
            "Conv",
            m.node(
                "Concat",
                m.node("Relu", m.node("Conv", x, m.real(3, 4, 1, 1))),
                m.node("Conv", x, m.real(2, 4, 3, 3), pads=[1] * 4),
                m.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4),
                axis=1,
            ),
            m.real(5, 9, 1, 1),
        )
    )(m.node("MaxPool", m.node("Relu", m.node("Conv", "x", m.real(4, 4, 3, 3))), kernel_shape=[2, 2])),
    "inverted residual": lambda m: (
        lambda x: m.node(
            "Add",
            x,
            m.node(
                "Conv",
                m.node(
                    "Clip",
                    m.node(
                        "Conv",
                        m.node("HardSwish", m.node("Conv", x, m.real(8, 4, 1, 1))),
                        m.real(8, 1, 3, 3),
                        pads=[1] * 4,
                        group=8,
                    ),
                    m.const(0.0),
                    m.const(6.0),
                ),
                m.real(4, 8, 1, 1),
            ),
        )
    )(m.node("Conv", "x", m.real(4, 4, 3, 3))),
    "squeeze and excitation": lambda m: (
        lambda x: m.node(
            "Mul", x, m.node("Sigmoid", m.node("Conv", m.node("GlobalAveragePool", x), m.real(4, 4, 1, 1), m.real(4)))
        )
    )(m.node("Relu", m.node("Conv", "x", m.real(4, 4, 3, 3)))),
    "input normalized per channel": lambda m: m.node(
        "Conv", m.node("Div", m.node("Sub", "x", m.real(4, 1, 1)), per_channel(m, 4, 1, 1)), m.real(3, 4, 3, 3)
    ),
    "relu before batch normalization": lambda m: m.node(
        "Conv",
        m.node(
            "BatchNormalization",
            m.node("Relu", m.node("Conv", "x", m.real(4, 4, 3, 3))),
            m.real(4),
            m.real(4),
            m.real(4),
            per_channel(m, 4),
        ),
        m.real(3, 4, 1, 1),
    ),
    "channels last": lambda m: m.node(
        "Transpose",
        m.node(
            "Relu",
            m.node(
                "Conv",
                m.node("Transpose", m.node("Reshape", "x", m.const([1, 10, 9, 4])), perm=[0, 3, 1, 2]),
                m.real(3, 4, 3, 3),
            ),
        ),
        perm=[0, 2, 3, 1],
    ),
}


@pytest.mark.parametrize("case", FLOAT)
def test_float_graph(case: str, tmp_path: Path) -> None:
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    made.images = made.images * 2 - 0.7
    output = FLOAT[case](made)
    imported = load(made.save(tmp_path / "m.onnx", output), calibration=made.images)
    agree(imported, made.images, isolated=True)
    # And the quantized network is near the float one.
    got = imported.dequantize(reference.run(imported.network, imported.quantize(made.images)))
    wanted = made.run(output)[:, 0]
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).mean() < 0.08 * np.abs(wanted).mean()


def test_shared_layers_are_computed_once(tmp_path: Path) -> None:
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    imported = load(made.save(tmp_path / "m.onnx", FLOAT["residual"](made)), calibration=made.images)
    assert ops(imported) == ["Conv", "Conv", "Add"]
    add = imported.network.nodes[-1]
    assert isinstance(add, Add)
    assert len(imported.network.consumers(imported.network.nodes[0].output)) == 2


def test_hardware_refuses_all_at_once(tmp_path: Path) -> None:
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    x = made.fit(made.node("LRN", conv(made, made.input()), size=3))
    product = made.fit(made.node("Mul", x, made.fit(made.node("Sigmoid", x))))
    imported = load(made.save(tmp_path / "m.onnx", product), calibration=made.images)
    with pytest.raises(UserError) as caught:
        hardware_nodes(imported.network)
    for word in ("LocalResponseNorm", "Multiply", "2 of the model's layers"):
        assert word in str(caught.value)


def test_attributes_reach_the_network(tmp_path: Path) -> None:
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    x = made.fit(made.node("Conv", made.input(), made.weights(8, 1, 3, 3), group=4, dilations=[2, 1]))
    x = made.fit(made.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4))
    imported = check(made, made.fit(made.node("Elu", x)), tmp_path)
    conv_, average, table = imported.network.nodes
    assert isinstance(conv_, Conv)
    assert (conv_.groups, conv_.dilations, conv_.depthwise, conv_.extent) == (4, (2, 1), True, (5, 3))
    assert isinstance(average, AveragePool)
    assert set(average.edge_multipliers) == {4, 6}
    assert isinstance(table, Lookup)
    assert table.table.shape == (1, 256)


def test_fully_shuffled_output_is_put_in_order(tmp_path: Path) -> None:
    made = Maker((1, 4, 10, 9), np.random.default_rng(5))
    imported = check(made, made.node("Flatten", conv(made, made.input())), tmp_path)
    last = imported.network.nodes[-1]
    assert isinstance(last, Reorder)
    assert np.array_equal(imported.output_layout.ravel(), np.arange(6 * 8 * 7))
