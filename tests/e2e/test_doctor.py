"""`penstock doctor` as an operator types it: lines, JSON, exit codes, and no secret anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.guarantee import ALWAYS, EMBEDDED, REFUSED
from tests.e2e.penstock import penstock
from tests.fakes.stack import Setup, Stack, backend_process
from tests.servers.ports import reserve
from tests.servers.redis import RedisServer

_SECRETS = ("an-admin-key-of-ours", "sk-of-the-backend", "redis-password")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with backend_process(tmp_path_factory.mktemp("backend")) as (url, _):
        yield f"{url}/v1"


def a_file(folder: Path, backend: str, **server: Any) -> str:
    """Write a configuration and return its path."""
    path = folder / "penstock.yaml"
    content = {
        "server": {
            "port": reserve(),
            "data_dir": str(folder / "data"),
            "admin_key": _SECRETS[0],
            **server,
        },
        "backends": {"b": {"urls": [backend], "api_key": _SECRETS[1]}},
    }
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return str(path)


def report(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what `--json` prints."""
    done = penstock("doctor", "--json", *arguments)
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def verdicts(found: dict[str, Any], part: str) -> dict[str, str]:
    return {each["check"]: each["verdict"] for each in found["findings"] if each["part"] == part}


def test_before_the_first_start_nothing_fails_and_nothing_is_made(
    tmp_path: Path, backend: str
) -> None:
    shown = penstock("doctor", "--config", a_file(tmp_path, backend))
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"{EMBEDDED.settings}: {EMBEDDED.promised}" in shown.stdout
    assert "0 failed" in shown.stdout.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_every_line_is_one_check_in_a_pipe(tmp_path: Path, backend: str) -> None:
    config = a_file(tmp_path, backend)
    lines = penstock("doctor", "--config", config).stdout.splitlines()
    checks = lines[: lines.index("")]
    assert len(checks) == len(report("--config", config)[1]["findings"])
    assert {line.split()[0] for line in checks} <= {"ok", "note", "warning", "failed"}


def test_a_running_server_is_found_ready_with_its_models(tmp_path: Path, backend: str) -> None:
    setup = Setup(backends={"b": {"urls": [backend], "concurrency": 2}})
    with Stack(tmp_path, setup):
        code, found = report("--config", str(tmp_path / "serve.yaml"))
    assert code == 0
    assert set(verdicts(found, "Penstock").values()) == {"ok"}
    assert verdicts(found, "Embedded store")["in use"] == "ok"
    assert found["guarantee"]["promised"] == EMBEDDED.promised


def test_a_backend_that_is_away_is_exit_1(tmp_path: Path) -> None:
    config = a_file(tmp_path, f"http://127.0.0.1:{reserve()}/v1")
    code, found = report("--config", config)
    assert (code, found["ok"]) == (1, False)
    assert verdicts(found, "Backends") == {"b": "failed"}


@pytest.mark.parametrize("arguments", [("--config", "none.yaml"), ("--management-url",)])
def test_a_mistake_is_exit_2(arguments: tuple[str, ...]) -> None:
    refused = penstock("doctor", *arguments)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_a_named_server_that_is_away_fails(tmp_path: Path, backend: str) -> None:
    shown = penstock(
        "doctor",
        "--config",
        a_file(tmp_path, backend),
        env={"PENSTOCK_URL": f"http://127.0.0.1:{reserve()}"},
    )
    assert shown.returncode == 1
    assert "PENSTOCK_URL" in shown.stdout


@pytest.mark.realservers
def test_good_real_parts_promise_everything(tmp_path: Path, backend: str, amqp_url: str) -> None:
    redis = RedisServer(tmp_path / "redis", appendfsync="always")
    redis.start()
    try:
        namespace = f"doctor-{reserve()}"
        parts = {"amqp_url": amqp_url, "redis_url": redis.url, "namespace": namespace}
        code, found = report("--config", a_file(tmp_path, backend, **parts))
    finally:
        redis.stop()
    assert code == 0, found
    assert {"RabbitMQ", "Redis", "Backends"} <= {each["part"] for each in found["findings"]}
    assert found["guarantee"]["promised"] == ALWAYS.promised


@pytest.mark.realservers
def test_a_redis_that_keeps_nothing_is_refused(tmp_path: Path, backend: str, amqp_url: str) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    try:
        parts = {"amqp_url": amqp_url, "redis_url": redis.url}
        shown = penstock("doctor", "--config", a_file(tmp_path, backend, **parts))
    finally:
        redis.stop()
    assert shown.returncode == 1
    assert "failed   Redis: append-only file: appendonly no" in shown.stdout
    assert REFUSED.promised in shown.stdout


@pytest.mark.realservers
def test_the_processes_of_a_running_stack_are_counted(
    tmp_path: Path, backend: str, amqp_url: str, redis_url: str
) -> None:
    namespace = f"doctor-{reserve()}"
    setup = Setup(
        engine="real",
        backends={"b": {"urls": [backend], "concurrency": 2}},
        server={"namespace": namespace},
        amqp_url=amqp_url,
        redis_url=redis_url,
    )
    with Stack(tmp_path, setup):
        shown = penstock(
            "doctor",
            "--config",
            str(tmp_path / "api-0.yaml"),
            env={"PENSTOCK_AMQP_URL": amqp_url, "PENSTOCK_REDIS_URL": redis_url},
        )
    assert "Penstock: processes: alive: api 1, worker 2" in shown.stdout
    assert "Penstock: models: 1 served, each by a live worker" in shown.stdout


@pytest.mark.realservers
def test_no_secret_is_printed_whatever_goes_wrong(tmp_path: Path) -> None:
    config = a_file(
        tmp_path,
        "http://user:redis-password@127.0.0.1:9/v1",
        amqp_url=f"amqp://guest:redis-password@127.0.0.1:{reserve()}/",
        redis_url=f"redis://:redis-password@127.0.0.1:{reserve()}/0",
    )
    for arguments in ([], ["--json"], ["--management-url", "http://u:redis-password@127.0.0.1:9"]):
        shown = penstock("doctor", "--config", config, *arguments)
        assert shown.returncode == 1
        printed = shown.stdout + shown.stderr
        assert [secret for secret in _SECRETS if secret in printed] == []
