"""The SDK owns its types and its words; they are those of the server."""

from __future__ import annotations

import re
from typing import Any, get_args, get_type_hints

import penstock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from penstock import layout, shapes
from penstock.shapes import slug
from pydantic import TypeAdapter

from broker.redis_store.keys import Keys
from broker.redis_store.layout import VERSION
from schemas import ids
from schemas.lifecycle import TERMINAL
from schemas.priority import PRIORITIES
from schemas.request import (
    BackendResponse,
    RequestAttempt,
    RequestError,
    RequestTarget,
    RequestUsage,
    RequestWhole,
    SubmitRequest,
)

# What the SDK says by itself: `stream` by calling it, `on_disconnect` is of held calls.
SAID_OTHERWISE = {"body", "stream", "on_disconnect"}
TWINS = [
    (penstock.Request, RequestWhole),
    (penstock.Failure, RequestError),
    (penstock.BackendResponse, BackendResponse),
    (penstock.Target, RequestTarget),
    (penstock.Usage, RequestUsage),
    (penstock.Attempt, RequestAttempt),
]


@pytest.mark.parametrize(("ours", "theirs"), TWINS, ids=lambda kind: kind.__name__)
def test_a_type_has_the_fields_of_the_server_s(ours: type, theirs: type) -> None:
    mine, told = _properties(ours), _properties(theirs)
    told.pop("object", None)
    assert mine == told


def test_a_request_of_the_server_s_is_read_whole() -> None:
    told = {
        "id": "req_1",
        "object": "request",
        "status": "failed",
        **dict.fromkeys(("model", "endpoint", "tenant"), "x"),
        "priority": "batch",
        **dict.fromkeys(("created_at", "deadline", "not_before", "started_at"), 1.5),
        **dict.fromkeys(("finished_at", "expires_at", "eta_s"), 2.5),
        "attempts": 2,
        "position": 3,
        "waiting_for": "slot",
        "target": {"backend": "a", "model": "b"},
        "response": {"status_code": 400, "body": {"error": 1}},
        "error": {"type": "t", "code": "c", "message": "m", "param": None},
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        "metadata": {"a": "b"},
        "history": [
            {
                "attempt": 1,
                "backend": "a",
                "started_at": 1.0,
                "ended_at": 2.0,
                "outcome": "error",
                "status_code": None,
                "message": None,
            }
        ],
    }
    RequestWhole.model_validate(told)
    read = TypeAdapter(penstock.Request).dump_python(penstock.Request.of(told), mode="json")
    assert {"object": "request", **read} == told


def test_every_option_of_a_submission_is_offered() -> None:
    offered = set(get_type_hints(penstock.Options)) - {"idempotency_key"}
    taken = set(SubmitRequest.model_fields) - SAID_OTHERWISE
    assert taken <= offered
    assert offered - taken <= {"restart", "webhook"}


def test_the_words_are_the_same() -> None:
    assert set(shapes.ENDED) == set(TERMINAL)
    assert tuple(PRIORITIES) == shapes.PRIORITIES
    assert set(get_args(shapes.Status)) == _enumeration(RequestWhole, "status")
    assert SubmitRequest.model_fields["endpoint"].default == shapes.DEFAULT_ENDPOINT


@given(st.text(min_size=1))
def test_a_model_has_the_same_slug(model: str) -> None:
    assert slug(model) == ids.slug(model)


@pytest.mark.parametrize("model", ["llama3.2", "llama-3", "a" * 200, "Größe/7b"])
def test_a_known_model_has_the_same_slug(model: str) -> None:
    assert slug(model) == ids.slug(model)


@given(st.integers(0, ids.PARTITIONS - 1), st.text("ab09", min_size=1))
def test_the_keys_in_redis_are_the_same(partition: int, namespace: str) -> None:
    request_id = f"req_{partition:02x}{'a' * 32}"
    keys = Keys(namespace)
    record, *_, result = keys.of_request(request_id)[:4]
    assert layout.keys_of(namespace, request_id) == (record, result)
    assert layout.version_key(namespace) == keys.layout_version()
    assert layout.VERSION == VERSION


def _properties(kind: type) -> dict[str, Any]:
    """Return the shape of each field: of nested ones that they are objects."""
    schema = TypeAdapter(kind).json_schema()
    return {name: _shape(each) for name, each in schema["properties"].items()}


def _shape(schema: dict[str, Any]) -> Any:
    if "anyOf" in schema:
        return sorted(str(_shape(each)) for each in schema["anyOf"])
    if "items" in schema:
        return ["array", _shape(schema["items"])]
    if "$ref" in schema:
        name = re.sub(r"^Request(?=.)", "", schema["$ref"].rpartition("/")[2])
        return "words" if name == "Priority" else {"Error": "Failure"}.get(name, name)
    return "words" if "enum" in schema else schema.get("type", "anything")


def _enumeration(kind: type, field: str) -> set[str]:
    schema = TypeAdapter(kind).json_schema()
    words: list[str] = schema["properties"][field]["enum"]
    return set(words)
