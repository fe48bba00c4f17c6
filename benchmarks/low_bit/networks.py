"""Networks of the shapes that FINN's PYNQ examples and MLPerf Tiny have, as QONNX files. Weights are random.

Only shapes and widths count here: intervals and resources do not depend on the values of binary weights. Normalizations
get random gains of both signs and offsets that leave the signs of sums undecided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from admmfpga.mapping import Folding

DOMAIN = "qonnx.custom_op.general"


@dataclass
class Model:
    """A chain of QONNX nodes.

    Attributes:
        shape: of the input, batch included.
        seed: of the weights.
    """

    shape: tuple[int, ...]
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    last: str = "x"
    rows: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype=np.float32), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name, domain = f"t{len(self.nodes)}", DOMAIN if op in ("Quant", "BipolarQuant") else ""
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n{len(self.nodes)}", domain=domain, **attributes))
        return name

    def then(self, op: str, *inputs: str, **attributes: Any) -> Model:
        self.last = self.node(op, self.last, *inputs, **attributes)
        return self

    def quant(self, scale: float, bits: int, *, signed: bool) -> Model:
        parameters = (self.constant(scale), self.constant(0.0), self.constant(bits))
        return self.then("Quant", *parameters, signed=int(signed), narrow=0, rounding_mode="ROUND")

    def sign(self) -> Model:
        return self.then("BipolarQuant", self.constant(1.0))

    def _weights(self, shape: tuple[int, ...], bits: int) -> str:
        self.rows = shape[0]
        if bits == 1:
            return self.node("BipolarQuant", self.constant(self.rng.choice([-1.0, 1.0], shape)), self.constant(1.0))
        top = (1 << (bits - 1)) - 1
        codes = self.rng.integers(-top, top, shape, endpoint=True)
        parameters = (self.constant(1.0), self.constant(0.0), self.constant(bits))
        return self.node("Quant", self.constant(codes), *parameters, signed=1, narrow=1, rounding_mode="ROUND")

    def conv(self, inputs: int, rows: int, bits: int) -> Model:
        return self.then("Conv", self._weights((rows, inputs, 3, 3), bits))

    def dense(self, columns: int, rows: int, bits: int) -> Model:
        return self.then("Gemm", self._weights((rows, columns), bits), transB=1)

    def norm(self, spread: float) -> Model:
        """Batch normalization of sums that reach about `spread`, to about one."""
        rng, channels = self.rng, self.rows
        gamma = rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels)
        values = (
            gamma,
            rng.normal(0, 0.3, channels),
            rng.normal(0, 0.3 * spread, channels),
            np.full(channels, spread**2),
        )
        return self.then("BatchNormalization", *[self.constant(array) for array in values])

    def save(self, path: Path) -> None:
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, self.rows))],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def cnv_w1a1() -> Model:
    """FINN's CNV: 3x3 convolutions without padding of 64-64, 128-128, 256-256 channels, dense layers 512-512-10."""
    model = Model((1, 3, 32, 32)).quant(1 / 128, 8, signed=True)
    inputs = 3
    for block, channels in enumerate((64, 128, 256)):
        for _ in range(2):
            model.conv(inputs, channels, 1).norm(np.sqrt(9 * inputs) * (0.5 if inputs == 3 else 1.0)).sign()
            inputs = channels
        if block < 2:
            model.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    model.then("Flatten")
    for rows in (512, 512):
        model.dense(inputs, rows, 1).norm(np.sqrt(inputs)).sign()
        inputs = rows
    return model.dense(inputs, 10, 1)


def tfc_w1a1() -> Model:
    """FINN's TFC: 784-64-64-64-10 with a binarized input, one bit a pixel."""
    model, inputs = Model((1, 784)).sign(), 784
    for rows in (64, 64, 64):
        model.dense(inputs, rows, 1).norm(np.sqrt(inputs)).sign()
        inputs = rows
    return model.dense(inputs, 10, 1)


def kws_w3a3() -> Model:
    """The keyword-spotting MLP 490-256-256-256-12 with weights and activations of 3 bits; 8-bit input."""
    model, inputs, spread = Model((1, 490)).quant(1 / 256, 8, signed=True), 490, 0.5 * 2 * np.sqrt(490)
    for rows in (256, 256, 256):
        model.dense(inputs, rows, 3).norm(spread).then("Relu").quant(0.3, 3, signed=False)
        inputs, spread = rows, 0.5 * 2 * np.sqrt(256)
    return model.dense(inputs, 12, 3)


@dataclass(frozen=True)
class Goal:
    """A network and the frame interval, in cycles, that it is to reach."""

    make: Callable[[], Model]
    interval: int


GOALS = {"cnv_w1a1": Goal(cnv_w1a1, 32768), "tfc_w1a1": Goal(tfc_w1a1, 64), "kws_w3a3": Goal(kws_w3a3, 500)}


def _binary(pe: int, simd: int, channels: int = 1, *, block_ram: bool = True, thresholds: bool = True) -> Folding:
    return Folding(pe, simd, channels, use_dsp=False, weight_block_ram=block_ram, kind="binary", thresholds=thresholds)


GIVEN = {
    "cnv_w1a1": (
        _binary(16, 3, 3, block_ram=False),
        _binary(16, 72, 16, block_ram=False),
        Folding(channels=2),
        _binary(16, 24, 8),
        _binary(16, 36, 4),
        Folding(channels=1),
        _binary(4, 24, 8),
        _binary(1, 18, 2),
        _binary(1, 4),
        _binary(1, 8),
        _binary(1, 1, thresholds=False),
    )
}
"""Foldings by hand, layer by layer, for --given: the search takes minutes."""
