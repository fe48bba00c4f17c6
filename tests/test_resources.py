"""Where packaged files are found."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from admmfpga import resources


@pytest.mark.parametrize("name", get_args(resources.ResourceName))
def test_checkout_has_every_folder(name: resources.ResourceName) -> None:
    folder = resources.resource_dir(name)
    assert folder.is_dir()
    assert folder.name == name


def test_wheel_layout_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "admmfpga"
    wheel = package / "data" / "boards"
    wheel.mkdir(parents=True)
    (tmp_path / "boards").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.resource_dir("boards") == wheel


def test_missing_folder_names_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "toolchain" / "admmfpga"
    monkeypatch.setattr(resources, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="broken installation") as caught:
        resources.resource_dir("boards")
    assert str(package / "data" / "boards") in str(caught.value)
    assert str(tmp_path / "boards") in str(caught.value)
