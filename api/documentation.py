"""The OpenAPI document of the hot routes, made from the pydantic models that describe them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from schemas.request import RequestObject, SubmitRequest

_REF = "#/components/schemas/{model}"
_JSON_OBJECT = {"type": "object", "additionalProperties": True}


def document(app: FastAPI) -> None:
    """Make `app.openapi()` describe the hot routes; it is built once, when first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # because FastAPI documents this override


def _described(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=[])
    _, definitions = models_json_schema(
        [(SubmitRequest, "validation"), (RequestObject, "serialization")], ref_template=_REF
    )
    schemas = {**definitions["$defs"], "Error": _error_schema()}
    document["components"] = {"schemas": schemas}
    request_id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    wait = {
        "name": "wait",
        "in": "query",
        "description": "Seconds to wait for the end, 0 to 60; larger is clamped.",
        "schema": {"type": "number", "default": 0},
    }
    submitted = _ref("RequestObject")
    document["paths"] = {
        "/v1/requests": {
            "post": _operation("Submit a request", 202, submitted, _ref("SubmitRequest"))
        },
        "/v1/requests/{id}": {
            "get": _operation("Read a request", 200, submitted, parameters=[request_id, wait])
        },
        "/v1/requests/{id}/cancel": {
            "post": _operation("Cancel a request", 200, submitted, parameters=[request_id])
        },
        "/v1/chat/completions": {
            "post": _operation("Chat, held open", 200, _JSON_OBJECT, _JSON_OBJECT)
        },
        "/v1/embeddings": {
            "post": _operation("Embeddings, held open", 200, _JSON_OBJECT, _JSON_OBJECT)
        },
        "/v1/models": {"get": _operation("List the models", 200, _JSON_OBJECT)},
        "/live": {"get": _operation("Is the process alive", 200, _JSON_OBJECT)},
        "/ready": {"get": _operation("Can it accept and serve", 200, _JSON_OBJECT)},
    }
    return document


def _ref(model: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=model)}


def _operation(
    summary: str,
    status: int,
    answer: dict[str, Any],
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": "OK", "content": _json(answer)},
            "default": {"description": "Refused or failed", "content": _json(_ref("Error"))},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _error_schema() -> dict[str, Any]:
    text = {"type": "string"}
    optional = {"type": ["string", "null"]}
    error = {"message": text, "type": text, "param": optional, "code": optional}
    return {
        "type": "object",
        "properties": {"error": {"type": "object", "properties": error}},
        "required": ["error"],
    }
