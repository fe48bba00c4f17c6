"""report.json: layers, cycles, resources, storage; what `simulate` verified and what `synth` found."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from admmfpga.blocks import MatrixUnit, Resources, axi_lite_control, calibration
from admmfpga.blocks.families import using
from admmfpga.boards import Board
from admmfpga.mapping import Design
from admmfpga.mapping.bounds import BANDWIDTH
from admmfpga.network import Conv, Dense, Node, macs
from admmfpga.packing import FORMATS
from admmfpga.report.energy import ASSUMPTIONS, SOURCES, energy, nanojoules
from admmfpga.report.storage import layer_storage, network_storage
from admmfpga.report.traffic import on_chip, roofline, traffic


def make_report(
    design: Design, board: Board, *, clock_mhz: float, model_name: str, model_sha256: str
) -> dict[str, Any]:
    """The report of a compiled design.

    Cycles are exact: they follow from the blocks' step schedules and equal the simulated RTL. Resources are modelled;
    each says on what synthesis the model was fitted and how far from it it is.
    """
    network = design.network
    with using(board.family):
        used = design.resources() + axi_lite_control.resources(reloadable=design.reloadable)
        layers = [
            _layer(design, node)
            | {
                "traffic": on_chip(design, node.name),
                "energy_nj": nanojoules(energy(design, node.name).total),
                "roofline": roofline(design, node, board, clock_mhz),
            }
            for node in network.nodes
            if any(design.of_layer(node.name))
        ]
    available = board.resources.as_dict()
    source = calibration.source(board.family)
    return {
        "model": {"name": model_name, "sha256": model_sha256},
        "board": board.name,
        "part": board.part,
        "family": board.family,
        "clock_mhz": clock_mhz,
        "architecture": "dataflow",
        "latency_cycles": design.timing.latency,
        "frame_interval_cycles": design.timing.frame_interval,
        "throughput_fps": round(clock_mhz * 1e6 / frame_interval(design), 3),
        "bottleneck": bottleneck(design),
        "bound": bound(design),
        "resources": {
            name: {"used": amount, "available": available[name], "source": source[name]}
            for name, amount in used.as_dict().items()
        },
        "storage": _storage(layers),
        "traffic": traffic(design, board, clock_mhz),
        "energy": {
            **{name: nanojoules(value) for name, value in energy(design).as_dict().items()},
            "total": nanojoules(energy(design).total),
            "unit": "nJ per frame",
            "estimate": True,
            "sources": [asdict(source) for source in SOURCES],
            "assumptions": list(ASSUMPTIONS),
        },
        "layers": layers,
        "host": [{"op": op.op, "axis": op.axis} for op in network.host_ops],
        "fifos": design.depths,
    }


def bottleneck(design: Design) -> str:
    """Name of the stage that takes the most cycles per frame."""
    return max(design.stages, key=lambda stage: stage.block.cycles).name


def frame_interval(design: Design) -> int:
    """Cycles between frames: the pipeline's, or what the memory needs to bring and take them."""
    moved = [b.interval for b in design.search.bounds if b.kind == BANDWIDTH] if design.search else []
    return max([design.timing.frame_interval, *moved])


def bound(design: Design) -> dict[str, Any] | None:
    """What holds the frame interval up, and how near the design comes to it; None where the foldings were given.

    Returns:
        kind: the tightest bound: a resource ("lut", ...), "input stream", "output stream", "bandwidth", "layer
            parallelism"; layer: that limits, or None; interval_of_bound, reached: cycles; ratio: reached / bound;
        bounds: all of them by kind; target_interval: that was asked for, or None; search: least_interval: no choice of
            foldings is faster, proven; price_gap: what may be missing to the cheapest.
    """
    search = design.search
    if search is None:
        return None
    tightest, reached = search.bounds[0], frame_interval(design)
    return {
        "kind": tightest.kind,
        "layer": tightest.layer or None,
        "interval_of_bound": tightest.interval,
        "reached": reached,
        "ratio": round(reached / tightest.interval, 4),
        "bounds": {one.kind: one.interval for one in search.bounds},
        "target_interval": search.target_interval,
        "search": {"least_interval": search.least_interval, "price_gap": search.price_gap},
    }


