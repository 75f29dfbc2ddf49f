"""One Redis of a test's own, or a Redis Cluster of three masters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Literal

from tests.servers.ports import reserve
from tests.servers.probe import redis_command, redis_version, wait_until
from tests.servers.process import Child, OneProcess
from tests.servers.provision import redis_program

AppendFsync = Literal["always", "everysec"]
_BOOT_S = 20.0


class RedisServer(OneProcess):
    """A server in `folder`, on loopback only, never evicting; in memory without `appendfsync`."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        appendfsync: AppendFsync | None = None,
        cluster: bool = False,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.port = port or reserve(with_cluster_port=cluster)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._appendfsync = appendfsync
        self._cluster = cluster

    @property
    def log_path(self) -> Path:
        return self.folder / "redis.log"

    @property
    def pid(self) -> int:
        """The server's pid, to freeze it (SIGSTOP) or to look at its memory."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it serves commands now; still loading its data is not alive."""
        return "+PONG" in redis_command(self.url, "PING")

    @property
    def version(self) -> str | None:
        return redis_version(self.url)

    def start(self) -> None:
        """Start on whatever the folder holds and return once it serves."""
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        program = redis_program()
        environment = {**os.environ, **program.environment}
        command = [str(program.folder / "redis-server"), *self._settings()]
        self._boot(Child(command, environment, self.log_path), lambda: self.alive, _BOOT_S)

    def restart(self) -> None:
        """Start again on the same data and port, after `kill` or instead of `stop` + `start`."""
        self.stop()
        self.start()

    def _settings(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self._appendfsync else "no",
            "maxmemory-policy": "noeviction",
        }
        if self._appendfsync:
            settings["appendfsync"] = self._appendfsync
        if self._cluster:
            settings |= {
                "cluster-enabled": "yes",
                "cluster-config-file": "nodes.conf",
                "cluster-node-timeout": "2000",
            }
        return [part for key, value in settings.items() for part in (f"--{key}", value)]


class RedisCluster:
    """Three masters without replicas, each with a third of the slots."""

    def __init__(self, folder: Path, appendfsync: AppendFsync | None = None) -> None:
        self.nodes = [
            RedisServer(folder / str(number), appendfsync=appendfsync, cluster=True)
            for number in (1, 2, 3)
        ]
        self._formed = False

    @property
    def url(self) -> str:
        """Of the first node, from which a cluster client finds the others."""
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    @property
    def alive(self) -> bool:
        """Whether every node says that every slot is served."""
        replies = (redis_command(node.url, "CLUSTER INFO") for node in self.nodes)
        return all("cluster_state:ok" in reply for reply in replies)

    def start(self) -> None:
        """Start the nodes, form the cluster the first time, and return once it serves."""
        try:
            for node in self.nodes:
                node.start()
            if not self._formed:
                self._form()
                self._formed = True
            # `create` returns up to a second before the nodes agree.
            wait_until(lambda: self.alive, _BOOT_S, lambda: "no cluster_state:ok from every node")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _form(self) -> None:
        program = redis_program()
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        done = subprocess.run(
            [
                str(program.folder / "redis-cli"),
                *("--cluster", "create", *addresses),
                *("--cluster-replicas", "0", "--cluster-yes"),
            ],
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the cluster was not formed:\n{done.stdout}{done.stderr}")
