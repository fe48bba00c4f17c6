"""Several processes under torchrun: one gradient, one ADMM state, files written by the first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def processes() -> Iterator[int]:
    """Join the process group that torchrun describes in the environment; alone without one.

    Yields:
        This process's rank, 0 alone.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield torch.distributed.get_rank()
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


def device() -> str:
    """The CUDA device of this process; empty leaves the choice to the run."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return ""
