"""How fast the simulations of a build are, against each other, in one run.

    python benchmarks/simulation_speed.py [BUILD IMAGES] [--frames N]

Prints frames and MACs a second of the numpy reference, the HLS C++ and the Verilated RTL under the C++ harness (cycles
a second too), and their ratios. Models are built before the clock starts.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np

from admmfpga.codegen.frames import to_beats
from admmfpga.network import macs
from admmfpga.network.reference import run
from admmfpga.report.table import format_table
from admmfpga.runtime import open_build
from admmfpga.runtime.images import to_codes
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.verilated import Verilated


def timed(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@click.command()
@click.argument("build", type=click.Path(path_type=Path), default=Path("build/lenet5/pynq"))
@click.argument("images", type=click.Path(path_type=Path), default=Path("build/lenet5/test.npz"))
@click.option("--frames", default=200, show_default=True)
def main(build: Path, images: Path, frames: int) -> None:
    opened = open_build(build)
    design = opened.design
    codes = to_codes(design, np.load(images)["images"][:frames])
    beats = to_beats(codes, design.formats[0])
    work = sum(macs(design.network, node) for node in design.network.nodes)
    csim = CSimulation(opened.folder, opened.work / "csim")
    csim.compile()
    rtl = Verilated(opened.folder, opened.work, "rtl")
    rtl.compile()
    cycles = design.timing.latency + design.timing.frame_interval * (frames - 1)
    seconds = {
        "reference": timed(lambda: run(design.network, codes)) / frames,
        "hls": timed(lambda: csim.run(beats, frames)) / frames,
        "rtl": timed(lambda: rtl.run(beats, out_beats=design.out_beats, settle=design.settle_cycles)) / frames,
    }
    base = seconds["rtl"]
    rows = [(name, f"{1 / s:,.1f}", f"{work / s / 1e6:,.1f}", f"{base / s:,.2f}x") for name, s in seconds.items()]
    print("\n".join(format_table(("simulation", "frames/s", "million MAC/s", "against rtl"), rows)))
    print(f"rtl: {cycles / frames / base / 1e6:,.2f} million cycles/s")


if __name__ == "__main__":
    main()
