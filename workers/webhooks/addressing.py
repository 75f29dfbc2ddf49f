"""Who is told of the end of a request or a batch: one post for each receiver and event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.ports import Endpoint, Post
from schemas.batches import Batch
from schemas.record import Record
from schemas.webhook_events import Event, batch_event, ended_at, events_of, post_id
from schemas.webhooks import BATCH_EVENTS, REQUEST_EVENTS, read_webhook

# In ids: the receiver that a request names itself.
_OWN = "own"


@dataclass(frozen=True, slots=True)
class _Ended:
    """What has ended, and the receiver of its own, which is told `own_events` unless it says."""

    id: str
    tenant: str
    at: float
    webhook: str | None
    own_events: tuple[str, ...]


def posts_of(
    record: Record, endpoints: Sequence[Endpoint], retry_s: Sequence[float]
) -> Iterator[Post]:
    """Return what is sent of a request that has ended; `endpoints` are those of its tenant."""
    at = record.finished_at or record.accepted_at
    what = _Ended(record.id, record.tenant, at, record.webhook, REQUEST_EVENTS)
    for event in events_of(record):
        if not record.quiet:
            yield from _registered(what, event, endpoints, retry_s[0])
        yield from _own(what, event, retry_s[0])


def posts_of_batch(
    batch: Batch, endpoints: Sequence[Endpoint], retry_s: Sequence[float]
) -> Iterator[Post]:
    """Return what is sent of a batch that has ended; `endpoints` are those of its tenant."""
    terms, event = batch.terms, batch_event(batch)
    what = _Ended(batch.id, terms.tenant, ended_at(batch), terms.webhook, BATCH_EVENTS)
    yield from _registered(what, event, endpoints, retry_s[0])
    yield from _own(what, event, retry_s[0])


def _registered(
    what: _Ended, event: Event, endpoints: Iterable[Endpoint], first_pause_s: float
) -> Iterator[Post]:
    for endpoint in endpoints:
        # It may be told later: what ended before it was registered is not for it.
        if event.type in endpoint.event_types and endpoint.created_at <= what.at:
            yield _post(what, event, first_pause_s, endpoint.id, endpoint.url)


def _own(what: _Ended, event: Event, first_pause_s: float) -> Iterator[Post]:
    if what.webhook is None:
        return
    own = read_webhook(what.webhook)
    if event.type in (own.event_types or what.own_events):
        yield _post(what, event, first_pause_s, None, own.url, own.secret)


def _post(
    what: _Ended,
    event: Event,
    first_pause_s: float,
    endpoint: str | None,
    url: str,
    secret: str | None = None,
) -> Post:
    return Post(
        id=post_id(what.id, event.type, endpoint or _OWN),
        tenant=what.tenant,
        request_id=what.id,
        endpoint=endpoint,
        url=url,
        event_type=event.type,
        event=event.content,
        created_at=what.at,
        due_at=what.at + first_pause_s,
        secret=secret,
    )
