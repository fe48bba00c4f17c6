"""What a finished run leaves behind: compressed.onnx, summary.json, plots."""

from __future__ import annotations

import json
import math
from typing import Any

from admmfpga.compress import checker, export, plots
from admmfpga.compress.loop import Run, traced
from admmfpga.compress.qonnx_export import QonnxExporter
from admmfpga.compress.recipe import weighted_layers


def finish(run: Run, *, qonnx: bool = False, draw: bool = True) -> dict[str, Any]:
    """Check the finished model, export it, measure the integer network, write the summary.

    Args:
        run: after `run()`.
        qonnx: write compressed.qonnx.onnx beside compressed.onnx.
        draw: write the plots.

    Returns:
        The summary, as in summary.json: name, weights, remaining_weights, rate, accuracy (percent, by milestone;
        "integer" is the exported network), seconds, layers.

    Raises:
        AssertionError: a constraint does not hold.
    """
    violations = checker.violations(run.model, run.constraints())
    assert not violations, violations
    model = traced(run)
    levels = run.levels()
    path = run.folder / "compressed.onnx"
    shape, name = tuple(run.example.shape[1:]), run.recipe.name
    export.write(export.to_onnx(model, levels, shape, name), path)
    if qonnx:
        export.write(export.to_onnx(model, levels, shape, name, QonnxExporter), run.folder / "compressed.qonnx.onnx")
    accuracy = {
        **run.accuracies,
        "integer": export.integer_accuracy(path, run.data.test_images, run.data.test_labels),
    }
    layers = []
    for name, layer in weighted_layers(model).items():
        weight = layer.weight.detach()
        total, kept = math.prod(run.original[name]), int(weight.count_nonzero())
        residual = run.residuals.get(name)
        quantized = levels.get(name)
        layers.append(
            {
                "name": name,
                "original_shape": list(run.original[name]),
                "shape": list(weight.shape),
                "weights": total,
                "kept": kept,
                "rate": round(total / max(1, kept), 3),
                "rows_kept": int((weight.flatten(1) != 0).any(dim=1).sum()),
                "columns_kept": int((weight.flatten(1) != 0).any(dim=0).sum()),
                "purified": run.removed.get(name, 0),
                "bits": quantized.bits if quantized is not None else 8,
                "levels": checker.levels_used(quantized, weight) if quantized is not None else None,
                "primal_residual": residual.primal if residual is not None else None,
                "dual_residual": residual.dual if residual is not None else None,
            }
        )
    weights = sum(layer["weights"] for layer in layers)
    remaining = sum(layer["kept"] for layer in layers)
    summary = {
        "name": run.recipe.name,
        "weights": weights,
        "remaining_weights": remaining,
        "rate": round(weights / max(1, remaining), 2),
        "accuracy": accuracy,
        "seconds": round(run.seconds, 1),
        "layers": layers,
    }
    temporary = run.folder / "summary.json.new"
    temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    temporary.replace(run.folder / "summary.json")
    if draw:
        plots.draw(run)
    return summary
