"""The log of deliveries: its pages, redelivery, and what is forgotten."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from broker.ports import Post, PostSelection, PostState
from tests.conformance.stages import Process
from tests.fakes.posts import a_try, make_post

_ALL = PostSelection("acme")


async def added(engine: Process, **changes: Any) -> Post:
    post = make_post(**changes)
    await engine.webhooks.add([post], 60)
    return post


async def settled(engine: Process, state: PostState = PostState.DELIVERED, **changes: Any) -> Post:
    post = await added(engine, **changes)
    assert await engine.webhooks.told(post.id, a_try(), state, None)
    return post


async def ids(engine: Process, selection: PostSelection, after: str | None = None) -> list[str]:
    page = await engine.webhooks.posts(selection, after, 100)
    assert page is not None
    return [post.id for post in page]


async def test_pages_are_newest_first_and_without_the_event(engine: Process) -> None:
    now = time.time()
    posts = [await added(engine, created_at=now - n // 3) for n in range(9)]
    expected = sorted(posts, key=lambda post: (post.created_at, post.id), reverse=True)
    await added(engine, tenant="other")
    first = await engine.webhooks.posts(_ALL, None, 4) or []
    rest = await engine.webhooks.posts(_ALL, first[-1].id, 100) or []
    assert [*first, *rest] == [replace(post, event=b"") for post in expected]
    assert await ids(engine, _ALL, expected[-1].id) == []


async def test_behind_what_a_tenant_has_not_there_is_no_page(engine: Process) -> None:
    foreign = await added(engine, tenant="other")
    assert await engine.webhooks.posts(_ALL, foreign.id, 10) is None
    assert await engine.webhooks.posts(_ALL, "wh_none", 10) is None
    assert await ids(engine, PostSelection("nobody")) == []


async def test_they_are_selected(engine: Process) -> None:
    now = time.time()
    a = await settled(engine, endpoint="we_a", request_id="req_1", created_at=now - 30)
    b = await settled(
        engine, PostState.FAILED, endpoint="we_a", request_id="req_2", created_at=now - 20
    )
    c = await added(engine, endpoint=None, request_id="req_1", created_at=now - 10)
    assert await ids(engine, replace(_ALL, endpoint="we_a")) == [b.id, a.id]
    assert await ids(engine, replace(_ALL, request_id="req_1")) == [c.id, a.id]
    assert await ids(engine, replace(_ALL, state=PostState.FAILED)) == [b.id]
    assert await ids(engine, replace(_ALL, state=PostState.PENDING)) == [c.id]
    assert await ids(engine, replace(_ALL, created_after=a.created_at)) == [c.id, b.id]
    assert await ids(engine, replace(_ALL, created_before=c.created_at)) == [b.id, a.id]
    both = replace(_ALL, created_after=a.created_at, created_before=c.created_at)
    assert await ids(engine, both) == [b.id]
    assert await ids(engine, replace(both, endpoint="we_none")) == []
    assert await ids(engine, replace(_ALL, created_before=b.created_at), c.id) == [a.id]


async def test_a_page_is_found_behind_many_that_do_not_fit(
    engine: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("broker.embedded.hook_lists", "broker.redis_store.webhooks"):
        monkeypatch.setattr(f"{module}._MOST", 3)
    now = time.time()
    fits = {n: n in (0, 5, 13) for n in range(20)}
    posts = [
        await added(engine, created_at=now - n, endpoint="we_a" if fits[n] else "we_b")
        for n in range(20)
    ]
    mine = replace(_ALL, endpoint="we_a")
    assert await ids(engine, mine) == [posts[0].id, posts[5].id, posts[13].id]
    assert await ids(engine, mine, posts[6].id) == [posts[13].id]
    assert [post.id for post in await engine.webhooks.posts(mine, None, 2) or []] == [
        posts[0].id,
        posts[5].id,
    ]


@pytest.mark.parametrize("state", [PostState.DELIVERED, PostState.FAILED, PostState.DROPPED])
async def test_a_settled_one_is_delivered_again(engine: Process, state: PostState) -> None:
    post = await settled(engine, state)
    before = time.time()
    assert await engine.webhooks.redeliver("acme", [post.id]) == 1
    (again,) = await engine.webhooks.due(10, 30, 10)
    assert (again.id, again.event, again.state) == (post.id, post.event, PostState.PENDING)
    assert (again.tried, len(again.tries)) == (0, 1), "its schedule begins anew"
    assert again.due_at >= before - 1
    assert await engine.webhooks.told(post.id, a_try(), PostState.DELIVERED, None)


async def test_one_that_waits_is_due_at_once_and_one_being_sent_stays_leased(
    engine: Process,
) -> None:
    waits = await added(engine, due_at=time.time() + 600)
    sent = await added(engine)
    assert await engine.webhooks.redeliver("acme", [waits.id, sent.id]) == 2
    assert [post.id for post in await engine.webhooks.due(10, 30, 10)] == [waits.id]


async def test_only_a_tenants_own_are_delivered_again(engine: Process) -> None:
    foreign = await settled(engine, tenant="other")
    assert await engine.webhooks.redeliver("acme", [foreign.id, "wh_none"]) == 0
    assert await engine.webhooks.redeliver("acme", []) == 0
    assert list(await engine.webhooks.due(10, 30, 10)) == []


async def test_what_was_settled_long_ago_is_forgotten(engine: Process) -> None:
    old = [await settled(engine) for _ in range(5)]
    waits = await added(engine, created_at=time.time() - 900)
    redelivered = await settled(engine)
    await engine.webhooks.redeliver("acme", [redelivered.id])
    await engine.webhooks.forget(time.time() - 60)
    assert len(await ids(engine, _ALL)) == 7
    await engine.webhooks.forget(time.time() + 60)
    assert set(await ids(engine, _ALL)) == {waits.id, redelivered.id}
    assert await engine.webhooks.post("acme", old[0].id) is None
    assert list(await engine.webhooks.add([old[0]], 30)) == [old[0]]


async def test_of_a_tenant_the_newest_settled_are_kept(
    engine: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("broker.embedded.hook_posts", "broker.redis_store.webhooks"):
        monkeypatch.setattr(f"{module}.KEPT_POSTS", 5)
    other = [await settled(engine, tenant="other") for _ in range(3)]
    pending = [await added(engine) for _ in range(3)]
    made = [await settled(engine) for _ in range(9)]
    kept = {post.id for post in (*pending, *made[4:])}
    assert set(await ids(engine, _ALL)) == kept
    assert len(await ids(engine, PostSelection("other"))) == len(other)
    await engine.webhooks.redeliver("acme", [made[4].id])
    newest = await settled(engine)
    assert set(await ids(engine, _ALL)) == kept | {newest.id}
