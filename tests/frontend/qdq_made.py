"""Small ONNX models that tests make themselves, and the comparison that every one of them must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from admmfpga.frontend import Import, LayerAgreement, compare_with_onnxruntime, load
from admmfpga.frontend.constants import runner

Array = npt.NDArray[Any]


def onnx_type(name: str) -> int:
    return int(getattr(TensorProto, name.upper()))


def narrow(codes: Array, dtype: str) -> Array:
    """Codes in numpy's or ml_dtypes' type of that name."""
    return np.asarray(codes).astype(helper.tensor_dtype_to_np_dtype(onnx_type(dtype)))


class Maker:
    """Builds a graph node by node; methods return the name of the result."""

    def __init__(
        self, shape: tuple[Any, ...], rng: np.random.Generator, *, opset: int = 21, kind: str = "float", count: int = 64
    ) -> None:
        self.rng = rng
        self.shape = shape
        self.opset = opset
        self.kind = kind
        self.domains: list[str] = []
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.count = 0
        frame = [d for d in shape[1:] if isinstance(d, int)]
        if kind == "float":
            self.images: Array = rng.random((count, *frame), dtype=np.float32)
        else:
            info = np.iinfo(kind)
            self.images = rng.integers(info.min, info.max + 1, (count, *frame)).astype(kind)

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def const(self, array: Array | float | list[int]) -> str:
        array = np.asarray(array)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = self.name("const")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def real(self, *shape: int) -> str:
        """A constant of normally distributed numbers."""
        return self.const(self.rng.standard_normal(shape).astype(np.float32))

    def node(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = self.name(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [output], name, **attributes))
        return output

    def quantize(self, x: str, scale: float, zero_point: int = 0, dtype: str = "uint8") -> str:
        return self.node("QuantizeLinear", x, self.const(float(scale)), self.const(narrow(zero_point, dtype)))

    def dequantize(self, x: str, scale: Array | float, zero: Array | int = 0, dtype: str = "uint8", **axis: int) -> str:
        zeros = narrow(np.broadcast_to(zero, np.shape(scale)), dtype)
        parameters = (self.const(np.asarray(scale, dtype=np.float32)), self.const(zeros))
        return self.node("DequantizeLinear", x, *parameters, **axis)

    def qdq(self, x: str, scale: float, zero_point: int = 0, dtype: str = "uint8") -> str:
        return self.dequantize(self.quantize(x, scale, zero_point, dtype), scale, zero_point, dtype)

    def fit(self, x: str, dtype: str = "uint8", shrink: float = 1.0) -> str:
        """QuantizeLinear, DequantizeLinear with a range that fits the tensor over the images."""
        values = self.run(x)
        bits = int("".join(c for c in dtype if c.isdigit()))
        signed = not dtype.startswith("u")
        least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        low, high = min(float(values.min()), 0.0) * shrink, max(float(values.max()), 0.0) * shrink
        scale = np.float32((high - low) / (most - least) or 1.0)
        zero_point = int(np.clip(np.rint(least - low / scale), least, most))
        return self.qdq(x, float(scale), zero_point, dtype)

    def input(self, scale: float = 1 / 255, zero_point: int = 0, dtype: str = "uint8") -> str:
        return self.qdq("x", np.float32(scale), zero_point, dtype)

    def codes(self, *shape: int, dtype: str = "int8") -> Array:
        bits = int("".join(c for c in dtype if c.isdigit()))
        limit = (1 << (bits - 1)) - 1
        return self.rng.integers(-limit, limit + 1, shape)

    def weights(self, *shape: int, dtype: str = "int8", axis: int | None = None, scale: float = 0.01) -> str:
        """Quantized random weights; one scale each along `axis` if given."""
        codes = self.const(narrow(self.codes(*shape, dtype=dtype), dtype))
        if axis is None:
            return self.dequantize(codes, scale, 0, dtype)
        scales = scale * self.rng.uniform(0.5, 2.0, shape[axis])
        return self.dequantize(codes, scales, 0, dtype, axis=axis)

    def model(self, output: str, *, legacy: bool = False, extra: list[str] | None = None) -> onnx.ModelProto:
        """The model with `output` as its output; legacy: initializers among the inputs, IR version 3."""
        inputs = [helper.make_tensor_value_info("x", onnx_type(self.kind), self.shape)]
        if legacy:
            inputs += [helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in self.initializers]
        outputs = [helper.make_empty_tensor_value_info(name) for name in [output, *(extra or [])]]
        graph = helper.make_graph(self.nodes, "made", inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(domain, 1) for domain in self.domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=3 if legacy else 10)
        inferred = onnx.shape_inference.infer_shapes(model)
        types = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
        for info in model.graph.output:
            if info.name in types and types[info.name].type.WhichOneof("value"):
                info.CopyFrom(types[info.name])
        return model

    def run(self, tensor: str) -> Array:
        """A tensor's values over all images."""
        runs = runner(self.model(tensor))
        return np.stack([runs.run(None, {"x": image[None]})[0] for image in self.images])

    def save(self, path: Path, output: str, **options: Any) -> Path:
        path.write_bytes(self.model(output, **options).SerializeToString())
        return path


def check(
    made: Maker, output: str, folder: Path, *, exact: bool = False, isolated: bool = False, **options: Any
) -> Import:
    """Import the model and compare every layer with ONNX Runtime.

    At most one value in a thousand (and two more, for small models) may differ, by one step; none if `exact`.
    """
    imported = load(made.save(folder / "made.onnx", output, **options))
    imported.network.verify()
    agree(imported, made.images, exact=exact, isolated=isolated)
    return imported


def agree(imported: Import, images: Array, *, exact: bool = False, isolated: bool = False) -> list[LayerAgreement]:
    """As `check`; isolated: each layer gets ONNX Runtime's inputs (behind a sum or table, one step becomes several)."""
    agreements = compare_with_onnxruntime(imported, images, isolated=isolated)
    assert agreements
    assert max(a.max_step for a in agreements) <= (0 if exact else 1), agreements
    # A difference in one layer moves many values of the next by part of a step, so the bound is over all layers.
    total, different = sum(a.total for a in agreements), sum(a.total - a.equal for a in agreements)
    assert different <= (0 if exact else 2 + total // 1000), agreements
    return agreements


def ops(imported: Import) -> list[str]:
    return [node.op for node in imported.network.nodes]
