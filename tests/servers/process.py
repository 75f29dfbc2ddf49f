"""A server's process that cannot outlive the one that started it, however that one ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.servers.probe import wait_until

_running: weakref.WeakSet[Child] = weakref.WeakSet()


class Started(Protocol):
    """What `subprocess.Popen` has of a process."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...


Start = Callable[[list[str], dict[str, str], Path], Started]


def _start(command: list[str], environment: dict[str, str], log: Path) -> Started:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Child:
    """One process in a group of its own, writing to `log`.

    A shell beside it waits on a pipe that only we hold: when we end, by SIGKILL too, the pipe
    closes and the shell kills the group.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], log: Path, start: Start = _start
    ) -> None:
        self._process = start(command, environment, log)
        self.pid = self._process.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r _; kill -s KILL -- -{self.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._log = log
        _running.add(self)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, grace_s: float = 30) -> None:
        """Ask it to end, kill it if it does not, and leave nothing of its group behind."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._guard.kill()
        self._guard.communicate()
        _running.discard(self)

    def tail(self) -> str:
        """The end of what it wrote, for an error message."""
        return self._log.read_text(errors="replace")[-2000:]


class OneProcess:
    """A server of one process, in a folder that outlives it."""

    def __init__(self) -> None:
        self._process: Child | None = None

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would; the folder stays."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _boot(self, process: Child, answers: Callable[[], bool], within_s: float) -> None:
        """Return once it answers. Raises RuntimeError where it ends instead."""
        self._process = process
        try:
            wait_until(lambda: answers() or not process.alive, within_s, process.tail)
            if not process.alive:
                raise RuntimeError(f"{type(self).__name__} ended while starting:\n{process.tail()}")
        except BaseException:
            self.kill()
            raise


@atexit.register
def _kill_all() -> None:
    for child in list(_running):
        child.kill()
