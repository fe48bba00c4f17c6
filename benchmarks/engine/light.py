"""Topologies of the onnx package with random weights, as files: their own weights are constants.

    python benchmarks/engine/light.py resnet50 vgg19 squeezenet -o build/light
    python benchmarks/engine/light.py resnet50 --prune structured --prune nonstructured
    admmfpga check build/light/resnet50-structured.onnx --board pynq

Structured pruning leaves GEMM columns (input channel and tap; of a matrix, inputs), nonstructured single weights: those
of the greatest norm, of every layer but the first convolution the same share, so that the network as a whole has the
rate of RATES.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend import test

RATES = {
    "bvlc_alexnet": {"structured": 5.0, "nonstructured": 36.0},
    "vgg19": {"structured": 5.0, "nonstructured": 34.0},
    "resnet50": {"structured": 3.0, "nonstructured": 8.0},
    "squeezenet": {"structured": 3.0, "nonstructured": 8.0},
    "densenet121": {"structured": 3.0, "nonstructured": 8.0},
}
"""Weights over weights that are left. Published by the ADMM-NN papers for ImageNet: AlexNet's both, VGG-16's (here for
VGG-19) and ResNet-50's nonstructured one. Chosen: VGG-19's structured one is AlexNet's; ResNet-50's structured one, and
both of SqueezeNet and DenseNet-121, of which nothing was published."""


def randomized(name: str, seed: int = 0) -> onnx.ModelProto:
    """A light model whose weights are He-normal, whose normalizations do little."""
    model = onnx.load(Path(test.__file__).parent / "data" / "light" / f"light_{name}.onnx")
    graph, rng = model.graph, np.random.default_rng(seed)
    shapes = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    sources = {name: node for node in graph.node for name in node.output}
    roles = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            roles |= dict(zip(node.input[1:], ("scale", "offset", "mean", "variance"), strict=True))
        elif node.op_type == "Mul":  # by a number for each channel, of which Unsqueeze makes an image
            source = sources.get(node.input[1])
            roles[source.input[0] if source is not None and source.op_type == "Unsqueeze" else node.input[1]] = "scale"
    made, kept = [], []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(v) for v in shapes[node.input[0]])
        role = roles.get(node.output[0], "weight" if len(shape) > 1 else "bias")
        if role == "weight":
            values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif role in ("scale", "variance"):
            values = rng.uniform(0.8, 1.2, shape)
        else:
            values = rng.normal(0, 0.1, shape)
        made.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(made)
    used = {name for node in kept for name in node.input}
    left = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
    names = {one.name for one in left}
    inputs = [one for one in graph.input if one.name not in names and one.name in used]
    del graph.input[:]
    graph.input.extend(inputs)
    return model


def pruned(model: onnx.ModelProto, kind: str, rate: float) -> None:
    """Zeroes weights in place.

    Args:
        kind: "structured" or "nonstructured".
        rate: weights of the network over those that are left.
    """
    tensors = {one.name: one for one in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    sizes = [int(np.prod(tensors[node.input[1]].dims)) for node in layers]
    share = (sum(sizes) / rate - sizes[0]) / (sum(sizes) - sizes[0])
    for node in layers[1:]:
        tensor = tensors[node.input[1]]
        weights = numpy_helper.to_array(tensor).copy()
        transposed = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
        # Columns of the GEMM view: all that filters share, or single weights.
        rows = 1 if transposed else 0
        scores = np.square(weights).sum(axis=rows, keepdims=True) if kind == "structured" else np.abs(weights)
        kept = max(1, round(share * scores.size))
        least = np.partition(scores.reshape(-1), scores.size - kept)[scores.size - kept]
        weights *= (scores >= least) * np.float32(share**-0.5)  # what they give stays as large
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as in the files' names, after light_")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/light"))
    parser.add_argument("--prune", choices=["structured", "nonstructured"], action="append", default=[])
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        for kind in arguments.prune or [""]:
            path = arguments.output / f"{name}{'-' * bool(kind)}{kind}.onnx"
            model = randomized(name)
            if kind:
                pruned(model, kind, RATES[name][kind])
            onnx.save(model, path)
            print(path)


if __name__ == "__main__":
    main()
