"""Python processes born with their imports done: forks of one that has done nothing else.

A test's Penstock takes two seconds of the processor to import what it needs, which is most of what
a short one takes. Each is a process of its own all the same: its own session, environment, log and
end.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Run as `__main__`, they are read once more: what they import is there by then.
_MODULES = ("cli.main", "tests.fakes.backend")
_BESIDE = ("cli.serving",)
_MOST_BYTES = 1024 * 1024
_ANSWERS_S = 30.0
_PR_SET_CHILD_SUBREAPER = 36


class Nursery:
    """The process that is forked; it ends with the one that has started it."""

    def __init__(self, log: Path) -> None:
        # Whoever's parent has ended is ours then: so we can wait for what it has forked.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_ANSWERS_S)
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "tests.fakes.nursery", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def bear(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Newborn:
        """Run `python -m MODULE ARGUMENTS`, its output appended to `log`."""
        _, minus_m, module, *arguments = command
        assert minus_m == "-m"
        asked = [module, arguments, dict(environment), str(log.parent)]
        with log.open("ab") as output:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [output.fileno()])
        return Newborn(int(self._socket.recv(64)))

    def close(self) -> None:
        """End it; who was born lives on."""
        self._socket.close()
        self._process.wait(_ANSWERS_S)


class Newborn:
    """One of them, as `subprocess.Popen` has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.005)
        return code

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _serve(listener: socket.socket) -> tuple[str, list[str]] | None:
    """Fork whom we are asked for; return in each child what it is to run, else None at the end."""
    while True:
        packed, given, _, _ = socket.recv_fds(listener, _MOST_BYTES, 1)
        if not packed:
            return None
        (output,) = given
        module, arguments, environment, directory = json.loads(packed)
        ours, theirs = os.pipe()
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == between:
                time.sleep(0.001)  # some end when their parent is another than at first
            _become(environment, directory, output, theirs)
            return module, arguments
        # Its parent's end makes it a child of the test's process.
        os.waitpid(between, 0)
        listener.send(os.read(ours, 64))
        for each in (ours, theirs, output):
            os.close(each)


def _become(environment: dict[str, str], directory: str, output: int, told: int) -> None:
    """Take the child's own place; say its number once it leads a group that can be killed."""
    os.setsid()
    os.chdir(directory)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.write(told, str(os.getpid()).encode())
    os.closerange(3, 256)


def main() -> None:
    """Import, then serve; in a child, be what was asked for."""
    for module in (*_BESIDE, *_MODULES):
        import_module(module)
    for module in _MODULES:
        del sys.modules[module]
    listener = socket.socket(fileno=int(sys.argv[1]))
    asked = _serve(listener)
    if asked is not None:
        listener.detach()
        module, arguments = asked
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
