"""A child process of the demo: started, killed, stopped; it never outlives the demo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_STOP_S = 5.0
_TAIL_LINES = 12


class Child:
    """`python -m MODULE ARGUMENTS`; its output goes to `log`, or to the terminal without one."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path | None,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self._log = log
        output = None if log is None else log.open("ab")
        try:
            # A session of its own: a Ctrl-C in the terminal reaches only the demo, which stops
            # its children in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()
        # Should the demo itself be killed, the pipe closes and the shell kills the child.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r _; kill -s KILL {self._process.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """`kill -9`, and reap it."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._release_guard()

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        self._signal(signal.SIGTERM)

    def reap(self) -> None:
        """Wait for its end; kill it when it takes too long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self.kill()

    def tail(self) -> str:
        """Return the last lines it wrote, or nothing when they went to the terminal."""
        if self._log is None or not self._log.exists():
            return ""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        # Asked first, so that a process id that belongs to somebody else by now is left alone.
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _release_guard(self) -> None:
        if self._guard.poll() is None:
            self._guard.kill()
        self._guard.communicate()
