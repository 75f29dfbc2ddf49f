"""Webhook endpoints: saved over what was read, and alike for all processes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from dataclasses import replace

from broker.ports import Endpoint, PostSelection, PostState, SigningSecret
from tests.conformance.stages import Process, Stage, two_processes
from tests.fakes.posts import make_endpoint, make_post


async def saved(engine: Process, endpoint: Endpoint) -> Endpoint:
    assert await engine.webhooks.save(endpoint, None)
    return endpoint


async def test_there_are_none_at_first(engine: Process) -> None:
    assert list(await engine.webhooks.endpoints()) == []
    assert not await engine.webhooks.remove("acme", "we_none")


async def test_all_of_all_tenants_are_told_oldest_first(engine: Process) -> None:
    now = time.time()
    late = await saved(engine, make_endpoint(tenant="b", created_at=now, name="späte"))
    early = await saved(
        engine, make_endpoint(created_at=now - 9, disabled_at=now - 1.25, event_types=("a", "b"))
    )
    assert list(await engine.webhooks.endpoints()) == [early, late]


async def test_only_what_was_read_is_replaced(engine: Process) -> None:
    first = await saved(engine, make_endpoint())
    second = replace(first, url="https://other.example", updated_at=first.updated_at + 1)
    assert await engine.webhooks.save(second, first)
    stale = replace(first, disabled_at=time.time(), updated_at=first.updated_at + 2)
    assert not await engine.webhooks.save(stale, first)
    assert not await engine.webhooks.save(stale, None)
    assert list(await engine.webhooks.endpoints()) == [second]


async def test_one_that_is_gone_does_not_come_back(engine: Process) -> None:
    endpoint = await saved(engine, make_endpoint())
    assert not await engine.webhooks.remove("other", endpoint.id)
    assert await engine.webhooks.remove("acme", endpoint.id)
    assert not await engine.webhooks.remove("acme", endpoint.id)
    disabled = replace(endpoint, disabled_at=time.time(), updated_at=endpoint.updated_at + 1)
    assert not await engine.webhooks.save(disabled, endpoint)
    assert list(await engine.webhooks.endpoints()) == []


async def test_what_was_due_to_it_is_dropped(engine: Process) -> None:
    gone, stays = [await saved(engine, make_endpoint()) for _ in range(2)]
    later = time.time() + 60
    waiting = [make_post(endpoint=gone.id, due_at=later) for _ in range(12)]
    other = make_post(endpoint=stays.id, due_at=later)
    await engine.webhooks.add([*waiting, other], 5)
    assert await engine.webhooks.remove("acme", gone.id)
    dropped = await engine.webhooks.posts(PostSelection("acme", state=PostState.DROPPED), None, 50)
    assert {post.id for post in dropped or ()} == {post.id for post in waiting}
    assert await engine.webhooks.post("acme", other.id) == other


async def test_they_outlive_the_process_that_saved_them(stage: Stage) -> None:
    endpoint = make_endpoint(secrets=(SigningSecret("whsec_x"),))
    async with stage.open() as first:
        await saved(first, endpoint)
        secret = await first.webhooks.default_secret("acme")
    async with stage.open() as second:
        assert list(await second.webhooks.endpoints()) == [endpoint]
        assert await second.webhooks.default_secret("acme") == secret


async def test_a_tenant_has_a_secret_of_its_own(engine: Process) -> None:
    asked = await asyncio.gather(*(engine.webhooks.default_secret("acme") for _ in range(5)))
    assert len(set(asked)) == 1
    assert asked[0].startswith("whsec_")
    assert len(base64.b64decode(asked[0].removeprefix("whsec_"), validate=True)) == 32
    assert await engine.webhooks.default_secret("other") != asked[0]


async def test_it_can_be_replaced(engine: Process) -> None:
    old = await engine.webhooks.default_secret("acme")
    new = await engine.webhooks.rotate_default_secret("acme")
    assert new != old
    assert await engine.webhooks.default_secret("acme") == new


async def until_told(hearer: Process, endpoint: Endpoint, teller: Process) -> None:
    """Save and remove again until it is told: the connection that hears is made by and by."""
    told = asyncio.Event()
    hearer.webhooks.on_changed(told.set)
    async with asyncio.timeout(10):
        while not told.is_set():
            assert await teller.webhooks.save(endpoint, None)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), 0.2)
            assert await teller.webhooks.remove(endpoint.tenant, endpoint.id)


async def test_a_change_is_told(engine: Process) -> None:
    await until_told(engine, make_endpoint(), engine)


@two_processes
async def test_a_change_is_told_to_other_processes(engine: Process, other: Process) -> None:
    await until_told(other, make_endpoint(), engine)


@two_processes
async def test_of_two_changes_at_once_one_is_made(engine: Process, other: Process) -> None:
    endpoint = await saved(engine, make_endpoint())
    changes = [
        replace(endpoint, name=name, updated_at=endpoint.updated_at + n)
        for n, name in enumerate("ab", start=1)
    ]
    made = await asyncio.gather(
        *(
            process.webhooks.save(change, endpoint)
            for process, change in zip((engine, other), changes, strict=True)
        )
    )
    assert sorted(made) == [False, True]
    assert list(await other.webhooks.endpoints()) == [changes[made.index(True)]]
