"""Models without their large constants, and with them again."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from admmfpga.frontend.skeleton import LARGE, with_weights, without_weights


def made() -> onnx.ModelProto:
    """A matrix product whose weights are large, and a bias that is not."""
    weights = np.arange(LARGE, dtype=np.float32).reshape(-1, 4)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.ones(4, np.float32), "b"), numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="test")


def test_weights_come_back_as_they_were() -> None:
    model, before = made(), made()
    light, large = without_weights(model)
    assert [w.name for w in large] == ["w"]
    assert [i.name for i in light.graph.input] == ["x", "w"]
    assert light.ByteSize() < LARGE
    assert with_weights(light, model, {"w"}) == before


def test_what_became_of_the_light_model_is_what_counts() -> None:
    model = made()
    light, _ = without_weights(model)
    light.graph.node[0].op_type = "MatMul"
    del light.graph.node[0].input[2]
    del light.graph.initializer[:]
    light.producer_name = ""
    result = with_weights(light, model, {"w"})
    assert [(n.op_type, list(n.input)) for n in result.graph.node] == [("MatMul", ["x", "w"])]
    assert [i.name for i in result.graph.initializer] == ["w"]
    assert numpy_helper.to_array(result.graph.initializer[0]).size == LARGE
    assert [i.name for i in result.graph.input] == ["x"]
    assert not result.producer_name
