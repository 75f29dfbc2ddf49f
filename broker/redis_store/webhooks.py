"""The Webhooks port: all of it under one hash tag, for its scripts touch any receiver."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from broker.ports import Endpoint, Post, PostAttempt, PostSelection, PostState
from broker.ports.webhooks import KEPT_POSTS, KEPT_TRIES
from broker.posts import by_age, decode_endpoint, encode_endpoint, encode_try, new_secret
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.post_fields import at_first, post_of
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits

_MOST = 500  # entries that one script looks at, and deliveries that one drops
_LAST_ID = "~"  # no id sorts behind it


class RedisWebhooks:
    """Webhook endpoints and deliveries in Redis; leases are this process's, by its owner."""

    def __init__(self, batcher: Batcher, keys: Keys, owner: str, waits: Waits) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._waits = waits

    async def save(self, endpoint: Endpoint, replaced: Endpoint | None) -> bool:
        seen = "" if replaced is None else repr(replaced.updated_at)
        args = (endpoint.id, encode_endpoint(endpoint), seen, endpoint.tenant)
        return await self._change(*args)

    async def remove(self, tenant: str, endpoint_id: str) -> bool:
        if not await self._change(endpoint_id, b"", "", tenant):
            return False
        # Where this ends early, whoever leases the rest finds no endpoint.
        while await self._run("hook_drop", endpoint_id, _MOST, KEPT_POSTS) == _MOST:
            pass
        return True

    async def endpoints(self) -> Sequence[Endpoint]:
        found = await self._submit("HVALS", self._keys.hook_endpoints())
        return by_age([decode_endpoint(data) for data in found])

    async def default_secret(self, tenant: str) -> str:
        secrets = self._keys.hook_secrets()
        found = await self._submit("HGET", secrets, tenant)
        if found is None:
            await self._submit("HSETNX", secrets, tenant, new_secret())
            found = await self._submit("HGET", secrets, tenant)
        return str(found.decode())

    async def rotate_default_secret(self, tenant: str) -> str:
        made = new_secret()
        await self._submit("HSET", self._keys.hook_secrets(), tenant, made)
        return made

    def on_changed(self, tell: Callable[[], None]) -> None:
        self._waits.on_hooks(tell)

    async def add(self, posts: Sequence[Post], lease_s: float) -> Sequence[Post]:
        leased = await asyncio.gather(*(self._add(post, lease_s) for post in posts))
        return [post for post, ours in zip(posts, leased, strict=True) if ours]

    async def due(self, limit: int, lease_s: float, per_receiver: int) -> Sequence[Post]:
        found = await self._run("hook_due", self._owner, lease_s, limit, per_receiver)
        return [post_of(post_id, flat) for post_id, flat in found]

    async def told(
        self, post_id: str, attempt: PostAttempt, state: PostState, due_at: float | None
    ) -> bool:
        args = (post_id, self._owner, state.value, repr(due_at or 0.0), encode_try(attempt))
        return bool(await self._run("hook_told", *args, KEPT_TRIES, KEPT_POSTS))

    async def put_off(self, post_ids: Sequence[str], due_at: float) -> None:
        await self._run("hook_put_off", self._owner, repr(due_at), *post_ids)

    async def post(self, tenant: str, post_id: str) -> Post | None:
        flat = await self._submit("HGETALL", self._keys.hook_post(post_id))
        found = post_of(post_id.encode(), flat) if flat else None
        return found if found and found.tenant == tenant else None

    async def posts(
        self, selection: PostSelection, after: str | None, limit: int
    ) -> Sequence[Post] | None:
        before = selection.created_before
        place: tuple[float, str] | None = (math.inf, _LAST_ID) if before is None else (before, "")
        if after is not None:
            known = await self.post(selection.tenant, after)
            if known is None:
                return None
            place = min(place or (math.inf, _LAST_ID), (known.created_at, known.id))
        found: list[Post] = []
        while place is not None and len(found) < limit:
            posts, place = await self._step(selection, place, limit - len(found))
            found += posts
        return found

    async def redeliver(self, tenant: str, post_ids: Sequence[str]) -> int:
        return int(await self._run("hook_redeliver", tenant, *post_ids))

    async def forget(self, before: float) -> None:
        for tenant in await self._submit("SMEMBERS", self._keys.of_hooks()[1]):
            while await self._run("hook_forget", tenant, repr(before), _MOST) == _MOST:
                pass

    async def _add(self, post: Post, lease_s: float) -> bool:
        place = (post.id, post.tenant, post.receiver, repr(post.created_at), repr(post.due_at))
        args = (*place, self._owner, lease_s, *at_first(post))
        return bool(await self._run("hook_add", *args))

    async def _step(
        self, selection: PostSelection, place: tuple[float, str], room: int
    ) -> tuple[list[Post], tuple[float, str] | None]:
        """Return the matches among the next entries, and how far they reach: None at the end."""
        end = -math.inf if selection.created_after is None else selection.created_after
        state = selection.state.value if selection.state else ""
        wanted = (selection.endpoint or "", selection.request_id or "", state)
        args = (selection.tenant, repr(place[0]), place[1], repr(end), room, _MOST, *wanted)
        found, stopped = await self._run("hook_scan", *args)
        posts = [post_of(post_id, flat) for post_id, flat in found]
        return posts, (float(stopped[0]), stopped[1].decode()) if stopped else None

    async def _change(self, *args: Any) -> bool:
        keys = [self._keys.hook_endpoints()]
        return bool(await self._submit(*script("hook_save", keys, self._keys.wake_all, *args)))

    async def _run(self, name: str, *args: Any) -> Any:
        command = script(name, self._keys.of_hooks(), self._keys.hooks_prefix(), *args)
        return await self._submit(*command)

    async def _submit(self, *command: Any) -> Any:
        return await self._batcher.submit(self._keys.hooks, *command)
