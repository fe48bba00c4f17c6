"""Networks side by side: what kind of pruning each has, pruning rates, PPR, and what follows from the figures.

PPR is the pruning-to-performance ratio: pruning rate / speed-up over the dense design under the same resources. 1 means
that every weight left out became speed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from admmfpga.report.table import format_table, kib

Row = dict[str, Any]
"""One network's figures, JSON-ready; docs/compare.md describes the fields."""

KINDS = ("dense", "structured", "non-structured")

DENSE_RATE = 1.5
"""A network pruned by less than this counts as dense: training and rounding leave that many zeros."""

EQUAL_ACCURACY = 0.001
"""Accuracies that differ by no more than this count as equal."""


def classify(reference: int, block: int, kept: int) -> tuple[str, str]:
    """The kind of pruning a network has, by its masks, and the reason in words.

    Two factors make up the pruning rate: whole rows and columns that are gone (reference / block), and zeros inside the
    rest (block / kept). The larger one names the kind.

    Args:
        reference: weights of the unpruned network.
        block: kept rows x kept columns, summed over layers.
        kept: weights that are not zero.
    """
    # Of a network without any weight left, everything is gone in whole rows.
    block, kept = max(1, block), max(1, kept)
    gone, inside = reference / block, block / kept
    reason = f"whole rows and columns gone {gone:.1f}x, zeros inside the rest {inside:.1f}x"
    if gone * inside < DENSE_RATE:
        return "dense", reason
    return ("structured" if gone >= inside else "non-structured"), reason


def finish(rows: Sequence[Row], dense: Row) -> None:
    """Add rates and PPR to the rows, in place.

    Args:
        dense: name, positions, macs, frame_interval_cycles (None if nothing fits) of the dense design.
    """
    for row in rows:
        storage = row["storage"]
        row["pruning_rate"] = _round(dense["positions"] / max(1, storage["kept"]))
        row["structure_rate"] = _round(dense["positions"] / max(1, storage["block"]))
        row["zeros_rate"] = _round(storage["block"] / max(1, storage["kept"]))
        row["macs_rate"] = _round(dense["macs"] / max(1, row["macs"]))
        row["bits_per_weight"] = _round(storage["best_bits"] / max(1, storage["kept"]))
        for design in row["designs"]:
            speed_up = None
            if design["fits"] and dense["frame_interval_cycles"] is not None:
                speed_up = dense["frame_interval_cycles"] / design["frame_interval_cycles"]
            design["speed_up"] = _round(speed_up)
            design["ppr"] = _round(row["pruning_rate"] / speed_up if speed_up else None)
            design["ppr_macs"] = _round(row["macs_rate"] / speed_up if speed_up else None)


def pairs(rows: Sequence[Row]) -> list[Row]:
    """Every non-structured network against every structured one; pairs of equal bits and close accuracies first."""
    found = [
        _pair(n, s)
        for n in rows
        if n["kind"] == "non-structured"
        for s in rows
        if s["kind"] == "structured"
    ]  # fmt: skip
    return sorted(found, key=lambda p: (not p["equal_bits"], p["accuracy_gap"] is None, abs(p["accuracy_gap"] or 0.0)))


def verdict(rows: Sequence[Row], found: Sequence[Row], dense: Row) -> str:
    """What follows, in a few sentences."""
    if found:
        return str(found[0]["verdict"])
    missing = [kind for kind in KINDS[1:] if not any(row["kind"] == kind for row in rows)]
    lines = [f"No {' and no '.join(missing)} network is among these, so the two kinds of pruning are not compared."]
    for row in rows:
        design = best_design(row)
        if row["kind"] != "dense" and design is not None and design["ppr"] is not None:
            lines.append(
                f"{row['name']} ({row['kind']}): {row['pruning_rate']:.1f}x fewer weights make {dense['name']} "
                f"{design['speed_up']:.2f}x faster, PPR {design['ppr']:.2f}."
            )
    return " ".join(lines)


def best_design(row: Row) -> Row | None:
    """The design that a network is compared with: the fastest one that fits."""
    found: Row | None = next((d for d in row["designs"] if d["fits"] and d["pe"] == row["best_pe"]), None)
    return found


