"""The OpenAPI document: valid, complete, and its examples what they claim to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from starlette.routing import Route

from api.app import build_api
from api.openapi.document import build_document
from broker.embedded.engine import EmbeddedEngine
from schemas.config import Config
from schemas.errors import DOOR_ERRORS
from tests.e2e.wire import PROTOCOL_REFUSALS

ENDPOINTS = ["/v1/rerank", "/v1/audio/transcriptions"]
DOCUMENT = build_document(ENDPOINTS)
# Not in the document: it is the document.
UNDOCUMENTED = {("get", "/openapi.json"), ("head", "/openapi.json")}


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    engine = EmbeddedEngine(tmp_path_factory.mktemp("openapi"), retention_s=60)
    config = Config.model_validate({"endpoints": ENDPOINTS})
    return build_api(engine, config).documented


def _served(app: FastAPI) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        assert isinstance(route, Route)
        path = route.path.replace(":path}", "}")
        for method in route.methods or ():
            if method != "HEAD":
                yield method.lower(), path


def _documented() -> set[tuple[str, str]]:
    return {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_every_route_is_documented_and_nothing_else(app: FastAPI) -> None:
    served = set(_served(app)) - UNDOCUMENTED
    assert _documented() <= served
    without_v1 = {(method, path.removeprefix("/v1")) for method, path in _documented()}
    assert served - _documented() - without_v1 == set()
    assert without_v1 <= served


def test_every_path_below_v1_also_answers_without_it(app: FastAPI) -> None:
    served = set(_served(app))
    below = [(m, p) for m, p in _documented() if p.startswith("/v1/")]
    assert below
    assert all((method, path.removeprefix("/v1")) in served for method, path in below)


def test_every_refusal_is_documented_somewhere() -> None:
    shown = {
        code
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for content in response["content"].values()
        for code in content.get("examples", {})
    }
    # Refusals that belong to no operation: nothing was found there, it was no HTTP,
    # or one line of many was refused.
    of_amqp = {"invalid_msgpack", "invalid_routing_key", "unknown_user"}
    of_lines = {"line_too_long"}
    of_none = {
        "route_not_found",
        "method_not_allowed",
        *PROTOCOL_REFUSALS,
        *of_amqp,
        *of_lines,
    }
    assert set(DOOR_ERRORS) - of_none == shown - of_none


def _examples() -> Iterator[tuple[str, Any, Any]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            contents = list(operation.get("requestBody", {}).get("content", {}).items())
            for response in operation["responses"].values():
                contents += response["content"].items()
            for kind, content in contents:
                shown = [content["example"]] if "example" in content else []
                shown += [each["value"] for each in content.get("examples", {}).values()]
                for number, example in enumerate(shown):
                    yield f"{method} {path} {kind} {number}", content["schema"], example


EXAMPLES = list(_examples())


@pytest.mark.parametrize(
    ("schema", "example"), [each[1:] for each in EXAMPLES], ids=[each[0] for each in EXAMPLES]
)
def test_every_example_fits_its_schema(schema: Any, example: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(example)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_answers() -> None:
    operations = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert any(status.startswith("2") for status in operation["responses"]), operation
        assert operation["summary"]
