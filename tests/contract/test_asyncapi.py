"""The AsyncAPI document: valid by the specification's own schema, and true of the code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import Draft202012Validator

from api.asyncapi.document import build_document
from api.auth import Caller
from api.exchange import Exchange
from api.routes.documents import DocumentRoutes
from api.settings import Settings
from schemas.config import Config, ServerConfig
from schemas.priority import PRIORITIES
from schemas.request import SubmitRequest
from tests.servers.node import node_modules


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document("penstock")


def test_it_is_valid_by_the_schema_of_asyncapi(document: dict[str, Any]) -> None:
    schemas = node_modules() / "@asyncapi" / "specs" / "schemas"
    schema = json.loads((schemas / "3.0.0-without-$id.json").read_text())
    validator = Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(document)] == []
    broken = {**document, "operations": {"submit": {"action": "sends"}}}
    assert list(validator.iter_errors(broken))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = list(_references(document))
    assert len(references) > 30
    for reference in references:
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in found, reference
            found = found[part]


@pytest.mark.parametrize("name", sorted(build_document("n")["components"]["messages"]))
def test_every_example_has_the_shape_of_its_payload(document: dict[str, Any], name: str) -> None:
    message = document["components"]["messages"][name]
    schema = {**message["payload"], "components": document["components"]}
    for example in message["examples"]:
        Draft202012Validator(schema).validate(example["payload"])


def test_the_intake_is_that_of_the_namespace() -> None:
    intake = build_document("prod")["channels"]["intake"]
    assert intake["bindings"]["amqp"]["exchange"]["name"] == "prod.intake"
    assert intake["parameters"]["priority"]["enum"] == [each.value for each in PRIORITIES]


def test_a_submission_has_every_field_of_the_http_door(document: dict[str, Any]) -> None:
    described = document["components"]["schemas"]["SubmitRequest"]["properties"]
    assert set(described) == set(SubmitRequest.model_fields)


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for each in part.values():
            yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


async def test_it_is_served_for_the_configured_namespace() -> None:
    config = Config(server=ServerConfig(namespace="prod"))
    served = await DocumentRoutes(Settings(config)).asyncapi(_an_exchange())
    assert json.loads(served.body) == build_document("prod")


def _an_exchange() -> Exchange:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    return Exchange({"headers": []}, receive, Caller())
