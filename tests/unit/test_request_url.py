"""Nothing in the doors looks at `request.url`: a client's Host header makes part of it.

CVE-2026-48710: with `Host: a/?x=`, the path of Starlette's `request.url` was the attacker's, and so
was whatever had been authorised by it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

API = Path(__file__).resolve().parents[2] / "api"
MADE_OF_HOST = {"url", "base_url", "url_for"}
# `self.url` is the bytes of the request line in uvicorn's protocol, the others' where webhooks go.
OTHERS = {"self", "asked", "asked.webhook", "endpoint", "post", "submit.webhook"}


def test_no_door_reads_the_url_that_a_client_has_made() -> None:
    files = sorted(API.rglob("*.py"))
    found = [f"{path.name}:{line}" for path in files for line in _uses(path.read_text())]
    assert files
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["request.url.path", "request.base_url", "exchange.request.url", "r.url_for('x')", "f().url"],
)
def test_a_use_would_be_found(text: str) -> None:
    assert list(_uses(text)) == [1]


def _uses(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute) or node.attr not in MADE_OF_HOST:
            continue
        if ast.unparse(node.value) not in OTHERS:
            yield node.lineno
