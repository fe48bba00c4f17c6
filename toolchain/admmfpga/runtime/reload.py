"""Another network's weights for a build: whether they fit, and the image that is loaded.

The network must be the same but for weights, biases and scales. Its multipliers are brought to the build's shifts, and
that network, rounded multipliers and all, is what the hardware then computes, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from admmfpga.blocks import CsrPE, MatrixUnit, Requantize
from admmfpga.blocks.dsp_packing import is_narrow
from admmfpga.codegen.weights import render_container
from admmfpga.errors import UserError
from admmfpga.frontend import Import
from admmfpga.mapping import Design, Stage
from admmfpga.mapping.parts import stream_order
from admmfpga.mapping.structure import structure_sha256
from admmfpga.network import Conv, Dense, IntArray, Network, Node, Requantization, compact, plain, requantization_of
from admmfpga.network.budgets import complaints, rounding, with_shift
from admmfpga.network.compaction import kept_channels
from admmfpga.packing.lanes import ProgramError
from admmfpga.runtime.build import Build

MOST_ROUNDING = 1 / 8
"""Output steps by which rounding multipliers to the build's shift may move a result before it is rounded itself."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights for a build.

    Attributes:
        design: the build's with the new network and contents.
        image: bytes of the container.
        model_sha256: of the network's file.
        rounding: how far multipliers that were rounded move results, in output steps at most.
        notes: what else is not as the network has it, one line each.
    """

    design: Design
    image: bytes
    model_sha256: str
    rounding: float
    notes: tuple[str, ...] = ()


def fit_weights(build: Build, imported: Import) -> Weights:
    """Pack a network's weights for a build.

    Raises:
        UserError: the build's weights are constants, or the network does not fit: all reasons at once.
    """
    old = build.design
    if not old.reloadable:
        raise UserError(f"the weights of {build.folder} are constants", "build it with `admmfpga compile --reloadable`")
    _refuse(build, list(_differences(old.original, imported.network)))
    new, notes = _with_output(old.original, imported.network)
    network, worst, problems = _with_weights(old.original, new)
    kept = kept_channels(plain(old.original))
    try:
        compacted = compact(plain(network), kept)
    except ValueError as error:
        # What is in these channels has nowhere to go; nothing behind can be judged.
        problems.append(f"channels that the build has left out carry something: {error}")
        _refuse(build, problems)
        raise AssertionError from error
    stages = []
    for stage in old.stages:
        try:
            stages.append(_with_contents(old, compacted, stage))
        except ProgramError as error:
            problems.append(f"{stage.layer}: {error}")
    _refuse(build, problems)
    design = replace(old, network=compacted, original=network, stages=tuple(stages))
    assert structure_sha256(design) == structure_sha256(old), "new weights have changed the structure"
    return Weights(design, render_container(design, imported.sha256), imported.sha256, worst, notes)


def _refuse(build: Build, problems: list[str]) -> None:
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise UserError(
            f"the network does not fit into {build.folder}:{listed}",
            "keep to the build's shape and sparsity, or compile again (--reload-slack leaves more room)",
        )


def _differences(old: Network, new: Network) -> Iterator[str]:
    """Where two networks are not the same but for weights, biases and scales."""
    if [node.op for node in old.nodes] != [node.op for node in new.nodes]:
        yield f"layers are {', '.join(n.op for n in new.nodes)}; the build has {', '.join(n.op for n in old.nodes)}"
        return
    names = dict(zip(new.inputs, old.inputs, strict=False))
    for ours, theirs in zip(old.nodes, new.nodes, strict=True):
        names[theirs.output] = ours.output
        if tuple(names.get(name, "") for name in theirs.inputs) != ours.inputs:
            yield f"{ours.name} reads another layer"
        yield from (f"{ours.name}: {text}" for text in _node_differences(old, ours, theirs))
    for ours_, theirs_ in ((old.inputs, new.inputs), (old.outputs, new.outputs)):
        if tuple(names.get(name, name) for name in theirs_) != ours_:
            yield "inputs or outputs are others"
    for theirs_name, ours_name in names.items():
        before, after = old.tensors[ours_name], new.tensors[theirs_name]
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            yield f"{ours_name} is {after.dtype} {after.shape}; the build has {before.dtype} {before.shape}"
    if old.host_ops != new.host_ops:
        yield "the host has other operations to do behind the accelerator"


def _node_differences(old: Network, ours: Node, theirs: Node) -> Iterator[str]:
    for field in fields(ours):
        before, after = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name in ("name", "inputs", "output"):
            continue
        if isinstance(before, Requantization):
            if before.bias.shape != after.bias.shape:
                yield f"{len(after.bias)} channels; the build has {len(before.bias)}"
            scaling = () if _shifts_output(old, ours, before, after) else ("zero_point", "low", "high")
            for name in (*scaling, "dtype"):
                if getattr(before, name) != getattr(after, name):
                    yield f"output {name} {getattr(after, name)}; the build has {getattr(before, name)}"
            if ours.name not in old.budgets and not (
                np.array_equal(before.bias, after.bias)
                and np.array_equal(before.multiplier, after.multiplier)
                and before.shift == after.shift
            ):
                yield "its scaling is a constant of the build, and another one is wanted"
        elif field.name == "weights" and ours.name in old.budgets:
            if before.shape != after.shape:
                yield f"weights of shape {after.shape}; the build has {before.shape}"
        elif not np.array_equal(before, after):
            constant = ", which is a constant of the build" if isinstance(before, np.ndarray) else ""
            told = "" if isinstance(before, np.ndarray) else f" {after}; the build has {before}"
            yield f"another {field.name}{constant}{told}"


def _shifts_output(old: Network, ours: Node, before: Requantization, after: Requantization) -> bool:
    """Whether a layer's zero point may be another one: of the result, whose codes mean what the host says, if all codes
    are in use."""
    full = all((rule.low, rule.high) == (rule.dtype.min, rule.dtype.max) for rule in (before, after))
    return ours.output in old.outputs and full and not old.consumers(ours.output)


def _with_output(old: Network, new: Network) -> tuple[Network, tuple[str, ...]]:
    """The new network with the old one's zero point of the result: the same values but where they are clipped."""
    before, after = requantization_of(old.nodes[-1]), requantization_of(new.nodes[-1])
    if before is None or after is None or before.zero_point == after.zero_point:
        return new, ()
    tensor = new.output_of(new.nodes[-1])
    rule = replace(after, zero_point=before.zero_point)
    nodes = [*new.nodes[:-1], replace(new.nodes[-1], requantization=rule)]  # type: ignore[call-arg]
    tensors = new.tensors | {tensor.name: replace(tensor, zero_point=before.zero_point)}
    moved = before.zero_point - after.zero_point
    low, high = (f"{abs(moved)} steps {'later' if later else 'earlier'}" for later in (moved > 0, moved < 0))
    note = (
        f"the result keeps the build's zero point {before.zero_point} in place of {after.zero_point}: "
        f"it is clipped {low} below and {high} above"
    )
    return replace(new, nodes=nodes, tensors=tensors), (note,)


