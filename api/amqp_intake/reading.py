"""A submission as the object that a client would POST: what its key and properties say goes in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from api.catalog import Catalog
from api.intake import Intake
from api.reading import submitted
from api.settings import Settings
from broker.ports import Submission
from broker.replying import JSON, MSGPACK, Asker
from schemas.body import JsonObject, read_object
from schemas.errors import RequestError
from schemas.ids import slug
from schemas.packed import json_of
from schemas.priority import Priority

_KINDS = {
    "application/json": JSON,
    "application/msgpack": MSGPACK,
    "application/x-msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
}
_STREAM, _PROGRESS, _DEADLINE = "x-penstock-stream", "x-penstock-progress", "x-penstock-deadline"


@dataclass(frozen=True, slots=True)
class Named:
    """What a routing key says."""

    slug: str
    priority: Priority


def content_type_of(submission: Submission) -> str | None:
    """Return JSON or MSGPACK, by which its replies go too; None for what cannot be read."""
    kind, _, parameters = (submission.content_type or JSON).lower().partition(";")
    charset = parameters.replace(" ", "").removeprefix("charset=").strip('"')
    encoding = (submission.content_encoding or "identity").lower()
    # Some clients give the charset there.
    plain = encoding in ("identity", "utf-8", "utf8") and charset in ("", "utf-8", "utf8")
    return _KINDS.get(kind.strip()) if plain else None


def named_by(routing_key: str) -> Named:
    """Return what a key says. Raises RequestError `invalid_routing_key`."""
    name, _, priority = routing_key.rpartition(".")
    if not name or "." in name or priority not in Priority._value2member_map_:
        raise RequestError(
            "invalid_routing_key",
            f"The routing key {routing_key[:100]!r} is not `<slug of the model>.<priority>`.",
        )
    return Named(name, Priority(priority))


def body_of(submission: Submission, max_bytes: int) -> JsonObject:
    """Return the object in the body, as JSON. Raises RequestError."""
    if len(submission.body) > max_bytes:
        raise RequestError("body_too_large", f"The body is over {max_bytes} bytes.")
    kind = content_type_of(submission)
    if kind is None:
        raise RequestError(
            "unsupported_media_type",
            "Send the body as application/json, in UTF-8, or as application/msgpack.",
        )
    return read_object(json_of(submission.body) if kind == MSGPACK else submission.body)


def intake_of(
    submission: Submission, asker: Asker | None, catalog: Catalog, settings: Settings
) -> Intake:
    """Return the Intake of a submission. Raises RequestError."""
    named = named_by(submission.routing_key)
    sent = body_of(submission, settings.server.max_body_bytes)
    said = {
        **_model(sent, named, catalog),
        **_priority(sent, named),
        **_deadline(sent, submission),
        **_stream(sent, submission),
    }
    headers = _Headers(submission)
    intake = submitted(_with_members(sent.raw, said), headers, settings)
    if slug(intake.model) != named.slug:
        raise RequestError(
            "model_mismatch",
            f"The routing key is of {named.slug!r}; the slug of the body's model is another.",
            param="model",
        )
    terms = replace(intake.terms, key=submission.message_id)
    if asker is not None:
        terms = replace(
            terms,
            reply_to=asker.to,
            correlation_id=asker.correlation_id,
            reply_as=asker.content_type,
        )
    return replace(intake, terms=terms)


def wants_progress(submission: Submission) -> bool:
    """Tell whether the client wants to hear of it before the end. Raises RequestError."""
    return _flag(submission, _PROGRESS)


class _Headers:
    """The headers that the HTTP door reads as well."""

    def __init__(self, submission: Submission) -> None:
        self._headers = submission.headers or {}

    def header(self, name: str) -> str | None:
        """Return a header's text; the Idempotency-Key is the message_id here."""
        value = self._headers.get(name)
        return value if isinstance(value, str) else None


def _model(sent: JsonObject, named: Named, catalog: Catalog) -> dict[str, Any]:
    """Name the model as the key does, where the body leaves that to it."""
    inner = sent.members.get("body")
    if "model" in sent.members or (isinstance(inner, dict) and "model" in inner):
        return {}
    return {"model": catalog.named_by(named.slug)}


def _priority(sent: JsonObject, named: Named) -> dict[str, Any]:
    repeated = sent.members.get("priority", named.priority.value)
    if repeated != named.priority.value:
        raise RequestError(
            "invalid_body",
            f"`priority` must be {named.priority.value!r}, as the routing key says, or left out.",
            param="priority",
        )
    return {} if "priority" in sent.members else {"priority": named.priority.value}


def _deadline(sent: JsonObject, submission: Submission) -> dict[str, Any]:
    """Take the deadline from where it is said; saying it twice is refused as over HTTP."""
    said: dict[str, Any] = {}
    if submission.expiration is not None:
        said["timeout_s"] = _seconds(submission.expiration)
    header = (submission.headers or {}).get(_DEADLINE)
    if header is not None:
        said["deadline"] = _instant(header)
    for name in said.keys() & sent.members.keys():
        raise RequestError("invalid_deadline", f"`{name}` is said twice.", param=name)
    return said


def _seconds(milliseconds: str) -> float:
    if not milliseconds.isascii() or not milliseconds.isdigit():
        raise RequestError("invalid_deadline", "`expiration` must be milliseconds.", "expiration")
    return int(milliseconds[:15]) / 1000


def _instant(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError("invalid_deadline", f"{_DEADLINE} must be Unix seconds.", _DEADLINE)
    return float(value)


def _stream(sent: JsonObject, submission: Submission) -> dict[str, Any]:
    if not _flag(submission, _STREAM) or "stream" in sent.members:
        return {}
    return {"stream": True}


def _flag(submission: Submission, name: str) -> bool:
    value = (submission.headers or {}).get(name, False)
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise RequestError("invalid_body", f"{name} must be true or false.", param=name)


def _with_members(raw: bytes, members: dict[str, Any]) -> bytes:
    """Return the object `raw` with more members in front, which it does not have."""
    if not members:
        return raw
    opening = raw.index(b"{") + 1
    rest = raw[opening:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return raw[:opening] + orjson.dumps(members)[1:-1] + comma + rest