def _layer(design: Design, node: Node) -> dict[str, Any]:
    stages = list(design.of_layer(node.name))
    total = sum((stage.resources() for stage in stages), Resources())
    array, weights = next(
        ((stage.block, stage.contents) for stage in stages if isinstance(stage.block, MatrixUnit)), (None, {})
    )
    original = next(other for other in design.original.nodes if other.name == node.name)
    main = array or max((stage.block for stage in stages), key=lambda block: block.cycles)
    row: dict[str, Any] = {
        "name": node.name,
        "op": node.op,
        "block": main.stem,
        "format": array.format if array else None,
        # Of the model as it came, and what the PE really multiplies: kept rows and columns, and what fills them up.
        "macs": macs(design.original, original),
        "multiplications": array.vectors * array.vector_products if array else None,
        "pe": array.sink_lanes if array else None,
        "simd": design.foldings[node.name].simd if array else None,
        "rows": array.rows // array.batch if array else None,
        "columns": array.columns // array.batch if array else None,
        "kept_weights": None,
        "weight_bits": array.weight_bits if array else None,
        "cycles": max(stage.block.cycles for stage in stages),
        "utilization": None,
        "weight_slots": None,
        "choice": design.choices[node.name].as_dict() if node.name in design.choices else None,
        "resources": total.as_dict(),
        "storage": None,
    }
    if isinstance(original, Conv | Dense):
        row["storage"] = layer_storage(original.matrix)
    if array and isinstance(node, Conv | Dense):
        if array.format is not None:
            # Of one vector, where the array works on several at a time.
            rows, columns = array.rows // array.batch, array.columns // array.batch
            built = FORMATS[array.format].size(weights["matrix"][:rows, :columns], array.weight_bits)
            row["storage"]["built"] = built.as_dict() | {"total": built.total}
        row["kept_weights"] = int(np.count_nonzero(node.weights))
        useful = row["kept_weights"] * array.vectors * array.batch
        row["weight_slots"] = round(useful / (array.multipliers * array.cycles), 6)
        if array.kind == "dense":
            # Zeros in kept rows and columns are work that a dense array has to do.
            columns = max(1, int((node.matrix != 0).any(axis=0).sum()))
            useful = array.vectors * array.rows * columns
        # Of all multiplier slots in steady state; of those in which the array works at all, with weights.
        row["utilization"] = round(useful / (array.multipliers * design.timing.frame_interval), 6)
    return row


def _storage(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the whole network: as built, unpruned in single precision, and in every format."""
    stored = [layer["storage"] for layer in layers if layer["storage"]]
    built = [storage["built"] for storage in stored if "built" in storage]
    weight_bits = sum(size["weights"] + size["zeros"] for size in built)
    return {
        "weight_bits": weight_bits,
        "index_bits": sum(size["total"] for size in built) - weight_bits,
        "dense_fp32_bits": sum(32 * storage["positions"] for storage in stored),
        **network_storage(stored),
    }


def with_verification(report: dict[str, Any], verification: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The report with what `simulate` found, by implementation (reference, hls, rtl, hls_dpi).

    Shares of slots with a weight, counted in the RTL, stand beside the schedule's in `layers`.
    """
    slots = verification.get("rtl", {}).get("weight_slots", {})
    layers = [
        layer | {"weight_slots_simulated": slots[layer["name"]]} if layer["name"] in slots else layer
        for layer in report["layers"]
    ]
    return report | {"layers": layers, "verification": report.get("verification", {}) | verification}


def with_bitstream(report: dict[str, Any], bitstream: dict[str, Any]) -> dict[str, Any]:
    """The report with what `build` found: tools, resources synthesized and placed and routed, Fmax."""
    return report | {"bitstream": bitstream}


def with_synthesis(report: dict[str, Any], synthesis: dict[str, Any]) -> dict[str, Any]:
    """The report with what `synth` found: tool, version, resources."""
    return report | {"synthesis": synthesis}
