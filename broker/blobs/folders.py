"""Folders and names below a root, step by step, so that no symbolic link is followed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@contextlib.contextmanager
def opened(root: Path, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """Lend the handle of the folder `parts` below `root`. Raises OSError.

    With `make` what is missing is made, so that a power loss does not take it away again.
    """
    here = _open_root(root)
    try:
        for part in parts:
            below = _step(here, part, make=make)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def entries(root: Path, parts: Sequence[str]) -> list[str]:
    """Return the names in a folder, folders with a `/` behind, in the order of keys."""
    found: list[str] = []
    with opened(root, parts) as folder, os.scandir(folder) as listed:
        for each in listed:
            if not _NAME.fullmatch(each.name):
                continue
            if each.is_dir(follow_symlinks=False):
                found.append(f"{each.name}/")
            elif each.is_file(follow_symlinks=False):
                found.append(each.name)
    return sorted(found)


def remove_empty(root: Path, parts: Sequence[str]) -> None:
    """Remove a folder and those above it, as far as they are empty."""
    for depth in range(len(parts), 0, -1):
        try:
            with opened(root, parts[: depth - 1]) as above:
                os.rmdir(parts[depth - 1], dir_fd=above)
        except OSError:
            return


def make_root(path: Path) -> None:
    """Make a directory that lasts. Raises OSError."""
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(path.parent, ()) as above:
        os.fsync(above)


def _open_root(root: Path) -> int:
    try:
        return os.open(root, _OPEN & ~os.O_NOFOLLOW)
    except FileNotFoundError as error:
        # A volume that is not mounted must not read as files that are missing.
        raise NotADirectoryError(errno.ENOTDIR, "it is not there", str(root)) from error


def _step(here: int, part: str, *, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=here)
            os.fsync(here)
    return os.open(part, _OPEN, dir_fd=here)
