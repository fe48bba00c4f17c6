"""ONNX -> integer Network.

`load` takes QDQ models (QuantizeLinear, DequantizeLinear) as they are, and quantizes float models first. `unsupported`
lists everything that stands in the way, without raising.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from admmfpga.frontend import calibration as _calibration
from admmfpga.frontend.agreement import LayerAgreement, compare_with_onnxruntime, first_diverging, not_compared
from admmfpga.frontend.imported import Import
from admmfpga.frontend.importer import import_graph, is_quantized
from admmfpga.frontend.loading import Source, read_model
from admmfpga.frontend.naming import sanitized
from admmfpga.frontend.problems import Problem, UnsupportedModelError
from admmfpga.frontend.snapping import snap_scales
from admmfpga.network.graph import network_macs

__all__ = [
    "Import",
    "LayerAgreement",
    "Problem",
    "UnsupportedModelError",
    "compare_with_onnxruntime",
    "first_diverging",
    "load",
    "not_compared",
    "unsupported",
]


def load(path: Path, *, calibration: npt.NDArray[Any] | None = None, name: str | None = None) -> Import:
    """Read an ONNX file and turn it into an integer network.

    Args:
        path: a binary ONNX file; QDQ, or float.
        calibration: (N, C, H, W) images as the model takes them; a float model is quantized with these. Without them
            random images are assumed, and a warning says so.
        name: of the network; the file's stem if None.

    Raises:
        UserError: bad file or bad calibration images.
        UnsupportedModelError: (a UserError) with all nodes that cannot become hardware.
    """
    path = Path(path)
    source = read_model(path)
    title = name or sanitized(path.stem) or "network"
    warnings = list(source.warnings)
    sha256, frame, model = source.sha256, _frame_shape(source), source.model
    del source  # what a large model was read as goes as soon as nothing needs it
    ours = not is_quantized(model)
    if not ours:
        if calibration is not None:
            warnings.append("the model is quantized already; the calibration images are not used")
        graph = import_graph(model, title)
        _raise(graph.problems)
    else:
        as_written, model = model, _calibration.folded(model)
        plan = import_graph(model, title, rehearsal=True)
        if plan.problems:  # under the names that the nodes have in the file, if they show there
            _raise(import_graph(as_written, title, rehearsal=True).problems)
        _raise(plan.problems)
        assert plan.network is not None
        assert plan.rehearsal is not None
        if calibration is None:
            images = _calibration.assumed_images(frame, network_macs(plan.network))
            warnings.append(_calibration.assumption(len(images)))
        else:
            images = _calibration.checked_images(calibration, model)
        model = _calibration.quantize(model, plan.rehearsal, images)
        del as_written, plan
        memory: dict[tuple[str, str], Any] = {}
        first = import_graph(model, title, memory=memory)
        _raise(first.problems)
        model = snap_scales(model, first.realised)
        graph = import_graph(model, title, memory=memory)
        _raise(graph.problems)
    assert graph.network is not None
    return Import(
        graph.network,
        model,
        sha256,
        [*warnings, *graph.warnings],
        graph.layouts,
        graph.input_layout,
        graph.output_layout,
        weights_rounded=ours,
    )


def unsupported(path: Path) -> list[Problem]:
    """Every node of a model that cannot become hardware, in graph order; empty if it can be loaded.

    Raises:
        UserError: if the file cannot be read at all.
    """
    try:
        source = read_model(Path(path))
    except UnsupportedModelError as error:
        return list(error.problems)
    ours = not is_quantized(source.model)
    problems = import_graph(source.model, "network", rehearsal=ours).problems
    if problems and ours and not import_graph(_calibration.folded(source.model), "network", rehearsal=True).problems:
        return []
    return list(problems)


def _raise(problems: tuple[Problem, ...]) -> None:
    if problems:
        raise UnsupportedModelError(problems)


def _frame_shape(source: Source) -> tuple[int, ...]:
    return tuple(d.dim_value for d in source.model.graph.input[0].type.tensor_type.shape.dim)[1:]
