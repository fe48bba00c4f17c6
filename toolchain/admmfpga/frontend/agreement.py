"""Layer by layer: the integer reference against ONNX Runtime on the QDQ model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from admmfpga.errors import UserError
from admmfpga.frontend.constants import session
from admmfpga.frontend.imported import Import
from admmfpga.network import reference

CHUNK = 32
"""Frames whose tensors are held at a time."""


@dataclass(frozen=True)
class LayerAgreement:
    """How a tensor of the network compares with its counterpart in the ONNX model.

    Attributes:
        name: of the network's tensor's layer ("input" for the network's input).
        source: ONNX name of the counterpart.
        total: values compared.
        equal: how many of them are equal.
        max_step: greatest difference, in codes.
    """

    name: str
    source: str
    total: int
    equal: int
    max_step: int

    @property
    def share(self) -> float:
        """Part of the values that are equal."""
        return self.equal / self.total


def compare_with_onnxruntime(imported: Import, images: npt.NDArray[np.generic]) -> list[LayerAgreement]:
    """Run the same images through the reference and, without graph optimizations, through ONNX Runtime.

    Both run from the images to the end, so a difference in one layer counts in those behind it too. Tensors without a
    counterpart in the model are left out.

    Args:
        images: (N, *frame) as the model takes them.

    Raises:
        UserError: wrong shape, or ONNX Runtime cannot run the model.
    """
    codes = imported.quantize(images)
    network = imported.network
    compared = {name: t for name, t in network.tensors.items() if t.source}
    sources = list(dict.fromkeys(tensor.source for tensor in compared.values()))
    model = _with_outputs(imported.model, sources)
    info = imported.model.graph.input[0]
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
    try:
        runner = session(model)
    except Exception as error:  # ONNX Runtime's own exception types
        raise UserError(f"ONNX Runtime cannot run the model: {str(error).splitlines()[0]}") from None
    counts = {name: [0, 0, 0] for name in compared}
    for start in range(0, len(images), CHUNK):
        frames = images[start : start + CHUNK].astype(dtype)
        runs = [runner.run(None, {info.name: frame[None]}) for frame in frames]
        theirs = {source: [run[i] for run in runs] for i, source in enumerate(sources)}
        ours = reference.run_all(network, codes[start : start + CHUNK], keep=tuple(compared))
        for name, tensor in compared.items():
            stream = np.empty((len(frames), tensor.elements), dtype=_kind(theirs[tensor.source][0]))
            stream[:, imported.layouts[name].ravel()] = np.stack(theirs[tensor.source]).reshape(len(frames), -1)
            values = stream.reshape(-1, *tensor.shape)
            expected = values if values.dtype.kind in "iu" else tensor.quantize(values)
            steps = np.abs(ours[name] - expected.astype(np.int64))
            count = counts[name]
            count[0] += steps.size
            count[1] += int(np.count_nonzero(steps == 0))
            count[2] = max(count[2], int(steps.max()))
    producers = {node.output: node.name for node in network.nodes}
    return [
        LayerAgreement(producers.get(name, "input"), tensor.source, *counts[name]) for name, tensor in compared.items()
    ]


def _kind(array: npt.NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.int64) if array.dtype.kind in "iu" else array.dtype


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are these tensors; types that numpy lacks are cast to int32."""
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    del graph.output[:], graph.value_info[:]
    for name in names:
        kind = types.get(name, onnx.TensorProto.FLOAT)
        if np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name in ("int4", "uint4", "int2", "uint2"):
            graph.node.append(helper.make_node("Cast", [name], [f"{name}_wide"], to=onnx.TensorProto.INT32))
            name, kind = f"{name}_wide", onnx.TensorProto.INT32
        graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return inferred
