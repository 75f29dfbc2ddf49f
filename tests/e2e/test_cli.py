"""The command line as a user types it: output on stdout, sentences on stderr, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.penstock import ROOT, penstock
from tests.fakes.stack import Setup, Stack, backend_process
from tests.servers.ports import reserve


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("cli")
    with backend_process(directory, models="echo,status-400,hang") as (backend, _):
        setup = Setup(backends={"fake": {"urls": [f"{backend}/v1"], "concurrency": 4}})
        with Stack(directory, setup) as running:
            yield running


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.url


def chat(model: str = "echo") -> str:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})


def test_help_names_every_command() -> None:
    shown = penstock("--help")
    assert shown.returncode == 0
    listed = shown.stdout.split("Commands:")[1].splitlines()
    assert [line.split()[0] for line in listed if line[2:3].strip()] == [
        *("serve", "api", "worker", "submit", "status", "cancel", "init", "doctor"),
        *("batch", "dead-letters", "models", "backends", "keys", "amqp", "webhooks", "config"),
    ]
    # Every verb is told in one line, in full.
    assert not [line for line in listed if line.endswith("...")]


def test_help_loads_no_server(tmp_path: Path) -> None:
    heavy = (
        "fastapi redis aiohttp aio_pika uvicorn structlog prometheus_client rich pydantic asyncio"
    )
    code = (
        "import sys; sys.argv = ['penstock', '--help']\n"
        "from cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert shown.stdout.splitlines()[-1] == "[]"


def test_submit_prints_one_result_a_line_in_order(url: str) -> None:
    lines = "\n".join([chat(), "", json.dumps({"body": json.loads(chat()), "priority": "low"})])
    done = penstock("submit", "-", "--url", url, stdin=lines)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["status"] for result in results] == ["completed", "completed"]
    assert all(result["text"] for result in results)


def test_submit_takes_a_prompt_and_prints_whole_objects(url: str) -> None:
    done = penstock("submit", "--model", "echo", "-p", "Hi", "--json", "--url", url)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["object"] == "request"


def test_submit_exits_1_when_a_request_failed(url: str) -> None:
    done = penstock("submit", "-", "--url", url, stdin="\n".join([chat(), chat("status-400")]))
    assert done.returncode == 1
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == [
        "completed",
        "failed",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit", "none.jsonl"], "none.jsonl: cannot be read"),
        (["submit", "-p", "hi"], "--prompt needs --model"),
        (["api"], "use penstock serve"),
        (["worker"], "use penstock serve"),
        (["serve", "--host", "0.0.0.0"], "Set PENSTOCK_ADMIN_KEY"),
        (["serve", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["serve", "--backend", "localhost:8000"], "is not an http"),
        (["serve", "--backend", "a=http://h", "--backend", "a=http://h"], "names 'a' twice"),
        (["serve", "--backend", "http://h", "--backend-key-env", "NO_KEY"], "NO_KEY is not set"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(arguments: list[str], told: str) -> None:
    refused = penstock(*arguments)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_unreachable_server_is_exit_3() -> None:
    away = penstock("status", "--url", f"http://127.0.0.1:{reserve()}")
    assert away.returncode == 3
    assert "no Penstock answers" in away.stderr
    assert away.stderr.endswith(": Connection refused\n")
    unknown = penstock("status", "--url", "http://name.invalid:1")
    assert unknown.returncode == 3
    assert "[Errno" not in unknown.stderr


def test_status_shows_models_and_a_request(url: str) -> None:
    shown = penstock("status", "--url", url)
    assert "echo" in shown.stdout
    assert "/ 4" in shown.stdout
    done = penstock("submit", "-", "--url", url, stdin=chat())
    request_id = json.loads(done.stdout)["id"]
    whole = penstock("status", request_id, "--url", url).stdout
    for told in ("completed", "/v1/chat/completions", "target", "usage", "waited", "deadline"):
        assert told in whole
    assert penstock("status", "req_00" + "0" * 32, "--url", url).returncode == 1


def test_a_server_without_keys_takes_any(url: str) -> None:
    shown = penstock("status", "--url", url, env={"PENSTOCK_API_KEY": "sk-anything"})
    assert shown.returncode == 0, shown.stderr


def test_the_version_is_told() -> None:
    assert penstock("--version").stdout.startswith("penstock ")


def test_cancel_ends_a_waiting_request(url: str) -> None:
    accepted = penstock("submit", "-", "--no-wait", "--url", url, stdin=chat("hang"))
    request_id = json.loads(accepted.stdout)["id"]
    cancelled = penstock("cancel", request_id, "--url", url)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{request_id} cancelled\n")


def test_two_processes_cannot_share_a_data_directory_or_a_port(
    stack: Stack, tmp_path: Path
) -> None:
    data_dir = str(stack.directory / "data")
    second = penstock("serve", "--data-dir", data_dir, "--port", str(reserve()))
    assert second.returncode == 2
    assert "in use by another Penstock" in second.stderr
    third = penstock("serve", "--data-dir", str(tmp_path / "b"), "--port", str(stack.ports[0]))
    assert third.returncode == 2
    assert "cannot listen" in third.stderr
