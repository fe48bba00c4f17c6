"""admmfpga: from a neural network to a pruned, quantized and verified FPGA accelerator."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

__all__ = ["Accelerator", "AcceleratorError", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: commands that need no accelerator start faster.
    if name in ("Accelerator", "AcceleratorError"):
        from admmfpga.runtime import accelerator

        return getattr(accelerator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
