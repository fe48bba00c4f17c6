"""The test cases that the onnx package carries, judged: passed, refused with a reason, failed, or crashed.

    python tests/frontend/onnx_cases.py          # the table of docs/conformance.md, and every refusal's reason

A case passes if the integer network that the front end makes of it is right to within the quantization's own error:
what it computes is, to half a step of its output, what the operator gives on the quantized operands.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from admmfpga.errors import UserError
from admmfpga.frontend import Import, compare_with_onnxruntime, load, unsupported
from admmfpga.frontend.constants import runner
from admmfpga.frontend.importer import is_quantized
from admmfpga.host import host_results
from admmfpga.network import reference

Array = npt.NDArray[Any]

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

ELEMENTWISE = frozenset(
    [
        "Add",
        "Clip",
        "DequantizeLinear",
        "Dropout",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mul",
        "PRelu",
        "QuantizeLinear",
        "Relu",
        "Sigmoid",
        "Sub",
        "Tanh",
    ]
)
OPERATORS = ELEMENTWISE | frozenset(
    [
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Concat",
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "DepthToSpace",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "LRN",
        "MatMul",
        "MatMulInteger",
        "MaxPool",
        "Pad",
        "QLinearConv",
        "QLinearMatMul",
        "ReduceMean",
        "Reshape",
        "Resize",
        "Softmax",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Operators of convolutional networks."""

STEPS = 0.52
"""Of the output: rounding, and what 17 bits of multiplier leave of the scale."""


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        outcome: "passed", "refused", "failed" or "crashed".
        reason: of a refusal or failure.
    """

    name: str
    operator: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """One node with constant weights and recorded frames.

    Attributes:
        inputs, outputs: (frames, ...).
    """

    name: str
    model: onnx.ModelProto
    inputs: Array
    outputs: Array


def node_cases() -> list[Case]:
    """The onnx package's node cases of one operator of convolutional networks, as models of one input.

    The package gives weights as inputs of the graph: here they are constants. Where a case has no batch axis (operators
    that work on every element) it gets one; where all operands have one, the first frame is the case.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package computes infinities while it makes its cases
        from onnx.backend.test.loader import load_model_tests

        tests = load_model_tests(kind="node")
    found = []
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS and test.data_sets:
            found.append(_bound(test.name, test.model, *test.data_sets[0]))
    return found


def _bound(name: str, original: onnx.ModelProto, inputs: list[Any], outputs: list[Any]) -> Case:
    model = onnx.ModelProto()
    model.CopyFrom(original)
    graph = model.graph
    node = graph.node[0]
    arrays = [_array(array) for array in inputs]
    result = _array(outputs[0])
    x = arrays[0]
    # Masks and indices are by-products of training.
    del graph.output[1:]
    del node.output[1:]
    per_axis = any(a.name == "axis" for a in node.attribute) and arrays[-1].size > 1
    if node.op_type in ELEMENTWISE and x.ndim in (1, 2, 3) and not per_axis:
        arrays[0], result = x[None], result[None]
        for info in (graph.input[0], graph.output[0]):
            dims = info.type.tensor_type.shape.dim
            sizes = [1, *(d.dim_value for d in dims)]
            del dims[:]
            for size in sizes:
                dims.add().dim_value = size
    elif node.op_type == "Concat" or (node.op_type in ("MatMul", "QLinearMatMul") and x.ndim >= 3):
        same = [array.ndim == x.ndim and len(array) == len(x) for array in arrays]
        arrays = [array[:1] if batched else array for array, batched in zip(arrays, same, strict=True)]
        result = result[:1]
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    elif node.op_type in ("Flatten", "Squeeze", "Transpose", "Unsqueeze") and len(x) > 1:
        # The accelerator works on single frames, so these are taken at batch size 1.
        arrays[0] = x[:1]
        graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        result = np.zeros(0)
    names = [info.name for info in graph.input]
    for constant, array in list(zip(names, arrays, strict=False))[1:]:
        if array.dtype != object:
            graph.initializer.append(numpy_helper.from_array(array, constant))
    data = graph.input[0]
    kept = type(data)()
    kept.CopyFrom(data)
    del graph.input[:]
    graph.input.append(kept)
    if result.size == 0 and arrays[0].dtype != object:
        result = np.asarray(ReferenceEvaluator(model).run(None, {kept.name: arrays[0]})[0])
        graph.output[0].CopyFrom(helper.make_tensor_value_info(graph.output[0].name, dtype_of(graph), result.shape))
    return Case(name, model, arrays[0], result)


