"""The servers that tests run against: shared, separated by worker, and killed without leftovers."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.probe import amqp_version, redis_command, wait_until
from tests.servers.process import Child
from tests.servers.redis import RedisServer


@pytest.mark.realservers
def test_the_sessions_rabbitmq_serves_a_vhost_of_the_workers_own(
    amqp_url: str, worker_name: str
) -> None:
    assert amqp_version(amqp_url) is not None
    assert "PENSTOCK_TEST_AMQP_URL" in os.environ or amqp_url.endswith(f"/{worker_name}")


@pytest.mark.realservers
def test_the_sessions_redis_answers(redis_url: str) -> None:
    assert "+PONG" in redis_command(redis_url, "PING")


@pytest.mark.realservers
def test_the_sessions_cluster_serves_every_slot(redis_cluster: str) -> None:
    assert "cluster_slots_ok:16384" in redis_command(redis_cluster, "CLUSTER INFO")


@pytest.mark.realservers
def test_a_killed_redis_starts_again_with_what_it_had_confirmed(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, appendfsync="always")
    server.start()
    try:
        assert "+OK" in redis_command(server.url, "SET kept yes")
        server.kill()
        assert not server.alive
        server.restart()
        assert "yes" in redis_command(server.url, "GET kept")
    finally:
        server.stop()


def test_a_server_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import os, pathlib, time; from tests.servers.process import Child;"
        "child = Child(['sleep', '60'], dict(os.environ), pathlib.Path('log').absolute());"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment) as owner:
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), 20, lambda: "no pid")
        orphan = os.pidfd_open(int(pid_file.read_text()))
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: _ended(orphan), 10, lambda: "the server lives on")
    assert _ended(orphan)
    os.close(orphan)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "trap '' TERM; sleep 60"], dict(os.environ), tmp_path / "log")
    started = time.monotonic()
    child.stop(grace_s=0.2)
    assert not child.alive
    assert time.monotonic() - started < 10


def _ended(handle: int) -> bool:
    """A pidfd becomes readable when its process has ended."""
    return bool(select.select([handle], [], [], 0)[0])
