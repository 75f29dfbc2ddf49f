"""What `penstock init` writes and compose.yaml starts really runs, and its health checks tell."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.healthcheck import problem_with
from cli.initialising import run
from tests.e2e.composed import Composed
from tests.fakes.deployment import read_env
from tests.fakes.process import Process
from tests.fakes.stack import READY_S, backend_process
from tests.servers.ports import reserve
from tests.servers.probe import redis_command, wait_until

SERVICES = ("api", "worker", "rabbitmq", "redis")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The four parts of a fresh installation, ready."""
    directory = tmp_path_factory.mktemp("composed")
    with backend_process(directory) as (backend, _):
        run(directory, "rabbitmq", f"{backend}/v1", force=False)
        parts = Composed(directory)
        try:
            parts.start()
            await_ready(parts.port, parts.api, parts.worker)
            yield parts
        finally:
            parts.stop()


def await_ready(port: int, *processes: Process) -> None:
    """Return once the door at `port` is ready; fail with the logs if it does not become so."""
    wait_until(
        lambda: problem_with(f"http://127.0.0.1:{port}/ready") is None,
        READY_S,
        lambda: "\n".join(process.text()[-2_000:] for process in processes),
    )


def chat(port: int, key: str) -> str:
    """Ask the model through the door, as an SDK would, and return its text."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        content = json.load(answer)
    text: str = content["choices"][0]["message"]["content"]
    return text


@pytest.mark.realservers
def test_a_request_with_the_client_key_is_served(composed: Composed) -> None:
    assert chat(composed.port, composed.secrets["PENSTOCK_API_KEY"])


@pytest.mark.realservers
@pytest.mark.parametrize("service", SERVICES)
def test_the_health_check_of_a_part_that_is_well_says_so(composed: Composed, service: str) -> None:
    checked = composed.check(service)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.realservers
def test_a_worker_touches_its_alive_file_again_and_again(composed: Composed) -> None:
    alive = composed.directory / "alive"
    os.utime(alive, (0, 0))
    wait_until(lambda: alive.stat().st_mtime > 0, 30, composed.worker.text)
    assert composed.check("worker").returncode == 0


@pytest.mark.realservers
def test_a_rabbitmq_that_is_away_is_not_healthy(composed: Composed) -> None:
    assert composed.check_rabbitmq(composed.elsewhere()).returncode != 0


@pytest.mark.realservers
def test_a_redis_that_refuses_the_password_is_not_healthy(composed: Composed) -> None:
    refused = composed.check_redis("another")
    assert refused.returncode != 0
    assert "NOAUTH" in refused.stdout + refused.stderr


@pytest.mark.realservers
def test_rabbitmq_has_taken_every_setting(composed: Composed) -> None:
    keys = (
        "consumer_timeout",
        "dead_letter_worker_publisher_confirm_timeout",
        "vm_memory_high_watermark",
        "disk_free_limit",
    )
    asked = f"[application:get_env(rabbit, K) || K <- [{', '.join(keys)}]]."
    told = "".join(composed.rabbitmq.place.control("eval", asked).split())
    expected = '{ok,7200000},{ok,10000},{ok,{absolute,"1GB"}},{ok,"1GB"}'
    assert told == f"[{expected}]"


@pytest.mark.realservers
def test_rabbitmq_knows_one_user_and_no_guest(composed: Composed) -> None:
    users = composed.rabbitmq.place.control("--quiet", "list_users", "--no-table-headers")
    assert [line.split()[0] for line in users.splitlines()] == [composed.secrets["RABBITMQ_USER"]]


@pytest.mark.realservers
def test_rabbitmq_writes_its_log_to_the_console_alone(composed: Composed) -> None:
    """Its root file system is read-only in the container: what is no volume is lost or refused."""
    assert not composed.rabbitmq.log_path.exists()
    assert "Server startup complete" in (composed.rabbitmq.place.path / "log/stdout").read_text()
    # Which feature flags a node found at its start it notes beside the log all the same.
    assert "/var/log/rabbitmq" in composed.services["rabbitmq"]["tmpfs"]


@pytest.mark.realservers
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", str(1024**3)),
        ("save", ""),
    ],
)
def test_redis_has_taken_every_setting(composed: Composed, name: str, value: str) -> None:
    told = redis_command(composed.redis.url, f"CONFIG GET {name}").splitlines()
    at = told.index(name)
    assert told[at + 2] == value


def test_an_embedded_installation_serves_its_client_key(tmp_path: Path) -> None:
    with backend_process(tmp_path) as (backend, _):
        run(tmp_path, "embedded", f"{backend}/v1", force=False)
        secrets = read_env(tmp_path / ".env")
        port = reserve()
        arguments = ["serve", "--config", "penstock.yaml", "--port", str(port)]
        process = Process("serve", "cli.main", arguments, tmp_path / "serve.log", secrets)
        process.start()
        try:
            await_ready(port, process)
            assert chat(port, secrets["PENSTOCK_API_KEY"])
            assert (tmp_path / "penstock-data").is_dir()
        finally:
            process.kill()
