"""Who is told of the end of a request: one post for each receiver and event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from broker.ports import Endpoint, Post
from schemas.record import Record
from schemas.webhook_events import Event, events_of, post_id
from schemas.webhooks import REQUEST_EVENTS, read_webhook

# In ids: the receiver that a request names itself.
_OWN = "own"


def posts_of(
    record: Record, endpoints: Sequence[Endpoint], retry_s: Sequence[float]
) -> Iterator[Post]:
    """Return what is sent of a request that has ended; `endpoints` are those of its tenant."""
    for event in events_of(record):
        yield from _registered(record, event, endpoints, retry_s[0])
        yield from _own(record, event, retry_s[0])


def _registered(
    record: Record, event: Event, endpoints: Iterable[Endpoint], first_pause_s: float
) -> Iterator[Post]:
    ended_at = _ended_at(record)
    for endpoint in endpoints:
        # The outbox may be read later: what ended before it was registered is not for it.
        if event.type in endpoint.event_types and endpoint.created_at <= ended_at:
            yield _post(record, event, first_pause_s, endpoint.id, endpoint.url)


def _own(record: Record, event: Event, first_pause_s: float) -> Iterator[Post]:
    if record.webhook is None:
        return
    own = read_webhook(record.webhook)
    if event.type in (own.event_types or REQUEST_EVENTS):
        yield _post(record, event, first_pause_s, None, own.url, own.secret)


def _post(
    record: Record,
    event: Event,
    first_pause_s: float,
    endpoint: str | None,
    url: str,
    secret: str | None = None,
) -> Post:
    ended_at = _ended_at(record)
    return Post(
        id=post_id(record.id, event.type, endpoint or _OWN),
        tenant=record.tenant,
        request_id=record.id,
        endpoint=endpoint,
        url=url,
        event_type=event.type,
        event=event.content,
        created_at=ended_at,
        due_at=ended_at + first_pause_s,
        secret=secret,
    )


def _ended_at(record: Record) -> float:
    return record.finished_at or record.accepted_at
