"""Deliveries against a model of a few lines: whatever is called in whatever order, they agree."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import pytest

from broker.ports import Post, PostSelection, PostState
from tests.conformance.stages import Process
from tests.fakes.posts import a_try, make_post

_STEPS = 250
_RECEIVERS, _LINE = 4, 3
_SETTLED = (PostState.DELIVERED, PostState.FAILED, PostState.DROPPED)


@dataclass
class Known:
    """What the model knows of a delivery; `due` and `leased` do not change by themselves."""

    post: Post
    due: bool
    leased: bool
    state: PostState = PostState.PENDING
    tried: int = 0

    @property
    def pending(self) -> bool:
        return self.state is PostState.PENDING


class Walk:
    """Random calls, each compared at once. Nothing becomes due while it lasts."""

    def __init__(self, engine: Process, chance: random.Random) -> None:
        self._webhooks = engine.webhooks
        self._chance = chance
        self.known: dict[str, Known] = {}

    async def add(self) -> None:
        due = self._chance.random() < 0.5
        post = make_post(
            endpoint=f"we_{self._chance.randrange(_RECEIVERS)}",
            due_at=time.time() + (-1 if due else 600),
            created_at=1_790_000_000.0 + self._chance.randrange(20),
        )
        repeated = [each.post for each in self._some()]
        leased = await self._webhooks.add([post, *repeated], 600)
        assert list(leased) == ([post] if due else [])
        self.known[post.id] = Known(post, due, leased=due)

    async def take(self) -> None:
        free = [each for each in self.known.values() if each.pending and each.due]
        lines = [
            sum(each.post.endpoint == f"we_{n}" for each in free if not each.leased)
            for n in range(_RECEIVERS)
        ]
        found = await self._webhooks.due(100, 600, _LINE)
        assert len(found) == sum(min(_LINE, line) for line in lines)
        for post in found:
            known = self.known[post.id]
            assert (known.pending, known.due, known.leased) == (True, True, False)
            assert post.tried == known.tried
            known.leased = True

    async def tell(self) -> None:
        for known in self._some():
            state = self._chance.choice((PostState.PENDING, PostState.PENDING, *_SETTLED))
            due = self._chance.random() < 0.5
            due_at = time.time() + (-1 if due else 600)
            noted = await self._webhooks.told(known.post.id, a_try(), state, due_at)
            assert noted == known.pending
            if noted:
                known.state, known.tried = state, known.tried + 1
                known.due, known.leased = due, False

    async def put_off(self) -> None:
        some = self._some()
        due = self._chance.random() < 0.5
        due_at = time.time() + (-1 if due else 600)
        await self._webhooks.put_off([each.post.id for each in some], due_at)
        for known in some:
            if known.leased:
                known.due, known.leased = due, False

    async def redeliver(self) -> None:
        some = self._some()
        ids = [each.post.id for each in some]
        assert await self._webhooks.redeliver("acme", ids) == len(ids)
        for known in some:
            if not known.leased:
                known.state, known.tried, known.due = PostState.PENDING, 0, True

    async def compare(self) -> None:
        for state in (None, *PostState):
            page = await self._webhooks.posts(PostSelection("acme", state=state), None, 1_000)
            wanted = [each for each in self.known.values() if state in (None, each.state)]
            wanted.sort(key=lambda each: (each.post.created_at, each.post.id), reverse=True)
            assert page is not None
            assert [(post.id, post.state, post.tried) for post in page] == [
                (each.post.id, each.state, each.tried) for each in wanted
            ]

    def _some(self) -> list[Known]:
        all_known = list(self.known.values())
        return self._chance.sample(all_known, min(len(all_known), self._chance.randrange(4)))


@pytest.mark.parametrize("seed", range(4))
async def test_they_agree(engine: Process, seed: int) -> None:
    chance = random.Random(seed)
    walk = Walk(engine, chance)
    steps = [walk.add, walk.add, walk.take, walk.tell, walk.tell, walk.put_off, walk.redeliver]
    for _ in range(_STEPS):
        await chance.choice(steps)()
    await walk.compare()
    assert len(walk.known) > 40
