"""Low-bit networks of FINN's shapes on a PYNQ-Z2: frame interval and resources. Weights are random.

    python benchmarks/low_bit/run.py [--network tfc_w1a1] [--simulate] [--synthesize] [--estimate] [--work DIR]

Each network is compiled for the interval that its goal names with the least resources. --simulate runs frames through
the Verilated RTL, compares them with the integer reference, and takes the interval from the simulation. --synthesize
counts the whole accelerator with Yosys; --by-layer sums Yosys' counts layer by layer instead, which needs less memory.
What was measured goes into results.json beside this file; what was not keeps the figures of the last run.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
from networks import GIVEN, GOALS, Goal

from admmfpga.atomic import atomic_write
from admmfpga.blocks import MatrixUnit, Resources, axi_lite_control
from admmfpga.boards import load_board
from admmfpga.codegen.build import Compiled, compile_model, write_build
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.frontend import load
from admmfpga.mapping import build_design, lower
from admmfpga.mapping.lowering import axis_formats
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import compact, reference
from admmfpga.report import make_report
from admmfpga.runtime import open_build
from admmfpga.runtime.build import Build
from admmfpga.runtime.synthesis import synthesize_layer, synthesize_top
from admmfpga.tools.verilated import Verilated
from admmfpga.tools.yosys import Yosys

BOARD = "pynq"
CLOCK_MHZ = 100.0
FRAMES = 4
RESULTS = Path(__file__).with_name("results.json")


def build(name: str, goal: Goal, work: Path, *, given: bool) -> Build:
    """The network as QONNX, compiled for its interval.

    Args:
        given: with the foldings that `networks` names, instead of a search.
    """
    model = work / f"{name}.onnx"
    goal.make().save(model)
    if given:
        board, imported = load_board(BOARD), load(model)
        network = compact(imported.network)
        chosen = zip(hardware_nodes(network), GIVEN[name], strict=True)
        design = build_design(network, {node.name: folding for node, folding in chosen}, imported.network)
        report = make_report(design, board, clock_mhz=CLOCK_MHZ, model_name=name, model_sha256=imported.sha256)
        write_build(Compiled(imported, design, board, CLOCK_MHZ, report), work / name, force=True)
        return open_build(work / name)
    # Half a cycle of slack, so that rounding does not ask for one cycle less.
    fps = CLOCK_MHZ * 1e6 / (goal.interval + 0.5)
    compiled = compile_model(model, BOARD, clock_mhz=CLOCK_MHZ, target_fps=fps)
    write_build(compiled, work / name, force=True)
    return open_build(work / name)


def estimate(name: str, goal: Goal, work: Path) -> dict[str, Any]:
    """Closed-form cycles of the slowest block and modelled resources, with the foldings by hand and every FIFO at its
    least depth; seconds instead of the minutes that sizing the FIFOs of a large network takes."""
    model = work / f"{name}.onnx"
    goal.make().save(model)
    network = compact(load(model).network)
    chosen = zip(hardware_nodes(network), GIVEN[name], strict=True)
    stages, _ = lower(network, {node.name: folding for node, folding in chosen}, axis_formats(network))
    used = sum((stage.block.resources() for stage in stages), axi_lite_control.resources())
    arrays = [stage for stage in stages if isinstance(stage.block, MatrixUnit)]
    return {
        "interval": max(stage.block.cycles for stage in stages),
        "interval_is": "cycles of the slowest block; FIFOs not sized, not simulated",
        "layers": {stage.layer: f"{stage.block.stem}, {stage.block.cycles} cycles" for stage in arrays},
        "modelled": used.as_dict(),
    }


def describe(opened: Build) -> dict[str, Any]:
    """Closed-form cycles, the streams, each layer's PE, and modelled resources."""
    design = opened.design
    layers = {}
    for stage in design.stages:
        if isinstance(stage.block, MatrixUnit):
            folding = design.foldings[stage.layer]
            output = "thresholds" if folding.thresholds else "multipliers"
            layers[stage.layer] = (
                f"{stage.block.stem} {folding.pe} x {folding.simd}, {stage.block.cycles} cycles, {output}"
            )
    return {
        "interval": design.timing.frame_interval,
        "latency": design.timing.latency,
        "input_beats": design.in_beats,
        "input_bits_a_beat": design.formats[0].width,
        "layers": layers,
        "modelled": design.resources().as_dict(),
    }


