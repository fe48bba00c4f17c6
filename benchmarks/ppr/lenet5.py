"""Pruned LeNet-5 networks compiled, simulated and compared: what `admmfpga compare` says of the paper's own example.

    python benchmarks/ppr/lenet5.py ROWS [--row ns71 ...] [--count 100] [--synthesize ROW ...] [-o build/ppr-lenet5]

ROWS is the folder that benchmarks/lenet5/run.py leaves for a seed (build/lenet5/seed0), with a compressed.onnx a row.
They are compiled for the board, and COUNT test images go through reference, HLS C++, RTL and HLS C++ in Verilator; the
non-structured ones once more with index decoding in all layers at CSR_FPS frames/s, which shows how full its lanes are.
Then all are compared under the resources of the board, with accuracies of all 10,000 test images and cycles of RTL
simulation. --synthesize takes a row's resources from Yosys. What is done is not done again; what matters goes into
lenet5.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "benchmarks")]

from provenance import commit  # noqa: E402

from admmfpga.atomic import atomic_write  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "lenet5.json"
ROWS = ("base", "ns71", "ns167", "ns348", "structured", "structured232")
DECODED = ("ns71", "ns167", "ns348")
"""Rows that are built with index decoding in all layers too."""
CSR_FPS = 20_000
BOARD = "pynq"
KEPT = (
    "name", "kind", "bits", "pruning_rate", "structure_rate", "macs_rate", "bits_per_weight", "accuracy", "images",
    "best_pe", "needed_ratio_relative4",
)  # fmt: skip
"""Of a network's row in compare.json."""
DESIGN = ("pe", "fits", "frame_interval_cycles", "cycles_source", "throughput_fps", "speed_up", "ppr", "ppr_macs")


def admmfpga(*arguments: object) -> str:
    """Run a command as a user does; its output."""
    command = [str(Path(sys.executable).parent / "admmfpga"), *map(str, arguments)]
    click.echo("admmfpga " + " ".join(map(str, arguments)), err=True)
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def accelerator(
    model: Path, build: Path, count: int, stalled: int, *options: object, synthesize: bool = False
) -> dict[str, Any]:
    """Compile and simulate a network, unless it is done; what its report says.

    Args:
        count: images.
        stalled: images that go through the bench under random stalls too.
        options: of `admmfpga compile`.
        synthesize: with Yosys too.
    """
    if not (build / "report.json").is_file():
        admmfpga("compile", model, "--board", BOARD, *options, "-o", build)
    report = json.loads((build / "report.json").read_text())
    verified = report.get("verification", {})
    if any(verified.get(name, {}).get("frames") != count for name in ("reference", "hls", "rtl", "hls_dpi")):
        admmfpga("simulate", build, "--dataset", "mnist", "--count", count, "--protocol-frames", stalled)
        report = json.loads((build / "report.json").read_text())
    if synthesize and "synthesis" not in report:
        admmfpga("synth", build)
        report = json.loads((build / "report.json").read_text())
    return {
        "commit": commit(ROOT),
        "options": list(options),
        "frames": count,
        "mismatches": {name: found["mismatches"] for name, found in report["verification"].items()},
        "interval": report["frame_interval_cycles"],
        "interval_simulated": report["verification"]["rtl"]["frame_interval_cycles"],
        "accuracy": report["verification"]["reference"]["accuracy"],
        "resources": {name: value["used"] for name, value in report["resources"].items()},
        "synthesized": report.get("synthesis", {}).get("resources"),
        "layers": [
            {
                "name": layer["name"],
                "block": layer["block"],
                "pe": layer["pe"],
                "simd": layer["simd"],
                "weights": layer["kept_weights"],
                "density": (layer.get("choice") or {}).get("density"),
                "break_even": (layer.get("choice") or {}).get("break_even_density"),
                "slots": layer.get("weight_slots_simulated"),
                "cycles": layer["cycles"],
            }
            for layer in report["layers"]
            if layer["kept_weights"] is not None
        ],
    }


def comparison(builds: list[Path], folder: Path, count: int) -> dict[str, Any]:
    """What `admmfpga compare` says of these builds, cut down; designs other than theirs are simulated too."""
    text = folder / "compare.txt"
    if not text.is_file():
        images = ("--dataset", "mnist", "--simulate", count)
        found = admmfpga("compare", *builds, "--board", BOARD, *images, "-o", folder)
        atomic_write(text, found.encode())
    click.echo(text.read_text())
    whole = json.loads((folder / "compare.json").read_text())
    return {
        "commit": commit(ROOT),
        "budget": whole["budget"],
        "dense": whole["dense"],
        "networks": [
            {name: row[name] for name in KEPT}
            | {
                "storage": {name: size["total"] for name, size in row["storage"]["formats"].items()}
                | {"best": row["storage"]["best_bits"]},
                "designs": [
                    {name: design.get(name) for name in DESIGN}
                    | {
                        "resources": {name: value["used"] for name, value in design.get("resources", {}).items()},
                        "energy_nj": design.get("energy_nj", {}).get("total"),
                    }
                    for design in row["designs"]
                ],
            }
            for row in whole["networks"]
        ],
        "pairs": whole["pairs"],
        "verdict": whole["verdict"],
    }


@click.command()
@click.argument("rows", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--row", "only", multiple=True, default=ROWS, show_default=True, help="Rows to take.")
@click.option("--count", default=100, show_default=True, help="Images to simulate.")
@click.option("--stalled", default=8, show_default=True, help="Images under random stalls; 0 saves half of the time.")
@click.option("--synthesize", "synthesized", multiple=True, help="Rows whose resources Yosys counts.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=ROOT / "build" / "ppr-lenet5")
def main(
    rows: Path, only: tuple[str, ...], count: int, stalled: int, synthesized: tuple[str, ...], output: Path
) -> None:
    """Compile, simulate, compare."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"accelerators": {}, "decoding": {}}

    def keep() -> None:
        atomic_write(RESULTS, (json.dumps(results, indent=1) + "\n").encode())

    builds = []
    for name in only:
        model = rows / name / "compressed.onnx"
        if not (rows / name / "summary.json").is_file():
            click.echo(f"{name} is not trained yet: left out", err=True)
            continue
        builds.append(output / name)
        synthesize = name in synthesized
        results["accelerators"][name] = accelerator(model, output / name, count, stalled, synthesize=synthesize)
        keep()
    for build in builds:
        if build.name in DECODED:
            decoding = ("--pe", "csr", "--target-fps", CSR_FPS)
            model = rows / build.name / "compressed.onnx"
            results["decoding"][build.name] = accelerator(
                model, output / f"{build.name}-csr", count, stalled, *decoding
            )
            keep()
    if len(builds) > 1:
        results["comparison"] = comparison(builds, output / "compare", count)
        keep()


if __name__ == "__main__":
    main()
