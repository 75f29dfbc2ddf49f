"""Webhook endpoints, and what is to be delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

# What was settled is kept so long, and of each tenant the newest so many.
KEPT_S = 7 * 86_400.0
KEPT_POSTS = 10_000
# So many attempts of a delivery are told.
KEPT_TRIES = 10


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
    `event` is the JSON that is sent. Pending ones are due at `due_at`. `tried` counts the attempts
    since it was made or last redelivered; `tries` are the newest of all, oldest first.
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

    @property
    def receiver(self) -> str:
        """Whose line it stands in: its endpoint's, or that of the host of a tenant's own URLs."""
        url = urlsplit(self.url)
        return self.endpoint or f"{self.tenant} {url.scheme}://{url.netloc}"


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

    async def save(self, endpoint: Endpoint, replaced: Endpoint | None) -> bool:
        """Make an endpoint, or replace the one that was read as `replaced`.

        False, and nothing changed, if it has changed since (its `updated_at` is another), is gone,
        or is there already. Every process is told.
        """

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
        """Note deliveries that are not known by their id, also if settled since.

        Those of them that are due now are leased to the caller for `lease_s`, and returned.
        """

    async def due(self, limit: int, lease_s: float, per_receiver: int) -> Sequence[Post]:
        """Lease pending deliveries that are due and whose lease nobody has.

        At most `per_receiver` of each receiver, its most overdue first; however much is due to
        some, each has its turn.
        """

    async def told(
        self, post_id: str, attempt: PostAttempt, state: PostState, due_at: float | None
    ) -> bool:
        """Note an attempt and what follows; False, and nothing noted, if it is not pending.

        An attempt whose lease has lapsed may settle it, but moves nothing that another has leased.
        `due_at` is for PENDING alone.
        """

    async def put_off(self, post_ids: Sequence[str], due_at: float) -> None:
        """Let those leased here wait until `due_at` without an attempt."""

    async def post(self, tenant: str, post_id: str) -> Post | None:
        """Return one delivery; None if the tenant has no such."""

    async def posts(
        self, selection: PostSelection, after: str | None, limit: int
    ) -> Sequence[Post] | None:
        """Return a page of deliveries behind `after`, without their `event`.

        None if the tenant has no such.
        """

    async def redeliver(self, tenant: str, post_ids: Sequence[str]) -> int:
        """Make these due now, whatever became of them; return how many there are.

        One that is leased stays so: it is being sent.
        """

    async def forget(self, before: float) -> None:
        """Drop what was settled before that instant."""
