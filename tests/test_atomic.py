"""Folders and files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from admmfpga.atomic import atomic_directory, atomic_write
from admmfpga.errors import UserError
from admmfpga.manifest import write_manifest


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def make_build(target: Path, text: str, *, force: bool = False) -> None:
    with atomic_directory(target, force=force) as folder:
        (folder / "file").write_text(text)
        write_manifest(folder, {})


def test_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "build"
    with atomic_directory(target, force=False) as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path
        assert not target.exists()
    assert names(tmp_path) == ["build", "build/file"]


def test_permissions_are_those_of_mkdir(tmp_path: Path) -> None:
    make_build(tmp_path / "build", "x")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "build").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_on_failure(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_directory(tmp_path / "a" / "b" / "build", force=False) as folder:  # noqa: PT012
        (folder / "file").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_failure_keeps_the_old_build(tmp_path: Path) -> None:
    make_build(tmp_path / "build", "old")
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "build", force=False) as folder:  # noqa: PT012
        (folder / "file").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "build" / "file").read_text() == "old"
    assert names(tmp_path) == ["build", "build/file", "build/manifest.json"]


def test_failing_rename_brings_the_old_build_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path / "build", "old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".new":
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"):
        make_build(tmp_path / "build", "new")
    assert (tmp_path / "build" / "file").read_text() == "old"
    assert names(tmp_path) == ["build", "build/file", "build/manifest.json"]


def test_replaces_a_build_folder(tmp_path: Path) -> None:
    make_build(tmp_path / "build", "old")
    (tmp_path / "build" / "stale").write_text("")
    make_build(tmp_path / "build", "new")
    assert (tmp_path / "build" / "file").read_text() == "new"
    assert names(tmp_path) == ["build", "build/file", "build/manifest.json"]


def test_fills_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    make_build(tmp_path / "build", "x")
    assert (tmp_path / "build" / "file").read_text() == "x"


@pytest.mark.parametrize("manifest", [None, "{", '{"generator": "other"}'])
def test_refuses_other_folders_before_any_work(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    if manifest is not None:
        (tmp_path / "thesis" / "manifest.json").write_text(manifest)
    before = names(tmp_path)
    entered = False
    with pytest.raises(UserError, match="not a build folder"), atomic_directory(tmp_path / "thesis", force=False):
        entered = True
    assert not entered
    assert names(tmp_path) == before


def test_refuses_a_folder_that_filled_up_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a build folder"), atomic_directory(tmp_path / "b", force=False):  # noqa: PT012
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "other").write_text("")
    assert names(tmp_path) == ["b", "b/other"]


def test_force_replaces_other_folders(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes").write_text("")
    make_build(tmp_path / "old", "x", force=True)
    assert names(tmp_path) == ["old", "old/file", "old/manifest.json"]


@pytest.mark.parametrize("below", ["", "project"])
@pytest.mark.parametrize("precious", ["cwd", "home"])
def test_force_keeps_its_hands_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, precious: str) -> None:
    place = tmp_path / "user" / below
    place.mkdir(parents=True)
    (tmp_path / "user" / "mail").write_text("")
    monkeypatch.setattr(Path, precious, lambda: place)
    with pytest.raises(UserError, match="is not replaced"):
        make_build(tmp_path / "user", "x", force=True)
    assert (tmp_path / "user" / "mail").exists()


def test_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make_build(tmp_path / "build", "x", force=True)
    with pytest.raises(UserError, match="cannot be written"):
        make_build(tmp_path / "build" / "below", "x")


def test_link_to_a_build_folder(tmp_path: Path) -> None:
    make_build(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    make_build(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_write_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    atomic_write(path, "old\n")
    atomic_write(path, "new ×\n")
    assert path.read_bytes() == "new ×\n".encode()
    atomic_write(path, b"\0\n")
    assert path.read_bytes() == b"\0\n"
    assert names(tmp_path) == ["report.json"]


def test_failing_write_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def failing(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(UserError, match="No space left"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]
