"""The operation of bulk intake, and what it shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from api.openapi import examples
from api.openapi.operation import NDJSON, Answer, Operation
from schemas.errors import RequestError

_SECOND_ID = "req_05c1b8ebfa82e7f39379cea624ace5ae9f"


def _lines(objects: Iterable[Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


_ASKED = _lines(
    [
        examples.SUBMIT,
        {"idempotency_key": "night-7", "body": examples.SUBMIT["body"]},
        {"body": {**examples.SUBMIT["body"], "model": ""}},
    ]
)
_REFUSED = RequestError("invalid_body", "`model` must have 1 to 200 characters.", "model")
_ANSWERED = _lines(
    [
        {"line": 1, "id": examples.REQUEST_ID, "status": "queued"},
        {"line": 2, "id": _SECOND_ID, "status": "completed", "replayed": True},
        {"line": 3, "status_code": 400, **_REFUSED.as_dict()},
        {"object": "bulk.summary", "accepted": 2, "refused": 1},
    ]
)

BULK = (
    Operation(
        "submitRequests",
        "post",
        "/v1/requests:bulk",
        "Requests",
        "Submit many requests in one upload",
        {
            200: Answer(
                {"type": "string", "description": "A `BulkAccepted` or `BulkRefused` a line."},
                _ANSWERED,
                "Each line is acknowledged, in order, as soon as its request is durable.",
                kind=NDJSON,
            )
        },
        ("invalid_body", "unsupported_media_type", "draining"),
        ("bulk_key", "traceparent"),
        {"type": "string", "description": "A `BulkLine` a line; blank lines are skipped."},
        _ASKED,
        "JSON lines up, JSON lines down, both at once: read the answer while you send, or send "
        "parts of at most 1,000 lines. There is no limit of the whole, only of a line "
        "(`line_too_long`). A line that is refused stops no other: its answer holds the status and "
        "the error that it would have got by itself. The last line is a `BulkSummary`; without it "
        "the answer was cut short, and what was not acknowledged is to be sent again, best with "
        "its `idempotency_key`. A server that stops ends the answer with one line `draining`.",
        body_kind=NDJSON,
        more_bodies={"application/jsonl": {"type": "string"}},
    ),
)
