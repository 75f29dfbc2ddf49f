"""The AsyncAPI 3 document itself, built from the tables when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from api.asyncapi.messages import (
    PRIORITY_NAMES,
    REFUSED,
    REPLIED,
    REPLIED_PROPERTIES,
    SENT,
    SENT_PROPERTIES,
    Described,
)
from schemas.request import RequestObject, SubmitRequest

_MSGPACK = "application/msgpack"
_REF = "#/components/schemas/{model}"
_BINDING = "0.3.0"


def build_document(namespace: str) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the AMQP door of `namespace`."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Penstock",
            "version": version("penstock-broker"),
            "description": "Requests by AMQP 0.9.1: publish one, and read its replies from a queue "
            f"of your own. Bodies are JSON, or msgpack (`{_MSGPACK}`); replies come in the content "
            "type of the request.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": _server()},
        "channels": {"intake": _intake(namespace), "replies": _replies()},
        "operations": {
            "submit": _operation("submit", "Publish a request.", REPLIED),
            "cancel": _operation(
                "cancel",
                "Cancel a request by its id.",
                {name: REPLIED[name] for name in _CANCELLED},
            ),
        },
        "components": {
            "messages": {
                name: _message(each, properties)
                for kinds, properties in ((SENT, SENT_PROPERTIES), (REPLIED, REPLIED_PROPERTIES))
                for name, each in kinds.items()
            },
            "schemas": _schemas(),
            "securitySchemes": {"user": {"type": "userPassword"}},
        },
    }


# What a cancel is answered with: the request as it is then, or a refusal.
_CANCELLED = ("completed", "failed", "cancelled", "expired")


def _server() -> dict[str, Any]:
    return {
        "host": "{host}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "Your RabbitMQ, with the user that `penstock amqp grant TENANT` makes.",
        "variables": {"host": {"default": "localhost:5672"}},
        "security": [{"$ref": "#/components/securitySchemes/user"}],
    }


def _intake(namespace: str) -> dict[str, Any]:
    exchange = {"name": f"{namespace}.intake", "type": "topic", "durable": True}
    return {
        "address": "{model}.{priority}",
        "description": "The routing key: `slug` of a model, as GET /v1/models tells it, and a "
        "priority. Publish with confirms: a confirmed request is never lost.",
        "parameters": {
            "model": {"description": "The model's `penstock.slug`."},
            "priority": {"enum": PRIORITY_NAMES},
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in SENT},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {**exchange, "autoDelete": False},
                "bindingVersion": _BINDING,
            }
        },
    }


def _replies() -> dict[str, Any]:
    return {
        "address": None,
        "description": "The queue that `reply_to` names, through the default exchange.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in REPLIED},
    }


def _operation(name: str, summary: str, replies: Mapping[str, Described]) -> dict[str, Any]:
    return {
        "action": "receive",
        "summary": summary,
        "channel": {"$ref": "#/channels/intake"},
        "messages": [{"$ref": f"#/channels/intake/messages/{name}"}],
        "reply": {
            "address": {"location": "$message.header#/reply_to"},
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{each}"} for each in replies],
        },
        "bindings": {"amqp": {"ack": True, "bindingVersion": _BINDING}},
    }


def _message(described: Described, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": described.name,
        "summary": described.summary,
        "headers": {"type": "object", "properties": dict(properties)},
        "correlationId": {"location": "$message.header#/correlation_id"},
        "payload": {"$ref": _REF.format(model=described.schema)},
        "examples": [{"payload": described.example}],
        "bindings": {"amqp": {"messageType": described.name, "bindingVersion": _BINDING}},
    }


def _schemas() -> dict[str, Any]:
    _, definitions = models_json_schema(
        [(SubmitRequest, "validation"), (RequestObject, "serialization")], ref_template=_REF
    )
    refusal = {
        "type": "object",
        "properties": {
            "id": {"type": "null"},
            "object": {"const": "request"},
            "status": {"const": "failed"},
            "error": {"$ref": _REF.format(model="RequestError")},
        },
        "required": list(REFUSED),
    }
    request = {"$ref": _REF.format(model="RequestObject")}
    return {
        **definitions["$defs"],
        "FailedReply": {"anyOf": [request, {"$ref": _REF.format(model="Refusal")}]},
        "Refusal": refusal,
        "CancelMessage": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "The request's id."}},
            "required": ["id"],
        },
        "Chunk": {"description": "The data of the backend's event as it came; often an object."},
    }
