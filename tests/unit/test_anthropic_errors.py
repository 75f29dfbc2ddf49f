"""Refusals below /v1/messages have Anthropic's shape, all others OpenAI's."""

from __future__ import annotations

import orjson
import pytest

from api.exchange import error_reply
from schemas.errors import DOOR_ERRORS, RequestError

# What Anthropic documents, and the two further ones that its SDK knows.
TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "timeout_error",
    "conflict_error",
}


@pytest.mark.parametrize("code", DOOR_ERRORS)
def test_every_refusal_has_a_type_of_anthropics(code: str) -> None:
    error = RequestError(code, "What is wrong.", "requests.0")
    reply = error_reply(error, path="/v1/messages/batches")
    told = orjson.loads(reply.body)
    kind = told["error"].pop("type")
    assert told == {
        "type": "error",
        "error": {
            "message": "What is wrong.",
            "details": {"error_code": code, "param": "requests.0"},
        },
        "request_id": None,
    }
    assert kind in TYPES
    assert reply.status == error.status


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_json", "invalid_request_error"),
        ("invalid_api_key", "authentication_error"),
        ("model_not_allowed", "permission_error"),
        ("model_not_found", "not_found_error"),
        ("body_too_large", "request_too_large"),
        ("queue_full", "rate_limit_error"),
        ("internal_error", "api_error"),
        ("draining", "overloaded_error"),
    ],
)
def test_the_type_follows_the_status(code: str, kind: str) -> None:
    reply = error_reply(RequestError(code), path="/v1/messages")
    assert orjson.loads(reply.body)["error"]["type"] == kind


@pytest.mark.parametrize(
    ("path", "anthropics"),
    [
        ("/v1/messages", True),
        ("/messages/batches", True),
        ("/v1/messages/", True),
        ("/v1/messagesx", False),
        ("/v1/batches", False),
        ("/admin/v1/messages", False),
        ("", False),
    ],
)
def test_the_shape_follows_the_path(path: str, anthropics: bool) -> None:
    told = orjson.loads(error_reply(RequestError("draining"), path=path).body)
    assert ("type" in told) is anthropics
