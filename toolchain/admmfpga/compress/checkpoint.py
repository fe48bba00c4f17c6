"""Checkpoints: tensors and plain values only, written atomically, loaded with weights_only."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from admmfpga.errors import UserError

VERSION = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old or the new one, never half of one."""
    temporary = path.with_suffix(path.suffix + ".new")
    with temporary.open("wb") as file:
        torch.save({"version": VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint's state; None where there is no file.

    Raises:
        UserError: the file is damaged, from another version, or holds anything but tensors and plain values.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a checkpoint that can be loaded: {reason}", hint="remove it") from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise UserError(f"{path} is a checkpoint of another version", hint="remove it to start again")
    return state
