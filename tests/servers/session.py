"""The servers one test session shares between its workers: each started by the first that asks."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.host import write_facts
from tests.servers.probe import amqp_version, redis_version, wait_until
from tests.servers.provision import AMQP_VARIABLE, REDIS_VARIABLE
from tests.servers.rabbitmq_place import RabbitMQPlace

_REPOSITORY = Path(__file__).resolve().parents[2]
_BOOT_S = 110.0
_STOP_S = 40.0


@dataclass(frozen=True)
class SharedServers:
    """`folder` is where a session's processes meet; `owner` is the pid the servers end with."""

    folder: Path
    owner: int

    @classmethod
    def for_this_process(cls) -> SharedServers:
        """A session of our own, as its controller."""
        return cls(Path(tempfile.mkdtemp(prefix="penstock-tests-")), os.getpid())

    def amqp_url(self, worker: str) -> str:
        """A vhost of the worker's own; with a URL from outside, that URL for every worker."""
        facts = self._facts("rabbitmq")
        if "place" not in facts:
            return str(facts["url"])
        place = RabbitMQPlace(**facts["place"])
        return place.add_vhost(worker)

    def rabbitmq_place(self) -> RabbitMQPlace | None:
        """Where this session's RabbitMQ runs; None with a URL from outside."""
        facts = self._facts("rabbitmq")
        return RabbitMQPlace(**facts["place"]) if "place" in facts else None

    def redis_url(self, worker: str) -> str:
        """A database of the worker's own; with a URL from outside, that URL for every worker."""
        facts = self._facts("redis")
        url = str(facts["url"])
        if "pid" not in facts:
            return url
        number = int(worker.removeprefix("gw")) if worker.startswith("gw") else 0
        return f"{url.removesuffix('/0')}/{number % 16}"

    def redis_cluster_url(self) -> str:
        """One of the nodes. All workers share the cluster: a test's keys need names of its own."""
        return str(self._facts("redis_cluster")["url"])

    def s3_url(self) -> str:
        """All workers share its bucket: a test's keys need a prefix of their own."""
        return str(self._facts("s3")["url"])

    def versions(self) -> dict[str, str]:
        """What was used so far, for the report."""
        used = {path.stem: json.loads(path.read_text()) for path in self.folder.glob("*.json")}
        return {kind: str(facts.get("version", "failed")) for kind, facts in sorted(used.items())}

    def stop(self) -> None:
        """End every server and remove the folder; for the controller alone."""
        for path in self.folder.glob("*.json"):
            pid = json.loads(path.read_text()).get("pid")
            if pid is not None:
                _end(pid)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _facts(self, kind: str) -> dict[str, Any]:
        """What `KIND.json` says, once some process has seen to it that it is there."""
        path = self.folder / f"{kind}.json"
        with (self.folder / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                self._provide(kind, path)
        facts: dict[str, Any] = json.loads(path.read_text())
        if "error" in facts:
            raise RuntimeError(f"the session's {kind} did not start:\n{facts['error']}")
        return facts

    def _provide(self, kind: str, path: Path) -> None:
        if kind == "rabbitmq" and (url := os.environ.get(AMQP_VARIABLE)):
            write_facts(path, _outside(AMQP_VARIABLE, url, amqp_version(url)))
        elif kind == "redis" and (url := os.environ.get(REDIS_VARIABLE)):
            write_facts(path, _outside(REDIS_VARIABLE, url, redis_version(url)))
        else:
            self._start_host(kind)
            log = self.folder / f"{kind}.log"
            wait_until(path.exists, _BOOT_S, lambda: log.read_text(errors="replace")[-2000:])

    def _start_host(self, kind: str) -> None:
        """Through a shell that ends at once, so that the host is no worker's child."""
        arguments = ["host", kind, str(self.folder), str(self.owner)]
        with (self.folder / f"{kind}.log").open("ab") as log:
            subprocess.run(
                [
                    "/bin/sh",
                    "-c",
                    '"$@" &',
                    "sh",
                    sys.executable,
                    "-m",
                    "tests.servers",
                    *arguments,
                ],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=True,
            )


# Where pytest's processes keep theirs.
SHARED = pytest.StashKey[SharedServers]()


def _outside(variable: str, url: str, version: str | None) -> dict[str, object]:
    if version is None:
        return {"error": f"{variable} is set, but nothing answers there as it should"}
    return {"url": url, "version": f"{version} (from {variable})"}


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL if that is not enough; the host's own guards then end its server."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], _STOP_S)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
