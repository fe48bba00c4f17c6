"""An engine's report as text."""

from __future__ import annotations

from typing import Any


def format_engine_report(report: dict[str, Any]) -> str:
    """Summary and layer table."""
    shape, traffic = report["shape"], report["traffic"]
    utilization = report["convolution_utilization"]
    lines = [
        f"{report['model']['name']} on {report['board']} at {report['clock_mhz']:g} MHz: shared engine",
        f"  because: {report['reason']}",
        f"  array: {shape['pe']} x {shape['simd']} multipliers, {shape['positions']} positions a tile, scratchpad of "
        f"{shape['scratchpad'] * shape['simd']:,} bytes",
        f"  {report['throughput_fps']:g} frames/s, {report['cycles']:,} cycles a frame"
        f" (exact for DRAM of {report['dram_latency_cycles']} cycles latency)",
        f"  multiplier slots busy over the convolutions: {'none' if utilization is None else f'{utilization:.1%}'}",
        f"  DRAM traffic: {traffic['bytes']:,} bytes a frame, {traffic['ratio']:.2f} x the compulsory"
        f" {traffic['compulsory_bytes']:,}",
        "  "
        + ", ".join(
            f"{name} {entry['used']:,} of {entry['available']:,} ({entry['source']})"
            for name, entry in report["resources"].items()
        ),
        "",
        f"{'layer':24} {'op':14} {'output':16} {'MACs':>14} {'cycles':>12} {'busy':>7} {'DRAM bytes':>12}",
    ]
    for layer in report["layers"]:
        moved = layer["stream_bytes"] + layer["loaded_bytes"] + layer["stored_bytes"]
        busy = "" if layer["utilization"] is None else f"{layer['utilization']:.1%}"
        size = " x ".join(map(str, layer["output"]))
        lines.append(
            f"{layer['name'][:24]:24} {layer['op'][:14]:14} {size:16} {layer['macs']:14,} {layer['cycles']:12,} "
            f"{busy:>7} {moved:12,}"
        )
    return "\n".join(lines)
