"""Constant nodes evaluated by ONNX Runtime, so that folded numbers are those that the original model computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.skeleton import without_weights

_NARROW = {
    getattr(onnx.TensorProto, name): onnx.TensorProto.INT8 if name.startswith("INT") else onnx.TensorProto.UINT8
    for name in ("INT4", "UINT4", "INT2", "UINT2")
    if hasattr(onnx.TensorProto, name)
}
"""Types that ONNX Runtime computes with but does not hand to numpy, and what holds them."""


class Runner:
    """ONNX Runtime on one thread with graph optimizations disabled: every node is computed as it is written.

    Large constants are handed over as inputs, so that they are not copied.
    """

    def __init__(self, session: ort.InferenceSession, weights: dict[str, npt.NDArray[Any]]) -> None:
        self._session = session
        self._weights = weights

    def run(self, outputs: list[str] | None, inputs: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """As `InferenceSession.run`."""
        results: list[npt.NDArray[Any]] = self._session.run(outputs, inputs | self._weights)
        return results


def runner(model: onnx.ModelProto, weights: dict[str, npt.NDArray[Any]] | None = None) -> Runner:
    """Runs a model.

    Args:
        weights: large constants that are among its inputs, see `skeleton`; None: they are in the model.
    """
    if weights is None:
        model, large = without_weights(model)
        weights = {w.name: numpy_helper.to_array(w) for w in large}
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Runner(session, weights)


def is_foldable(node: onnx.NodeProto) -> bool:
    """Whether a node with constant inputs has a constant result: not random, no subgraphs, no state."""
    random = node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial", "Dropout")
    return not random and len(node.input) > 0 and not any(a.HasField("g") or a.graphs for a in node.attribute)


def evaluate(
    node: onnx.NodeProto,
    inputs: list[npt.NDArray[Any] | None],
    opsets: list[onnx.OperatorSetIdProto],
    ir_version: int,
) -> list[npt.NDArray[Any]]:
    """Results of one node on constants.

    Args:
        inputs: in the node's order; None for those that are left out.

    Raises:
        Unsupported: if ONNX Runtime cannot compute it.
    """
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    initializers = []
    for index, array in enumerate(inputs):
        if array is not None:
            copy.input[index] = f"in{index}"
            initializers.append(numpy_helper.from_array(np.asarray(array), f"in{index}"))
    del copy.output[:]
    copy.output.extend(f"out{i}" if name else "" for i, name in enumerate(node.output))
    graph = helper.make_graph([copy], "constant", [], [helper.make_empty_tensor_value_info("out0")], initializers)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
        types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
        types |= {v.name: v.type.tensor_type.elem_type for v in inferred.graph.output}
        names = [name for name in copy.output if name]
        del graph.output[:], model.graph.output[:]
        for name in names:
            if types.get(name, 0) in _NARROW:
                model.graph.node.append(helper.make_node("Cast", [name], [f"{name}_wide"], to=_NARROW[types[name]]))
                model.graph.output.append(helper.make_empty_tensor_value_info(f"{name}_wide"))
            else:
                model.graph.output.append(helper.make_tensor_value_info(name, types.get(name, 0), None))
        results = runner(model).run(None, {})
    except Exception as error:  # the many exception types of two libraries; the model is the user's
        raise Unsupported(
            f"cannot compute this constant: {str(error).splitlines()[0]}", "fold it before export"
        ) from None
    return [
        np.asarray(array).astype(helper.tensor_dtype_to_np_dtype(types[name]))
        if types.get(name, 0) in _NARROW
        else np.asarray(array)
        for name, array in zip(names, results, strict=True)
    ]
