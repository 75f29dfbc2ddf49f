"""Schemathesis over the OpenAPI document: no input is answered with a 5xx that is ours.

Every operation is asked with generated inputs, valid and not; the answer's status, type and shape
must be ones that the document names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.openapi.document import build_document
from api.openapi.examples import MODEL
from tests.e2e.door import Door, open_door
from tests.e2e.wire import PROTOCOL_REFUSALS, code_of
from tests.fakes.stack import Setup

ADMIN = "an-admin-key-for-tests"
ENDPOINTS = ["/v1/rerank"]
EXAMPLES = 25
OF_SHAPE = (status_code_conformance, content_type_conformance, response_schema_conformance)
CHECKS = (not_a_server_error, *OF_SHAPE)
schema = schemathesis.openapi.from_dict(build_document(ENDPOINTS))
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schemathesis.serializer("application/x-ndjson", "application/jsonl")
def _lines(_context: Any, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


# A client that goes away at once is not what is tried here.
PATIENCE_S = 20


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    whole = replace(
        setup,
        server={**setup.server, "admin_key": ADMIN, "default_timeout_s": 5},
        more={"endpoints": ENDPOINTS, "aliases": {MODEL: "echo"}},
    )
    with open_door(tmp_path_factory.mktemp("fuzzed"), whole, ["echo"], key=ADMIN) as opened:
        yield opened


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_input_breaks_an_operation(door: Door, case: Any) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    response = case.call(base_url=door.stack.url, headers=headers, timeout=PATIENCE_S)
    refused = response.headers.get("content-type") == "application/json" and response.status_code
    if refused in (400, 408, 414, 431) and code_of(response.json()) in PROTOCOL_REFUSALS:
        return  # what was generated is no HTTP
    if response.status_code == 504 and code_of(response.json()) == "deadline_exceeded":
        # What was generated asked for an answer sooner than there can be one.
        assert "x-penstock-timeout-s" in (case.headers or {}), response.text
        case.validate_response(response, checks=OF_SHAPE)
        return
    case.validate_response(response, checks=CHECKS)
    assert response.status_code < 500, response.text
