"""The floor below which nothing more is accepted, so that commits always have room."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from broker.findings import Examined
from schemas.errors import StorageFull

MIB = 1024 * 1024
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Floor:
    """The smaller of the two counts: 5 % of a small disk, 512 MiB of a large one."""

    bytes: int = 512 * MIB
    share: float = 0.05

    def on(self, disk: os.statvfs_result) -> int:
        """Return the floor of this disk, in bytes."""
        return min(self.bytes, int(self.share * disk.f_blocks * disk.f_frsize))


class FreeSpace:
    """What is free at `path`, which `place` names in sentences; looked at once a second."""

    def __init__(self, path: Path, floor: Floor, place: str = "data directory") -> None:
        self._path = path
        self._floor = floor
        self._place = place
        self._looked_at = float("-inf")
        self._missing = 0

    def check(self) -> None:
        """Raise StorageFull below the floor."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._missing = self._look()
        if self._missing > 0:
            raise StorageFull(
                f"The disk of the {self._place} has {self._missing / MIB:.0f} MiB less than "
                "the reserve that keeps room for results."
            )

    def _look(self) -> int:
        disk = os.statvfs(self._path)
        return self._floor.on(disk) - disk.f_bavail * disk.f_frsize


def examine_space(examined: Examined, path: Path, *, kept: str, below: str) -> None:
    """Look at the disk of `path`; `kept` says what its floor is for, `below` what happens there."""
    disk = os.statvfs(path)
    free, floor = disk.f_bavail * disk.f_frsize, Floor().on(disk)
    said = f"{free / MIB:,.0f} MiB free, {floor / MIB:,.0f} MiB are kept {kept}"
    if free < floor:
        examined.fail("free space", f"{said}: {below}", "make room on this disk")
    elif free < 2 * floor:
        examined.warn("free space", said, "make room on this disk soon")
    else:
        examined.ok("free space", said)
