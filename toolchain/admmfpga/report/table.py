"""The report as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_report(report: dict[str, Any]) -> str:
    """The report of a build as a person reads it."""
    lines = [
        f"{report['model']['name']} on {report['board']} ({report['part']}) at {report['clock_mhz']:g} MHz, "
        f"{report['architecture']}",
        "",
    ]
    header = (
        "layer",
        "op",
        "block",
        "MACs",
        "PE",
        "SIMD",
        "cycles",
        "busy",
        "weights",
        "bits",
        "smallest format",
        "KiB",
        "LUT",
        "FF",
        "BRAM18",
        "DSP",
    )
    rows = []
    for layer in report["layers"]:
        resources = layer["resources"]
        rows.append(
            (
                layer["name"],
                layer["op"],
                layer["block"],
                _number(layer["macs"] or None),
                _number(layer["pe"]),
                _number(layer["simd"]),
                _number(layer["cycles"]),
                "" if layer["utilization"] is None else f"{100 * layer['utilization']:.1f} %",
                _number(layer["kept_weights"]),
                _number(layer["weight_bits"]),
                *_smallest(layer["storage"]),
                _number(resources["lut"]),
                _number(resources["ff"]),
                _number(resources["bram18"]),
                _number(resources["dsp"]),
            )
        )
    lines += format_table(header, rows)
    # Layers in which more than one kind of PE was weighed.
    weighed = [layer for layer in report["layers"] if len((layer.get("choice") or {}).get("alternatives", ())) > 1]
    if weighed:
        width = max(len(layer["name"]) for layer in weighed)
        lines += ["", "why these PEs"]
        lines += [
            f"{layer['name'].ljust(width)}  {layer['choice']['kind']}: {layer['choice']['reason']}" for layer in weighed
        ]
    lines += [
        "",
        f"frame interval  {report['frame_interval_cycles']:,} cycles = {report['throughput_fps']:,.0f} frames/s, "
        f"set by {report['bottleneck']}",
        *_bound(report["bound"]),
        f"latency         {report['latency_cycles']:,} cycles, first input beat to first output beat",
        f"weights         {kib(report['storage']['weight_bits'])} KiB "
        f"({report['storage']['dense_fp32_bits'] / max(1, report['storage']['weight_bits']):.1f}x less than float32); "
        f"every layer in its smallest format {kib(report['storage']['best_bits'])} KiB",
    ]
    resources = "  ".join(
        f"{name.upper()} {value['used']:,}/{value['available']:,} ({_percent(value)})"
        for name, value in report["resources"].items()
    )
    sources = dict.fromkeys(value["source"] for value in report["resources"].values())
    lines.append(f"resources       {resources}")
    for source in sources:
        names = ", ".join(name.upper() for name, value in report["resources"].items() if value["source"] == source)
        lines.append(f"                {names}: {source}")
    lines.append("                cycles are exact")
    moved, energy = report["traffic"], report["energy"]
    parts = ", ".join(
        f"{part} {energy[part]:,.0f}" for part in ("multiplications", "additions", "weights", "activations")
    )
    lines += [
        f"traffic         DRAM {moved['dram_bytes_in'] + moved['dram_bytes_out']:,} bytes a frame = "
        f"{moved['dram_mb_s']:,.1f} of {moved['dram_mb_s_available']:,.0f} MB/s; on chip "
        f"{kib(sum(moved['on_chip'].values()))} KiB a frame = {moved['on_chip_mb_s'] / 1000:,.1f} GB/s",
        f"energy          {energy['total']:,.0f} nJ a frame ({parts}): "
        "an estimate, for comparisons only (45 nm, ISSCC 2014)",
    ]
    if report["host"]:
        lines.append("host            " + ", ".join(op["op"] for op in report["host"]))
    lines += _roofline(report["layers"])
    return "\n".join(lines)


def _bound(bound: dict[str, Any] | None) -> list[str]:
    """What holds the interval up."""
    if bound is None:
        return []
    word = {"lut": "LUTs", "ff": "flip-flops", "bram18": "block RAM", "dsp": "DSPs"}.get(bound["kind"], bound["kind"])
    of = f" of {bound['layer']}" if bound["layer"] else ""
    asked = f", {bound['target_interval']:,} were asked for" if bound["target_interval"] else ""
    return [
        f"bound           {bound['interval_of_bound']:,} cycles by {word}{of}; reached {bound['reached']:,}, "
        f"{100 * (bound['ratio'] - 1):.1f} % above{asked}"
    ]


def _roofline(layers: Sequence[dict[str, Any]]) -> list[str]:
    """Where the layers stand: reached on chip, and what streaming from the board's DRAM would allow."""
    rows = [
        (
            layer["name"],
            f"{place['operations_per_byte']:,.1f}",
            f"{place['peak_gops']:,.1f}",
            f"{place['attainable_gops']:,.1f}",
            f"{place['reached_gops']:,.1f}",
            f"{layer['energy_nj']:,.0f}",
        )
        for layer in layers
        if (place := layer["roofline"]) is not None
    ]
    if not rows:
        return []
    header = ("roofline", "operations/byte", "peak GOP/s", "from DRAM GOP/s", "reached GOP/s", "nJ")
    return ["", *format_table(header, rows)]


