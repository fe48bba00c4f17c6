"""admmfpga and hls4ml side by side in one run: conversion, compilation of the C simulation, frames a second in it.

    python benchmarks/peers/side_by_side.py [--runs 3] [--frames 20] [--output benchmarks/peers/side_by_side.json]

Same networks, random weights (seed 0), 8-bit weights and activations on both sides; hls4ml takes the PyTorch model
(Vitis backend, io_stream, resource strategy), admmfpga the same model as ONNX with calibration images, folded for
`pynq`. Seconds are processor seconds, of the programs that are started too, so a busy machine counts little; the tools
take turns; medians of all runs. Compiler caches are off, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

import numpy as np

from admmfpga import __version__
from admmfpga.codegen.build import compile_model, write_build
from admmfpga.codegen.frames import to_beats
from admmfpga.runtime import open_build
from admmfpga.runtime.images import to_codes
from admmfpga.tools.csim import CSimulation

PRECISION, REUSE = "ap_fixed<8,3>", 500

REPEATED = 50
"""Our simulation takes every image so many times."""


def networks() -> dict[str, tuple[Any, tuple[int, ...]]]:
    """PyTorch models and the shape of an image."""
    from torch import manual_seed, nn

    manual_seed(0)
    mlp = nn.Sequential(
        nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    lenet5 = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
    return {"mlp 784-64-64-64-10": (mlp.eval(), (784,)), "lenet5 20-50-500-10": (lenet5.eval(), (1, 28, 28))}


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, programs that it starts included."""

    def used() -> float:
        both = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
        return sum(one.ru_utime + one.ru_stime for one in both)

    began = used()
    result = function()
    return used() - began, result


def ours(model: Any, shape: tuple[int, ...], images: np.ndarray, folder: Path) -> dict[str, float]:
    import torch

    onnx, build = folder / "model.onnx", folder / "build"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(1, *shape), str(onnx), input_names=["x"], dynamo=False)

    def convert() -> None:
        write_build(compile_model(onnx, "pynq", calibration=images), build)

    converted, _ = seconds(convert)
    opened = open_build(build)
    simulation = CSimulation(build, opened.work / "csim")
    compiled, _ = seconds(simulation.compile)
    # So many that starting the program does not matter.
    codes = np.repeat(to_codes(opened.design, images), REPEATED, axis=0)
    beats = to_beats(codes, opened.design.formats[0])
    ran, _ = seconds(lambda: simulation.run(beats, len(codes)))
    return {"convert_s": converted, "compile_s": compiled, "frames_per_s": len(codes) / ran}


def hls4ml(model: Any, shape: tuple[int, ...], images: np.ndarray, folder: Path) -> dict[str, float]:
    from hls4ml.converters import convert_from_pytorch_model
    from hls4ml.utils import config_from_pytorch_model

    def convert() -> Any:
        config = config_from_pytorch_model(
            model, shape, granularity="name", backend="Vitis", default_precision=PRECISION, default_reuse_factor=REUSE
        )
        config["Model"]["Strategy"] = "Resource"
        converted = convert_from_pytorch_model(
            model, output_dir=str(folder / "hls4ml"), backend="Vitis", io_type="io_stream", hls_config=config
        )
        converted.write()
        return converted

    converted, made = seconds(convert)
    compiled, _ = seconds(made._compile)
    # Images as hls4ml takes them: channels last.
    inputs = np.ascontiguousarray(np.moveaxis(images, 1, -1) if images.ndim == 4 else images)
    ran, _ = seconds(lambda: made.predict(inputs))
    return {"convert_s": converted, "compile_s": compiled, "frames_per_s": len(images) / ran}


TOOLS = {"admmfpga": ours, "hls4ml": hls4ml}


def measure(counts: list[int], frames: int) -> list[dict[str, Any]]:
    rows, made = [], networks()
    each = counts if len(counts) == len(made) else counts[:1] * len(made)
    for runs, (name, (model, shape)) in zip(each, made.items(), strict=True):
        images = np.random.default_rng(0).uniform(0, 1, (frames, *shape)).astype(np.float32)
        found: dict[str, list[dict[str, float]]] = {tool: [] for tool in TOOLS}
        for _ in range(runs):
            for tool, function in TOOLS.items():
                folder = Path(tempfile.mkdtemp())
                try:
                    found[tool].append(function(model, shape, images, folder))
                finally:
                    shutil.rmtree(folder)
        medians = {
            tool: {key: round(statistics.median(one[key] for one in ones), 4) for key in ones[0]}
            for tool, ones in found.items()
        }
        a, b = medians["admmfpga"], medians["hls4ml"]
        ratios = {
            "convert": round(b["convert_s"] / a["convert_s"], 3),
            "compile": round(b["compile_s"] / a["compile_s"], 3),
            "simulate": round(a["frames_per_s"] / b["frames_per_s"], 3),
        }
        rows.append({"network": name, "frames": frames, "medians": medians, "times_faster": ratios, "runs": found})
        print(json.dumps({"network": name, **medians, "times_faster": ratios}), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[3], help="one number, or one a network")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("side_by_side.json"))
    arguments = parser.parse_args()
    os.environ["CCACHE_DISABLE"] = "1"
    runs = " ".join(map(str, arguments.runs))
    result = {
        "command": f"python benchmarks/peers/side_by_side.py --runs {runs} --frames {arguments.frames}",
        "versions": {"admmfpga": __version__, "hls4ml": version("hls4ml"), "python": platform.python_version()},
        "settings": {"hls4ml": f"Vitis backend, io_stream, Resource, {PRECISION}, reuse factor {REUSE}"},
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "networks": measure(arguments.runs, arguments.frames),
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