def _pair(n: Row, s: Row) -> Row:
    ratio = n["pruning_rate"] / s["pruning_rate"]
    needed = n["bits_per_weight"] / s["bits_per_weight"]
    bits = {row["kind"]: row["storage"]["best_bits"] for row in (n, s)}
    designs = {row["kind"]: best_design(row) for row in (n, s)}
    gap = None if None in (n["accuracy"], s["accuracy"]) else round(n["accuracy"] - s["accuracy"], 6)
    pair: Row = {
        "non_structured": n["name"],
        "structured": s["name"],
        "ratio": _round(ratio),
        "needed_ratio": _round(needed),
        "equal_bits": n["bits"] == s["bits"],
        "accuracy_gap": gap,
        "storage": _smaller(bits),
        "computation": None,
        "energy": None,
    }
    d_n, d_s = designs["non-structured"], designs["structured"]
    if d_n and d_s:
        pair["computation"] = _smaller({kind: d["frame_interval_cycles"] for kind, d in designs.items() if d})
        pair["energy"] = _smaller({kind: d["energy_nj"]["total"] for kind, d in designs.items() if d})
    elif d_n or d_s:
        pair["computation"] = "non-structured" if d_n else "structured"
    pair["verdict"] = _sentences(pair, n, s, d_n, d_s)
    return pair


def _sentences(pair: Row, n: Row, s: Row, d_n: Row | None, d_s: Row | None) -> str:
    """The verdict on a pair."""
    lines = [_headline(pair)]
    bits = "the same" if pair["storage"] == "equal" else "more" if pair["storage"] == "structured" else "less"
    lines.append(
        f"Pruned {n['pruning_rate']:.1f}x non-structured ({n['name']}, {n['bits']} bits) and {s['pruning_rate']:.1f}x "
        f"structured ({s['name']}, {s['bits']} bits), r_n/r_s is {pair['ratio']:.2f}; storage needs it above "
        f"{pair['needed_ratio']:.2f}, so "
        f"non-structured takes {bits}: {kib(n['storage']['best_bits'])} against {kib(s['storage']['best_bits'])} KiB."
    )
    if d_n and d_s:
        ppr = "" if d_n["ppr"] is None else f"; PPR {d_n['ppr']:.2f} against {d_s['ppr']:.2f}"
        lines.append(
            f"Under the same resources non-structured takes {d_n['frame_interval_cycles']:,} cycles a frame "
            f"({d_n['pe']} PE) and structured {d_s['frame_interval_cycles']:,} ({d_s['pe']} PE){ppr}. "
            f"Estimated energy {d_n['energy_nj']['total']:,.0f} against {d_s['energy_nj']['total']:,.0f} nJ a frame."
        )
    else:
        lines.append(
            " ".join(
                f"{row['name']} does not fit." for row, design in ((n, d_n), (s, d_s)) if design is None
            )
        )  # fmt: skip
    gap = pair["accuracy_gap"]
    if gap is None:
        lines.append("Accuracies were not measured, so whether this is at equal accuracy is not known.")
    else:
        equal = "equal within 0.1 %" if abs(gap) <= EQUAL_ACCURACY else "not equal"
        measured = f"{_percent(n['accuracy'])} against {_percent(s['accuracy'])}"
        lines.append(f"Accuracies are {equal}: {measured} of {n['images']:,} images.")
    return " ".join(lines)


def _headline(pair: Row) -> str:
    storage, computation = pair["storage"], pair["computation"]
    if computation is None:
        return f"Storage: {storage}. Computation: neither fits."
    if storage == computation:
        return (
            "Both are equal." if storage == "equal" else f"{storage.capitalize()} pruning wins storage and computation."
        )
    return f"Storage: {_winner(storage)}. Computation: {_winner(computation)}."


def _winner(kind: str) -> str:
    return "equal" if kind == "equal" else f"{kind} wins"


def _smaller(amounts: dict[str, float]) -> str:
    (first, a), (second, b) = amounts.items()
    return "equal" if a == b else first if a < b else second


# --- text and CSV ----------------------------------------------------------------------------------------------------


def format_comparison(comparison: Row) -> str:
    """The comparison as a person reads it in a terminal."""
    budget = ", ".join(f"{name.upper()} {amount:,}" for name, amount in comparison["budget"].items())
    lines = [
        f"{len(comparison['networks'])} networks on {comparison['board']} at {comparison['clock_mhz']:g} MHz; "
        f"each may take {budget}",
        f"pruning rates and speed-ups against {comparison['dense']['name']} ({comparison['dense']['basis']})"
        + (
            ""
            if comparison["dense"]["frame_interval_cycles"]
            else "; it does not fit, so there is no speed-up and no PPR"
        ),
        "",
    ]
    header = (
        "network", "kind", "weights", "rate", "bits", "KiB", "bits/weight", "accuracy", "PE", "cycles", "frames/s",
        "speed-up", "PPR", "PPR(MACs)", "LUT", "BRAM18", "DSP", "nJ",
    )  # fmt: skip
    rows = []
    for row in comparison["networks"]:
        best = best_design(row)
        head = (
            row["name"],
            row["kind"],
            f"{row['storage']['kept']:,}",
            f"{row['pruning_rate']:.1f}x",
            row["bits"],
            kib(row["storage"]["best_bits"]),
            f"{row['bits_per_weight']:.2f}",
            "" if row["accuracy"] is None else _percent(row["accuracy"]),
        )
        for design in [d for d in row["designs"] if d is best] + [d for d in row["designs"] if d is not best]:
            rows.append(
                (*(head if design is (best or row["designs"][0]) else [""] * len(head)), *_design_cells(design))
            )
    lines += format_table(header, rows)
    lines += ["", "storage in KiB, one format for all layers (`best`: each layer in its own)"]
    formats = list(comparison["networks"][0]["storage"]["formats"])
    lines += format_table(
        ("network", *formats, "best", "needed r_n/r_s (k = 4)"),
        [
            (
                row["name"],
                *(kib(row["storage"]["formats"][name]["total"]) for name in formats),
                kib(row["storage"]["best_bits"]),
                f"{row['needed_ratio_relative4']:.2f}" if row["kind"] == "non-structured" else "",
            )
            for row in comparison["networks"]
        ],
    )
    sources = dict.fromkeys(d["cycles_source"] for row in comparison["networks"] for d in row["designs"] if d["fits"])
    lines += [
        "",
        f"cycles: {'; '.join(sources)}",
        "energy: an estimate, see docs/compare.md",
        "",
        comparison["verdict"],
    ]
    return "\n".join(lines)


