"""MODEL of the command line: an ONNX file, a program of torch.export or a factory, and the weights to start from."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import nn

from admmfpga.compress import onnx_source, structure, torch_source
from admmfpga.compress.data import resolve
from admmfpga.errors import UserError


def load(name: str, weights: Path | None = None) -> nn.Module:
    """The model of a file, or the one that `package.module:factory` builds, with weights.

    Args:
        name: a float .onnx file (see `onnx_source`), a .pt2 file of torch.export (see `torch_source`), the factory, or
            a module object.
        weights: a state_dict saved by torch, or pruned.pt / quantized.pt of an earlier run (its layers may have fewer
            filters than the factory gives them). Loaded with weights_only: nothing else in the file is executed.

    Raises:
        UserError: no such file or factory, it gives no module, or the weights do not fit.
    """
    if name.endswith(".onnx"):
        model = onnx_source.load(Path(name))
    elif name.endswith(torch_source.SUFFIXES):
        model = torch_source.load(Path(name))
    else:
        model = _built(name)
    if weights is not None:
        load_weights(model, weights)
    return model


def _built(name: str) -> nn.Module:
    if ":" not in name:
        raise UserError(
            f"MODEL is {name}",
            hint="an .onnx or .pt2 file, or package.module:factory, for example admmfpga.compress.models:lenet5",
        )
    found = resolve(name, "model")
    model = found if isinstance(found, nn.Module) else found() if callable(found) else None
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} gives no torch module")
    return model


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a freshly built model from a file of weights, see `load`; its layers take the file's shapes.

    Raises:
        UserError: the file is none, or does not fit.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror}") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise UserError(f"{path} is not a file of weights", hint="torch.save(model.state_dict(), path)") from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path} holds no state_dict", hint="torch.save(model.state_dict(), path)")
    expected = set(model.state_dict())
    if expected != set(state):
        missing, extra = sorted(expected - set(state)), sorted(set(state) - expected)
        raise UserError(f"{path} does not fit the model: missing {missing[:3]}, unknown {extra[:3]}")
    structure.resize(model, state)
    model.load_state_dict(state)
