"""The table of the operations of OpenAI's Responses dialect, and their examples."""

from __future__ import annotations

from typing import Any

from api.openapi import examples
from api.openapi.operation import Answer, Operation
from api.openapi.operations import (
    ACCEPTED,
    ACCEPTING,
    BODY_ERRORS,
    ENDED,
    READING,
    TIER,
    WHOLE,
)
from api.openapi.parameters import CALL
from schemas.priority import Priority
from schemas.responses.asked import MAX_ITEMS
from schemas.responses.told import ENDPOINT, Origin, response_of

_ASKED: dict[str, Any] = {
    "model": examples.MODEL,
    "instructions": "Answer in one word.",
    "input": "Name a fruit.",
    "service_tier": "flex",
}
_ORIGIN = Origin(examples.REQUEST_ID, 1764153600, examples.MODEL, Priority.LOW)
_MESSAGE = {
    "id": "msg_0dadbc8ebfa82e7f39379cea624ace5ae9_0",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Banana.", "annotations": [], "logprobs": []}],
}
_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 2,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 14,
}
_COMPLETED = response_of(_ORIGIN, _ASKED, "completed", [_MESSAGE], usage=_USAGE)
_CANCELLED = response_of(_ORIGIN, {**_ASKED, "background": True}, "cancelled")
_STREAM = """\
event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"status":"queued"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":5,"delta":"Banana.",\
"item_id":"msg_0dadbc8ebfa82e7f39379cea624ace5ae9_0","output_index":0,"content_index":0}

event: response.completed
data: {"type":"response.completed","sequence_number":9,"response":{"status":"completed"}}

"""

_TEXT = {"type": "string"}
_LIST = {"type": "array", "items": {"type": "object"}}
_RESPONSE = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^resp_[0-9a-f]{34}$"},
        "object": {"const": "response"},
        "status": {
            "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
        },
        "model": _TEXT,
        "output": _LIST,
    },
    "required": ["id", "object", "created_at", "status", "model", "output", "error", "usage"],
}
_ITEMS = {
    "type": "object",
    "properties": {"object": {"const": "list"}, "data": _LIST, "has_more": {"type": "boolean"}},
    "required": ["object", "data", "first_id", "last_id", "has_more"],
}
_DELETED = {
    "type": "object",
    "properties": {"id": _TEXT, "object": {"const": "response"}, "deleted": {"const": True}},
    "required": ["id", "object", "deleted"],
}
_BODY = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "minLength": 1, "maxLength": 200},
        "input": {"type": ["string", "array"], "minItems": 1, "maxItems": MAX_ITEMS},
        "instructions": {"type": ["string", "null"]},
        "previous_response_id": {"type": ["string", "null"]},
        "background": {"type": ["boolean", "null"]},
        "store": {"type": ["boolean", "null"]},
        "stream": {"type": ["boolean", "null"]},
        "service_tier": TIER,
    },
    "required": ["model", "input"],
    "additionalProperties": True,
}
_CREATED = (
    "Held open until the Response has ended; with `background: true` it is answered at once, and "
    "with `stream: true` by its events. A backend that only speaks chat is asked for a chat "
    "completion; what none can stand for is refused by its name."
)

RESPONSES = (
    Operation(
        "createResponse",
        "post",
        ENDPOINT,
        "Responses",
        "Create a Response",
        {
            200: Answer(
                _RESPONSE, _COMPLETED, "The Response.", ("x-request-id",), streamed=_STREAM
            ),
            202: ACCEPTED,
        },
        (
            *BODY_ERRORS,
            "unsupported_parameter",
            "previous_response_not_found",
            "not_finished",
            *ACCEPTING,
            *ENDED,
        ),
        CALL,
        _BODY,
        _ASKED,
        _CREATED,
    ),
    Operation(
        "readResponseObject",
        "get",
        f"{ENDPOINT}/{{id}}",
        "Responses",
        "Read a Response as it is now, or its events from any number",
        {200: Answer(_RESPONSE, _COMPLETED, headers=("x-request-id",), streamed=_STREAM)},
        ("invalid_body", "streaming_unsupported", *READING, *WHOLE),
        ("id", "streams", "starting_after"),
        description="Events are there for one that was created with `stream: true`.",
    ),
    Operation(
        "deleteResponse",
        "delete",
        f"{ENDPOINT}/{{id}}",
        "Responses",
        "Delete a Response; one that has not ended is cancelled first",
        {
            200: Answer(
                _DELETED,
                {"id": _COMPLETED["id"], "object": "response", "deleted": True},
                headers=("x-request-id",),
            )
        },
        (*READING, "blobs_unavailable"),
        ("id",),
    ),
    Operation(
        "cancelResponse",
        "post",
        f"{ENDPOINT}/{{id}}/cancel",
        "Responses",
        "Cancel a Response in the background; one that has ended stays as it is",
        {200: Answer(_RESPONSE, _CANCELLED, headers=("x-request-id",))},
        ("not_background", *READING, *WHOLE),
        ("id",),
    ),
    Operation(
        "listInputItems",
        "get",
        f"{ENDPOINT}/{{id}}/input_items",
        "Responses",
        "What a Response was asked, with what was said before",
        {
            200: Answer(
                _ITEMS,
                {
                    "object": "list",
                    "data": [
                        {
                            "id": "msg_0dadbc8ebfa82e7f39379cea624ace5ae9_in0",
                            "type": "message",
                            "status": "completed",
                            "role": "user",
                            "content": [{"type": "input_text", "text": "Name a fruit."}],
                        }
                    ],
                    "first_id": "msg_0dadbc8ebfa82e7f39379cea624ace5ae9_in0",
                    "last_id": "msg_0dadbc8ebfa82e7f39379cea624ace5ae9_in0",
                    "has_more": False,
                },
            )
        },
        ("invalid_body", *READING, "blobs_unavailable"),
        ("id", "limit", "after_item", "order"),
    ),
)
