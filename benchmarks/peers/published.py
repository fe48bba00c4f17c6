"""Networks of the shapes of published PYNQ-Z2 figures: our cycles, modelled and synthesized resources.

    python benchmarks/peers/published.py [--network NAME] [--synthesize] [--output benchmarks/peers/published.json]

Random weights (seed 0), 8 bits; cycles are exact whatever the weights are, resources nearly so. The low-bit networks
(CNV W1A1, TFC W1A1, KWS W3A3) are in benchmarks/low_bit.

Shapes: the anomaly-detection autoencoder follows training/ad08.yml of the MLPerf Tiny v0.7 submission of hls4ml and
FINN (github.com/hls4ml-finn-mlperftiny/tiny_results_v0.7): 64 inputs, two layers of 72, 8 in the middle, and back; it
has 12-bit weights and 6-bit activations there. ResNet-8 is that of MLPerf Tiny (three stages of 16, 32 and 64 channels
on 32 x 32 x 3).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from admmfpga.codegen.build import compile_model, write_build
from admmfpga.errors import UserError
from admmfpga.runtime import open_build
from admmfpga.runtime.synthesis import synthesize

PUBLISHED = {
    "anomaly detection autoencoder": {"tool": "hls4ml, MLPerf Tiny v0.7", "latency_us": 18.7, "clock_mhz": 100},
    "ResNet-8 image classification": {"tool": "hls4ml, MLPerf Tiny v0.7", "latency_us": 27300.0, "clock_mhz": 100},
}


def autoencoder() -> tuple[Any, tuple[int, ...]]:
    from torch import manual_seed, nn

    manual_seed(0)
    widths = (64, 72, 72, 8, 72, 72, 64)
    layers: list[Any] = []
    for index, (into, out) in enumerate(pairwise(widths)):
        layers += [nn.Linear(into, out), *([nn.ReLU()] if index < len(widths) - 2 else [])]
    return nn.Sequential(*layers).eval(), (64,)


def resnet8() -> tuple[Any, tuple[int, ...]]:
    from torch import manual_seed, nn

    class Stage(nn.Module):
        def __init__(self, into: int, out: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(into, out, 3, stride, 1)
            self.second = nn.Conv2d(out, out, 3, 1, 1)
            self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(into, out, 1, stride)

        def forward(self, x: Any) -> Any:
            return (self.second(self.first(x).relu()) + self.shortcut(x)).relu()

    manual_seed(0)
    stages = (Stage(16, 16, 1), Stage(16, 32, 2), Stage(32, 64, 2))
    head = (nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), *stages, *head).eval(), (3, 32, 32)


NETWORKS = {"anomaly detection autoencoder": autoencoder, "ResNet-8 image classification": resnet8}


def rows(names: list[str], synthesizing: bool) -> list[dict[str, Any]]:
    import torch

    found = []
    for name in names:
        model, shape = NETWORKS[name]()
        images = np.random.default_rng(0).uniform(0, 1, (16, *shape)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(model, torch.zeros(1, *shape), str(path), input_names=["x"], dynamo=False)
            row: dict[str, Any] = {
                "network": name,
                "weights": "random",
                "published": PUBLISHED[name],
                "board": "pynq-z2",
            }
            try:
                compiled = compile_model(path, "pynq", calibration=images)
            except UserError as error:
                found.append(row | {"not_mapped": str(error)})
                print(json.dumps(found[-1]), flush=True)
                continue
            report = compiled.report
            clock = report["clock_mhz"]
            row |= {
                "macs": sum(layer["macs"] for layer in report["layers"]),
                "latency_cycles": report["latency_cycles"],
                "frame_interval_cycles": report["frame_interval_cycles"],
                "latency_us": round(report["latency_cycles"] / clock, 3),
                "bound": report["bound"],
                "modelled": {key: value["used"] for key, value in report["resources"].items()},
                "available": {key: value["available"] for key, value in report["resources"].items()},
            }
            if synthesizing:
                write_build(compiled, Path(folder) / "build")
                row["synthesis"] = synthesize(open_build(Path(folder) / "build"), "yosys")
            found.append(row)
            print(json.dumps(row), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), action="append", help="all, if none is named")
    parser.add_argument("--synthesize", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("published.json"))
    arguments = parser.parse_args()
    names = arguments.network or list(NETWORKS)
    options = "".join(f" --network '{name}'" for name in arguments.network or ())
    command = f"python benchmarks/peers/published.py{options}{' --synthesize' if arguments.synthesize else ''}"
    result = {"command": command, "networks": rows(names, arguments.synthesize)}
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
