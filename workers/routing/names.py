"""The name a backend is called by, and the client's body with that name in it."""

from __future__ import annotations

import orjson

from schemas.envelope import Envelope
from schemas.responses.told import ENDPOINT, Origin
from schemas.routes import fill, is_pattern
from workers.routing.targets import Target


def name_at(target: Target, envelope: Envelope) -> str:
    """Return the name of the model that `target` is asked for, with any `*` filled in."""
    if not is_pattern(target.model):
        return target.model
    return fill(envelope.model, target.model, _asked(envelope))


def with_model(envelope: Envelope, name: str) -> bytes:
    """Return the body with exactly the model's bytes replaced by `name`.

    They are JSON, quotes included, or the raw bytes of a form's part.
    """
    if envelope.model_span is None:
        return envelope.body
    start, end = envelope.model_span
    written = name.encode() if _is_form(envelope) else orjson.dumps(name)
    if envelope.body[start:end] == written:
        return envelope.body
    return envelope.body[:start] + written + envelope.body[end:]


def origin_of(envelope: Envelope) -> Origin | None:
    """Return of which request a Response tells; None for any other endpoint."""
    if envelope.endpoint != ENDPOINT:
        return None
    return Origin(envelope.id, envelope.accepted_at, _asked(envelope), envelope.priority)


def _asked(envelope: Envelope) -> str:
    """Return what the client asked for; the envelope's own model is the route's name."""
    if envelope.model_span is None:
        return envelope.model
    start, end = envelope.model_span
    written = envelope.body[start:end]
    name: str = written.decode() if _is_form(envelope) else orjson.loads(written)
    return name


def _is_form(envelope: Envelope) -> bool:
    return envelope.content_type.lower().startswith("multipart/")
