"""Where the files are that travel with the package: boards, templates, test benches."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

ResourceName = Literal["boards", "hls_templates", "rtl_tests"]

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: ResourceName) -> Path:
    """The folder of that name: `admmfpga/data/<name>` in an installed wheel, else the one at the checkout's top.

    Raises:
        FileNotFoundError: neither is there; the installation is broken.
    """
    candidates = (_PACKAGE / "data" / name, _PACKAGE.parents[1] / name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"broken installation of admmfpga: no folder {name} at {' or '.join(map(str, candidates))}")
