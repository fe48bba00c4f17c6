"""manifest.json: every file of a build folder with its hash, so that damage is noticed before a board hangs on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from admmfpga import __version__
from admmfpga.errors import UserError

NAME = "manifest.json"
GENERATOR = "admmfpga"
"""First word of the "generator" entry; the version follows."""

FORMAT = 1

_HINT = "build it again with admmfpga compile"


def write_manifest(folder: Path, extra: Mapping[str, Any]) -> None:
    """Write `folder`/manifest.json: all files below it, sorted, with SHA-256 and size in bytes, and `extra`.

    The text depends on nothing but the files and `extra`.

    Args:
        extra: further top-level entries; they may not be called format or files.
    """
    reserved = {"format", "files"} & set(extra)
    assert not reserved, reserved
    content = {
        "generator": f"{GENERATOR} {__version__}",
        "format": FORMAT,
        **extra,
        "files": {name: _describe(folder / name) for name in _files(folder)},
    }
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / NAME).write_bytes(text.encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """The contents of `folder`/manifest.json.

    Raises:
        UserError: there is none, it cannot be read, or admmfpga did not write it.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{folder} is not a build folder: it has no {NAME}", "give a folder from admmfpga compile"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", _HINT) from None
    if not isinstance(content, dict) or str(content.get("generator")).split(" ")[0] != GENERATOR:
        raise UserError(f"{path} was not written by admmfpga", "give a folder from admmfpga compile")
    if content.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {content.get('format')!r}, this admmfpga reads format {FORMAT}",
            "build it again, or use the admmfpga that wrote it",
        )
    if not _well_formed(content.get("files")):
        raise UserError(f"{path} is damaged: its list of files cannot be read", _HINT)
    return content


def verify_manifest(folder: Path, ignore: Collection[str] = ()) -> dict[str, Any]:
    """Check every file of a build folder against its manifest.

    Args:
        ignore: files and folders, relative to `folder`, that may be added, changed or missing, with all below them;
            *, ? and [] match as in a shell.

    Returns:
        The manifest.

    Raises:
        UserError: names the first file, in order of names, that is damaged, missing or not of the build; or the
            manifest itself cannot be read.
    """
    manifest = read_manifest(folder)
    listed: dict[str, dict[str, Any]] = manifest["files"]
    present = set(_files(folder))
    for name in sorted(present | set(listed)):
        above = [str(path) for path in (PurePosixPath(name), *PurePosixPath(name).parents)]
        if any(fnmatchcase(path, pattern) for path in above for pattern in ignore):
            continue
        if name not in present:
            raise UserError(f"{folder / name} is missing", _HINT)
        if name not in listed:
            raise UserError(f"{folder / name} does not belong to the build", "remove it, or build again")
        if _describe(folder / name) != listed[name]:
            raise UserError(f"{folder / name} is damaged: it differs from what was built", _HINT)
    return manifest


def is_build_folder(folder: Path) -> bool:
    """Whether a folder has a manifest that admmfpga wrote."""
    try:
        read_manifest(folder)
    except UserError:
        return False
    return True


def _files(folder: Path) -> list[str]:
    """Names of all files below `folder` but the manifest, relative, with forward slashes."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    return [name for name in names if name != NAME]


def _describe(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"sha256": digest, "size": file.tell()}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", _HINT) from None


def _well_formed(files: object) -> bool:
    return isinstance(files, dict) and all(
        isinstance(entry, dict) and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
        for name, entry in files.items()
    )
