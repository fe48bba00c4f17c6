"""From a file to a checked ONNX model with one input, one output, batch size 1 and a recent opset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import numpy_helper

from admmfpga.errors import UserError
from admmfpga.frontend.problems import Problem, UnsupportedModelError
from admmfpga.frontend.qoperators import decomposed
from admmfpga.frontend.skeleton import with_weights, without_weights

MINIMUM_OPSET = 13
"""Older models are converted: since then DequantizeLinear and Softmax have an axis, Squeeze its axes as an input."""

MINIMUM_IR = 8

LARGEST_FILE = 2**31 - 1
"""Protocol buffers end here; larger models keep their weights in external files."""

LARGEST_TENSOR = 2**28
"""Elements of a constant. No accelerator of ours has a tensor near this size, a damaged or hostile file may declare
one."""

LARGEST_ACTIVATION = 2**25

LARGEST_ACTIVATIONS = 2**28
"""Elements of one and of all computed tensors."""

ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class Source:
    """A model as read.

    Attributes:
        model: checked, batch size 1, initializers not among the inputs, shapes inferred.
        sha256: of the user's file.
        warnings: what the user should know.
    """

    model: onnx.ModelProto
    sha256: str
    warnings: tuple[str, ...] = ()


def read_model(path: Path) -> Source:
    """Read and check an ONNX file.

    Raises:
        UserError: missing, cut, not ONNX, damaged weights, several inputs or outputs, dynamic or absurd sizes; or an
            UnsupportedModelError for operators that no schema describes.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    model = _parse(data, path)
    del data  # a large model's bytes are not kept twice
    _load_external(model, path)
    known = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in known]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _one_input_one_output(model, path)
    model.ir_version = max(model.ir_version, MINIMUM_IR)
    _check_operators(model)
    batch = _fix_batch(model)
    _check_sizes(model)
    light, weights = without_weights(model)
    _check(light, path)
    _check_constants(model, path)
    model = with_weights(_infer(decomposed(_convert(light, path)), path, batch), model, {w.name for w in weights})
    _check_sizes(model)
    warnings = () if batch == 1 else (f"the model is for batches of {batch}; it is taken as a model for single frames",)
    return Source(model, sha256, warnings)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} is larger than 2 GiB", "save the weights as external data")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise UserError(f"{path} is empty", "export or copy the model again")
    return data


def _parse(data: bytes, path: Path) -> onnx.ModelProto:
    hint = "export or copy the model again; it must be a binary .onnx file"
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        raise UserError(f"{path} is not an ONNX model, or was cut", hint) from None
    if not _is_text(model):
        raise UserError(f"{path} is damaged: it has a name that is not text", hint)
    # Protocol buffers accept much that is no model; all of this is required.
    if not model.ir_version or not model.opset_import or not model.HasField("graph") or not model.graph.node:
        raise UserError(f"{path} is not an ONNX model, or was cut: it has no version, operator set or nodes", hint)
    if not any(o.domain in ONNX_DOMAINS for o in model.opset_import):
        raise UserError(f"{path} does not say which version of ONNX's operators it uses", hint)
    for named in (*model.opset_import, *model.graph.node):
        if named.domain == "ai.onnx":  # the same thing; libraries look for one of the two
            named.domain = ""
    return model


def _is_text(message: Message) -> bool:
    """Whether every string is valid UTF-8; where one is not, protocol buffers hand out bytes."""
    for name, nested in _texts(message.DESCRIPTOR):
        value = getattr(message, name)
        if nested:
            if isinstance(value, Message):  # one that is not there is there as an empty one
                value = [value] if message.HasField(name) else []
            if not all(_is_text(v) for v in value):
                return False
        elif not isinstance(value, str) and (isinstance(value, bytes) or any(not isinstance(v, str) for v in value)):
            return False
    return True


@cache
def _texts(kind: Descriptor) -> tuple[tuple[str, bool], ...]:
    """Fields of a message that are strings, or (True) messages; looking at the others would copy the weights."""
    kinds = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE)
    return tuple((field.name, field.type == kinds[1]) for field in kind.fields if field.type in kinds)


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise UserError(
            f"the external weights of {path} cannot be read: {_first_line(error)}", "keep them beside the model"
        ) from None


def _one_input_one_output(model: onnx.ModelProto, path: Path) -> None:
    for what, infos in (("input", model.graph.input), ("output", model.graph.output)):
        if len(infos) != 1:
            names = ", ".join(i.name for i in infos) or "none"
            raise UserError(
                f"{path} has {len(infos)} {what}s ({names}), not one",
                f"export the model with one {what}, or cut it with onnx.utils.extract_model",
            )
        if not infos[0].type.HasField("tensor_type"):
            raise UserError(f"the {what} {infos[0].name} is not a tensor")


def _check_operators(model: onnx.ModelProto) -> None:
    """The checker stops at the first operator without a schema; this lists them all."""
    from admmfpga.frontend.operators import supported
    from admmfpga.frontend.operators.hints import HINTS

    opset = next(o.version for o in model.opset_import if o.domain in ONNX_DOMAINS)
    if opset > onnx.defs.onnx_opset_version():
        raise UserError(
            f"the model uses opset {opset}; this onnx package knows up to {onnx.defs.onnx_opset_version()}",
            "update the onnx package, or export with an older opset",
        )
    strange = [n for n in model.graph.node if n.domain in ONNX_DOMAINS and not onnx.defs.has(n.op_type)]
    if strange:
        raise UnsupportedModelError(
            [
                Problem(
                    n.name or next(iter(n.output), ""),
                    n.op_type,
                    "ONNX has no such operator",
                    HINTS.get(n.op_type, supported()),
                )
                for n in strange
            ]
        )


