"""Checking blocks that are no commands: configurations, bodies, answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from api.openapi.document import build_document
from broker.config import load_config
from schemas.anthropic_errors import AnthropicError, error_type
from schemas.bulk import BulkLine
from schemas.errors import DOOR_ERRORS, TERMINAL_CODES
from schemas.webhook_events import sample
from schemas.webhooks import EVENT_TYPES
from tests.documents.blocks import Block
from tests.documents.stage import Server

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CALLS = {
    "messages": "/v1/chat/completions",
    "prompt": "/v1/completions",
    "input": "/v1/embeddings",
    "documents": "/v1/rerank",
}
_BACKENDS_OWN = ("chat.completion", "text_completion", "embedding")


def check(block: Block, text: str, server: Server, folder: Path) -> None:
    """Assert that a block is usable; write it where a comment names a file."""
    name = block.notes.get("file")
    if name is not None:
        (folder / name).write_text(text)
    if (name or "").endswith(".ndjson"):
        for line in text.splitlines():
            BulkLine.model_validate_json(line)
    elif block.language == "jsonl":
        for line in text.splitlines():
            _check_json(json.loads(line), server)
    elif block.language == "json":
        _check_json(json.loads(text), server)
    elif name is None or name.startswith("penstock"):
        path = folder / (name or ".block.yaml")
        path.write_text(text)
        # Long enough for an admin key.
        load_config(path, dict.fromkeys(_VARIABLE.findall(text), "a-value-for-a-test"))
    else:
        assert isinstance(yaml.safe_load(text), dict), block.place


def _check_json(content: dict[str, Any], server: Server) -> None:
    if "custom_id" in content:
        _check_line(content, server)
    elif "body" in content:
        assert server.ask("/v1/requests", content)[0] == 202
    elif field := next((field for field in _CALLS if field in content), None):
        assert server.ask(_CALLS[field], content)[0] == 200
    elif content.get("type") == "error":
        AnthropicError.model_validate(content, extra="forbid")
        code = content["error"]["details"]["error_code"]
        assert content["error"]["type"] == error_type(DOOR_ERRORS[code].status)
    elif isinstance(content.get("error"), dict) and "object" not in content:
        error = content["error"]
        assert error["type"] == DOOR_ERRORS[error["code"]].type
        assert set(error) == {"message", "type", "param", "code"}
    elif content.get("object") == "event":
        _check_event(content)
    elif not _is_a_backends(content):
        _check_answer(content)


def _check_line(content: dict[str, Any], server: Server) -> None:
    """Assert that a line of a batch's file is one that can be asked for, or that is told."""
    if "url" in content:
        assert (content["method"], set(content)) == ("POST", {"custom_id", "method", "url", "body"})
        assert server.ask(content["url"], content["body"])[0] == 200
        return
    assert list(content) == ["id", "custom_id", "response", "error"]
    assert list(content["response"]) == ["status_code", "request_id", "body"]
    if content["error"] is not None:
        assert content["error"]["message"] == TERMINAL_CODES[content["error"]["code"]]


def _check_event(content: dict[str, Any]) -> None:
    assert content["type"] in EVENT_TYPES
    made = json.loads(sample(content["type"], content["id"], content["created_at"]).content)
    assert content == made | {"data": content["data"]}
    assert content["data"]["object"] == made["data"]["object"]


def _is_a_backends(content: dict[str, Any]) -> bool:
    first = content["data"][0] if content.get("object") == "list" and content["data"] else content
    return isinstance(first, dict) and first.get("object") in _BACKENDS_OWN


def _check_answer(content: dict[str, Any]) -> None:
    document = build_document(())
    components = document["components"]["schemas"]
    fitting = [
        name
        for name, schema in components.items()
        if jsonschema.Draft202012Validator(
            {**schema, "components": document["components"]}
        ).is_valid(content)
    ]
    assert fitting, f"no answer of the API has this shape: {content}"
