"""From a float model to a QDQ model, by ranges that ONNX Runtime finds on calibration images.

What has to be quantized is what the importer asked for when it walked through the float model (`context.Rehearsal`):
the inputs of layers and tables, tensors that several nodes read, the weights, and the output. Batch normalization,
Relu and MaxPool in between stay real numbers, so the importer folds them exactly into the layer before them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from admmfpga.errors import UserError
from admmfpga.frontend.constants import runner
from admmfpga.frontend.context import Rehearsal, WeightRequest, quantized_weights
from admmfpga.frontend.skeleton import without_weights

ASSUMED_IMAGES = 64

ASSUMED_NUMBERS = 2**26
"""In all images that nobody gave."""

ASSUMED_WORK = 2 * 10**10
"""MACs that are spent on images that nobody gave; large networks get fewer of them, but two at least."""


def assumption(count: int) -> str:
    """What was assumed for want of calibration images."""
    return (
        f"no calibration images: activation ranges come from {count} images of random pixels, uniform in 0..1; "
        "real images give better accuracy (--calibration images.npz)"
    )


def assumed_images(shape: tuple[int, ...], macs: int = 0) -> npt.NDArray[np.float32]:
    """Stand-in for calibration images: random pixels, uniform in 0..1, always the same ones.

    Args:
        shape: of one frame.
        macs: of the network, per frame.
    """
    count = max(2, min(ASSUMED_IMAGES, ASSUMED_WORK // max(macs, 1), ASSUMED_NUMBERS // prod(shape)))
    images = np.random.default_rng(0).random((count, *shape), dtype=np.float32)
    images.reshape(count, -1)[:, 0] = 0.0
    images.reshape(count, -1)[:, -1] = 1.0  # both ends of the range, so that the input's scale is 1/255
    return images


def checked_images(images: npt.NDArray[Any], model: onnx.ModelProto) -> npt.NDArray[np.float32]:
    """Calibration images as the model takes them.

    Raises:
        UserError: wrong shape or type, none, or values that are not finite.
    """
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    wanted = " x ".join(["N", *map(str, shape)])
    if images.ndim != len(shape) + 1 or images.shape[1:] != shape:
        got = " x ".join(map(str, images.shape))
        raise UserError(f"calibration images are {got}, the model takes {wanted}", "reshape or transpose them")
    if len(images) == 0:
        raise UserError("there are no calibration images", "some hundred images from the training set are enough")
    if images.dtype.kind not in "fiub":
        raise UserError(f"calibration images hold {images.dtype}, not numbers")
    if not np.all(np.isfinite(images)):
        raise UserError("the calibration images hold values that are not finite")
    return images.astype(np.float32)


def quantize(model: onnx.ModelProto, rehearsal: Rehearsal, images: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """A QDQ model: uint8 activations, int8 weights with one scale per output channel, symmetric -127..127.

    The same model and images give the same bytes.

    Args:
        model: float, one input and one output, batch size 1.
        rehearsal: what to quantize.
        images: (N, *frame) as the model takes them.

    Raises:
        UserError: if ONNX Runtime cannot run the model, or its numbers are not finite.
    """
    ranges = tensor_ranges(model, rehearsal.tensors, images, rehearsal.constants)
    result, large = without_weights(model)
    nodes = {node.output[0]: node for node in result.graph.node if node.output}
    layers = [(nodes[request.output], request) for request in rehearsal.weights]
    for node, request in layers:
        _quantize_weights(result, node, request)
    for name, (low, high) in ranges.items():
        _insert_pair(result, name, low, high)
    for node, request in layers:
        _quantize_bias(result, node, request)
    read = {name for node in result.graph.node for name in _reads(node)}
    del result.graph.input[1:]
    result.graph.initializer.extend(w for w in large if w.name in read)
    _tidy(result)
    return result


NOTHING_TO_FOLD = frozenset(
    {"AveragePool", "Concat", "Constant", "Conv", "Dropout", "Flatten", "Gemm", "GlobalAveragePool", "LRN", "MaxPool"}
    | {"Relu", "Reshape", "Shape", "Softmax"}
)
"""A model of nothing else is as it comes out of ONNX Runtime's optimizations."""


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic graph optimizations: constants computed, batch normalization and constant
    additions folded into layers, what changes nothing removed. Where they fail, the model as it is."""
    if all(node.op_type in NOTHING_TO_FOLD for node in model.graph.node):
        return model
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="admmfpga-") as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            result = onnx.load(path)
            if any(node.domain not in ("", "ai.onnx") for node in result.graph.node):
                return model
            _tidy(result)
            return onnx.shape_inference.infer_shapes(result)
        except Exception:  # many exception types; the model is good without
            return model


def tensor_ranges(
    model: onnx.ModelProto,
    wanted: Mapping[str, tuple[float, float]],
    images: npt.NDArray[np.float32],
    constants: Mapping[str, npt.NDArray[Any]],
) -> dict[str, tuple[float, float]]:
    """Least and greatest value of tensors over the images.

    Args:
        wanted: by tensor, a range that is covered in any case.
        constants: the model's initializers.

    Raises:
        UserError: if ONNX Runtime cannot run the model, or the values are not finite.
    """
    given = model.graph.input[0].name
    copy, weights = without_weights(model)
    del copy.graph.output[:]
    names = [name for name in wanted if name != given]
    for name in names:
        copy.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    low, high = {given: float(images.min())}, {given: float(images.max())}
    if names:
        try:
            infer = runner(copy, {w.name: constants[w.name] for w in weights}).run
            for image in images:
                for name, value in zip(names, infer(None, {given: image[None]}), strict=True):
                    low[name] = min(low.get(name, np.inf), float(value.min()))
                    high[name] = max(high.get(name, -np.inf), float(value.max()))
        except Exception as error:  # ONNX Runtime's own exception types, on a model that is the user's
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"ONNX Runtime cannot run the model: {reason}", "quantize it yourself and give the QDQ model"
            ) from None
    for name in wanted:
        if not (np.isfinite(low[name]) and np.isfinite(high[name])):
            raise UserError(f"{name} is not finite on the calibration images", "check the model's weights")
    return {name: (min(low[name], least), max(high[name], most)) for name, (least, most) in wanted.items()}


def _quantize_weights(model: onnx.ModelProto, node: onnx.NodeProto, request: WeightRequest) -> None:
    codes, scale = quantized_weights(request.array, request.axis)
    stem = f"{request.output}_{'weights' if request.index == 1 else f'input{request.index}'}"
    arrays: dict[str, npt.NDArray[Any]] = {f"{stem}_codes": codes, f"{stem}_scale": scale.astype(np.float32)}
    arrays[f"{stem}_zero_point"] = np.zeros(scale.shape, dtype=np.int8)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items())
    axis: dict[str, Any] = {} if request.axis is None else {"axis": request.axis}
    at = next(i for i, other in enumerate(model.graph.node) if other is node or other == node)
    node.input[request.index] = stem
    model.graph.node.insert(at, helper.make_node("DequantizeLinear", list(arrays), [stem], stem, **axis))


def _quantize_bias(model: onnx.ModelProto, node: onnx.NodeProto, request: WeightRequest) -> None:
    """The bias in steps of the accumulator, so that model and hardware add the same number; if there is such a bias."""
    if len(node.input) < 3 or not node.input[2] or request.index != 1:
        return
    initializers = {i.name: i for i in model.graph.initializer}
    producers = {name: other for other in model.graph.node for name in other.output}
    source = producers.get(node.input[0])
    while source is not None and source.op_type in _MOVES:
        source = producers.get(source.input[0])
    scaled = any(a.name in ("alpha", "beta") and a.f != 1.0 for a in node.attribute)
    if source is None or source.op_type != "DequantizeLinear" or node.input[2] not in initializers or scaled:
        return
    real = numpy_helper.to_array(initializers[node.input[2]]).astype(np.float64).ravel()
    steps = numpy_helper.to_array(initializers[producers[node.input[1]].input[1]]).astype(np.float64)
    steps = steps * float(numpy_helper.to_array(initializers[source.input[1]]))
    if steps.ndim == 0 or real.size not in (1, steps.size):
        return
    steps = np.asarray(steps.astype(np.float32), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.rint(np.broadcast_to(real, steps.shape) / steps)
    if not np.all(np.abs(codes) < 2**31):
        return
    stem = f"{request.output}_bias"
    arrays = {f"{stem}_codes": codes.astype(np.int32), f"{stem}_scale": steps.astype(np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items())
    at = next(i for i, other in enumerate(model.graph.node) if other == node)
    node.input[2] = stem
    model.graph.node.insert(at, helper.make_node("DequantizeLinear", list(arrays), [stem], stem, axis=0))


_MOVES = frozenset({"Dropout", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"})


def _insert_pair(model: onnx.ModelProto, tensor: str, low: float, high: float) -> None:
    """Put QuantizeLinear, DequantizeLinear behind a tensor, for all that read it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if not scale > np.finfo(np.float32).tiny:
        scale = np.float32(1.0)
    zero_point = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    graph = model.graph
    position = next((i + 1 for i, node in enumerate(graph.node) if tensor in node.output), 0)
    if position:
        # Whoever reads it, the model's output too, reads the dequantized one from now on.
        source, result = f"{tensor}_real", tensor
        producer = graph.node[position - 1]
        producer.output[list(producer.output).index(tensor)] = source
    else:
        source, result = tensor, f"{tensor}_dequantized"
        for node in graph.node:
            node.input[:] = [result if name == tensor else name for name in node.input]
        if graph.output[0].name == tensor:
            graph.output[0].name = result
    parameters = {f"{tensor}_scale": scale, f"{tensor}_zero_point": zero_point}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in parameters.items())
    codes = f"{tensor}_codes"
    graph.node.insert(
        position, helper.make_node("QuantizeLinear", [source, *parameters], [codes], f"{tensor}_QuantizeLinear")
    )
    graph.node.insert(
        position + 1,
        helper.make_node("DequantizeLinear", [codes, *parameters], [result], f"{tensor}_DequantizeLinear"),
    )


def _tidy(model: onnx.ModelProto) -> None:
    """Without what nothing uses any more."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(name for name in _reads(node) if name)
            kept.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in needed:
            del graph.initializer[index]
    used = {node.domain for node in graph.node} | {""}
    imports = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    del model.metadata_props[:]
    del graph.value_info[:]


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """All tensors that a node reads, those of its subgraphs too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _reads(inner)
