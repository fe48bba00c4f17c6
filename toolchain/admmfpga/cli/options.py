"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from admmfpga.errors import UserError
from admmfpga.network import Tensor

model = click.argument("model", type=click.Path(path_type=Path))
board = click.option(
    "--board", default="pynq", show_default=True, help="Board name or TOML file; see `admmfpga boards`."
)
clock = click.option("--clock", type=click.FloatRange(1, 1000), help="Clock in MHz; default is the board's.")
target_fps = click.option(
    "--target-fps", type=click.FloatRange(min=0, min_open=True), help="Reach this with the least resources."
)
calibration = click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="NPZ with `images` (N x C x H x W, as the model takes them): a float model is quantized with these.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


pe = click.option(
    "--pe",
    multiple=True,
    metavar="[LAYER=]KIND",
    help="PE of all layers or of one: auto (the cheapest), dense, csr. May be given several times.",
)


def pe_kinds(values: tuple[str, ...]) -> dict[str, str]:
    """Kinds by layer name from the words of `--pe`; "" stands for all layers."""
    split = (value.rpartition("=") for value in values)
    return {layer: kind for layer, _, kind in split}


architecture = click.option(
    "--architecture",
    type=click.Choice(["auto", "dataflow", "engine"]),
    default="auto",
    show_default=True,
    help="One PE array a layer (dataflow), one shared array with weights in DRAM (engine), or what fits (auto).",
)


def compiling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `check` and `compile`."""
    for option in (as_json, architecture, pe, target_fps, clock, calibration, board, model):
        function = option(function)
    return function


def load_npz(path: Path, *, labels: bool = False) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64] | None]:
    """`images` and, if wanted and there, `labels` of an NPZ file. Pickled arrays are refused.

    Raises:
        UserError: missing or damaged file, no `images`, labels of another length.
    """
    try:
        # numpy leaves a file open that it cannot read; one of our own is closed whatever happens.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if "images" not in archive:
                raise UserError(
                    f"{path} has no array `images` (it has: {', '.join(archive.files) or 'nothing'})",
                    "save it with numpy.savez(path, images=..., labels=...)",
                )
            images = archive["images"]
            found = archive["labels"] if labels and "labels" in archive else None
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a readable NPZ file ({error})", "save it with numpy.savez") from None
    except Exception as error:
        if type(error).__module__ in ("zipfile", "zlib"):
            raise UserError(f"{path} is not a readable NPZ file ({error})", "save it with numpy.savez") from None
        raise
    if images.dtype.kind not in "fiu":
        raise UserError(f"{path}: `images` holds {images.dtype}, not numbers")
    if found is not None and (found.ndim != 1 or len(found) != len(images) or found.dtype.kind not in "iu"):
        raise UserError(f"{path}: `labels` must be {len(images)} integers, not {found.dtype} of shape {found.shape}")
    return images, None if found is None else found.astype(np.int64)


def dataset_images(name: str, source: Tensor) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Test images of a known data set as the model takes them, and labels.

    Pixels are 0..1; 0..255 for a model whose input range ends beyond 3 (no normalisation reaches that).

    Raises:
        UserError: the model does not take images of that size.
    """
    from admmfpga.datasets import mnist

    data = {"mnist": mnist}[name]()
    images = data.test_images
    if source.shape != (*images.shape[1:], 1):
        raise UserError(
            f"{name} images are {' x '.join(map(str, images.shape[1:]))}, the model takes {source.shape}",
            "pass images of the right shape with --images",
        )
    top = float(source.dequantize(np.array(source.dtype.max)))
    pixels = images[:, None].astype(np.float32)
    return (pixels if top > 3.0 else pixels / np.float32(255)), data.test_labels.astype(np.int64)
