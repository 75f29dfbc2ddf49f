"""`penstock batch` as a user types it: from the file to its results, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.batching import create, ended
from tests.e2e.door import Door, open_door
from tests.e2e.penstock import ROOT, on_terminal, penstock, started
from tests.fakes.stack import Setup
from tests.fakes.uploads import jsonl, line

KEY = new_key()
SLOW = "slow-60000"
UNKNOWN = "batch_00" + "0" * 32


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {"acme": {"keys": [{"name": "ci", "hash": hash_of(KEY)}], "models": ["*"]}}
    whole = replace(Setup(), more={"tenants": tenants, "files": {"max_bytes": 4_000_000}})
    directory = tmp_path_factory.mktemp("cli-batch")
    models = ["echo", "slow-200", SLOW, "status-400", "odd"]
    with open_door(directory, whole, models, timeout_s=300, key=KEY) as opened:
        yield opened


@pytest.fixture
def env(door: Door) -> dict[str, str]:
    return {"PENSTOCK_URL": door.stack.url, "PENSTOCK_API_KEY": KEY}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl(line(str(n)) for n in range(20)))
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(jsonl([line("1"), line("2", "status-400"), line("3")]))
    return path


def ids_in(text: str) -> list[str]:
    return [json.loads(each)["custom_id"] for each in text.splitlines()]


def test_a_file_is_submitted_awaited_and_its_output_written(
    env: dict[str, str], good: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    told = penstock("batch", "submit", str(good), "--wait", "-o", str(out), env=env)
    assert told.returncode == 0, told.stderr
    assert sorted(map(int, ids_in(out.read_text()))) == list(range(20))
    assert told.stdout == ""
    assert "20 completed, 0 failed of 20 lines" in told.stderr
    assert not list(tmp_path.glob("*.part"))


def test_without_waiting_the_id_is_all_that_is_printed(
    door: Door, env: dict[str, str], good: Path
) -> None:
    told = penstock(
        *("batch", "submit", str(good), "--metadata", "job=nightly", "--window", "10m"),
        env=env,
    )
    assert told.returncode == 0, told.stderr
    batch = ended(door, told.stdout.strip())
    assert (batch["metadata"], batch["completion_window"]) == ({"job": "nightly"}, "10m")
    assert f"penstock batch status {batch['id']} --wait" in told.stderr
    again = penstock("batch", "status", batch["id"], "--wait", "--json", env=env)
    assert again.returncode == 0
    assert json.loads(again.stdout) == batch


def test_a_pipe_is_submitted_too(env: dict[str, str], good: Path) -> None:
    told = penstock(
        *("batch", "submit", "-", "--wait", "-o", "-", "--order", "input"),
        stdin=good.read_text(),
        env=env,
    )
    assert told.returncode == 0, told.stderr
    assert ids_in(told.stdout) == [str(n) for n in range(20)]


def test_the_endpoint_is_that_of_the_first_line(
    door: Door, env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "embeddings.jsonl"
    body = {"model": "echo", "input": "a fruit"}
    path.write_bytes(jsonl([line("1", url="/v1/embeddings", body=body)]))
    told = penstock("batch", "submit", str(path), "--wait", "--json", env=env)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["endpoint"] == "/v1/embeddings"


def test_failed_lines_are_1_and_can_be_seen_and_done_again(
    door: Door, env: dict[str, str], mixed: Path, tmp_path: Path
) -> None:
    told = penstock("batch", "submit", str(mixed), "--wait", env=env)
    assert told.returncode == 1
    assert "2 completed, 1 failed of 3 lines" in told.stderr
    batch_id = next(each.split()[1] for each in told.stdout.splitlines() if "batch_" in each)
    assert "error file" in told.stdout
    output = penstock("batch", "results", batch_id, env=env)
    assert (output.returncode, sorted(ids_in(output.stdout))) == (0, ["1", "3"])
    errors = tmp_path / "errors.jsonl"
    fetched = penstock("batch", "results", batch_id, "--errors", "-o", str(errors), env=env)
    assert (fetched.returncode, fetched.stdout) == (0, "")
    assert ids_in(errors.read_text()) == ["2"]
    again = penstock("batch", "retry-failed", batch_id, "--wait", "--json", env=env)
    assert again.returncode == 1
    retried = json.loads(again.stdout)
    assert (retried["penstock"]["retry_of"], retried["request_counts"]["total"]) == (batch_id, 1)


def test_what_is_wrong_with_a_file_is_told_with_its_lines(
    env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(jsonl([line("1"), line("1"), line("3", method="GET"), line("4", "gpt-9")]))
    told = penstock("batch", "submit", str(path), "--wait", env=env)
    assert told.returncode == 1
    for number, code in ((2, "duplicate_custom_id"), (3, "invalid_method"), (4, "model_not_found")):
        found = [each for each in told.stderr.splitlines() if f"{path}:{number}: " in each]
        assert [code in each for each in found] == [True], told.stderr
    assert "retry-failed" not in told.stderr


def test_batches_are_listed_paused_resumed_and_cancelled(door: Door, env: dict[str, str]) -> None:
    batch_id = create(door, [line("1", SLOW), line("2", SLOW)])["id"]
    paused = penstock("batch", "pause", batch_id, env=env)
    assert paused.stdout.split()[0] == batch_id
    assert "(paused)" in paused.stdout
    assert "(paused)" not in penstock("batch", "resume", batch_id, env=env).stdout
    listed = penstock("batch", "list", "--limit", "2", env=env)
    assert listed.stdout.splitlines()[1].split()[0] == batch_id
    as_json = penstock("batch", "list", "--limit", "1", "--json", env=env)
    assert [each["id"] for each in json.loads(as_json.stdout)] == [batch_id]
    shown = penstock("batch", "status", batch_id, env=env)
    assert "/v1/chat/completions" in shown.stdout
    cancelled = penstock("batch", "cancel", batch_id, UNKNOWN, env=env)
    assert cancelled.returncode == 1
    assert cancelled.stdout.split() in ([batch_id, "cancelling"], [batch_id, "cancelled"])
    assert f"{UNKNOWN}: No batch has this id." in cancelled.stderr
    waited = penstock("batch", "status", batch_id, "--wait", env=env)
    assert waited.returncode == 1
    nothing = penstock("batch", "results", batch_id, env=env)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no line has completed" in nothing.stderr


def test_ctrl_c_stops_waiting_and_says_how_to_go_on(
    door: Door, env: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "slow.jsonl"
    path.write_bytes(jsonl([line("1"), line("2", SLOW)]))
    before = len(door.ask("GET", "/v1/batches?limit=100").json["data"])
    waiting = started("batch", "submit", str(path), "--wait", "-o", str(tmp_path / "x"), env=env)
    until = time.monotonic() + 30
    while len(listed := door.ask("GET", "/v1/batches?limit=100").json["data"]) == before:
        assert time.monotonic() < until
        time.sleep(0.05)
    batch_id = listed[0]["id"]
    while door.ask("GET", f"/v1/batches/{batch_id}").json["request_counts"]["completed"] < 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    waiting.send_signal(signal.SIGINT)
    stdout, stderr = waiting.communicate(timeout=30)
    assert (waiting.returncode, stdout) == (130, "")
    assert f"penstock batch status {batch_id} --wait" in stderr
    assert f"penstock batch cancel {batch_id}" in stderr
    assert "Traceback" not in stderr
    so_far = penstock("batch", "results", batch_id, env=env)
    assert (so_far.returncode, ids_in(so_far.stdout)) == (0, ["1"])
    assert "still runs" in so_far.stderr
    penstock("batch", "cancel", batch_id, env=env)


def test_a_bar_on_a_terminal_tells_how_far_it_is(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "bar.jsonl"
    path.write_bytes(jsonl(line(str(n), "slow-200") for n in range(40)))
    code, screen = on_terminal("batch", "submit", str(path), "--wait", env=env)
    assert code == 0, screen
    assert "/40" in screen
    assert "0 failed" in screen


def test_an_answer_does_not_steer_the_terminal(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(jsonl([line("\u202e\u009b31m", "odd")]))
    code, screen = on_terminal("batch", "submit", str(path), "--wait", "-o", "-", env=env)
    assert code == 0, screen
    assert "custom_id" in screen
    assert not {"\u202e", "\u009b"} & set(screen)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "nowhere.jsonl"), 2, "nowhere.jsonl: cannot be read"),
        (("submit", "README.md", "-o", "x"), 2, "--wait"),
        (("submit", "README.md", "--metadata", "x"), 2, "KEY=VALUE"),
        (("submit", "README.md", "--window", "soon"), 1, "such as 24h"),
        (("submit", "README.md", "--endpoint", "/v1/x"), 1, "/v1/x"),
        (("status", UNKNOWN), 1, "No batch has this id."),
        (("results", UNKNOWN), 1, "No batch has this id."),
        (("retry-failed", UNKNOWN), 1, "No batch has this id."),
    ],
)
def test_what_cannot_be_done_is_told(
    env: dict[str, str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = penstock("batch", *arguments, env=env)
    assert (told.returncode, told.stdout) == (code, "")
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_a_file_that_is_too_large_is_told_so(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"x" * 40_000_000)
    told = penstock("batch", "submit", str(path), env=env)
    assert told.returncode == 1, told.stderr
    assert "4000000 bytes" in told.stderr


def test_output_that_cannot_be_written_is_told(env: dict[str, str], good: Path) -> None:
    told = penstock("batch", "submit", str(good), "--wait", "-o", "/nowhere/x", env=env)
    assert told.returncode == 2
    assert "/nowhere/x: cannot be written" in told.stderr


def test_no_server_is_3(good: Path) -> None:
    env = {"PENSTOCK_URL": "http://127.0.0.1:9"}
    told = penstock("batch", "submit", str(good), env=env)
    assert told.returncode == 3
    assert "no Penstock answers" in told.stderr


def test_a_reader_that_has_had_enough_ends_it_quietly(
    door: Door, env: dict[str, str], tmp_path: Path
) -> None:
    lines = [line(str(n)) for n in range(600)]
    batch = ended(door, create(door, lines)["id"])
    command = f"{sys.executable} -m cli.main batch results {batch['id']} | head -n 1"
    told = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert len(ids_in(told.stdout)) == 1
