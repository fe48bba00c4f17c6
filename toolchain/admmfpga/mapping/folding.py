"""How a layer can be folded onto hardware, what that costs, and what of a board may be used (dataflow architecture)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from admmfpga.blocks import Resources
from admmfpga.packing import LaneLayout


@dataclass(frozen=True)
class Folding:
    """Parallelism of one layer.

    Attributes:
        pe: rows (output channels) at a time; where they do not divide the rows, the last row group is filled up, and
            `lanes_out` divides both.
        simd: columns at a time.
        channels: input channels a beat in the window unit.
        use_dsp: multipliers in DSP blocks, else in LUTs.
        pack: rows that share a DSP block.
        weight_block_ram: weights in block RAM, else in LUTs.
        kind: of the PE that multiplies, see `blocks.MatrixUnit.kind`.
        layout: how a sparse matrix is spread over lanes; `pe` and `simd` say what follows from it.
        thresholds: outputs by comparison with thresholds instead of multiplication.
        lut_rows: the last rows of `pe`, which multiply in LUTs while the others do in DSP blocks, see `blocks.DensePE`.
        lut_weight_rows: the last rows of `pe`, whose weights are in LUTs while the others' are in block RAM.
        pixels: beside each other that a convolution or pool works on at a time, see `pixels`; `pe` and `channels` are
            those of the grouped form.
        together: results beside each other that the PE computes at a time where only the window unit takes several
            pixels (`pixels.spread_window`); 0: all of them, on the grouped form.
        lanes_out: rows that are requantized at a time, a divisor of `pe`; None: as many as the PE gives.
        dealt: beats of each of the window unit's vectors that are dealt out to the others, see `blocks.Deal`.
    """

    pe: int = 1
    simd: int = 1
    channels: int = 1
    use_dsp: bool = True
    weight_block_ram: bool = True
    kind: str = "dense"
    layout: LaneLayout | None = None
    thresholds: bool = False
    pack: int = 1
    lut_rows: int = 0
    lut_weight_rows: int = 0
    pixels: int = 1
    together: int = 0
    lanes_out: int | None = None
    dealt: int = 0

    @property
    def vectors(self) -> int:
        """Vectors that the PE takes at a time."""
        return self.together or self.pixels

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Folding:
        """The inverse of `dataclasses.asdict`."""
        layout = values.get("layout")
        return cls(**values | {"layout": None if layout is None else LaneLayout(**layout)})


@dataclass(frozen=True)
class Candidate:
    """One way to build a layer: its folding, cycles per frame and modelled resources."""

    folding: Folding
    cycles: int
    resources: Resources


CEILING = {"lut": 0.75, "ff": 0.75, "bram18": 0.95, "dsp": 1.0}
"""Share of each resource that the accelerator may take: routing fails long before all LUTs are used, and the DMA and
interconnect beside it want block RAM."""

PRICES = {"lut": 1.0, "ff": 0.2, "bram18": 1.0, "dsp": 0.2}
"""Relative prices of the whole usable amount of each resource: DSPs have no other use here, so they come first."""


@lru_cache(maxsize=4096)
def divisors(value: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [d for d in range(1, int(value**0.5) + 1) if value % d == 0]
    return tuple(sorted({*small, *(value // d for d in small)}))


def usable(available: Resources) -> Resources:
    """What the accelerator may take of a board."""
    return Resources(**{name: int(getattr(available, name) * share) for name, share in CEILING.items()})


def exceeded(used: Resources, limit: Resources) -> Iterator[tuple[str, int, int]]:
    """(resource, used, limit) for every resource over its limit."""
    for f in fields(Resources):
        have, may = getattr(used, f.name), getattr(limit, f.name)
        if have > may:
            yield f.name, have, may


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other one beats or equals in cycles and in every resource; sorted by cycles."""
    kept: list[Candidate] = []
    # Rows of those kept so far; a candidate that follows is not faster than any of them.
    amounts = np.empty((len(candidates), len(fields(Resources))), dtype=np.int64)
    for candidate in sorted(candidates, key=lambda c: (c.cycles, sum(c.resources.as_dict().values()))):
        own = amounts[len(kept)]
        own[:] = tuple(candidate.resources.as_dict().values())
        if not (amounts[: len(kept)] <= own).all(axis=1).any():
            kept.append(candidate)
    return kept
