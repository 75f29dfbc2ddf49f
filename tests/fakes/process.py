"""A child process of a test: started, killed and started again, its output kept in one file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.nursery import Nursery
from tests.servers.process import Child

ROOT = Path(__file__).resolve().parents[2]
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONPYCACHEPREFIX",
)


class Process:
    """`python -m MODULE ARGUMENTS`, with only the given environment."""

    # Where they are born; without one each starts from nothing.
    nursery: Nursery | None = None

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        # Ends that nobody asked for; whoever checks a run's health looks here.
        self.unexpected_exits: list[int | None] = []
        self._argv = [sys.executable, "-m", module, *arguments]
        kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        ours = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        self._env = {**kept, **ours, **(env or {})}
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the running child."""
        assert self._child is not None
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.alive

    def start(self) -> None:
        """Start the child; its output is appended to the log."""
        assert not self.alive
        with self.log.open("ab") as out:
            out.write(f"--- start {self.name}\n".encode())
        if self.nursery is None:
            self._child = Child(self._argv, self._env, self.log)
        else:
            self._child = Child(self._argv, self._env, self.log, self.nursery.bear)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        child = self._take()
        if child is not None:
            child.kill()

    def terminate(self, timeout_s: float = 40) -> int | None:
        """SIGTERM; SIGKILL after `timeout_s`. Returns the exit code."""
        child = self._take()
        if child is None:
            return None
        child.stop(timeout_s)
        return child._process.returncode

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tracebacks(self) -> int:
        """Return how many tracebacks the log holds."""
        return len(re.findall(r"Traceback \(most recent call last\)", self.text()))

    def memory_kib(self, measure: str = "Rss") -> int:
        """Return a line of smaps_rollup, e.g. `Rss` or `Pss`, in KiB."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = re.search(rf"^{measure}:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return int(found[1])

    def _take(self) -> Child | None:
        child, self._child = self._child, None
        if child is not None and not child.alive:
            self.unexpected_exits.append(child._process.returncode)
        return child
