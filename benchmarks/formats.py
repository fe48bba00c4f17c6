"""How long packing takes and how many bits it gives, on AlexNet's FC6 (9216 inputs, 4096 outputs).

    python benchmarks/formats.py [--rate 36] [--bits 4]

Prints, for a random mask of the given pruning rate, bits by what they are for, bits per kept weight, and the time of
`pack` with its memory images as a multiple of reading the matrix once (numpy's count of non-zero weights, same run).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing import FORMATS, Kept
from admmfpga.packing.formats import entropy_bits
from admmfpga.report.table import format_table

ROWS, COLUMNS = 4096, 9216


def timed(function: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of a few runs."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def pruned(rate: float, bits: int) -> IntArray:
    """A random matrix of FC6's shape: every position kept with equal probability."""
    rng = np.random.default_rng(0)
    top = max(1, (1 << (bits - 1)) - 1)
    kept = rng.random((ROWS, COLUMNS), dtype=np.float32) < 1 / rate
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), (ROWS, COLUMNS))
    return (rng.integers(1, top, (ROWS, COLUMNS), dtype=np.int8, endpoint=True) * signs * kept).astype(np.int64)


@click.command()
@click.option("--rate", default=36.0, show_default=True)
@click.option("--bits", default=4, show_default=True)
def main(rate: float, bits: int) -> None:
    matrix = pruned(rate, bits)
    kept = Kept.of(matrix).count
    unit = timed(lambda: np.count_nonzero(matrix))
    rows = []
    for name, form in FORMATS.items():
        size = form.size(matrix, bits)
        seconds = timed(lambda form=form: form.pack(matrix, bits).memories("fc6", "fc6"))  # type: ignore[misc]
        amounts = (f"{amount:,}" for amount in size.as_dict().values())
        rows.append((name, *amounts, f"{size.total:,}", f"{size.total / kept:.2f}", f"{seconds / unit:.0f}"))
    header = ("format", *size.as_dict(), "total bits", "per weight", "time")
    print(f"{ROWS} x {COLUMNS}, {kept:,} weights of {bits} bits ({rate:g}x), random positions")
    print("\n".join(format_table(header, rows)))
    print(f"entropy of the mask {entropy_bits(matrix):,.0f} bits, {entropy_bits(matrix) / kept:.2f} per weight")
    print(f"time in readings of the matrix; one takes {1000 * unit:.0f} ms here")


if __name__ == "__main__":
    main()
