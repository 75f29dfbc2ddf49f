"""What the system says of a path: the kind of its file system, and who holds a lock on it."""

from __future__ import annotations

import os
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_LOCKS = Path("/proc/locks")


def kind_at(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the kind of file system that holds `path`; None where the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    real = path.resolve()
    kind, longest = None, -1
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        # Of two mounts on one point the later one is seen.
        if real.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = after.split()[0], len(point.parts)
    return kind


def holder_of(lock: Path, locks: Path = _LOCKS) -> int | None:
    """Return the id of the process that holds the lock on this file, if the system tells."""
    try:
        found = lock.stat()
        lines = locks.read_text().splitlines()
    except OSError:
        return None
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        parts = line.split()
        if "FLOCK" in parts and name in parts:
            return int(parts[4]) or None
    return None
