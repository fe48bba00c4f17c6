"""A build's integer network against ONNX Runtime on the model that it was made from, layer by layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from admmfpga.atomic import atomic_write
from admmfpga.codegen.vivado import WORK_FILES
from admmfpga.errors import UserError
from admmfpga.frontend import Import, compare_with_onnxruntime, first_diverging, load, not_compared
from admmfpga.manifest import verify_manifest
from admmfpga.runtime.build import BITSTREAM_FOLDER, WORK

Progress = Callable[..., None]


def built_model(folder: Path) -> Import:
    """The model that a build of either architecture was made from.

    Raises:
        UserError: not a build folder, or a file is missing, damaged or foreign.
    """
    verify_manifest(folder, ignore=("report.json", WORK, BITSTREAM_FOLDER, *WORK_FILES))
    described = json.loads((folder / "design.json").read_text())
    return load(folder / "model.onnx", name=described["name"])


def against_onnxruntime(
    imported: Import, images: npt.NDArray[np.generic], *, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """Every layer on the inputs that ONNX Runtime has there, and all layers one behind the other from the images on.

    A layer diverges if it is off by more than rounding although its inputs are the same (`LayerAgreement.agrees`).

    Args:
        images: (N, *frame) as the model takes them.

    Returns:
        frames, version, layers in order (name, op, tensor of the model, values; equal and max_step of the layer for
        itself; equal and max_step from the images on), the first layer that diverges or None, layers not compared.

    Raises:
        UserError: no images, wrong shape, or ONNX Runtime cannot run the model.
    """
    if not len(images):
        raise UserError("there are no images")
    progress("each layer against ONNX Runtime")
    alone = compare_with_onnxruntime(imported, images, isolated=True)
    progress("from the images on, against ONNX Runtime")
    behind = compare_with_onnxruntime(imported, images)
    ops = {node.name: node.op for node in imported.network.nodes}
    diverging = first_diverging(alone)
    return {
        "frames": len(images),
        "version": ort.__version__,
        "layers": [
            {
                "name": one.name,
                "op": ops.get(one.name, ""),
                "tensor": one.source,
                "values": one.total,
                "equal": one.equal,
                "max_step": one.max_step,
                "agrees": one.agrees,
                "from_images": {"equal": all_.equal, "max_step": all_.max_step},
            }
            for one, all_ in zip(alone, behind, strict=True)
        ],
        "not_compared": not_compared(imported),
        "diverging": None if diverging is None else diverging.name,
    }


def save_agreement(folder: Path, found: dict[str, Any]) -> None:
    """Add what was found to a build's report.json."""
    path = folder / "report.json"
    report = json.loads(path.read_text()) | {"onnxruntime": found}
    atomic_write(path, (json.dumps(report, indent=2) + "\n").encode())


def complaint(found: dict[str, Any]) -> str:
    """The first layer that diverges, in words; "" if none does."""
    layer = next((one for one in found["layers"] if not one["agrees"]), None)
    if layer is None:
        return ""
    wrong = layer["values"] - layer["equal"]
    return (
        f"layer {layer['name']} is the first that diverges from ONNX Runtime: {wrong:,} of {layer['values']:,} values "
        f"of tensor {layer['tensor']} differ on the same inputs, by up to {layer['max_step']} steps"
    )
