"""From a float model to a QDQ model, by ONNX Runtime's static quantization.

Only what a layer reads is quantized: the input of each Conv, Gemm and MatMul, its weights and bias, and the model's
output. Batch normalization, Relu and MaxPool in between stay real numbers in the QDQ model, so the importer folds them
exactly into the layer before them.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from admmfpga.errors import UserError
from admmfpga.frontend.constants import runner

ASSUMED_IMAGES = 64
ASSUMPTION = (
    f"no calibration images: activation ranges come from {ASSUMED_IMAGES} images of random pixels, uniform in 0..1; "
    "real images give better accuracy (--calibration images.npz)"
)

QUANTIZED_OPS = ["Conv", "Gemm", "MatMul"]
HOST_OPS = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "ArgMax"})
FIRST_OPS = frozenset({"MaxPool", "GlobalMaxPool", "Relu", "Clip"})
"""What the quantizer leaves alone and hardware can only do to codes: where it is first, the input is quantized too."""

MOVES = frozenset({"Identity", "Squeeze", "Cast", "Reshape", "Flatten"})


def assumed_images(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Stand-in for calibration images: random pixels, uniform in 0..1, always the same ones.

    Args:
        shape: of one frame.
    """
    images = np.random.default_rng(0).random((ASSUMED_IMAGES, *shape), dtype=np.float32)
    images.reshape(ASSUMED_IMAGES, -1)[:, 0] = 0.0
    images.reshape(ASSUMED_IMAGES, -1)[:, -1] = 1.0  # both ends of the range, so that the input's scale is 1/255
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


def quantize(model: onnx.ModelProto, images: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """A QDQ model: uint8 activations, int8 weights with one scale per output channel, symmetric -127..127.

    The same model and images give the same bytes.

    Args:
        model: float, one input and one output, batch size 1.
        images: (N, *frame) as the model takes them.

    Raises:
        UserError: if ONNX Runtime cannot run or quantize the model.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = model.graph.input[0].name
    with tempfile.TemporaryDirectory(prefix="admmfpga-") as folder, _quiet():
        given, prepared, quantized = (Path(folder) / f"{stem}.onnx" for stem in ("float", "prepared", "quantized"))
        onnx.save(model, given)
        try:
            # All sizes are fixed, so ONNX's own shape inference is enough (the symbolic one needs sympy).
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
            real = onnx.load(prepared)
            _spread_biases(real)
            onnx.save(real, prepared)
            quantize_static(
                prepared,
                quantized,
                _reader(name, images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED_OPS,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"OpTypesToExcludeOutputQuantization": QUANTIZED_OPS, "WeightSymmetric": True},
            )
            result = onnx.load(quantized)
            logits = _last_computed(real)
            low, high = _range(real, logits, name, images)
        except UserError:
            raise
        except Exception as error:  # two libraries' many exception types, on a model that is the user's
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"ONNX Runtime cannot quantize the model: {reason}", "quantize it yourself and give the QDQ model"
            ) from None
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError("the model's output is not finite on the calibration images", "check its weights")
    if any(node.op_type in FIRST_OPS and name in node.input for node in result.graph.node):
        _quantize_input(result, float(images.min()), float(images.max()))
    _quantize_output(result, logits, low, high)
    _tidy(result)
    return result


def _spread_biases(model: onnx.ModelProto) -> None:
    """Give every Gemm a bias of shape (O,); the quantizer takes no other, ONNX takes all that broadcast to (1, O)."""
    constants = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or not {node.input[1], node.input[2]} <= set(constants):
            continue
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        outputs = constants[node.input[1]].dims[0 if transposed else 1]
        bias = numpy_helper.to_array(constants[node.input[2]])
        if bias.shape != (outputs,):
            name = f"{node.input[2]}_of_{node.output[0]}"
            spread = np.broadcast_to(bias.ravel(), (outputs,)).copy()
            model.graph.initializer.append(numpy_helper.from_array(spread, name))
            node.input[2] = name
    used = {name for node in model.graph.node for name in node.input}
    kept = [i for i in model.graph.initializer if i.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _reader(name: str, images: npt.NDArray[np.float32]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            image = next(self._images, None)
            return None if image is None else {name: image[None]}

    return Reader()


def _last_computed(model: onnx.ModelProto) -> str:
    """The tensor that the accelerator gives out: the output, or what the operators left to the host start from."""
    name: str = model.graph.output[0].name
    producers = {output: node for node in model.graph.node for output in node.output}
    at = name
    while at in producers and producers[at].op_type in HOST_OPS | MOVES:
        node = producers[at]
        at = node.input[0]
        if node.op_type in HOST_OPS:
            name = at
    return name


def _range(model: onnx.ModelProto, tensor: str, name: str, images: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Least and greatest value of a tensor over the images."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    runs = runner(copy)
    results = [runs.run(None, {name: image[None]})[0] for image in images]
    return min(float(r.min()) for r in results), max(float(r.max()) for r in results)


def _quantize_output(model: onnx.ModelProto, tensor: str, low: float, high: float) -> None:
    """Put QuantizeLinear, DequantizeLinear behind a tensor: one scale, so that codes compare as the reals do."""
    position = next(i for i, node in enumerate(model.graph.node) if tensor in node.output)
    producer = model.graph.node[position]
    inner = f"{tensor}_unquantized"
    producer.output[list(producer.output).index(tensor)] = inner
    _insert_pair(model, position + 1, inner, tensor, low, high)


def _quantize_input(model: onnx.ModelProto, low: float, high: float) -> None:
    """The same behind the model's input, for those of its readers that are no layers."""
    tensor = model.graph.input[0].name
    quantized = f"{tensor}_quantized"
    for node in model.graph.node:
        if node.op_type in FIRST_OPS:
            node.input[:] = [quantized if name == tensor else name for name in node.input]
    _insert_pair(model, 0, tensor, quantized, low, high)


def _insert_pair(model: onnx.ModelProto, position: int, source: str, result: str, low: float, high: float) -> None:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255 or 1.0)
    zero_point = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    stem = f"{source}_to_{result}"
    parameters = {f"{stem}_scale": scale, f"{stem}_zero_point": zero_point}
    graph = model.graph
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in parameters.items())
    codes = f"{result}_QuantizeLinear_Output"
    quantize = helper.make_node("QuantizeLinear", [source, *parameters], [codes], f"{result}_QuantizeLinear")
    dequantize = helper.make_node("DequantizeLinear", [codes, *parameters], [result], f"{result}_DequantizeLinear")
    graph.node.insert(position, quantize)
    graph.node.insert(position + 1, dequantize)


def _tidy(model: onnx.ModelProto) -> None:
    """Without the operator sets that nothing uses and without ONNX Runtime's marks."""
    used = {node.domain for node in model.graph.node} | {""}
    imports = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    del model.metadata_props[:]
    del model.graph.value_info[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantizer logs advice for its own users; errors come as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
