"""Topologies of the onnx package with random weights, as files: their own weights are constants.

python benchmarks/engine/light.py resnet50 vgg19 squeezenet -o build/light
admmfpga check build/light/resnet50.onnx --board pynq
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend import test


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as in the files' names, after light_")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/light"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        onnx.save(randomized(name), arguments.output / f"{name}.onnx")
        print(arguments.output / f"{name}.onnx")


if __name__ == "__main__":
    main()
