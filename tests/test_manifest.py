"""manifest.json: deterministic, and every kind of damage is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from admmfpga import __version__
from admmfpga.errors import UserError
from admmfpga.manifest import is_build_folder, read_manifest, verify_manifest, write_manifest


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    (folder / "memory").mkdir(parents=True)
    (folder / "memory" / "conv1.mem").write_text("00\n")
    (folder / "a.sv").write_text("module a; endmodule\n")
    (folder / "report.json").write_text("{}\n")
    write_manifest(folder, {"model": {"name": "lenet"}})
    return folder


def test_contents(build: Path) -> None:
    content = json.loads((build / "manifest.json").read_text())
    assert content["generator"] == f"admmfpga {__version__}"
    assert content["model"] == {"name": "lenet"}
    assert list(content["files"]) == ["a.sv", "memory/conv1.mem", "report.json"]
    assert content["files"]["memory/conv1.mem"] == {"sha256": hashlib.sha256(b"00\n").hexdigest(), "size": 3}


def test_deterministic_and_repeatable(build: Path) -> None:
    first = (build / "manifest.json").read_bytes()
    (build / "report.json").unlink()
    (build / "report.json").write_text("{}\n")
    write_manifest(build, {"model": {"name": "lenet"}})
    assert (build / "manifest.json").read_bytes() == first


def test_intact_folder_passes(build: Path) -> None:
    assert verify_manifest(build)["model"] == {"name": "lenet"}


def test_first_damaged_file_is_named(build: Path) -> None:
    (build / "memory" / "conv1.mem").write_text("01\n")
    (build / "report.json").write_text("[]\n")
    with pytest.raises(UserError, match=r"memory/conv1\.mem is damaged"):
        verify_manifest(build)


def test_missing_file(build: Path) -> None:
    (build / "a.sv").unlink()
    with pytest.raises(UserError, match=r"a\.sv is missing"):
        verify_manifest(build)


def test_unexpected_file(build: Path) -> None:
    (build / "memory" / "extra.mem").write_text("")
    with pytest.raises(UserError, match=r"extra\.mem does not belong"):
        verify_manifest(build)


def test_ignored_files_and_folders_are_free(build: Path) -> None:
    (build / "report.json").write_text("changed")
    (build / "sim" / "deep").mkdir(parents=True)
    (build / "sim" / "deep" / "wave.vcd").write_text("")
    verify_manifest(build, ignore=("report.json", "sim"))
    (build / "report.json").unlink()
    verify_manifest(build, ignore=("report.json", "sim"))
    (build / "simulation").write_text("")
    with pytest.raises(UserError, match="simulation does not belong"):
        verify_manifest(build, ignore=("report.json", "sim"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "cannot be read"),
        ("[]", "not written by admmfpga"),
        ('{"generator": "other"}', "not written by admmfpga"),
        ('{"generator": "admmfpga", "format": 9, "files": {}}', "format 9"),
        ('{"generator": "admmfpga", "format": 1}', "list of files"),
        ('{"generator": "admmfpga", "format": 1, "files": {"../x": {}}}', "list of files"),
        ('{"generator": "admmfpga", "format": 1, "files": {"/etc/x": {}}}', "list of files"),
        ('{"generator": "admmfpga", "format": 1, "files": {"x": 1}}', "list of files"),
    ],
)
def test_bad_manifest(build: Path, text: str, message: str) -> None:
    (build / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_manifest(build)
    assert not is_build_folder(build)


def test_ignored_patterns(build: Path) -> None:
    (build / "vivado.log").write_text("")
    (build / "vivado_12.backup.log").write_text("")
    verify_manifest(build, ignore=("vivado*.log",))
    (build / "memory" / "vivado.log").write_text("")
    with pytest.raises(UserError, match=r"memory/vivado\.log does not belong"):
        verify_manifest(build, ignore=("vivado*.log",))


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a build folder"):
        verify_manifest(tmp_path)
    with pytest.raises(UserError, match="is not a build folder"):
        verify_manifest(tmp_path / "nothing")


def test_reserved_entries_are_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_manifest(tmp_path, {"files": {}})
