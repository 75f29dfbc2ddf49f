"""Unpacks Debian packages into a folder, without root and without touching the system's own apt.

apt gets a state folder of its own, so an ordinary user can fetch package lists; `dpkg -x` unpacks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

_DPKG_STATUS = Path("/var/lib/dpkg/status")


class AptError(RuntimeError):
    """apt or dpkg failed; the text ends with what they said."""


def usable() -> bool:
    """Whether this machine has Debian's package tools."""
    return _DPKG_STATUS.exists() and all(map(shutil.which, ("apt-get", "dpkg")))


def unpack(package: str, root: Path, state: Path) -> None:
    """Unpack `package` and whatever it depends on that this system lacks into `root`."""
    apt = _Apt(state)
    apt.run("update")
    wanted = apt.missing_with(package)
    downloads = state / "downloads"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    apt.run("download", *wanted, cwd=downloads)
    root.mkdir(parents=True, exist_ok=True)
    for archive in sorted(downloads.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(root)])
    shutil.rmtree(downloads)


class _Apt:
    """apt-get with lists and caches of its own, and the system's list of what is installed."""

    def __init__(self, state: Path) -> None:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        settings = {
            "Dir::State": state / "state",
            "Dir::State::status": _DPKG_STATUS,
            "Dir::Cache": state / "cache",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        self._command = ["apt-get", "-q", *options]

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        return _run([*self._command, *arguments], cwd)

    def missing_with(self, package: str) -> list[str]:
        """`package` and its missing dependencies, as apt would install them, with versions."""
        said = self.run("--simulate", "--no-install-recommends", "install", package)
        found = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", said, re.MULTILINE)
        if not found:
            raise AptError(f"apt would install nothing for {package}:\n{said[-2000:]}")
        return [f"{name}={version}" for name, version in found]


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise AptError(f"{command[0]} {command[-1]} ended with {done.returncode}:\n{said}")
    return done.stdout
