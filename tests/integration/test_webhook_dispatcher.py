"""The dispatcher on a real engine, in front of receivers that fail, hang, go and come back."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker import large_bodies
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Post, PostSelection, PostState
from schemas.envelope import Envelope
from schemas.ids import partition_of
from schemas.large import LARGE_BYTES
from schemas.webhook_config import WebhooksConfig
from schemas.webhooks import EVENT_TYPES, secret_of
from tests.fakes.batches import make_batch, make_line
from tests.fakes.envelopes import make_envelope
from tests.fakes.posts import make_endpoint, make_post
from tests.fakes.receiver import Receiver
from tests.fakes.results import make_result
from workers.webhooks.backstop import Backstop
from workers.webhooks.breaker import OPENS_AFTER
from workers.webhooks.dispatcher import Dispatcher
from workers.webhooks.registry import Registry

SECRET = secret_of(b"k" * 32)


@dataclass
class Stage:
    """A dispatcher that runs, on an engine, and a receiver."""

    engine: EmbeddedEngine
    dispatcher: Dispatcher
    receiver: Receiver
    config: WebhooksConfig

    async def add(self, path: str, count: int = 1, **changes: Any) -> list[Post]:
        """Let events of a request's own URL be due now; nobody has leased them."""
        fields = {"endpoint": None, "secret": SECRET, "url": f"{self.receiver.url}/{path}"}
        posts = [
            make_post(id=f"wh_{secrets.token_hex(16)}", **fields | changes) for _ in range(count)
        ]
        await self.engine.webhooks.add(posts, 0.0)
        return posts

    async def post(self, post: Post) -> Post:
        found = await self.engine.webhooks.post(post.tenant, post.id)
        assert found is not None
        return found

    async def settled(self, post: Post) -> Post:
        await until(lambda: self._is_settled(post))
        return await self.post(post)

    async def _is_settled(self, post: Post) -> bool:
        return (await self.post(post)).state is not PostState.PENDING


