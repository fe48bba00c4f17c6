"""Networks mapped onto one board under one budget: what `admmfpga compare` measures before it compares."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import Resources, axi_lite_control
from admmfpga.blocks.families import using
from admmfpga.boards import Board, load_board
from admmfpga.codegen.build import Compiled, describe_design, write_build
from admmfpga.errors import UserError
from admmfpga.frontend import Import, load
from admmfpga.mapping import KINDS, Design, map_network, wrapper_resources
from admmfpga.mapping.candidates import Made, candidates
from admmfpga.mapping.folding import CEILING, exceeded, usable
from admmfpga.mapping.search import fold
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import Conv, Dense, IntArray, Network, Tensor, compact, plain, weighted
from admmfpga.network.reference import run
from admmfpga.report import make_report, with_synthesis, with_verification
from admmfpga.report.comparison import best_design, classify, finish, pairs, verdict
from admmfpga.report.energy import ASSUMPTIONS, SOURCES, energy, nanojoules
from admmfpga.report.storage import layer_storage, network_storage
from admmfpga.runtime.build import Build, open_build
from admmfpga.runtime.simulate import Simulation
from admmfpga.runtime.synthesis import synthesize_top

Progress = Callable[..., None]
Images = npt.NDArray[np.generic]

Samples = Callable[[Tensor], tuple[Images, IntArray | None]]
"""Images and labels for a network with that input."""

BUILDS = "builds"
"""Folder inside the output that simulated and synthesized builds are written to."""

FRONT = (1, 2, 4, 8, 16, 32, 64)
"""Frame intervals of the Pareto front, as multiples of the least one."""

CLOSED_FORM = "closed form (exact)"


@dataclass(eq=False)
class Entry:
    """One network to compare.

    Attributes:
        name: short and unique.
        path: ONNX file or build folder.
        imported: the network.
        build: the build folder that was given; None for an ONNX file.
        designs: by PE kind; the reason in words where it cannot be built or does not fit.
        made: candidates of its layers so far.
        codes: samples as the network takes them, if there are any.
        row: what is reported.
    """

    name: str
    path: Path
    imported: Import
    build: Build | None = None
    designs: dict[str, Design | str] = field(default_factory=dict)
    made: Made = field(default_factory=dict)
    codes: IntArray | None = None
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        return self.imported.network

    @property
    def best(self) -> Design | None:
        """The design with the least frame interval; of equal ones the first in order of PE kinds."""
        found = [design for design in self.designs.values() if isinstance(design, Design)]
        return min(found, key=lambda design: design.timing.frame_interval, default=None)


@dataclass(frozen=True, eq=False)
class Place:
    """Where all networks are put: the same for each.

    Attributes:
        board: with its whole resources.
        available: the board's resources, those of the budget cut down.
        clock_mhz: of the accelerator.
    """

    board: Board
    available: Resources
    clock_mhz: float


def pe_kinds(kind: str) -> dict[str, tuple[str, ...]]:
    """What a network of some kind of pruning is mapped with, by name: any PE for each layer, or one for all.

    Decoding indices of an unpruned network is never worth while, and takes long to find out.
    """
    if len(KINDS) == 1 or kind == "dense":
        return {"dense": ("dense",)}
    return {"auto": KINDS, **{name: (name,) for name in KINDS}}


def compare_models(
    paths: Sequence[Path],
    board_name: str,
    *,
    calibration: Images | None = None,
    samples: Samples | None = None,
    budget: Mapping[str, int] | None = None,
    clock_mhz: float | None = None,
    simulate: int = 0,
    synthesize: bool = False,
    folder: Path | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Map networks under one budget and put their storage, speed, resources and energy side by side.

    Args:
        paths: ONNX files, or build folders, whose simulation and synthesis are used where the design is the same.
        board_name: board or path of a board's TOML file.
        calibration: (N, C, H, W) images for float models.
        samples: images, and labels to measure the integer networks' accuracy with.
        budget: what may be used of resources by name (lut, ff, bram18, dsp); the board's usable part for others.
        clock_mhz: of the accelerator; the board's default if None.
        simulate: frames to run through each fastest design's RTL; 0 for none.
        synthesize: synthesize each fastest design with Yosys.
        folder: where builds for these two go; needed for them.
        progress: called with a step's name, and with done and total where it has a count.

    Returns:
        The comparison, JSON-ready; docs/compare.md describes it.

    Raises:
        UserError: as `compile_model`; nothing fits; images of the wrong shape.
        ToolError: simulator or synthesis failed.
    """
    assert folder is not None or not (simulate or synthesize)
    board = load_board(board_name)
    place = Place(board, limited(board, budget or {}), board.clock_mhz if clock_mhz is None else clock_mhz)
    entries = _load(paths, calibration, progress)
    for entry in entries:
        hardware_nodes(entry.network)
        entry.row = _describe(entry)
        if samples is not None:
            images, labels = samples(entry.network.tensors[entry.network.inputs[0]])
            entry.codes = entry.imported.quantize(images)
            entry.row["images"] = len(images)
            entry.row["accuracy"] = None if labels is None else _accuracy(entry, labels, progress)
    with using(board.family):
        return _compare(entries, place, dict(budget or {}), simulate, synthesize, folder, progress)


