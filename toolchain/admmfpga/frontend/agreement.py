"""Layer by layer: the integer reference against ONNX Runtime on the QDQ model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from admmfpga.errors import UserError
from admmfpga.frontend.constants import runner
from admmfpga.frontend.imported import Import
from admmfpga.network import IntArray, Tensor, reference

CHUNK = 1 << 24
"""Numbers of all tensors that are held at a time; 32 frames at most."""

STEPS, FEW, SHARE = 1, 2, 0.001
"""A layer agrees if no value is off by more steps, and no more values than FEW and that share of them are off at all:
a difference is a value near a rounding boundary."""


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

    @property
    def agrees(self) -> bool:
        """Whether what differs is rounding; for a layer that got ONNX Runtime's own inputs."""
        return self.max_step <= STEPS and self.total - self.equal <= FEW + SHARE * self.total


def first_diverging(agreements: Iterable[LayerAgreement]) -> LayerAgreement | None:
    """The first layer that does not agree, of a comparison with each layer for itself."""
    return next((one for one in agreements if not one.agrees), None)


def not_compared(imported: Import) -> list[str]:
    """Layers whose codes no tensor of the ONNX model has; the next layer that is compared answers for them too."""
    return [node.name for node in imported.network.nodes if not imported.network.output_of(node).source]


def compare_with_onnxruntime(
    imported: Import, images: npt.NDArray[np.generic], *, isolated: bool = False
) -> list[LayerAgreement]:
    """Run the same images through the reference and, without graph optimizations, through ONNX Runtime.

    Tensors without a counterpart in the model are left out (`not_compared`).

    Args:
        images: (N, *frame) as the model takes them.
        isolated: give each layer ONNX Runtime's own inputs, so that a layer answers for its own differences only. Else
            both run from the images to the end, and a difference counts in the layers behind it too.

    Returns:
        the input, then layers in the order in which they run.

    Raises:
        UserError: wrong shape, or ONNX Runtime cannot run the model.
    """
    codes = imported.quantize(images)
    network = imported.network
    order = [*network.inputs, *(node.output for node in network.nodes)]
    compared = {name: network.tensors[name] for name in order if network.tensors[name].source}
    sources = list(dict.fromkeys(tensor.source for tensor in compared.values()))
    model = _with_outputs(imported.model, sources)
    info = imported.model.graph.input[0]
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
    try:
        infer = runner(model).run
    except Exception as error:  # ONNX Runtime's own exception types
        raise UserError(f"ONNX Runtime cannot run the model: {str(error).splitlines()[0]}") from None
    counts = {name: [0, 0, 0] for name in compared}
    chunk = max(1, min(32, CHUNK // sum(tensor.elements for tensor in network.tensors.values())))
    for start in range(0, len(images), chunk):
        frames = images[start : start + chunk].astype(dtype)
        results = [infer(None, {info.name: frame[None]}) for frame in frames]
        theirs = {source: [result[i] for result in results] for i, source in enumerate(sources)}
        expected = {
            name: _codes(tensor, imported.layouts[name], theirs[tensor.source]) for name, tensor in compared.items()
        }
        ours = {network.inputs[0]: codes[start : start + chunk]}
        for node in network.nodes:
            known = {**ours, **expected} if isolated else ours
            ours[node.output] = reference.run_node(node, [known[name] for name in node.inputs], network.input_of(node))
        for name in compared:
            steps = np.abs(ours[name] - expected[name])
            count = counts[name]
            count[0] += steps.size
            count[1] += int(np.count_nonzero(steps == 0))
            count[2] = max(count[2], int(steps.max()))
    producers = {node.output: node.name for node in network.nodes}
    return [
        LayerAgreement(producers.get(name, "input"), tensor.source, *counts[name]) for name, tensor in compared.items()
    ]


def _codes(tensor: Tensor, layout: IntArray, results: list[npt.NDArray[Any]]) -> IntArray:
    """ONNX Runtime's results for single frames as codes in stream order."""
    given = np.stack(results).reshape(len(results), -1)
    stream = np.empty_like(given)
    stream[:, layout.ravel()] = given
    values = stream.reshape(-1, *tensor.shape)
    return values.astype(np.int64) if values.dtype.kind in "iu" else tensor.quantize(values)


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