def dtype_of(graph: onnx.GraphProto) -> int:
    """Element type of a graph's output."""
    return int(graph.output[0].type.tensor_type.elem_type)


def _array(given: Any) -> Array:
    """A case's tensor; types that numpy lacks come as ONNX tensors, sequences as lists."""
    if isinstance(given, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(given))
    return np.zeros(0, dtype=object) if isinstance(given, list) else np.asarray(given)


def judge_node(case: Case, folder: Path) -> Verdict:
    """One node: the result against the operator on quantized operands, or codes against the recorded codes."""
    operator = case.model.graph.node[0].op_type

    def judged(path: Path) -> str:
        calibration = None if is_quantized(case.model) or case.inputs.dtype.kind != "f" else case.inputs
        imported = load(path, calibration=calibration)
        codes = reference.run(imported.network, imported.quantize(case.inputs))
        return _difference(imported, codes, case)

    return _verdict(case.name, operator, case.model, folder, judged)


def _difference(imported: Import, codes: Array, case: Case) -> str:
    if imported.network.host_ops:
        return _layers_differ(imported, case.inputs) or _host_differs(imported, codes, case)
    if case.outputs.dtype.kind in "iu":
        ours = codes.reshape(len(codes), -1)[:, imported.output_layout.ravel()]
        steps = np.abs(ours.ravel() - case.outputs.astype(np.int64).ravel())
        return f"{int(steps.max())} steps" if ours.size != case.outputs.size or steps.max() > 1 else ""
    expected = _unrounded(imported.model, case.inputs)
    ours = imported.dequantize(codes)
    tensor = imported.network.tensors[imported.network.outputs[0]]
    bound = STEPS * float(np.max(tensor.scale)) + 1e-6 * float(np.abs(expected).max(initial=0.0))
    if ours.size != case.outputs.size or ours.size != expected.size:
        return f"{ours.size} values for {case.outputs.size}"
    low, high = (imported.dequantize(np.full_like(codes, end)).ravel() for end in (tensor.dtype.min, tensor.dtype.max))
    worst = float(np.abs(ours.ravel() - np.clip(expected.ravel(), low, high)).max(initial=0.0))
    if not is_quantized(case.model):
        # The range comes from the very same frames: what is recorded lies in it.
        outside = np.maximum(case.outputs.ravel() - high, low - case.outputs.ravel()).max(initial=0.0)
        worst = max(worst, float(outside))
    return f"off by {worst / float(np.max(tensor.scale)):.2f} steps" if worst > bound else ""


def _host_differs(imported: Import, codes: Array, case: Case) -> str:
    """The model's result as the host computes it from the accelerator's codes, against ONNX Runtime."""
    tensor = imported.network.tensors[imported.network.outputs[0]]
    ours = host_results(tensor.dequantize(codes), imported.network.host_ops)
    info = imported.model.graph.input[0]
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    infer = runner(imported.model).run
    expected = np.concatenate([infer(None, {info.name: frame[None].astype(dtype)})[0] for frame in case.inputs])
    if ours.shape != expected.shape:
        return f"the host gives {ours.shape} for {expected.shape}"
    if expected.dtype.kind in "iu":
        return "" if np.array_equal(ours, expected) else "the host gives other indices"
    worst = float(np.abs(ours - expected).max(initial=0.0))
    return f"the host is off by {worst:.2g}" if worst > 1e-5 * max(1.0, float(np.abs(expected).max())) else ""


