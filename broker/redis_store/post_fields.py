"""A delivery of a webhook as a Redis hash: readable field names, absent where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broker.ports import Post, PostState
from broker.posts import decode_try

_TRY = b"try:"


def at_first(post: Post) -> list[Any]:
    """Return the fields and values of a new delivery that scripts/hook_add.lua does not add."""
    fields: dict[str, Any] = {
        "request_id": post.request_id,
        "url": post.url,
        "event_type": post.event_type,
        "event": post.event,
    }
    if post.endpoint is not None:
        fields["endpoint"] = post.endpoint
    if post.secret is not None:
        fields["secret"] = post.secret
    return [part for pair in fields.items() for part in pair]


def post_of(post_id: bytes, flat: Sequence[bytes]) -> Post:
    """Return the delivery in the fields and values of its hash, alternating."""
    values = iter(flat)
    fields = dict(zip(values, values, strict=True))
    made = sorted(int(name.removeprefix(_TRY)) for name in fields if name.startswith(_TRY))
    return Post(
        id=post_id.decode(),
        tenant=fields[b"tenant"].decode(),
        request_id=fields[b"request_id"].decode(),
        endpoint=_text(fields, b"endpoint"),
        url=fields[b"url"].decode(),
        event_type=fields[b"event_type"].decode(),
        event=fields.get(b"event", b""),
        created_at=float(fields[b"created_at"]),
        due_at=float(fields[b"due_at"]),
        secret=_text(fields, b"secret"),
        state=PostState(fields[b"state"].decode()),
        tried=int(fields.get(b"tried", 0)),
        tries=tuple(decode_try(fields[_TRY + b"%d" % number]) for number in made),
    )


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode()
