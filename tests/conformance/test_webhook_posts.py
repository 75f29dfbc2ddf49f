"""Deliveries of webhooks: noted once, leased in turn, and told until they are settled."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from broker.ports import Post, PostState
from tests.conformance.stages import Process, Stage, two_processes
from tests.conformance.steps import eventually
from tests.fakes.posts import a_try, make_post

DELIVERED, PENDING, FAILED = PostState.DELIVERED, PostState.PENDING, PostState.FAILED


async def due(engine: Process, lease_s: float = 30, per_receiver: int = 100) -> list[Post]:
    return list(await engine.webhooks.due(100, lease_s, per_receiver))


async def read(engine: Process, post: Post) -> Post:
    found = await engine.webhooks.post(post.tenant, post.id)
    assert found is not None
    return found


async def test_a_new_one_that_is_due_is_leased(engine: Process) -> None:
    post = make_post(secret="whsec_own", endpoint=None, event=b'{"\x00\xff":1}')
    assert list(await engine.webhooks.add([post], 30)) == [post]
    assert await due(engine) == []
    assert await read(engine, post) == post
    assert await engine.webhooks.post("other", post.id) is None
    assert await engine.webhooks.post("acme", "wh_none") is None


async def test_the_same_is_noted_once_also_after_it_was_delivered(engine: Process) -> None:
    post = make_post()
    await engine.webhooks.add([post], 30)
    later = make_post(due_at=time.time() + 60)
    assert list(await engine.webhooks.add([post, later], 30)) == []
    assert await read(engine, later) == later
    assert await engine.webhooks.told(post.id, a_try(), DELIVERED, None)
    assert list(await engine.webhooks.add([post], 30)) == []
    assert (await read(engine, post)).state is DELIVERED
    assert await due(engine) == []


async def test_what_is_due_later_is_not_leased_before(engine: Process) -> None:
    post = make_post(due_at=time.time() + 0.4)
    assert list(await engine.webhooks.add([post], 0)) == []
    assert await due(engine) == []

    async def is_due() -> bool:
        return await due(engine) == [post]

    await eventually(is_due)
    assert await due(engine) == []


async def test_a_lease_that_lapses_frees_it(engine: Process) -> None:
    post = make_post()
    await engine.webhooks.add([post], 0.2)
    assert await due(engine) == []

    async def is_due() -> bool:
        return await due(engine, 0.2) == [post]

    for _ in range(2):
        await eventually(is_due)


async def test_the_most_overdue_of_a_receiver_come_first(engine: Process) -> None:
    now = time.time()
    posts = [make_post(due_at=now + 0.3 - n / 100) for n in range(5)]
    await engine.webhooks.add(posts, 30)
    await asyncio.sleep(0.4)
    found = list(await engine.webhooks.due(3, 30, 100))
    assert found == [posts[4], posts[3], posts[2]]
    assert await due(engine) == [posts[1], posts[0]]


async def test_a_receiver_with_much_to_come_holds_up_no_other(engine: Process) -> None:
    soon = time.time() + 0.3
    flood = [make_post(endpoint="we_flood", due_at=soon - 0.2) for _ in range(60)]
    few = [make_post(endpoint=f"we_{n}", due_at=soon) for n in range(5)]
    own = [make_post(endpoint=None, url=f"https://{n}.example/x", due_at=soon) for n in "ab"]
    await engine.webhooks.add([*flood, *few, *own], 30)
    await asyncio.sleep(0.4)
    first = list(await engine.webhooks.due(10, 30, 4))
    second = list(await engine.webhooks.due(10, 30, 4))
    assert {post.id for post in (*few, *own)} <= {post.id for post in (*first, *second)}
    for leased in (first, second):
        assert sum(post.endpoint == "we_flood" for post in leased) <= 4
    rest: list[Post] = []
    while leased := list(await engine.webhooks.due(50, 30, 8)):
        assert len(leased) <= 8
        rest += leased
    everything = [*first, *second, *rest]
    assert len(everything) == len({post.id for post in everything}) == 67


async def test_a_failed_attempt_is_told_and_it_waits(engine: Process) -> None:
    post = make_post()
    await engine.webhooks.add([post], 30)
    tried = a_try(status_code=None, message="Verbindung verweigert ✗")
    at = time.time() + 0.3
    assert await engine.webhooks.told(post.id, tried, PENDING, at)
    assert await due(engine) == []
    expected = replace(post, tried=1, tries=(tried,), due_at=at)
    assert await read(engine, post) == expected

    async def is_due() -> bool:
        return await due(engine) == [expected]

    await eventually(is_due)
    again = a_try(status_code=204, message=None)
    assert await engine.webhooks.told(post.id, again, DELIVERED, None)
    told = await read(engine, post)
    assert (told.state, told.tried, told.tries) == (DELIVERED, 2, (tried, again))


async def test_what_is_settled_stays_so(engine: Process) -> None:
    post = make_post()
    await engine.webhooks.add([post], 30)
    assert await engine.webhooks.told(post.id, a_try(), FAILED, None)
    settled = await read(engine, post)
    for state in (PENDING, DELIVERED):
        assert not await engine.webhooks.told(post.id, a_try(), state, time.time())
    await engine.webhooks.put_off([post.id], time.time() - 1)
    assert await read(engine, post) == settled
    assert await due(engine) == []
    assert not await engine.webhooks.told("wh_none", a_try(), DELIVERED, None)


async def test_the_newest_attempts_are_told(engine: Process) -> None:
    post = make_post()
    await engine.webhooks.add([post], 30)
    tries = [a_try(at=float(n)) for n in range(14)]
    for each in tries:
        assert await engine.webhooks.told(post.id, each, PENDING, time.time() + 60)
    told = await read(engine, post)
    assert (told.tried, told.tries) == (14, tuple(tries[-10:]))


async def test_leased_ones_are_put_off_without_an_attempt(engine: Process) -> None:
    posts = [make_post() for _ in range(3)]
    await engine.webhooks.add(posts, 30)
    at = time.time() + 0.3
    await engine.webhooks.put_off([posts[0].id, posts[1].id, "wh_none"], at)
    await engine.webhooks.put_off([], at)
    assert await due(engine) == []
    assert await read(engine, posts[0]) == replace(posts[0], due_at=at)
    found: list[Post] = []

    async def are_due() -> bool:
        found.extend(await due(engine))
        return len(found) == 2

    await eventually(are_due)
    assert {post.id for post in found} == {posts[0].id, posts[1].id}


async def test_a_process_that_dies_leaves_its_leases_to_the_next(stage: Stage) -> None:
    posts = [make_post(endpoint=f"we_{n}") for n in range(3)]
    async with stage.open() as first:
        await first.webhooks.add(posts, 0.5)
    async with stage.open() as second:
        found: list[Post] = []

        async def all_are_found() -> bool:
            found.extend(await due(second))
            return len(found) == 3

        await eventually(all_are_found)
        assert sorted(found, key=lambda post: post.id) == sorted(posts, key=lambda post: post.id)


@two_processes
async def test_of_two_processes_one_gets_each(engine: Process, other: Process) -> None:
    soon = time.time() + 0.2
    posts = [make_post(endpoint=f"we_{n % 7}", due_at=soon) for n in range(120)]
    now = [make_post(endpoint=f"we_{n % 7}") for n in range(20)]
    noted = await asyncio.gather(
        *(each.webhooks.add([*now, *posts], 30) for each in (engine, other))
    )
    assert sorted(post.id for new in noted for post in new) == sorted(post.id for post in now)
    await asyncio.sleep(0.3)
    found: list[str] = []

    async def take(process: Process) -> None:
        while leased := await process.webhooks.due(10, 30, 3):
            found.extend(post.id for post in leased)

    await asyncio.gather(take(engine), take(other), take(engine), take(other))
    assert sorted(found) == sorted(post.id for post in posts)


@two_processes
async def test_one_whose_lease_has_lapsed_takes_nothing_from_the_next(
    engine: Process, other: Process
) -> None:
    late, settled = make_post(), make_post(endpoint="we_2")
    await engine.webhooks.add([late, settled], 0.1)
    await asyncio.sleep(0.3)
    assert len(await due(other)) == 2
    await engine.webhooks.put_off([late.id], time.time() - 1)
    assert await engine.webhooks.told(late.id, a_try(), PENDING, time.time() - 1)
    assert await due(engine) == [], "the other one sends it now"
    assert (await read(engine, late)).tried == 1
    assert await engine.webhooks.told(settled.id, a_try(), DELIVERED, None)
    assert not await other.webhooks.told(settled.id, a_try(), PENDING, time.time())
    await other.webhooks.put_off([late.id], time.time() - 1)
    assert [post.id for post in await due(engine)] == [late.id]
