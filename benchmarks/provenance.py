"""From which sources a benchmark's figures come."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit(root: Path) -> str:
    """The commit of the work tree."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    return found.stdout.strip()
