"""What is published to ask, and what the replies mean; no I/O."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.calls import asked, id_of
from penstock.errors import PenstockError, Refused
from penstock.shapes import Options, Request, slug

CANCEL = "request.cancel"
_ON_THE_WAY = ("request.accepted", "request.progress")
# The server's own, where nothing is said.
_DEFAULT_TIMEOUT_S = 86_400.0
_SLACK_S = 30.0

Tell = Callable[[Request], object]


@dataclass(frozen=True, slots=True)
class Question:
    """One message to publish; published again, it is still one request."""

    routing_key: str
    body: bytes
    message_id: str
    kind: str | None = None
    wants_progress: bool = False


def question(body: Mapping[str, Any], options: Options, *, wants_progress: bool) -> Question:
    """Return how to ask for a request. Raises PenstockError if no model is named."""
    model = options.get("model") or body.get("model")
    if not isinstance(model, str):
        raise PenstockError("name a model, in the body or as `model`")
    return Question(
        f"{slug(model)}.{options.get('priority', 'normal')}",
        asked(body, options, stream=False),
        options.get("idempotency_key") or str(uuid.uuid4()),
        wants_progress=wants_progress,
    )


def cancellation(request: Request) -> Question:
    """Return how to cancel a request."""
    content = json.dumps({"id": id_of(request)}).encode()
    key = f"{slug(request.model)}.{request.priority}"
    return Question(key, content, str(uuid.uuid4()), kind=CANCEL)


def patience_s(options: Options) -> float:
    """Return for how long a reply can come at all, in seconds."""
    if "timeout_s" in options:
        return options["timeout_s"] + _SLACK_S
    if "deadline" in options:
        return max(options["deadline"] - time.time(), 0.0) + _SLACK_S
    return _DEFAULT_TIMEOUT_S + _SLACK_S


def is_on_the_way(kind: str | None) -> bool:
    """Tell whether a reply of this type comes before the last one."""
    return kind in _ON_THE_WAY


def request_of(body: bytes, status_code: object) -> Request:
    """Return the request in a reply. Raises Refused if it says that there is none."""
    told = json.loads(body)
    if told.get("id") is not None:
        return Request.of(told)
    error = told["error"]
    raise Refused(
        status_code if isinstance(status_code, int) else 0,
        error["message"],
        code=error["code"],
        kind=error["type"],
        param=error.get("param"),
    )