def _design_cells(design: Row) -> tuple[str, ...]:
    if not design["fits"]:
        # A PE may also be unable to hold a layer's weights, on whatever board.
        why = "does not fit" if "does not fit" in design["reason"] else "cannot build it"
        return (f"{design['pe']} {why}", *[""] * 9)
    resources = design["resources"]
    return (
        design["pe"],
        f"{design['frame_interval_cycles']:,}",
        f"{design['throughput_fps']:,.0f}",
        "" if design["speed_up"] is None else f"{design['speed_up']:.2f}x",
        "" if design["ppr"] is None else f"{design['ppr']:.2f}",
        "" if design["ppr_macs"] is None else f"{design['ppr_macs']:.2f}",
        *(f"{resources[name]['used']:,}" for name in ("lut", "bram18", "dsp")),
        f"{design['energy_nj']['total']:,.0f}",
    )


def to_csv(comparison: Row) -> str:
    """One line a network and layer; the layer "all" has what belongs to the whole network."""
    formats = list(comparison["networks"][0]["storage"]["formats"])
    header = [
        "network", "kind", "layer", "op", "rows", "columns", "weights", "kept", "bits", "pruning_rate", "macs",
        *(f"{name}_bits" for name in formats), "best_format", "best_bits", "accuracy", "pe", "cycles",
        "cycles_source", "frames_per_s", "speed_up", "ppr", "ppr_macs", "lut", "ff", "bram18", "dsp", "energy_nj",
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    for row in comparison["networks"]:
        best = best_design(row)
        total = {
            "network": row["name"],
            "kind": row["kind"],
            "layer": "all",
            "weights": row["storage"]["positions"],
            "kept": row["storage"]["kept"],
            "bits": row["bits"],
            "pruning_rate": row["pruning_rate"],
            "macs": row["macs"],
            "best_bits": row["storage"]["best_bits"],
            "accuracy": row["accuracy"],
            **{f"{name}_bits": row["storage"]["formats"][name]["total"] for name in formats},
        }
        if best:
            total |= {
                "pe": best["pe"],
                "cycles": best["frame_interval_cycles"],
                "cycles_source": best["cycles_source"],
                "frames_per_s": best["throughput_fps"],
                "speed_up": best["speed_up"],
                "ppr": best["ppr"],
                "ppr_macs": best["ppr_macs"],
                "energy_nj": best["energy_nj"]["total"],
                **{name: value["used"] for name, value in best["resources"].items()},
            }
        writer.writerow(total)
        writer.writerows(_csv_layers(row, best, formats))
    return out.getvalue()


def _csv_layers(row: Row, best: Row | None, formats: Sequence[str]) -> Iterable[Row]:
    cycles = {layer["name"]: layer for layer in best["layers"]} if best else {}
    for layer in row["layers"]:
        storage = layer["storage"]
        line = {
            "network": row["name"],
            "kind": row["kind"],
            "layer": layer["name"],
            "op": layer["op"],
            "rows": layer["rows"],
            "columns": layer["columns"],
            "weights": storage["positions"],
            "kept": storage["kept"],
            "bits": storage["bits"],
            "pruning_rate": layer["pruning_rate"],
            "macs": layer["macs"],
            "best_format": storage["best"],
            "best_bits": storage["formats"][storage["best"]]["total"],
        }
        for name in formats:
            key = storage["relative"] if name == "relative" else name
            line[f"{name}_bits"] = storage["formats"][key]["total"]
        if layer["name"] in cycles:
            built = cycles[layer["name"]]
            line |= {"pe": built["block"], "cycles": built["cycles"], "energy_nj": built["energy_nj"]}
            line |= built["resources"]
        yield line


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
