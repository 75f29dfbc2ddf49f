"""Webhook endpoints, and what is to be delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """`whsec_` and base64 of 24 to 64 bytes; one that was replaced signs until an instant."""

    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver that a tenant has registered. Instants are Unix seconds.

    `secrets` has the newest first. A disabled one answered 410, or was switched off.
    """

    id: str
    tenant: str
    url: str
    event_types: tuple[str, ...]
    secrets: tuple[SigningSecret, ...]
    created_at: float
    updated_at: float
    name: str = ""
    disabled_at: float | None = None


class PostState(Enum):
    """How far an event has come on its way to one receiver."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # every attempt has failed
    DROPPED = "dropped"  # its endpoint is disabled or gone


@dataclass(frozen=True, slots=True)
class PostAttempt:
    """One try to deliver; `message` says in words what went wrong."""

    at: float
    took_s: float
    status_code: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """One event on its way to one receiver; `id` is its `webhook-id`, the same in every attempt.

    `endpoint` is the id of a registered one; without it `url` and `secret` are the request's own.
    `event` is the JSON that is sent. Pending ones are due at `due_at`. `tries` are the newest of
    `tried` attempts, oldest first.
    """

    id: str
    tenant: str
    request_id: str
    endpoint: str | None
    url: str
    event_type: str
    event: bytes
    created_at: float
    due_at: float
    secret: str | None = None
    state: PostState = PostState.PENDING
    tried: int = 0
    tries: tuple[PostAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class PostSelection:
    """Which deliveries a list shows, newest first. Instants are Unix seconds, exclusive."""

    tenant: str
    endpoint: str | None = None
    request_id: str | None = None
    state: PostState | None = None
    created_after: float | None = None
    created_before: float | None = None


class Webhooks(Protocol):
    """The registered endpoints and the log of deliveries, over all processes."""

    async def save(self, endpoint: Endpoint) -> None:
        """Make or replace an endpoint; every process is told."""

    async def remove(self, tenant: str, endpoint_id: str) -> bool:
        """Forget an endpoint; False if the tenant has none such. What is due to it is dropped."""

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints of all tenants, oldest first."""

    async def default_secret(self, tenant: str) -> str:
        """Return the secret that signs for the URLs of a tenant's single requests; made if new."""

    async def rotate_default_secret(self, tenant: str) -> str:
        """Replace it at once, and return the new one."""

    def on_changed(self, tell: Callable[[], None]) -> None:
        """Call `tell` when endpoints may have changed, also after a time of not hearing."""

    async def add(self, posts: Sequence[Post], lease_s: float) -> Sequence[Post]:
        """Note what is to be delivered, and return those that were not known by their id.

        Those due now are leased to the caller for `lease_s`.
        """

    async def due(self, limit: int, lease_s: float) -> Sequence[Post]:
        """Lease pending deliveries that are due, oldest first, whose lease nobody has."""

    async def told(
        self, post_id: str, attempt: PostAttempt, state: PostState, due_at: float | None
    ) -> bool:
        """Note an attempt and what follows; False if it has been settled by another meanwhile."""

    async def put_off(self, post_ids: Sequence[str], due_at: float) -> None:
        """Let leased ones wait until `due_at` without an attempt."""

    async def posts(
        self, selection: PostSelection, after: str | None, limit: int
    ) -> Sequence[Post] | None:
        """Return a page of deliveries behind `after`; None if the tenant has no such."""

    async def redeliver(self, tenant: str, post_ids: Sequence[str]) -> int:
        """Make these due now, whatever became of them; return how many there are."""

    async def forget(self, before: float) -> None:
        """Drop what was settled before that instant."""