def _with_weights(old: Network, new: Network) -> tuple[Network, float, list[str]]:
    """The old network with the new one's numbers, how far rounding multipliers moves results, what does not fit."""
    nodes, problems, worst = [], [], 0.0
    tensors = {ours: new.tensors[theirs] for ours, theirs in zip(old.inputs, new.inputs, strict=True)}
    for ours, theirs in zip(old.nodes, new.nodes, strict=True):
        tensors[ours.output] = new.tensors[theirs.output]
        renamed = replace(theirs, name=ours.name, inputs=ours.inputs, output=ours.output)
        budget, before = old.budgets.get(ours.name), requantization_of(ours)
        if budget is not None and before is not None:
            wanted = requantization_of(theirs)
            assert wanted is not None
            rule = with_shift(wanted, before.shift)
            moved = rounding(wanted, rule)
            weights = theirs.weights if isinstance(theirs, Conv | Dense) else None
            found = complaints(weights, rule, budget)
            if moved > MOST_ROUNDING:
                found.append(f"multipliers rounded to the build's shift would move results by {moved:.2f} steps")
            problems += [f"{ours.name}: {text}" for text in found]
            worst = max(worst, moved)
            renamed = replace(renamed, requantization=rule)  # type: ignore[call-arg]
        nodes.append(renamed)
    named = {name: replace(tensor, name=name) for name, tensor in tensors.items()}
    return replace(old, nodes=nodes, tensors=named), worst, problems


def _with_contents(old: Design, network: Network, stage: Stage) -> Stage:
    """A stage with the contents of another network's layer.

    Raises:
        ProgramError: there is no place for them; says why.
    """
    if not stage.block.reloadable:
        return stage
    ours = next(node for node in old.network.nodes if node.name == stage.layer)
    theirs = next(node for node in network.nodes if node.name == stage.layer)
    if isinstance(stage.block, Requantize):
        rule = requantization_of(theirs)
        assert rule is not None
        return replace(stage, contents={"bias": rule.bias, "multiplier": rule.multiplier})
    assert isinstance(stage.block, MatrixUnit), stage.name
    assert isinstance(ours, Conv | Dense), ours
    assert isinstance(theirs, Conv | Dense), theirs
    left_out = ~(ours.matrix != 0).any(axis=0) & (theirs.matrix != 0).any(axis=0)
    # A layer without any weight keeps its first column.
    left_out[0] &= bool((ours.matrix != 0).any())
    if left_out.any():
        raise ProgramError(f"weights in columns that the build has left out: {np.flatnonzero(left_out).tolist()[:8]}")
    order = stream_order(ours, old.network.input_of(ours), old.foldings[ours.name])
    contents = {"matrix": order(theirs.matrix)}
    if stage.block.pack > 1 and not is_narrow(contents["matrix"], stage.block.weight_bits):
        least = -(1 << (stage.block.weight_bits - 1))
        raise ProgramError(f"a weight is {least}; rows that share DSP blocks have none below {least + 1}")
    if isinstance(stage.block, CsrPE):
        contents |= _lanes(stage.block, contents["matrix"], stage.contents)
    return replace(stage, contents=contents)


def _lanes(block: CsrPE, matrix: IntArray, before: dict[str, IntArray]) -> dict[str, IntArray]:
    """How columns are dealt out to lanes: anew if there is a program for that, else as they were.

    Raises:
        ProgramError: there is no program.
    """
    try:
        block.program({"matrix": matrix})
    except ProgramError as error:
        lanes = block.program(before).lane_of
        try:
            block.program({"matrix": matrix, "lanes": lanes})
        except ProgramError:
            raise error from None
        return {"lanes": lanes}
    return {}