async def until(seen: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not await seen():  # noqa: ASYNC110  because the engine tells no test
            await asyncio.sleep(0.05)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    engine = EmbeddedEngine(tmp_path, retention_s=60)
    await engine.start()
    async with Receiver() as receiver:
        config = WebhooksConfig(
            allow=[f"127.0.0.1:{receiver.port}"], timeout_s=0.5, retry_s=[0, 0.1, 0.1]
        )
        dispatcher = Dispatcher(engine, config)
        dispatcher.start()
        yield Stage(engine, dispatcher, receiver, config)
        await dispatcher.stop()
    await engine.stop()


async def test_what_is_due_is_sent_and_told(stage: Stage) -> None:
    (post,) = await stage.add("x")
    settled = await stage.settled(post)
    assert (settled.state, settled.tries[-1].status_code) == (PostState.DELIVERED, 200)
    (got,) = stage.receiver.got
    assert (got.id, got.body) == (post.id, post.event)


async def test_an_unknown_or_disabled_endpoint_is_sent_nothing(stage: Stage) -> None:
    disabled = make_endpoint(url=f"{stage.receiver.url}/x", disabled_at=time.time())
    await stage.engine.webhooks.save(disabled, None)
    for endpoint in ("we_unknown", disabled.id):
        (post,) = await stage.add("x", endpoint=endpoint)
        settled = await stage.settled(post)
        assert settled.state is PostState.DROPPED
        assert settled.tries[-1].message == "its endpoint is disabled or gone"
    assert stage.receiver.got == []


async def test_an_endpoints_new_url_takes_what_was_due_to_its_old_one(stage: Stage) -> None:
    made = make_endpoint(url=f"{stage.receiver.url}/new", secrets=make_secrets())
    await stage.engine.webhooks.save(made, None)
    (post,) = await stage.add("old", endpoint=made.id)
    assert (await stage.settled(post)).state is PostState.DELIVERED
    assert [each.path for each in stage.receiver.got] == ["/new"]


def make_secrets() -> tuple[Any, ...]:
    return tuple(replace(each, text=SECRET) for each in make_endpoint().secrets[:1])


async def test_a_breaker_opens_and_the_rest_waits_without_an_attempt(stage: Stage) -> None:
    posts = await stage.add("status/500", count=60)
    (well,) = await stage.add("x", url=f"{stage.receiver.url}/x", tenant="other")
    assert (await stage.settled(well)).state is PostState.DELIVERED

    async def opened() -> bool:
        return len([each for each in stage.receiver.got if each.path != "/x"]) >= OPENS_AFTER

    await until(opened)
    await asyncio.sleep(1)
    tried = len([each for each in stage.receiver.got if each.path != "/x"])
    # Those that were under way as it opened come on top of the ten.
    assert tried < OPENS_AFTER + 10
    found = [await stage.post(each) for each in posts]
    untouched = [each for each in found if not each.tried]
    assert len(untouched) >= 60 - tried
    assert all(each.due_at > time.time() for each in untouched)


async def test_what_is_not_allowed_any_more_opens_no_connection(stage: Stage) -> None:
    stage.dispatcher.apply(stage.config.model_copy(update={"allow": []}))
    (post,) = await stage.add("x")
    settled = await stage.settled(post)
    assert settled.state is PostState.FAILED
    assert "not allowed" in (settled.tries[-1].message or "")
    assert stage.receiver.got == []


async def test_a_receiver_that_asks_for_time_is_given_it(stage: Stage) -> None:
    stage.receiver.headers["Retry-After"] = "60"
    (post,) = await stage.add("status/503")
    await stage.receiver.wait_for(1)

    async def told() -> bool:
        return bool((await stage.post(post)).tried)

    await until(told)
    assert (await stage.post(post)).due_at > time.time() + 50


async def test_what_was_not_sent_at_the_end_is_left_to_others_at_once(stage: Stage) -> None:
    posts = await stage.add("silent", count=30)
    await stage.receiver.wait_for(8)
    await stage.dispatcher.stop()
    left = await stage.engine.webhooks.due(100, 1.0, 100)
    assert len(left) >= 30 - 8
    assert {each.id for each in left} <= {each.id for each in posts}


async def test_a_commit_after_the_end_is_left_to_the_outbox(stage: Stage) -> None:
    await stage.dispatcher.stop()
    stage.dispatcher.ended(make_envelope(webhook='{"url":"https://hooks.example/"}'))


async def test_an_attempt_is_made_again_where_its_process_has_died(stage: Stage) -> None:
    (post,) = await stage.add("x")
    await stage.settled(post)
    lost = make_post(
        id=f"wh_{secrets.token_hex(16)}",
        endpoint=None,
        secret=SECRET,
        url=f"{stage.receiver.url}/lost",
    )
    # Leased by somebody who never says anything again.
    await stage.engine.webhooks.add([lost], 1.0)
    assert (await stage.settled(lost)).state is PostState.DELIVERED


async def test_an_end_with_many_receivers_is_noted_in_small_steps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, add = list[int](), stage.engine.webhooks.add

    async def counted(posts: Sequence[Post], lease_s: float) -> Sequence[Post]:
        sizes.append(len(posts))
        return await add(posts, lease_s)

    monkeypatch.setattr(stage.engine.webhooks, "add", counted)
    for number in range(100):
        made = make_endpoint(
            id=f"we_{number:032x}", url=f"{stage.receiver.url}/{number}", secrets=make_secrets()
        )
        await stage.engine.webhooks.save(made, None)
    registry = stage.dispatcher._registry
    await until(lambda: _knows(registry, 100))
    for _ in range(3):
        envelope = make_envelope(tenant="acme")
        await stage.engine.store.create(envelope)
        await stage.engine.store.finish(envelope, make_result(), 1)
    await until(lambda: _got(stage, 300))
    assert max(sizes) <= 32


async def test_a_large_response_is_looked_into_for_its_event(stage: Stage) -> None:
    """Only its body says that it was cut."""
    made = make_endpoint(
        url=f"{stage.receiver.url}/x", secrets=make_secrets(), event_types=EVENT_TYPES
    )
    await stage.engine.webhooks.save(made, None)
    await until(lambda: _knows(stage.dispatcher._registry, 1))
    body = b'{"status": "incomplete", "output": "' + b"x" * LARGE_BYTES + b'"}'
    envelope = make_envelope(tenant="acme", endpoint="/v1/responses")
    result = await large_bodies.result_aside(
        stage.engine, envelope.id, 1, make_result(body=body), 60, dead_letter=False
    )
    await stage.engine.store.create(envelope)
    await stage.engine.store.finish(envelope, result, 1)
    await until(lambda: _got(stage, 2))
    told = {orjson.loads(got.body)["type"] for got in stage.receiver.got}
    assert told == {"request.completed", "response.incomplete"}


async def _knows(registry: Registry, count: int) -> bool:
    return len(registry.of("acme")) == count


async def _got(stage: Stage, count: int) -> bool:
    return len({each.id for each in stage.receiver.got}) >= count


async def test_the_end_of_a_quiet_line_is_told_to_no_endpoint(stage: Stage) -> None:
    made = make_endpoint(url=f"{stage.receiver.url}/x", secrets=make_secrets())
    await stage.engine.webhooks.save(made, None)
    await until(lambda: _knows(stage.dispatcher._registry, 1))
    batch = make_batch()
    await stage.engine.batches.create(batch)
    quiet, told = make_line(batch, 0), make_line(batch, 1, quiet=False)
    for line in (quiet, told):
        await stage.engine.store.finish(line, make_result(), 1)
        stage.dispatcher.ended(line)
    # Both ways find them in order: where the second is told, the first was passed.
    await until(lambda: _got(stage, 1))
    await until(lambda: _all_read(stage, told))
    selection = PostSelection("acme")
    posts = await stage.engine.webhooks.posts(selection, None, 10) or ()
    assert {each.request_id for each in posts} == {told.id}


async def test_nor_is_it_looked_up(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, retention_s=60)
    await engine.start()
    registry, seen = Registry(engine.webhooks), list[str]()
    await engine.webhooks.save(make_endpoint(), None)
    await registry.find("")

    async def see(request_ids: Sequence[str]) -> None:
        seen.extend(request_ids)

    batch = make_batch()
    await engine.batches.create(batch)
    own = '{"url":"https://hooks.example/"}'
    lines = [
        make_line(batch, 0),
        make_line(batch, 1, quiet=False),
        make_line(batch, 2, webhook=own),
    ]
    for line in lines:
        await engine.store.finish(line, make_result(), 1)
    task = asyncio.create_task(Backstop(engine, registry, see).run())
    await until(lambda: _all_read_of(engine, lines[0]))
    task.cancel()
    assert seen == [lines[1].id, lines[2].id]
    await engine.stop()


async def _all_read(stage: Stage, line: Envelope) -> bool:
    return await _all_read_of(stage.engine, line)


async def _all_read_of(engine: EmbeddedEngine, line: Envelope) -> bool:
    return not await engine.upkeep.outbox(partition_of(line.id), 10, "webhooks")