def _fix_batch(model: onnx.ModelProto) -> int:
    """Set the batch size to 1, so that every shape is a constant.

    Returns:
        The batch size that the model was made for; 1 if any.
    """
    info = model.graph.input[0]
    dims = info.type.tensor_type.shape.dim
    name = info.name
    if not info.type.tensor_type.HasField("shape") or not 2 <= len(dims) <= 5:
        raise UserError(
            f"the input {name} has {len(dims)} dimensions",
            "it must be (N, C), (N, C, W), (N, C, H, W) or (N, C, D, H, W)",
        )
    for index, dim in enumerate(dims[1:], start=1):
        if not dim.HasField("dim_value"):
            raise UserError(
                f"dimension {index} of the input {name} is dynamic ({dim.dim_param or 'unknown'})",
                "export with a fixed image size; only the batch size may be dynamic",
            )
        if dim.dim_value < 1:
            raise UserError(f"dimension {index} of the input {name} is {dim.dim_value}", "export the model again")
    batch = dims[0].dim_value if dims[0].HasField("dim_value") else 1
    if batch < 1:
        batch = 1  # exporters write 0 or -1 for a dynamic batch
    if batch != 1:
        _rewrite_reshapes(model, batch)
    symbol = dims[0].dim_param
    dims[0].Clear()
    dims[0].dim_value = 1
    # Shapes inside still show the old batch; shape inference finds them again.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for dim in output.type.tensor_type.shape.dim[:1]:
            if (symbol and dim.dim_param == symbol) or batch != 1 or not dim.HasField("dim_value"):
                dim.Clear()
                dim.dim_value = 1
    return batch


def _rewrite_reshapes(model: onnx.ModelProto, batch: int) -> None:
    """Constant Reshape targets that begin with the batch size begin with 1 instead."""
    targets = {n.input[1] for n in model.graph.node if n.op_type == "Reshape" and len(n.input) > 1}
    tensors = [i for i in model.graph.initializer if i.name in targets]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] in targets:
            tensors += [a.t for a in node.attribute if a.name == "value"]
    for tensor in tensors:
        try:
            shape = numpy_helper.to_array(tensor).copy()
        except (ValueError, TypeError, KeyError, RuntimeError):
            continue  # damaged: the checks that follow say so
        if shape.ndim == 1 and shape.size and shape[0] == batch:
            shape[0] = 1
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _check_sizes(model: onnx.ModelProto) -> None:
    graph = model.graph
    constants = {i.name: list(i.dims) for i in graph.initializer}
    computed = {
        info.name: [d.dim_value for d in info.type.tensor_type.shape.dim if d.HasField("dim_value")]
        for info in (*graph.input, *graph.output, *graph.value_info)
    }
    for shapes, most in ((constants, LARGEST_TENSOR), (computed, LARGEST_ACTIVATION)):
        for name, shape in shapes.items():
            if prod(shape) > most or (shape and min(shape) < 0):
                raise UserError(
                    f"tensor {name} is declared as {' x '.join(map(str, shape))}", "smaller images, or a damaged file"
                )
    total = sum(prod(shape) for name, shape in computed.items() if name not in constants)
    if total > LARGEST_ACTIVATIONS:
        raise UserError(f"the model computes {total:,} numbers an image", "smaller images, or a damaged file")


def _check(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} is not a valid ONNX model: {_first_line(error)}", "export the model again") from None


def _check_constants(model: onnx.ModelProto, path: Path) -> None:
    try:
        for initializer in model.graph.initializer:
            numpy_helper.to_array(initializer)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} is not a valid ONNX model: {_first_line(error)}", "export the model again") from None


def _convert(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    # Initializers of other domains' opsets are nothing to us; only those in use stay.
    used = {n.domain for n in model.graph.node} | set(ONNX_DOMAINS)
    imports = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    version = next(o.version for o in imports if o.domain in ONNX_DOMAINS)
    if version >= MINIMUM_OPSET:
        return model
    if version < 7:
        _spread_slopes(model)
    try:
        return onnx.version_converter.convert_version(model, MINIMUM_OPSET)
    except Exception as error:  # the C++ converter raises plain RuntimeError and worse
        raise UserError(
            f"{path} cannot be converted from opset {version} to {MINIMUM_OPSET}: {_first_line(error)}",
            f"export with opset {MINIMUM_OPSET} or newer",
        ) from None


def _spread_slopes(model: onnx.ModelProto) -> None:
    """Before opset 7 a PRelu's slopes (C,) meant one for each channel; since then they broadcast from the last axis."""
    infos = onnx.shape_inference.infer_shapes(model).graph
    ranks = {i.name: len(i.type.tensor_type.shape.dim) for i in (*infos.input, *infos.value_info, *infos.output)}
    slopes = {n.input[1]: ranks.get(n.input[0], 0) for n in model.graph.node if n.op_type == "PRelu"}
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1 and tensor.dims[0] > 1 and slopes.get(tensor.name, 0) > 2:
            tensor.dims.extend([1] * (slopes[tensor.name] - 2))


def _infer(model: onnx.ModelProto, path: Path, batch: int) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        if batch != 1:
            raise UserError(
                f"{path} was made for batches of {batch} and does not work on single frames: {_reason(error)}",
                "export with batch size 1; constants must not have the batch's size, nodes not move its axis",
            ) from None
        raise UserError(
            f"the shapes in {path} do not fit together: {_reason(error)}", "export the model again"
        ) from None
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the shapes in {path} cannot be inferred: {_first_line(error)}", "export the model again"
        ) from None


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _reason(error: Exception) -> str:
    """Last line of an InferenceError, which is the one that names the node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
