"""`penstock webhooks` against a server and a receiver that are really there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.e2e.penstock import penstock
from tests.fakes.receiver import Receiver
from tests.fakes.stack import Setup, Stack, backend_process

_SUBMIT = ("submit", "--model", "m", "-p", "Name a fruit.")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("webhooks")
    with backend_process(directory, models="m") as (url, _):
        setup = Setup(
            backends={"gpu": {"urls": [f"{url}/v1"]}},
            more={"webhooks": {"allow": ["127.0.0.1"], "retry_s": [0]}},
        )
        with Stack(directory, setup) as running:
            yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running


async def run(stack: Stack, *arguments: str) -> CompletedProcess[str]:
    env = {"PENSTOCK_URL": stack.url}
    return await asyncio.to_thread(penstock, *arguments, env=env)


async def told(stack: Stack, *arguments: str) -> Any:
    done = await run(stack, "webhooks", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def deliveries(stack: Stack, endpoint_id: str, status: str) -> list[dict[str, Any]]:
    """Return the endpoint's deliveries as soon as there are some of this status."""
    async with asyncio.timeout(30):
        while True:
            found = await told(stack, "deliveries", "--endpoint", endpoint_id, "--status", status)
            if found:
                return list(found)


async def test_an_endpoint_is_registered_listed_and_tested(
    stack: Stack, receiver: Receiver
) -> None:
    made = await run(stack, "webhooks", "create", f"{receiver.url}/in", "--name", "orders")
    assert made.returncode == 0, made.stderr
    assert "whsec_" in made.stdout
    assert made.stderr == "penstock: the secret is shown this once.\n"
    (endpoint,) = [one for one in await told(stack, "list") if one["name"] == "orders"]
    assert endpoint["url"] == f"{receiver.url}/in"
    assert endpoint["event_types"] == [
        *("request.cancelled", "request.completed", "request.expired", "request.failed")
    ]
    listed = await run(stack, "webhooks", "list")
    assert endpoint["id"] in listed.stdout
    assert made.stdout.split("whsec_")[1].strip() not in listed.stdout
    done = await run(stack, "webhooks", "test", endpoint["id"])
    assert (done.returncode, done.stdout) == (0, f"{endpoint['id']} answered 200\n"), done.stderr
    assert json.loads(receiver.got[0].body)["type"] == "request.completed"


async def test_endpoints_are_deleted_once(stack: Stack, receiver: Receiver) -> None:
    endpoint = await told(stack, "create", f"{receiver.url}/in", "--name", "short-lived")
    done = await run(stack, "webhooks", "delete", endpoint["id"], "we_none")
    assert (done.returncode, done.stdout) == (1, f"{endpoint['id']} is deleted\n")
    assert done.stderr == "penstock: we_none: No webhook endpoint has this id.\n"
    assert endpoint["id"] not in [one["id"] for one in await told(stack, "list")]
    again = await run(stack, "webhooks", "delete", endpoint["id"])
    assert (again.returncode, again.stdout) == (1, "")


async def test_what_was_sent_is_listed_and_sent_again(stack: Stack, receiver: Receiver) -> None:
    endpoint = await told(
        stack,
        "create",
        f"{receiver.url}/status/500",
        "--event",
        "request.failed",
        "--event",
        "request.completed",
    )
    assert endpoint["name"] == "127.0.0.1"
    submitted = await run(stack, *_SUBMIT)
    assert submitted.returncode == 0, submitted.stderr
    (failed,) = await deliveries(stack, endpoint["id"], "failed")
    assert len(await receiver.wait_for(1)) == 1
    table = await run(stack, "webhooks", "deliveries", "--request", failed["request_id"])
    for shown in (failed["id"], "request.completed", "failed", "500"):
        assert shown in table.stdout
    again = await run(stack, "webhooks", "redeliver", failed["id"], "wh_none")
    assert (again.returncode, again.stdout) == (1, f"{failed['id']} is sent again\n")
    assert again.stderr.startswith("penstock: wh_none: ")
    assert {got.id for got in await receiver.wait_for(2)} == {failed["id"]}
    await deliveries(stack, endpoint["id"], "failed")
    some = ("redeliver", "--endpoint", endpoint["id"])
    asked = await run(stack, "webhooks", *some)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert await told(stack, *some, "--yes") == {"redelivered": 1}
    assert {got.id for got in await receiver.wait_for(3)} == {failed["id"]}


async def test_what_is_wrong_is_said(stack: Stack) -> None:
    refused = await run(stack, "webhooks", "create", "https://192.168.0.1/x")
    assert refused.returncode == 1
    assert "`url`" in refused.stderr
    assert (await run(stack, "webhooks", "test", "we_none")).returncode == 1
    assert (await run(stack, "webhooks", "redeliver")).returncode == 2
    both = await run(stack, "webhooks", "redeliver", "wh_1", "--status", "failed")
    assert (both.returncode, "not both" in both.stderr) == (2, True)
    assert (await run(stack, "webhooks", "deliveries", "--status", "lost")).returncode == 2