def format_verification(verification: dict[str, dict[str, Any]]) -> str:
    """What `simulate` found, one implementation a line."""
    header = ("implementation", "frames", "mismatches", "accuracy", "latency", "frame interval")
    rows = [
        (
            name,
            _number(found["frames"]),
            _number(found["mismatches"]),
            "" if found["accuracy"] is None else f"{100 * found['accuracy']:.2f} %",
            _number(found["latency_cycles"]),
            _number(found["frame_interval_cycles"]),
        )
        for name, found in verification.items()
    ]
    lines = format_table(header, rows)
    for name, found in verification.items():
        if slots := found.get("weight_slots"):
            shares = ", ".join(f"{layer} {100 * share:.1f} %" for layer, share in slots.items())
            lines.append(f"{name}: slots of index-decoding PEs that carried a weight: {shares}")
    return "\n".join(lines)


def format_agreement(found: dict[str, Any]) -> str:
    """A build against ONNX Runtime, one layer a line, and the verdict."""
    header = ("layer", "op", "tensor", "values", "equal", "max step", "from images", "max step")
    rows = []
    for one in found["layers"]:
        through = one["from_images"]
        shares = [f"{100 * count / one['values']:.2f} %" for count in (one["equal"], through["equal"])]
        rows.append(
            (
                one["name"],
                one["op"],
                one["tensor"],
                _number(one["values"]),
                shares[0],
                f"{one['max_step']}{'' if one['agrees'] else ' !'}",
                shares[1],
                str(through["max_step"]),
            )
        )
    lines = format_table(header, rows)
    if found["not_compared"]:
        lines.append(f"no tensor of the model to compare with: {', '.join(found['not_compared'])}")
    verdict = "every layer agrees" if found["diverging"] is None else f"first diverging layer: {found['diverging']}"
    lines.append(f"{found['frames']} frames against ONNX Runtime {found['version']}: {verdict}")
    return "\n".join(lines)


def format_synthesis(parts: Mapping[str, tuple[Mapping[str, int], Mapping[str, int]]]) -> str:
    """Modelled against synthesized resources, one resource of one part a line.

    Args:
        parts: (modelled, synthesized) by name.
    """
    rows = []
    for part, (modelled, synthesized) in parts.items():
        for name, real in synthesized.items():
            error = f"{100 * (modelled[name] - real) / real:+.1f} %" if real else "" if modelled[name] else "+0.0 %"
            rows.append((part, name.upper(), _number(modelled[name]), _number(real), error))
    return "\n".join(format_table(("part", "resource", "modelled", "synthesized", "error"), rows))


def format_bitstream(report: dict[str, Any]) -> str:
    """Modelled, synthesized, and placed and routed resources of a build with a bitstream; clock and frames/s."""
    found = report["bitstream"]
    routed, synthesized = found["placed_and_routed"], found["synthesized"]
    rows = []
    for name, used in routed["resources"].items():
        resource = report["resources"][name]
        share = f"{100 * used / resource['available']:.0f} %" if resource["available"] else ""
        cells = (_number(v) for v in (resource["used"], synthesized[name], used, resource["available"]))
        rows.append((name.upper(), *cells, share))
    header = (
        "resource",
        "modelled, accelerator",
        "synthesized, with link",
        "placed and routed",
        "on the device",
        "used",
    )
    interval = report["frame_interval_cycles"]
    lines = [
        *format_table(header, rows),
        "",
        f"clock           {routed['fmax_mhz']:g} MHz after place and route, {routed['constraint_mhz']:g} MHz wanted",
        f"accelerator     {interval:,} cycles = {report['clock_mhz'] * 1e6 / interval:,.0f} frames/s",
    ]
    if link := report.get("link"):
        rate = link["throughput_fps"]
        lines.append(f"link            {link['baud']:,} baud = {rate:,.0f} frames/s at most, without a host's delays")
    return "\n".join(lines)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    left = [i == 0 or any(not _is_number(row[i]) for row in rows) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(w) if left[i] else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    ]


def kib(bits: int) -> str:
    """Bits as KiB."""
    return f"{bits / 8 / 1024:,.{0 if bits >= 8e6 else 1 if bits >= 8e4 else 2}f}"


def _smallest(storage: dict[str, Any] | None) -> tuple[str, str]:
    """The smallest weight format of a layer and its size."""
    return ("", "") if storage is None else (storage["best"], kib(storage["formats"][storage["best"]]["total"]))


def _percent(value: dict[str, Any]) -> str:
    return f"{100 * value['used'] / max(1, value['available']):.0f} %"


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(",", "").replace(".", "").replace("%", "").strip().isdigit() or not text


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
