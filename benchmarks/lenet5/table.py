"""The table of docs/compress.md, from results.json: median over the seeds, and least and greatest behind it.

python benchmarks/lenet5/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

GOALS = {
    "base": ("", None, 0.0),
    "slim": ("", None, 0.0),
    "ns71": ("99.2 float at 71x", "accuracy_float", 99.2),
    "ns167": ("99.1 float at 167x", "accuracy_float", 99.1),
    "ns348": ("99.0 float at 348x", "accuracy_float", 99.0),
    "structured": ("99.1 float at 40x", "accuracy_float", 99.1),
    "structured232": ("aim: 99.0 float at 232x", "accuracy_float", 99.0),
    "binary": ("99.1 float", "accuracy_float", 99.1),
    "ns71-quant": ("99.0 integer", "accuracy_integer", 99.0),
    "structured-quant": ("98.9 integer", "accuracy_integer", 98.9),
}
"""What each row is held against: in words, which accuracy, percent."""


def spread(values: list[float], digits: int) -> str:
    """Median, and the range where there is one."""
    middle = f"{median(values):,.{digits}f}"
    if min(values) == max(values):
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def line(name: str, rows: list[dict[str, Any]]) -> str:
    goal, key, least = GOALS[name]
    reached = "" if key is None else "yes" if median(row[key] for row in rows) >= least else "no"
    bits = sorted({bits for row in rows for bits in row["bits"].values()})
    cells = [
        name,
        goal,
        str(len(rows)),
        spread([row["remaining_weights"] for row in rows], 0),
        spread([row["rate"] for row in rows], 1) + "x",
        spread([row["accuracy_float"] for row in rows], 2),
        spread([row["accuracy_integer"] for row in rows], 2),
        ", ".join(map(str, bits)),
        reached,
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    rows = json.loads(Path(__file__).with_name("results.json").read_text(encoding="utf-8"))
    print("| row | must reach | seeds | weights left | rate | float, % | integer, % | bits of weights | reached |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in GOALS:
        found = [row for row in rows if row["row"] == name]
        if found:
            print(line(name, found))


if __name__ == "__main__":
    main()
