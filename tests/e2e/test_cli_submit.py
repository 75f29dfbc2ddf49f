"""`penstock submit` over what goes wrong: interrupts, full queues, bad lines, many lines."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.penstock import on_terminal, penstock, started
from tests.fakes.admin import USER_KEY, FakeAdmin, fake_admin


@pytest.fixture
def fake() -> Iterator[FakeAdmin]:
    with fake_admin() as running:
        yield running


@pytest.fixture
def env(fake: FakeAdmin) -> dict[str, str]:
    return {"PENSTOCK_URL": fake.url, "PENSTOCK_API_KEY": USER_KEY}


def body(model: str = "llama", **fields: object) -> str:
    return json.dumps({"model": model, "messages": [], **fields}) + "\n"


def until(done: Callable[[], bool], within_s: float = 30) -> None:
    ends = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_file_with_a_bad_line_submits_nothing(
    fake: FakeAdmin, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(body() * 3 + "not json\n")
    refused = penstock("submit", str(file), env=env)
    assert refused.returncode == 2
    assert f"{file}:4: not valid JSON" in refused.stderr
    assert fake.submits == 0


def test_a_pipe_with_a_bad_line_serves_the_lines_before_it(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    refused = penstock("submit", env=env, stdin=body() * 3 + "[]\n" + body())
    assert refused.returncode == 2
    assert "-:4: expected a JSON object." in refused.stderr
    assert (fake.submits, len(refused.stdout.splitlines())) == (3, 3)


def test_each_line_of_a_pipe_is_served_while_the_pipe_is_open(env: dict[str, str]) -> None:
    with started("submit", env=env) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(body())
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["status"] == "completed"
        child.stdin.close()
        assert child.wait(30) == 0


def test_a_file_submitted_again_with_its_prefix_runs_nothing_twice(
    fake: FakeAdmin, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text("\n" + body() * 4)
    first = penstock("submit", str(file), "--idempotency-prefix", "run-1", env=env)
    assert (first.returncode, fake.submits) == (0, 4)
    again = penstock("submit", str(file), "--idempotency-prefix", "run-1", env=env)
    assert (again.stdout, fake.submits) == (first.stdout, 4)
    other = penstock("submit", str(file), env=env)
    assert (other.returncode, fake.submits) == (0, 8)


@pytest.mark.parametrize("prefix", ["", "a b", "é", "x" * 201, "a\n"])
def test_a_prefix_that_no_header_takes_is_refused(env: dict[str, str], prefix: str) -> None:
    refused = penstock("submit", "-p", "x", "--model", "m", "--idempotency-prefix", prefix, env=env)
    assert refused.returncode == 2
    assert "--idempotency-prefix" in refused.stderr


def test_a_full_queue_and_a_server_that_restarts_are_waited_for(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    fake.broken += ["queue_full", "tenant_queue_full", "draining", "not_accepted"]
    done = penstock("submit", env=env, stdin=body() * 3)
    assert (done.returncode, fake.submits) == (0, 3)


def test_many_lines_go_up_in_few_calls(fake: FakeAdmin, env: dict[str, str]) -> None:
    done = penstock("submit", "--no-wait", env=env, stdin=body() * 2_000)
    assert (done.returncode, fake.submits, len(done.stdout.splitlines())) == (0, 2_000, 2_000)
    assert 1 <= fake.uploads <= 100
    assert json.loads(done.stdout.splitlines()[0]).keys() == {"id", "status"}


def test_an_older_server_gets_each_line_by_itself(fake: FakeAdmin, env: dict[str, str]) -> None:
    fake.older = True
    done = penstock("submit", env=env, stdin=body() * 30)
    assert (done.returncode, fake.submits) == (0, 30)
    assert done.stdout.count('"completed"') == 30


def test_an_answer_that_was_cut_is_asked_for_again(fake: FakeAdmin, env: dict[str, str]) -> None:
    fake.cut = 3
    done = penstock("submit", env=env, stdin=body() * 30)
    assert (done.returncode, fake.submits, done.stdout.count("\n")) == (0, 30, 30)


def test_whole_objects_are_printed_where_they_are_asked_for(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    done = penstock("submit", "--no-wait", "--json", env=env, stdin=body() * 20)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(objects) == 20
    assert {one["object"] for one in objects} == {"request"}
    assert {one["tenant"] for one in objects} == {"default"}


def test_a_refused_line_is_told_and_the_others_go_on(fake: FakeAdmin, env: dict[str, str]) -> None:
    fake.broken += ["model_not_allowed"]
    done = penstock("submit", env=env, stdin=body() * 3)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert sorted(result["status"] for result in results) == ["completed", "completed", "refused"]
    assert "2 completed, 1 failed" in done.stderr


def test_ctrl_c_stops_submitting_and_says_how_to_go_on(
    fake: FakeAdmin, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(body() * 2 + body("slow") * 3)
    with started("submit", str(file), "--idempotency-prefix", "run-1", env=env) as child:
        until(lambda: fake.submits == 5)
        child.send_signal(signal.SIGINT)
        out, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert len(out.splitlines()) <= 2
    assert "stopped: 5 accepted" in told
    assert "--idempotency-prefix run-1" in told
    assert "Traceback" not in told
    for one in fake.requests.values():
        one["model"] = "llama"
    again = penstock("submit", str(file), "--idempotency-prefix", "run-1", env=env)
    assert (again.returncode, len(again.stdout.splitlines()), fake.submits) == (0, 5, 5)


def test_ctrl_c_ends_a_submit_that_waits_for_its_pipe(env: dict[str, str]) -> None:
    with started("submit", env=env) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(body())
        child.stdin.flush()
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
        assert child.stderr is not None
        told = child.stderr.read()
    assert "stopped: 1 accepted, 1 of them printed." in told
    assert "Fatal" not in told


def test_ctrl_c_tells_of_requests_whose_answer_never_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started("submit", "-p", "x", "--model", "m", "--url", url) as child:
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(65_536)
                child.send_signal(signal.SIGINT)
                _, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "0 accepted, 0 of them printed. 1 more were sent and not answered." in told


def test_a_line_takes_what_the_options_say_unless_it_says_so_itself(
    fake: FakeAdmin, env: dict[str, str]
) -> None:
    whole = {"body": {"messages": []}, "priority": "high", "deadline": 2_000_000_000}
    options = ("--endpoint", "/v1/embeddings", "--priority", "low", "--timeout-s", "60")
    sent = json.dumps({"input": "x"}) + "\n" + json.dumps(whole) + "\n"
    done = penstock("submit", "--model", "llama", *options, env=env, stdin=sent)
    assert done.returncode == 0, done.stderr
    limits = {"endpoint": "/v1/embeddings", "priority": "low", "timeout_s": 60.0}
    assert sorted(fake.bodies, key=str) == sorted(
        [
            {"body": {"model": "llama", "input": "x"}, **limits},
            {**whole, "body": {"model": "llama", "messages": []}, "endpoint": "/v1/embeddings"},
        ],
        key=str,
    )


def test_a_large_file_does_not_stand_in_memory(
    fake: FakeAdmin, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    with file.open("w") as out:
        for number in range(1_500):
            out.write(body(user=f"{number}-" + "x" * 200_000))
    # The file is larger than all the memory that the command may take.
    limit = ("prlimit", f"--data={256 * 1024 * 1024}")
    done = penstock("submit", str(file), "--no-wait", env=env, before=limit)
    assert done.returncode == 0, done.stderr
    assert (fake.submits, done.stdout.count("\n")) == (1_500, 1_500)


def test_a_terminal_is_shown_the_bar_and_not_steered(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(body() * 3)
    code, screen = on_terminal("submit", str(file), env=env)
    assert code == 0
    assert "0 failed" in screen
    assert "\x1b]0;owned" not in screen
    assert "\\u202e" in screen


def test_a_terminal_is_told_that_its_lines_are_read(env: dict[str, str]) -> None:
    code, screen = on_terminal("submit", "--model", "echo", typed='{"messages": []}\n\x04', env=env)
    assert code == 0, screen
    assert "one JSON body a line; Ctrl-D ends them" in screen
    assert "completed" in screen
