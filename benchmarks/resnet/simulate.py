"""ResNet-8 for 32 x 32 images as a dataflow accelerator: reference, HLS C++ and RTL, bit for bit.

    python benchmarks/resnet/simulate.py [MODEL.onnx] [--frames 3] [--board pynq]

Without a model it is a ResNet-8 with random weights, quantized to 8 bits, on random images. With --stalls the RTL runs
again under random idle and back-pressure.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np

from admmfpga.codegen.build import compile_model, write_build
from admmfpga.runtime.build import open_build
from admmfpga.runtime.simulate import Simulation


def random_resnet8(path: Path) -> Path:
    """An untrained ResNet-8, its normalizations settled on random images."""
    import torch

    from admmfpga.compress.models import resnet8

    torch.manual_seed(0)
    model = resnet8()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(32, 3, 32, 32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model.eval(), (torch.zeros(1, 3, 32, 32),), dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--stalls", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("build/resnet/simulate"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    model = arguments.model or random_resnet8(arguments.work / "resnet8.onnx")
    started = time.monotonic()
    images = rng.random((16, 3, 32, 32), dtype=np.float32)
    compiled = compile_model(model, arguments.board, calibration=None if arguments.model else images)
    folder = arguments.work / "build"
    write_build(compiled, folder, force=True)
    design = compiled.design
    used = {name: entry["used"] for name, entry in compiled.report["resources"].items()}
    print(f"{model.name} on {arguments.board}: {len(design.stages)} stages, {used}, {time.monotonic() - started:.0f} s")
    source = design.original.tensors[design.original.inputs[0]]
    codes = rng.integers(source.dtype.min, source.dtype.max, (arguments.frames, *source.shape), endpoint=True)
    simulation = Simulation(open_build(folder), codes)
    for name, run in (("rtl", lambda: simulation.run_verilated("rtl")), ("hls", simulation.run_hls)):
        started = time.monotonic()
        outcome = run()
        cycles = (
            f"; latency {outcome.latency_cycles:,} cycles, closed form {design.timing.latency:,}; frame interval "
            f"{outcome.frame_interval_cycles:,}, closed form {design.timing.frame_interval:,}"
            if name == "rtl" and outcome.latency_cycles and outcome.frame_interval_cycles
            else ""
        )
        took = f"{time.monotonic() - started:.0f} s"
        print(f"{name}: {outcome.mismatches} of {outcome.frames} frames differ{cycles}; {took}", flush=True)
    if arguments.stalls:
        outcome = simulation.run_verilated("rtl", stall_percent=40)
        print(f"rtl under stalls: {outcome.mismatches} of {outcome.frames} frames differ", flush=True)
    problems = [line for one in simulation.outcomes.values() for line in one.problems]
    for line in problems:
        print(f"PROBLEM {line}")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