def simulate(opened: Build) -> dict[str, Any]:
    """Frames through the whole accelerator's RTL.

    Raises:
        AssertionError: a result differs from the reference.
    """
    design, rng = opened.design, np.random.default_rng(1)
    dtype = design.input.dtype
    codes = rng.integers(dtype.min, dtype.max, (FRAMES, *design.input.shape), endpoint=True)
    model = Verilated(opened.folder, opened.work, "rtl")
    model.compile()
    seen = model.run(to_beats(codes, design.formats[0]), out_beats=design.out_beats, settle=design.settle_cycles)
    found = from_beats(seen.output, design.formats[1], design.output.dtype, design.output.shape)
    np.testing.assert_array_equal(found, reference.run(design.original, codes))
    return {"frames": FRAMES, "mismatches": 0, "interval": seen.frame_interval, "latency": seen.latency}


def synthesize(opened: Build, *, by_layer: bool, jobs: int) -> dict[str, Any]:
    """Yosys' counts.

    Args:
        jobs: layers at a time.
    """
    yosys = Yosys(timeout=7200.0)
    version = ".".join(map(str, yosys.check_version()))
    if not by_layer:
        found = synthesize_top(opened, yosys).resources
        return {"tool": "yosys", "version": version, "of": "whole accelerator", "resources": found.as_dict()}
    layers = list(dict.fromkeys(stage.layer for stage in opened.design.stages if stage.layer))

    def count(layer: str) -> Resources:
        found = sum((part.resources for part in synthesize_layer(opened, yosys, layer).values()), Resources())
        click.echo(f"  {layer}: {found.as_dict()}", err=True)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        total = sum(pool.map(count, layers), Resources())
    return {
        "tool": "yosys",
        "version": version,
        "of": "sum over the stages of all layers, without the AXI interfaces",
        "resources": total.as_dict(),
    }


def _results() -> dict[str, Any]:
    """What the file holds now."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def _keep(name: str, row: dict[str, Any]) -> None:
    """Add to what the file holds; another run may have measured something else meanwhile."""
    results = _results()
    results[name] = results.get(name, {}) | row
    atomic_write(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    click.echo(f"{name}: {json.dumps(row, indent=2)}")


@click.command()
@click.option("--network", "names", type=click.Choice(list(GOALS)), multiple=True, help="All, if none is named.")
@click.option("--simulate", "simulated", is_flag=True, help="Run the RTL in Verilator.")
@click.option("--synthesize", "synthesized", is_flag=True, help="Count the whole accelerator with Yosys.")
@click.option("--by-layer", is_flag=True, help="Count layer by layer with Yosys.")
@click.option("--estimate", "estimated", is_flag=True, help="Only closed forms, for foldings by hand.")
@click.option("--jobs", default=1, show_default=True, help="Layers that are counted at a time.")
@click.option("--given", is_flag=True, help="Take the foldings by hand where there are some.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("build/low_bit"), show_default=True)
def main(
    names: tuple[str, ...],
    simulated: bool,
    synthesized: bool,
    by_layer: bool,
    jobs: int,
    given: bool,
    estimated: bool,
    work: Path,
) -> None:
    """Compile, and measure what is asked for."""
    work.mkdir(parents=True, exist_ok=True)
    for name in names or GOALS:
        goal = GOALS[name]
        by_hand = given and name in GIVEN
        if estimated:
            if name in GIVEN:
                marks = {"weights": "random", "foldings": "by hand", "goal_interval": goal.interval}
                _keep(name, marks | estimate(name, goal, work))
            continue
        opened = build(name, goal, work, given=by_hand)
        row: dict[str, Any] = {
            "weights": "random",
            "foldings": "by hand" if by_hand else "search",
            "goal_interval": goal.interval,
            **describe(opened),
        }
        if simulated:
            row["simulated"] = simulate(opened)
        if synthesized or by_layer:
            row["synthesized"] = synthesize(opened, by_layer=not synthesized, jobs=jobs)
        row["available"] = {key: value["available"] for key, value in opened.report["resources"].items()}
        _keep(name, row)


if __name__ == "__main__":
    main()
