"""The health checks of the containers: well, silent, refusing, stale."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.alive import keep_touching, touch_or_refuse
from cli.healthcheck import MAX_AGE_S, problem_with
from schemas.errors import ConfigError
from tests.servers.ports import reserve
from tests.servers.probe import wait_until


async def _serve(status: str, body: str) -> tuple[asyncio.Server, str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ready"


async def _until(ready: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, ready, 10, lambda: "the file was not touched")


async def test_a_url_that_answers_200_is_well() -> None:
    server, url = await _serve("200 OK", "{}")
    async with server:
        assert await asyncio.to_thread(problem_with, url) is None


async def test_a_url_that_answers_otherwise_is_told_with_its_answer() -> None:
    server, url = await _serve("503 Service Unavailable", '{"checks": {"redis": "away"}}')
    async with server:
        problem = await asyncio.to_thread(problem_with, url)
    assert problem == f'{url} answers 503: {{"checks": {{"redis": "away"}}}}'


def test_a_url_where_nobody_listens_is_a_problem() -> None:
    assert "does not answer" in str(problem_with(f"http://127.0.0.1:{reserve()}/live"))


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{reserve()}")
    server, url = await _serve("200 OK", "{}")
    async with server:
        assert await asyncio.to_thread(problem_with, url) is None


async def test_a_file_is_well_while_the_loop_touches_it_and_not_long_after(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    assert "No such file" in str(problem_with(str(alive)))
    touching = asyncio.create_task(keep_touching(alive))
    await _until(alive.exists)
    touching.cancel()
    assert problem_with(str(alive)) is None
    old = time.time() - MAX_AGE_S - 5
    os.utime(alive, (old, old))
    assert "was not touched for 15 s" in str(problem_with(str(alive)))


async def test_a_file_is_touched_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.alive.TOUCH_S", 0.01)
    alive = tmp_path / "alive"
    alive.touch()
    os.utime(alive, (0, 0))
    touching = asyncio.create_task(keep_touching(alive))
    for _ in range(2):
        os.utime(alive, (0, 0))
        await _until(lambda: alive.stat().st_mtime > 0)
    touching.cancel()
    assert problem_with(str(alive)) is None


def test_an_alive_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--alive-file: cannot write"):
        touch_or_refuse(tmp_path / "none" / "alive")


@pytest.mark.parametrize(("age_s", "code"), [(0.0, 0), (60.0, 1)])
def test_the_command_s_exit_code_says_it(tmp_path: Path, age_s: float, code: int) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    os.utime(alive, (time.time() - age_s,) * 2)
    command = [sys.executable, "-m", "cli.healthcheck", str(alive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith("ok" if code == 0 else str(alive))


def test_it_needs_one_argument() -> None:
    command = [sys.executable, "-m", "cli.healthcheck"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python -m cli.healthcheck URL|FILE\n")
