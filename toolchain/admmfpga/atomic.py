"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from admmfpga.errors import UserError
from admmfpga.manifest import is_build_folder


@contextmanager
def atomic_directory(target: Path, *, force: bool) -> Iterator[Path]:
    """A new folder beside `target` to fill; it takes `target`'s place when the block ends without an exception.

    On any exception, KeyboardInterrupt included, the new folder vanishes and `target` is as it was. An existing build
    folder of ours is replaced, and so is an empty folder. The check is made on entry, before any work.

    Args:
        target: missing parents are made (and removed again on failure).
        force: replace any other folder too, unless it is the working directory, the home folder or above either.

    Raises:
        UserError: `target` may not be replaced, or its place cannot be written.
    """
    target = target.resolve()
    _check_replaceable(target, force)
    made = _make_parents(target.parent)
    fresh = _sibling(target, "new")
    try:
        try:
            fresh.mkdir()
        except OSError as error:
            raise _unwritable(target, error) from None
        yield fresh
        _check_replaceable(target, force)
        _swap(fresh, target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a file; readers see the old contents or the new ones, never part of them. Text becomes UTF-8.

    Raises:
        UserError: the file cannot be written.
    """
    path = path.resolve()
    fresh = _sibling(path, "new")
    try:
        fresh.write_bytes(data.encode() if isinstance(data, str) else data)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _check_replaceable(target: Path, force: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file, not a folder", "choose another output folder")
    with _reading(target):
        if not any(target.iterdir()) or is_build_folder(target):
            return
    if not force:
        raise UserError(
            f"{target} exists, is not empty and is not a build folder of admmfpga",
            "choose another output folder, or give --force to replace it",
        )
    for precious in (Path.cwd(), Path.home()):
        if precious.is_relative_to(target):
            raise UserError(f"{target} holds the folder {precious} and is not replaced", "choose another output folder")


@contextmanager
def _reading(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{target} cannot be read: {error.strerror}", "choose another output folder") from None


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder with all its parents; returns those that are new, deepest first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return missing


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in `target`'s place; if that fails, the old one is back. Between two renames there is no `target`."""
    if not target.exists():
        fresh.rename(target)
        return
    old = _sibling(target, "old")
    target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sibling(path: Path, kind: str) -> Path:
    """An unused hidden name in the same folder, hence on the same file system."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror}", "check the place, its permissions and free space")
