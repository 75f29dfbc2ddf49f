"""One RabbitMQ node of a test's own: started, stopped, killed, started again on the same data."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path

from tests.servers.ports import reserve
from tests.servers.probe import amqp_version, wait_until
from tests.servers.process import Child
from tests.servers.provision import rabbitmq_program
from tests.servers.rabbitmq_place import RabbitMQPlace

_BOOT_S = 90.0
_STOP_S = 30.0


class RabbitMQNode:
    """A node in `folder`, on loopback only, with an epmd of its own."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.place = RabbitMQPlace(str(folder), port or reserve(), reserve(), reserve())
        self._node: Child | None = None
        self._epmd: Child | None = None

    @property
    def url(self) -> str:
        return self.place.url()

    @property
    def log_path(self) -> Path:
        """What the server logs; what it prints is in `stdout` beside it."""
        return self.place.path / "log" / f"penstock-{self.place.port}@localhost.log"

    @property
    def pid(self) -> int:
        """The pid of beam.smp, to freeze it (SIGSTOP) or to look at its memory."""
        return int(self.place.pid_file.read_text())

    @property
    def alive(self) -> bool:
        """Whether it accepts AMQP connections now."""
        return self.version is not None

    @property
    def version(self) -> str | None:
        return amqp_version(self.url)

    def start(self) -> None:
        """Start on whatever the folder holds and return once it serves."""
        if self._node is not None:
            return
        self.place.lay(secrets.token_hex(16))
        self.place.pid_file.unlink(missing_ok=True)
        environment = self.place.environment()
        log = self.place.path / "log"
        if self._epmd is None:
            # Left to itself, the first node starts an epmd that outlives it.
            ports = ["-port", str(self.place.epmd_port), "-address", "127.0.0.1"]
            self._epmd = Child(["epmd", *ports], environment, log / "epmd")
        server = str(rabbitmq_program().folder / "rabbitmq-server")
        self._node = node = Child([server], environment, log / "stdout")
        try:
            wait_until(lambda: self.alive or not node.alive, _BOOT_S, node.tail)
            if not node.alive:
                raise RuntimeError(f"RabbitMQ ended while starting:\n{node.tail()}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the node in good order, then its epmd."""
        if self._node is not None and self._signal(signal.SIGTERM):
            node, until = self._node, time.monotonic() + _STOP_S
            while node.alive and time.monotonic() < until:
                time.sleep(0.05)
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    def kill(self) -> None:
        """SIGKILL to beam.smp, as a crash would; the folder and epmd stay."""
        if self._node is not None:
            self._signal(signal.SIGKILL)
            self._node.kill()
            self._node = None

    def restart(self) -> None:
        """Start again on the same data and ports, after `kill` or instead of `stop` + `start`."""
        if self._node is not None:
            self.stop()
        self.start()

    def add_vhost(self, name: str) -> str:
        """Make a vhost and return its URL."""
        return self.place.add_vhost(name)

    def _signal(self, number: signal.Signals) -> bool:
        """Signal beam.smp itself: the script that started it does not pass signals on."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(self.pid, number)
            return True
        return False
