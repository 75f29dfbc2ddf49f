"""A backend of several replicas serves while one of them is down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup, backend_process
from tests.servers.ports import reserve


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("replicas")
    second = directory / "second"
    second.mkdir()
    closed = f"http://127.0.0.1:{reserve()}/v1"
    with backend_process(second) as (url, _):
        pair = {"urls": [closed, f"{url}/v1"], "concurrency": 8}
        models = {"paired": {"targets": [{"backend": "pair", "model": "echo"}]}}
        setup = replace(setup, backends={"pair": pair})
        with open_door(directory, setup, ["echo"], models) as opened:
            yield opened


def test_a_dead_replica_costs_an_attempt_and_no_wait(door: Door) -> None:
    tries = set()
    for _ in range(10):
        told = door.chat("paired")
        assert told.status == 200, told
        assert float(told.headers["x-penstock-overhead-ms"]) < 2_000
        tries.add(int(told.headers["x-penstock-attempts"]))
    assert tries <= {1, 2}
