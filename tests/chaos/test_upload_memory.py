"""A file of 200 MB goes in and comes out again in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.memory import GATE_KIB
from tests.fakes.stack import Engine, Setup, Stack, backend_process
from tests.fakes.uploads import FORM, head, tail

MIB = 1024 * 1024
SIZE, PIECE = 200 * MIB, 256 * 1024
LOOK_EVERY = 8 * MIB


class Watched:
    """The most that each process needed while something passed through."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.before = self._now()
        self._most = dict(self.before)

    def look(self) -> None:
        for name, kib in self._now().items():
            self._most[name] = max(self._most[name], kib)

    @property
    def grown(self) -> dict[str, int]:
        return {name: kib - self.before[name] for name, kib in self._most.items()}

    def _now(self) -> dict[str, int]:
        return {name: each.memory_kib("Pss") for name, each in self._stack.processes.items()}


def form(size: int, watched: Watched, digest: hashlib._Hash) -> Iterator[bytes]:
    yield head("large.jsonl")
    for start in range(0, size, PIECE):
        piece = start.to_bytes(8, "big") * (PIECE // 8)
        digest.update(piece)
        yield piece
        if start % LOOK_EVERY == 0:
            watched.look()
    yield tail()


def passed_through(stack: Stack, size: int) -> Watched:
    """Upload a file and read it back; return what that took."""
    watched, sent, told = Watched(stack), hashlib.sha256(), hashlib.sha256()
    connection = http.client.HTTPConnection(stack.url.removeprefix("http://"), timeout=100)
    length = len(head("large.jsonl")) + size + len(tail())
    headers = {**FORM, "Content-Length": str(length)}
    connection.request("POST", "/v1/files", form(size, watched, sent), headers)
    made = json.loads(connection.getresponse().read())
    assert made["bytes"] == size, made
    connection.request("GET", f"/v1/files/{made['id']}/content")
    answer, read = connection.getresponse(), 0
    while piece := answer.read(PIECE):
        told.update(piece)
        read += len(piece)
        if read % LOOK_EVERY == 0:
            watched.look()
    assert (read, told.digest()) == (size, sent.digest())
    connection.close()
    return watched


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "engine", ["embedded", pytest.param("real", marks=pytest.mark.realservers)]
)
def test_a_large_file_needs_no_memory(engine: Engine, tmp_path: Path) -> None:
    with backend_process(tmp_path) as (url, _):
        setup = Setup(engine=engine, backends={"fake": {"urls": [f"{url}/v1"]}}, workers=1)
        with Stack(tmp_path, setup) as stack:
            passed_through(stack, 16 * MIB)  # what is loaded at the first use is no growth
            watched = passed_through(stack, SIZE)
    print(f"PSS growth in KiB: {watched.grown}")
    assert max(watched.grown.values()) <= GATE_KIB, watched.grown