def _compare(
    entries: list[Entry],
    place: Place,
    budget: dict[str, int],
    simulate: int,
    synthesize: bool,
    folder: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    board = place.board
    reference = _classify(entries)
    for entry in entries:
        entry.designs = _designs(entry.name, entry.network, entry.row["kind"], place, entry.made, progress)
    if not any(entry.best for entry in entries):
        reason = next(iter(entries[0].designs.values()))
        raise UserError(f"none of the networks fits; {entries[0].name}: {reason}", "take a larger budget or board")
    dense = _dense(reference, place, progress)
    for entry in entries:
        entry.row["designs"] = [_design_row(entry, kind, place) for kind in entry.designs]
        best = entry.best
        entry.row["best_pe"] = next((kind for kind, design in entry.designs.items() if best and design is best), None)
        known: set[str] = set()
        if best is not None and entry.build is not None:
            known = _take_reports(entry, best, entry.build, place)
        # What the given build has measured of this very design is not measured again.
        frames, synthesis = 0 if "cycles" in known else simulate, synthesize and "resources" not in known
        if best is not None and folder is not None and (frames or synthesis):
            _measure(entry, best, place, folder, frames, synthesis, progress)
        entry.row["pareto"] = _front(entry, place)
    rows = [entry.row for entry in entries]
    finish(rows, dense)
    found = pairs(rows)
    limits = usable(place.available)
    return {
        "board": board.name,
        "part": board.part,
        "family": board.family,
        "clock_mhz": place.clock_mhz,
        "budget": limits.as_dict(),
        "budget_given": budget,
        "dense": dense,
        "networks": rows,
        "pairs": found,
        "verdict": verdict(rows, found, dense),
        "energy": {"assumptions": list(ASSUMPTIONS), "costs": [vars(source) for source in SOURCES]},
    }


def limited(board: Board, budget: Mapping[str, int]) -> Resources:
    """Resources of a board of which exactly the budget is usable.

    Args:
        budget: by name: lut, ff, bram18, dsp.

    Raises:
        UserError: more than the board has.
    """
    changes = {}
    for name, amount in budget.items():
        have = getattr(board.resources, name)
        most = getattr(usable(board.resources), name)
        if amount > most:
            raise UserError(
                f"a budget of {amount:,} {name} is more than the {most:,} of {have:,} usable on {board.name}",
                "take a smaller budget or a larger board (admmfpga boards)",
            )
        # Mapping takes its share of what is available; so much has to be available for the share to be the budget.
        available = int(amount / CEILING[name])
        while int(available * CEILING[name]) < amount:
            available += 1
        changes[name] = available
    return replace(board.resources, **changes)


# --- reading ---------------------------------------------------------------------------------------------------------


def _load(paths: Sequence[Path], calibration: Images | None, progress: Progress) -> list[Entry]:
    entries = []
    for path, name in zip(paths, unique_names(paths), strict=True):
        progress(f"reading {name}")
        if path.is_dir():
            build = open_build(path)
            entries.append(Entry(name, path, load(path / "model.onnx", name=build.design.network.name), build))
        else:
            entries.append(Entry(name, path, load(path, calibration=calibration)))
    return entries


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short names: the file's stem, with as many of the folders above as tell files of one name apart.

    Raises:
        UserError: one file twice.
    """
    parts = [(*path.resolve().parent.parts[1:], path.stem) for path in paths]
    for count in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            # What all have in common tells nothing.
            heads = {tuple(p[-count:-1]) for p in parts}
            stems = {p[-1] for p in parts}
            return ["/".join(p[-count:-1]) for p in parts] if len(stems) == 1 and len(heads) == len(parts) else names
    twice = next(path for i, path in enumerate(paths) if path.resolve() in [p.resolve() for p in paths[:i]])
    raise UserError(f"{twice} is given twice", "give every network once")


def _describe(entry: Entry) -> dict[str, Any]:
    """What follows from the network alone."""
    layers = []
    for node in weighted(entry.network):
        positions = entry.network.output_of(node).elements // len(node.weights)
        storage = layer_storage(node.matrix)
        layers.append(
            {
                "name": node.name,
                "op": node.op,
                "rows": node.matrix.shape[0],
                "columns": node.matrix.shape[1],
                "vectors": positions,
                "macs": storage["kept"] * positions,
                "dense_macs": storage["positions"] * positions,
                "storage": storage,
            }
        )
    if not layers:
        raise UserError("the network has no weights to compare", "compare networks with Conv or Gemm", node=entry.name)
    storage = network_storage(layer["storage"] for layer in layers)
    storage["block"] = sum(layer["storage"]["kept_rows"] * layer["storage"]["kept_columns"] for layer in layers)
    relative = storage["formats"]["relative4"]
    bits = sorted({layer["storage"]["bits"] for layer in layers})
    return {
        "name": entry.name,
        "file": str(entry.path),
        "sha256": entry.imported.sha256,
        "kind": "",
        "reason": "",
        "bits": "-".join(map(str, dict.fromkeys((bits[0], bits[-1])))),
        "storage": storage,
        "macs": sum(layer["macs"] for layer in layers),
        "dense_macs": sum(layer["dense_macs"] for layer in layers),
        "needed_ratio_relative4": round(relative["total"] / max(1, relative["weights"]), 4),
        "accuracy": None,
        "images": 0,
        "layers": layers,
    }


def _accuracy(entry: Entry, labels: IntArray, progress: Progress) -> float:
    """Share of samples that the integer network classifies as labelled."""
    codes = entry.codes
    assert codes is not None
    output, step, right = entry.network.tensors[entry.network.outputs[0]], 256, 0
    for start in range(0, len(codes), step):
        progress(f"accuracy of {entry.name}", start, len(codes))
        results = run(entry.network, codes[start : start + step])
        real = output.dequantize(results).reshape(len(results), -1)
        right += int(np.sum(real.argmax(axis=1) == labels[start : start + step]))
    return round(right / max(1, len(codes)), 6)


# --- mapping ---------------------------------------------------------------------------------------------------------


def _map(network: Network, kinds: tuple[str, ...], place: Place, made: Made) -> Design:
    """The fastest design within the budget.

    Folding is chosen before FIFOs have their final depth, so a design may come out a little larger than the budget; it
    is then mapped again under so much less.

    Args:
        made: candidates of the network so far.

    Raises:
        UserError: it does not fit.
    """
    limit, available = usable(place.available), place.available
    while True:
        design = map_network(
            network,
            available,
            board=place.board.name,
            kinds=kinds,
            port=place.board.memory_port(place.clock_mhz),
            made=made,
            explain=False,
        )
        over = {name: used - may for name, used, may in exceeded(_used(design), limit)}
        if not over:
            return design
        available = replace(
            available,
            **{name: int(getattr(available, name) - excess / CEILING[name]) - 1 for name, excess in over.items()},
        )


def _designs(
    name: str, network: Network, kind: str, place: Place, made: Made, progress: Progress
) -> dict[str, Design | str]:
    """The network with every kind of PE; a reason where that fails.

    Args:
        kind: of its pruning.
        made: candidates of the network so far.
    """
    found: dict[str, Design | str] = {}
    for name_of, kinds in pe_kinds(kind).items():
        progress(f"mapping {name} ({name_of} PE)")
        try:
            found[name_of] = _map(network, kinds, place, made)
        except UserError as error:
            found[name_of] = str(error)
    return found


def _classify(entries: Sequence[Entry]) -> Entry:
    """Give every network its kind; returns the unpruned one, or the largest where none is."""
    largest = max(entries, key=lambda entry: entry.row["storage"]["positions"])
    positions = largest.row["storage"]["positions"]
    for entry in entries:
        storage = entry.row["storage"]
        entry.row["kind"], entry.row["reason"] = classify(positions, storage["block"], storage["kept"])
    unpruned = [entry for entry in entries if entry.row["kind"] == "dense"]
    reference = max(unpruned, key=lambda entry: entry.row["storage"]["positions"], default=largest)
    originals = [layer["storage"]["positions"] for layer in reference.row["layers"]]
    for entry in entries:
        layers = entry.row["layers"]
        alike = len(layers) == len(originals)
        for index, layer in enumerate(layers):
            rate = originals[index] / max(1, layer["storage"]["kept"]) if alike else None
            layer["pruning_rate"] = None if rate is None else round(rate, 4)
    return reference


def _dense(reference: Entry, place: Place, progress: Progress) -> dict[str, Any]:
    """The dense design that speed-ups are relative to: no weight pruned, neither by anyone nor by rounding to zero."""
    given = reference.row["kind"] == "dense"
    whole = reference.row["storage"]["kept"] == reference.row["storage"]["positions"]
    best, basis = reference.best, "as given"
    if not whole:
        basis = "with every weight there" + ("" if given else "; no dense network is given")
        designs = _designs(f"dense {reference.name}", unpruned_twin(reference.network), "dense", place, {}, progress)
        best = Entry(reference.name, reference.path, reference.imported, designs=designs).best
    return {
        "name": reference.name,
        "basis": basis,
        "positions": reference.row["storage"]["positions"],
        "macs": reference.row["dense_macs"],
        "frame_interval_cycles": None if best is None else best.timing.frame_interval,
    }


def unpruned_twin(network: Network) -> Network:
    """The same network with a weight of 1 wherever it has none: what the hardware of an unpruned one looks like."""
    nodes = [
        replace(node, weights=np.where(node.weights == 0, 1, node.weights)) if isinstance(node, Conv | Dense) else node
        for node in network.nodes
    ]
    return replace(network, nodes=nodes)


def _used(design: Design) -> Resources:
    return design.resources() + axi_lite_control.resources(reloadable=design.reloadable)


def _design_row(entry: Entry, kind: str, place: Place) -> dict[str, Any]:
    design = entry.designs[kind]
    if isinstance(design, str):
        return {"pe": kind, "fits": False, "reason": design}
    report = _report(entry, design, place)
    total = energy(design)
    layers = [
        {
            "name": layer["name"],
            "block": layer["block"],
            "pe": layer["pe"],
            "simd": layer["simd"],
            "cycles": layer["cycles"],
            "utilization": layer["utilization"],
            "resources": layer["resources"],
            "energy_nj": nanojoules(energy(design, layer["name"]).total),
        }
        for layer in report["layers"]
    ]
    return {
        "pe": kind,
        "fits": True,
        "reason": "",
        "frame_interval_cycles": report["frame_interval_cycles"],
        "latency_cycles": report["latency_cycles"],
        "cycles_source": CLOSED_FORM,
        "throughput_fps": report["throughput_fps"],
        "bottleneck": report["bottleneck"],
        "resources": report["resources"],
        "share": share(_used(design), place),
        "energy_nj": {name: nanojoules(value) for name, value in total.as_dict().items()}
        | {"total": nanojoules(total.total)},
        "layers": layers,
    }


def _report(entry: Entry, design: Design, place: Place) -> dict[str, Any]:
    return make_report(
        design,
        place.board,
        clock_mhz=place.clock_mhz,
        model_name=entry.network.name,
        model_sha256=entry.imported.sha256,
    )


def share(used: Resources, place: Place) -> float:
    """The largest share of any resource's budget."""
    limit = usable(place.available)
    shares = [float(amount / max(1, getattr(limit, name))) for name, amount in used.as_dict().items()]
    return round(max(shares), 4)


def _front(entry: Entry, place: Place) -> list[dict[str, Any]]:
    """Cheapest foldings for longer and longer frame intervals, FIFOs at their least depth."""
    best = entry.best
    if best is None:
        return []
    network = compact(plain(entry.network))
    kinds = next(iter(pe_kinds(entry.row["kind"]).values()))
    layers = {node.name: candidates(network, node, kinds, entry.made) for node in hardware_nodes(network)}
    fixed = wrapper_resources()
    found: dict[int, dict[str, Any]] = {}
    for factor in FRONT:
        try:
            target = factor * best.timing.frame_interval
            choice = fold(layers, place.available, fixed, board=place.board.name, target_interval=target)
        except UserError:
            continue
        found[choice.interval] = {
            "frame_interval_cycles": choice.interval,
            "throughput_fps": round(place.clock_mhz * 1e6 / choice.interval, 3),
            "resources": choice.resources.as_dict(),
            "share": share(choice.resources, place),
        }
    return [
        point
        for point in found.values()
        if not any(
            o is not point and o["share"] <= point["share"] and o["throughput_fps"] >= point["throughput_fps"]
            for o in found.values()
        )
    ]


# --- simulation and synthesis ----------------------------------------------------------------------------------------


def _take_reports(entry: Entry, design: Design, build: Build, place: Place) -> set[str]:
    """What a given build's report has from simulation and synthesis, if it holds this very design; see `_apply`."""
    described = json.loads((build.folder / "design.json").read_text())
    compiled = Compiled(entry.imported, design, place.board, place.clock_mhz, {})
    mine = json.loads(json.dumps(describe_design(compiled)))
    row = best_design(entry.row)
    assert row is not None
    ignored = ("name", "model_sha256")
    if any(described[name] != mine[name] for name in mine if name not in ignored):
        row["note"] = f"{build.folder} holds another design; its simulation and synthesis are not used"
        return set()
    return _apply(row, build.report)


def _apply(row: dict[str, Any], report: Mapping[str, Any]) -> set[str]:
    """Replace closed forms and models by what a report has measured.

    Returns:
        "cycles" and "resources", as far as they were measured.
    """
    applied = set()
    rtl = report.get("verification", {}).get("rtl")
    # Fewer frames than the pipeline needs to settle have another interval; the closed form is exact then.
    if rtl and rtl["mismatches"] == 0 and rtl["frame_interval_cycles"] == row["frame_interval_cycles"]:
        row["cycles_source"] = f"RTL simulation, {rtl['frames']} frames without a mismatch"
        applied.add("cycles")
    synthesis = report.get("synthesis")
    if synthesis:
        source = f"synthesized ({synthesis['tool']} {synthesis['version']})"
        for name, amount in synthesis["resources"].items():
            row["resources"][name] = row["resources"][name] | {"used": amount, "source": source}
        applied.add("resources")
    return applied


def _measure(
    entry: Entry,
    design: Design,
    place: Place,
    folder: Path,
    frames: int,
    synthesize: bool,
    progress: Progress,
) -> None:
    """Build the fastest design, run its RTL and synthesize it, as asked for."""
    place_of = folder / BUILDS / entry.name.replace("/", "_")
    progress(f"building {entry.name}")
    report = _report(entry, design, place)
    write_build(Compiled(entry.imported, design, place.board, place.clock_mhz, report), place_of)
    build = open_build(place_of)
    if frames:
        simulation = Simulation(build, _frames(entry, max(frames, design.timing.settled_frames)), progress=progress)
        outcome = simulation.run_verilated("rtl")
        if outcome.problems:
            raise AssertionError(f"{entry.name}: {'; '.join(outcome.problems)}")
        report = with_verification(report, {"rtl": outcome.as_dict()})
    if synthesize:
        from admmfpga.tools.yosys import Yosys

        progress(f"synthesizing {entry.name}")
        yosys = Yosys()
        version = ".".join(map(str, yosys.check_version()))
        resources = synthesize_top(build, yosys).resources
        report = with_synthesis(report, {"tool": "yosys", "version": version, "resources": resources.as_dict()})
    build.save_report(report)
    row = best_design(entry.row)
    assert row is not None
    _apply(row, report)


def _frames(entry: Entry, count: int) -> IntArray:
    """Codes of the first samples; random ones where there are not enough: cycles do not depend on them."""
    if entry.codes is not None and len(entry.codes) >= count:
        return entry.codes[:count]
    source = entry.network.tensors[entry.network.inputs[0]]
    rng = np.random.default_rng(0)
    return rng.integers(source.dtype.min, source.dtype.max, (count, *source.shape), endpoint=True)


def notes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader should know of where figures come from."""
    return [design["note"] for row in rows for design in row["designs"] if "note" in design]
