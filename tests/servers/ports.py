"""Ports of 127.0.0.1 that stay one test server's own, also while that server is down."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

# Below Linux's ephemeral range, so that no outgoing connection takes a stopped server's port; the
# upper half is for Redis Cluster's second port, which is always 10,000 above the first.
_FIRST, _LAST, CLUSTER_OFFSET = 12_000, 21_999, 10_000
_held: list[IO[str]] = []


def reserve(with_cluster_port: bool = False) -> int:
    """A free port that no other test process gets while this one lives."""
    folder = Path(tempfile.gettempdir()) / f"penstock-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for _ in range(200):
        port = random.randint(_FIRST, _LAST)
        wanted = [port, port + CLUSTER_OFFSET] if with_cluster_port else [port]
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if all(map(_free, wanted)):
            _held.append(lock)
            return port
        lock.close()
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