def _unrounded(model: onnx.ModelProto, frames: Array) -> Array:
    """The QDQ model's output before its last quantization, in ONNX Runtime, frame by frame."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    producers = {node.output[0]: node for node in graph.node}
    name = graph.output[0].name
    last = producers[name]
    if last.op_type == "DequantizeLinear" and last.input[0] in producers:
        last = producers[last.input[0]]
    if last.op_type == "QuantizeLinear":
        name = last.input[0]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    info = graph.input[0]
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    try:
        infer = runner(copy).run
    except Exception:  # operator sets that ONNX Runtime does not have yet
        infer = ReferenceEvaluator(copy).run
    results = [infer(None, {info.name: frame[None].astype(dtype)})[0] for frame in frames]
    return np.stack([np.asarray(result) for result in results])


def torch_cases() -> list[Path]:
    """Models that PyTorch exported, in the onnx package."""
    return sorted((DATA / "pytorch-converted").glob("*/model.onnx"))


def with_weights(path: Path) -> bool:
    """Whether a model has its weights as initializers."""
    return bool(onnx.load(path).graph.initializer)


def judge_model(path: Path, folder: Path) -> Verdict:
    """A whole model: every layer against ONNX Runtime, each on the other's inputs."""

    def judged(copy: Path) -> str:
        imported = load(copy)
        count = 64 if np.prod(imported.frame_shape) < 1000 else 2
        frames = np.random.default_rng(0).random((count, *imported.frame_shape), dtype=np.float32)
        return _layers_differ(imported, frames)

    model = onnx.load(path)
    operators = "+".join(sorted({node.op_type for node in model.graph.node}))
    return _verdict(path.parent.name, operators, model, folder, judged)


def _layers_differ(imported: Import, frames: Array) -> str:
    for layer in compare_with_onnxruntime(imported, frames, isolated=True):
        if layer.max_step > 1 or layer.total - layer.equal > 2 + layer.total // 1000:
            return f"{layer.name} differs by up to {layer.max_step} steps in {layer.total - layer.equal} values"
    return ""


def _verdict(name: str, operator: str, model: onnx.ModelProto, folder: Path, judged: Any) -> Verdict:
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            problems = unsupported(path)
            if problems:
                assert all(p.node and p.message for p in problems)
                return Verdict(name, operator, "refused", "; ".join(f"{p.op}: {p.message}" for p in problems))
            difference = judged(path)
        return Verdict(name, operator, "failed" if difference else "passed", difference)
    except UserError as error:
        return Verdict(name, operator, "refused", str(error).replace(str(path), "the model").splitlines()[0])
    except Exception as error:
        return Verdict(name, operator, "crashed", "".join(traceback.format_exception_only(error)).strip())


def table(node: list[Verdict], exported: list[Verdict], weights: list[Verdict]) -> str:
    """Counts, as Markdown."""
    lines = ["| cases | number | passed | refused with a reason | failed | crashed |", "|---|---|---|---|---|---|"]
    for title, verdicts in (
        ("nodes", node),
        ("exported from PyTorch", exported),
        ("of these with weights in the file", weights),
    ):
        count = Counter(v.outcome for v in verdicts)
        cells = [count[outcome] for outcome in ("passed", "refused", "failed", "crashed")]
        lines.append(f"| {title} | {len(verdicts)} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        node = [judge_node(case, folder) for case in node_cases()]
        paths = torch_cases()
        exported = [judge_model(path, folder) for path in paths]
        weights = [verdict for path, verdict in zip(paths, exported, strict=True) if with_weights(path)]
    print(table(node, exported, weights))
    for outcome in ("crashed", "failed", "refused"):
        for verdict in (*node, *exported):
            if verdict.outcome == outcome:
                print(f"{outcome}: {verdict.name} ({verdict.operator}): {verdict.reason}")


if __name__ == "__main__":
    sys.exit(main())
