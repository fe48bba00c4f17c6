"""The fastest way to build a layer under a budget, for every kind of PE and index format."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.mapping.folding import Candidate, Folding, exceeded
from admmfpga.mapping.units import least_steps, other_indices
from admmfpga.network import Conv, Dense, Network
from admmfpga.packing import LaneLayout

# The package has a function of this name, too.
forms = importlib.import_module("admmfpga.mapping.candidates")

LEAST_LUTS = 8
"""A multiplier in LUTs, with what belongs to it, takes more than this: wider arrays need no look."""
PER_DSP = 4
"""Multipliers that a DSP block may hold at most."""


@dataclass(frozen=True)
class Best:
    """The fastest design of its option.

    Attributes:
        option: kind of PE, or index format of csr_pe.
        cycles: of a frame.
        resources: modelled.
        folding: how it is built.
    """

    option: str
    cycles: int
    resources: Resources
    folding: Folding


def fastest(found: Iterable[Candidate], limit: Resources, option: str) -> Best | None:
    """Of those within the limit; of equally fast ones the one with the fewest LUTs."""
    able = [one for one in found if not any(exceeded(one.resources, limit))]
    best = min(able, key=lambda one: (one.cycles, one.resources.lut), default=None)
    return None if best is None else Best(option, best.cycles, best.resources, best.folding)


def regular(network: Network, limit: Resources, kinds: Sequence[str]) -> Iterator[Best]:
    """PEs that do not decode indices, with the same freedom as in `admmfpga compile`: see `Refinement`."""
    node, refine = network.nodes[0], forms.Refinement(network)
    with _narrow(limit):
        found = {}
        for kind in kinds:
            with contextlib.suppress(UserError):
                found |= forms.candidates_by_kind(network, node, (kind,))
        for kind, options in found.items():
            best, before = fastest(options, limit, kind), None
            while best is not None and (before is None or best.cycles < before.cycles):
                before = best
                options = refine({node.name: options}, best.cycles)[node.name]
                best = fastest(options, limit, kind)
            if best is not None:
                yield best


@contextlib.contextmanager
def _narrow(limit: Resources) -> Iterator[None]:
    """Larger arrays do not fit anyhow, and listing them takes long."""
    usual = forms.MAX_MULTIPLIERS
    forms.MAX_MULTIPLIERS = min(usual, max(PER_DSP * limit.dsp, limit.lut // LEAST_LUTS))
    try:
        yield
    finally:
        forms.MAX_MULTIPLIERS = usual


def decoding(network: Network, limit: Resources, height: int, formats: Collection[str]) -> Iterator[Best]:
    """csr_pe, with blocks of `height` rows that share indices.

    Args:
        formats: of the indices; blocks of several rows have absolute ones.
    """
    node = network.nodes[0]
    assert isinstance(node, Conv | Dense)
    output = network.output_of(node)
    vectors = output.elements // output.channels
    best: dict[str, Best] = {}
    spread = [
        layout for layout in forms.layer_layouts(network, node) if layout.height == height and _may_fit(layout, limit)
    ]
    for layout in sorted(spread, key=lambda one: least_steps(node.matrix, one)):
        others = [one for one in other_indices(layout, node.matrix) if one.index_format in formats and height == 1]
        least = vectors * least_steps(node.matrix, layout)
        for one in (layout, *others):
            option = f"row_blocked{height}" if height > 1 else one.index_format
            # All that follow take at least as long.
            if option in best and best[option].cycles <= least:
                continue
            found = fastest(forms.layout_candidates(network, node, one), limit, option)
            if found and (option not in best or found.cycles < best[option].cycles):
                best[option] = found
    yield from best.values()


def _may_fit(layout: LaneLayout, limit: Resources) -> bool:
    multipliers = layout.groups * layout.lanes * layout.height
    return multipliers <= PER_DSP * limit.dsp or multipliers * LEAST_LUTS <= limit.lut
