"""The unmodified OpenAI SDK with its own retries, against a server killed and restarted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup
from tests.servers.probe import wait_until

SLOW, LONG = "slow-300", "slow-5000"
CALLS = 24
# The SDK's pauses grow from 0.5 s to 8 s: six retries outlast a restart.
RETRIES = 6


@pytest.fixture
def door(setup: Setup, tmp_path: Path) -> Iterator[Door]:
    models = {name: {"targets": [{"backend": "fake"}]} for name in (SLOW, LONG)}
    with open_door(tmp_path, setup, ["echo"], models) as opened:
        yield opened


def restart(door: Door) -> None:
    """Kill the process that holds the calls, and start it again."""
    role = "serve" if "serve" in door.stack.processes else "api-0"
    door.stack.kill(role)
    time.sleep(0.5)
    door.stack.restart(role)


def calls_of(door: Door, model: str) -> list[dict[str, Any]]:
    """Return the backend's account of the calls of `model`."""
    return [call for call in door.ledger()["calls"] if call["model"] == model]


def restart_once_called(door: Door) -> None:
    """Restart when the request runs: one that dies with the door unaccepted is a new one."""
    wait_until(lambda: calls_of(door, LONG), 20, door.stack.logs)
    restart(door)


def check(door: Door, contents: list[str | None]) -> None:
    """Assert that every call was answered by a call of its own, and few were made twice."""
    assert len(contents) == CALLS
    assert all(contents)
    assert len(set(contents)) == CALLS
    door.assert_at_rest()
    calls = calls_of(door, SLOW)
    answered = Counter(call["id"] for call in calls if not call["aborted"])
    # A request whose answer was lost with the process that held it may be asked anew; none runs
    # for ever, and none is answered by two backends' calls in the end.
    assert CALLS <= len(calls) <= 3 * CALLS, answered


def ask(client: openai.OpenAI, number: int) -> str | None:
    answer = client.chat.completions.create(
        model=SLOW, messages=[{"role": "user", "content": f"question {number}"}]
    )
    return answer.choices[0].message.content


@pytest.mark.chaos
def test_the_sync_client_gets_every_answer(door: Door) -> None:
    base_url = f"{door.stack.url}/v1"
    with (
        openai.OpenAI(base_url=base_url, api_key="x", max_retries=RETRIES) as client,
        ThreadPoolExecutor(CALLS) as callers,
    ):
        killing = threading.Timer(0.45, restart, [door])
        killing.start()
        contents = list(callers.map(lambda n: ask(client, n), range(CALLS)))
        killing.join()
    door.stack.wait_ready()
    check(door, contents)


@pytest.mark.chaos
async def test_the_async_client_gets_every_answer(door: Door) -> None:
    base_url = f"{door.stack.url}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=RETRIES) as client:
        killing = threading.Timer(0.45, restart, [door])
        killing.start()
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(
                    model=SLOW, messages=[{"role": "user", "content": f"question {number}"}]
                )
                for number in range(CALLS)
            )
        )
        await asyncio.to_thread(killing.join)
    await asyncio.to_thread(door.stack.wait_ready)
    check(door, [answer.choices[0].message.content for answer in answers])


@pytest.mark.chaos
def test_a_retry_joins_the_request_that_outlived_the_door(door: Door) -> None:
    """On RabbitMQ the worker calls on while the api is killed; embedded calls once more."""
    base_url = f"{door.stack.url}/v1"
    killing = threading.Thread(target=restart_once_called, args=[door])
    killing.start()
    with openai.OpenAI(base_url=base_url, api_key="x", max_retries=RETRIES) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=LONG, messages=[{"role": "user", "content": "long"}]
        )
    killing.join()
    door.stack.wait_ready()
    assert raw.headers["idempotent-replayed"] == "true"
    calls = calls_of(door, LONG)
    assert {call["id"] for call in calls} == {raw.headers["x-request-id"]}
    assert len(calls) == (2 if "serve" in door.stack.processes else 1)
