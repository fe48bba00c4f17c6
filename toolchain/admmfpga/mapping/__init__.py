"""Network -> Design: PE choice, folding, FIFO depths and exact timing under a board's resources."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from admmfpga.blocks import Resources, axi_lite_control
from admmfpga.boards import MemoryPort
from admmfpga.mapping.bounds import IntervalBound, folding_bounds, stream_bounds, vectors
from admmfpga.mapping.candidates import Made, Refinement, candidates, candidates_by_kind
from admmfpga.mapping.choice import PeChoice, weigh
from admmfpga.mapping.depths import size_fifos
from admmfpga.mapping.design import AxisFormat, Design, Search, Stage, Stream, Timing
from admmfpga.mapping.folding import Candidate, Folding, pareto, usable
from admmfpga.mapping.lowering import axis_formats, lower
from admmfpga.mapping.search import Layers, fold
from admmfpga.mapping.streams import stream_beats
from admmfpga.mapping.support import hardware_nodes
from admmfpga.mapping.units import KINDS
from admmfpga.network import Network, Node, compact, plain

__all__ = [
    "KINDS",
    "AxisFormat",
    "Design",
    "Folding",
    "IntervalBound",
    "PeChoice",
    "Search",
    "Stage",
    "Stream",
    "Timing",
    "axis_formats",
    "build_design",
    "candidates_by_layer",
    "lower",
    "map_network",
    "stream_beats",
    "wrapper_resources",
]


def map_network(
    network: Network,
    available: Resources,
    *,
    board: str,
    target_interval: int | None = None,
    kinds: Mapping[str, Collection[str]] | Collection[str] = KINDS,
    port: MemoryPort | None = None,
    beside: Resources | None = None,
    made: Made | None = None,
    explain: bool = True,
) -> Design:
    """Choose the foldings for a board and build the design of the compact network.

    Args:
        network: a verified network.
        available: the board's resources.
        board: its name, for messages.
        target_interval: cycles per frame to reach with the least resources; None for as fast as fits.
        kinds: of PEs that may be chosen, for all layers or by layer name.
        port: through which frames come and results go; None: it is no limit.
        beside: resources of what stands beside the accelerator on the FPGA, if anything.
        made: candidates of this very network, for those who map it several times; filled in.
        explain: also find out what other PEs would cost and where they break even; that takes time.

    Raises:
        UserError: the network has no dataflow form, or does not fit.
    """
    original, network = network, compact(plain(network))
    found = {
        node.name: candidates_by_kind(network, node, _kinds(node, kinds), made) for node in hardware_nodes(network)
    }
    layers: Layers = {name: pareto([one for options in by.values() for one in options]) for name, by in found.items()}
    fixed = wrapper_resources(reloadable=bool(network.budgets)) + (beside or Resources())
    # The output is as wide as needed up to 64 bits.
    bounds = stream_bounds(network, axis_formats(network, 1), port)
    least = max(bound.interval for bound in bounds)
    refinement = Refinement(network)
    choice = fold(
        layers,
        available,
        fixed,
        board=board,
        target_interval=target_interval,
        least_useful=least,
        refine=refinement,
    )
    interval = max(choice.interval, target_interval or 0)
    layers = refinement(layers, interval)
    for name, by in found.items():
        by |= {kind: list(refinement({name: options}, interval)[name]) for kind, options in by.items()}
    limit = usable(available)
    choices = {
        node.name: weigh(
            network, node, found[node.name], choice.candidates[node.name], interval, limit, _kinds(node, kinds)
        )
        for node in hardware_nodes(network)
        if explain
    }
    bounds += folding_bounds(layers, limit, fixed, vectors(network))
    design = build_design(network, {name: c.folding for name, c in choice.candidates.items()}, original)
    return replace(
        design,
        choices={name: one for name, one in choices.items() if one is not None},
        search=Search(
            bounds=tuple(sorted(bounds, key=lambda b: -b.interval)),
            target_interval=target_interval,
            least_interval=choice.least_interval,
            price_gap=choice.price_gap,
        ),
    )


def candidates_by_layer(
    network: Network,
    kinds: Mapping[str, Collection[str]] | Collection[str] = KINDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Candidate]]:
    """Pareto-optimal ways to build each layer, by its name.

    Args:
        network: a compact network.
        kinds: of PEs that may be chosen, for all layers or by layer name.
        progress: is called with how many layers are done, and of how many.

    Raises:
        UserError: the network has no dataflow form.
    """
    nodes, found = hardware_nodes(network), {}
    for index, node in enumerate(nodes):
        progress(index, len(nodes))
        found[node.name] = candidates(network, node, _kinds(node, kinds))
    progress(len(nodes), len(nodes))
    return found


def _kinds(node: Node, kinds: Mapping[str, Collection[str]] | Collection[str]) -> Collection[str]:
    return kinds.get(node.name, KINDS) if isinstance(kinds, Mapping) else kinds


def wrapper_resources(*, reloadable: bool = False) -> Resources:
    """Used besides the layers: control, and an allowance for the AXI wrappers with their FIFOs and converters, a few
    hundred LUTs whatever is chosen."""
    return axi_lite_control.resources(reloadable=reloadable) + Resources(lut=400, ff=400)


def build_design(network: Network, foldings: dict[str, Folding], original: Network | None = None) -> Design:
    """The design for given foldings, with FIFO depths and exact timing.

    Args:
        network: what is built; compaction is the caller's.
        foldings: by layer name.
        original: the network before compaction, if it is another one.
    """
    # What the layers can do, with input and output as dense as they go; what follows the last one is no layer.
    stages, streams = lower(network, foldings, axis_formats(network, 1))
    last = max((index for index, stage in enumerate(stages) if stage.layer), default=0)
    interval = max(stage.block.cycles for stage in stages[: last + 1])
    formats = axis_formats(network, interval)
    stages, streams = lower(network, foldings, formats)
    sized, timing = size_fifos(stages)
    return Design(
        network=network,
        original=original or network,
        stages=tuple(sized),
        streams=streams,
        timing=timing,
        foldings=foldings,
        formats=formats,
    )
