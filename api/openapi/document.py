"""The document itself, built from the tables when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.auth import Access
from api.openapi.admin_operations import ADMIN
from api.openapi.batch_operations import BATCHES
from api.openapi.bulk_operations import BULK
from api.openapi.file_operations import FILES
from api.openapi.message_operations import MESSAGE_BATCHES
from api.openapi.operation import EVENT_STREAM, JSON, Answer, Operation
from api.openapi.operations import CALLS, DOCUMENTS, HEALTH, MODELS, REQUESTS, passed_through
from api.openapi.parameters import HEADERS, PARAMETERS
from api.openapi.response_operations import RESPONSES
from api.openapi.webhook_operations import WEBHOOKS
from schemas import answers, batch_answers, webhook_answers
from schemas.anthropic_errors import AnthropicError, in_anthropics_shape
from schemas.batch_wire import CreateBatch
from schemas.bulk import BulkAccepted, BulkLine, BulkRefused, BulkSummary
from schemas.cancellation import CancelAnyRequests, CancelRequests
from schemas.errors import DOOR_ERRORS, RequestError
from schemas.message_batches import (
    CreateMessageBatch,
    MessageBatch,
    MessageBatchDeleted,
    MessageBatchList,
)
from schemas.request import RequestWhole, SubmitRequest
from schemas.webhooks import (
    CreateEndpoint,
    RedeliverRange,
    RotateSecret,
    TestEndpoint,
    UpdateEndpoint,
)

OPERATIONS = (
    *REQUESTS,
    *BULK,
    *CALLS,
    *RESPONSES,
    *FILES,
    *BATCHES,
    *MESSAGE_BATCHES,
    *MODELS,
    *WEBHOOKS,
    *ADMIN,
    *DOCUMENTS,
    *HEALTH,
)
_REF = "#/components/schemas/{model}"
_ASKED = (
    SubmitRequest,
    CreateBatch,
    BulkLine,
    CreateMessageBatch,
    CancelRequests,
    CancelAnyRequests,
    CreateEndpoint,
    UpdateEndpoint,
    RotateSecret,
    TestEndpoint,
    RedeliverRange,
)
_ANSWERED = (
    *(RequestWhole, BulkAccepted, BulkRefused, BulkSummary),
    *(MessageBatch, MessageBatchList, MessageBatchDeleted, AnthropicError),
    *(
        each
        for module in (answers, batch_answers, webhook_answers)
        for each in vars(module).values()
    ),
)
_TAGS = {
    "Requests": "Submit, come back, cancel: the same request through every door.",
    "Calls": "OpenAI's dialect, held open over the same durable queue.",
    "Responses": "OpenAI's Responses, over any backend that speaks chat.",
    "Files": "What is uploaded for batches, and what those write.",
    "Batches": "Files of requests, run beside live traffic.",
    "Message batches": "The same in Anthropic's dialect, without files.",
    "Models": "What can be asked for.",
    "Webhooks": "Where the ends of requests are told, and what came of it.",
    "Admin": "For the operator: needs the key in PENSTOCK_ADMIN_KEY.",
    "Documents": "What else this server speaks, for machines; needs no key.",
    "Health": "For load balancers and Prometheus; needs no key.",
}
_OF_EVERY_ONE: dict[Access, tuple[str, ...]] = {
    Access.OPEN: ("host_not_allowed",),
    Access.CLIENT: ("invalid_api_key", "host_not_allowed"),
    Access.ADMIN: ("invalid_api_key", "not_admin", "host_not_allowed"),
}


def build_document(endpoints: Iterable[str]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an api that passes `endpoints` through."""
    further = map(passed_through, endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for operation in (*OPERATIONS, *further):
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version("penstock-broker"),
            "summary": "A durable, fair queue in front of AI models.",
            "description": "Every path below /v1 also answers without it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`psk_...`; not asked for while no key is configured.",
                },
                "x_api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same key, as clients of Anthropic's dialect may show it.",
                },
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": [] if operation.access is Access.OPEN else [{"key": []}, {"x_api_key": []}],
        "responses": {
            **{str(status): _answer(answer) for status, answer in operation.answers.items()},
            **_refusals(operation),
        },
    }
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = [
            {"$ref": f"#/components/parameters/{name}"} for name in operation.parameters
        ]
    bodies: dict[str, Any] = {}
    if operation.body is not None:
        shown = {"schema": _schema(operation.body), "example": operation.example}
        bodies[operation.body_kind] = shown
    bodies |= {kind: {"schema": schema} for kind, schema in operation.more_bodies.items()}
    if bodies:
        described["requestBody"] = {"required": True, "content": bodies}
    return described


def _answer(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _schema(answer.schema)}
    if answer.example is not None:
        content["example"] = answer.example
    described: dict[str, Any] = {"description": answer.said, "content": {answer.kind: content}}
    if answer.streamed is not None:
        stream = {"schema": {"type": "string"}, "example": answer.streamed}
        described["content"][EVENT_STREAM] = stream
    if answer.headers:
        described["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers
        }
    return described


def _refusals(operation: Operation) -> dict[str, Any]:
    """Return the refusals by status, each code with an example of its own."""
    codes = (*_OF_EVERY_ONE[operation.access], *operation.errors, "internal_error")
    anthropics = operation in MESSAGE_BATCHES
    schema = _schema("AnthropicError" if anthropics else "Error")
    by_status: dict[str, dict[str, Any]] = {}
    for code in dict.fromkeys(codes):
        refused = by_status.setdefault(
            str(DOOR_ERRORS[code].status), {"schema": schema, "examples": {}}
        )
        error = RequestError(code)
        example = in_anthropics_shape(error) if anthropics else error.as_dict()
        refused["examples"][code] = {"value": example}
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in refused["examples"]),
            "content": {JSON: refused},
        }
        for status, refused in by_status.items()
    }


def _schema(schema: Any) -> Any:
    return {"$ref": _REF.format(model=schema)} if isinstance(schema, str) else schema


def _schemas() -> dict[str, Any]:
    mode: JsonSchemaMode = "serialization"
    answered = [
        (each, mode)
        for each in _ANSWERED
        if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
    ]
    _, definitions = models_json_schema(
        [*((each, "validation") for each in _ASKED), *answered], ref_template=_REF
    )
    return {**definitions["$defs"], "Error": _error_schema()}


def _error_schema() -> dict[str, Any]:
    text = {"type": "string"}
    optional = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {"message": text, "type": text, "param": optional, "code": text},
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}
