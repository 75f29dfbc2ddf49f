"""Webhook endpoints and deliveries in the SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from broker.embedded import hook_posts
from broker.embedded.database import Database
from broker.embedded.hook_lists import HookLists
from broker.embedded.life import Life
from broker.ports import Endpoint, Post, PostAttempt, PostSelection, PostState
from broker.posts import by_age, decode_endpoint, encode_endpoint, new_secret


class EmbeddedWebhooks:
    """Fills `Webhooks`; this is the one process, so that every change is told."""

    def __init__(self, database: Database, life: Life) -> None:
        self._database = database
        self._life = life
        self._lists = HookLists(database)
        self._tells: list[Callable[[], None]] = []

    async def save(self, endpoint: Endpoint, replaced: Endpoint | None) -> bool:
        """Make an endpoint, or replace the one that was read."""
        return await self._database.write(
            lambda file: _save(file, endpoint, replaced), after=self._tell_if
        )

    async def remove(self, tenant: str, endpoint_id: str) -> bool:
        """Forget an endpoint, and drop what is due to it."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: _remove(file, tenant, endpoint_id, now), after=self._tell_if
        )

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints of all tenants, oldest first."""
        return await self._database.read(_endpoints)

    async def default_secret(self, tenant: str) -> str:
        """Return the secret for a tenant's own URLs."""
        found = await self._database.read(_secret, tenant)
        if found is not None:
            return found
        made = new_secret()
        return await self._database.write(lambda file: _secret_or(file, tenant, made))

    async def rotate_default_secret(self, tenant: str) -> str:
        """Replace it at once, and return the new one."""
        made = new_secret()
        await self._database.write(lambda file: _set_secret(file, tenant, made))
        return made

    def on_changed(self, tell: Callable[[], None]) -> None:
        """Call `tell` when endpoints were changed."""
        self._tells.append(tell)

    async def add(self, posts: Sequence[Post], lease_s: float) -> Sequence[Post]:
        """Note what is to be delivered; lease what is due."""
        now = self._life.clock()
        return await self._database.write(lambda file: hook_posts.add(file, posts, lease_s, now))

    async def due(self, limit: int, lease_s: float, per_receiver: int) -> Sequence[Post]:
        """Lease what is due."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: hook_posts.lease(file, limit, per_receiver, now, now + lease_s)
        )

    async def told(
        self, post_id: str, attempt: PostAttempt, state: PostState, due_at: float | None
    ) -> bool:
        """Note an attempt and what follows."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: hook_posts.told(file, post_id, attempt, state, due_at or now, now)
        )

    async def put_off(self, post_ids: Sequence[str], due_at: float) -> None:
        """Let leased ones wait without an attempt."""
        await self._database.write(lambda file: hook_posts.put_off(file, post_ids, due_at))

    async def post(self, tenant: str, post_id: str) -> Post | None:
        """Return one delivery."""
        return await self._database.read(hook_posts.find, tenant, post_id)

    async def posts(
        self, selection: PostSelection, after: str | None, limit: int
    ) -> Sequence[Post] | None:
        """Return a page of deliveries."""
        return await self._lists.select(selection, after, limit)

    async def redeliver(self, tenant: str, post_ids: Sequence[str]) -> int:
        """Make these due now."""
        now = self._life.clock()
        return await self._database.write(
            lambda file: sum(hook_posts.redeliver(file, tenant, each, now) for each in post_ids)
        )

    async def forget(self, before: float) -> None:
        """Drop what was settled before that instant, in small steps."""
        while await self._database.write(lambda file: hook_posts.forget(file, before)):
            pass

    def _tell_if(self, changed: bool) -> None:
        if changed:
            for tell in self._tells:
                tell()


def _save(file: apsw.Connection, endpoint: Endpoint, replaced: Endpoint | None) -> bool:
    values = (endpoint.updated_at, encode_endpoint(endpoint), endpoint.id)
    if replaced is None:
        new = "INSERT INTO hook_endpoints (updated_at, data, id) VALUES (?, ?, ?)"
        file.execute(new + " ON CONFLICT DO NOTHING", values)
    else:
        changed = "UPDATE hook_endpoints SET updated_at = ?, data = ? WHERE id = ?"
        file.execute(changed + " AND updated_at = ?", (*values, replaced.updated_at))
    return file.changes() == 1


def _remove(file: apsw.Connection, tenant: str, endpoint_id: str, now: float) -> bool:
    query = "SELECT data FROM hook_endpoints WHERE id = ?"
    data: bytes | None = file.execute(query, (endpoint_id,)).get
    if data is None or decode_endpoint(data).tenant != tenant:
        return False
    file.execute("DELETE FROM hook_endpoints WHERE id = ?", (endpoint_id,))
    hook_posts.drop_line(file, endpoint_id, now)
    return True


def _endpoints(file: apsw.Connection) -> list[Endpoint]:
    found: list[Any] = file.execute("SELECT data FROM hook_endpoints").fetchall()
    return by_age([decode_endpoint(data) for (data,) in found])


def _secret(file: apsw.Connection, tenant: str) -> str | None:
    found: str | None = file.execute(
        "SELECT secret FROM hook_secrets WHERE tenant = ?", (tenant,)
    ).get
    return found


def _secret_or(file: apsw.Connection, tenant: str, made: str) -> str:
    """Return the secret; where there is none, that is `made` from now on."""
    query = "INSERT INTO hook_secrets VALUES (?, ?) ON CONFLICT DO UPDATE SET secret = secret"
    return str(file.execute(query + " RETURNING secret", (tenant, made)).get)


def _set_secret(file: apsw.Connection, tenant: str, made: str) -> None:
    file.execute("INSERT OR REPLACE INTO hook_secrets VALUES (?, ?)", (tenant, made))
