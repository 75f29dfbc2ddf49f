"""Files as a client sends and describes them: forms by hand, lines of a batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

BOUNDARY = "a-boundary-of-tests"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
_CHAT = "/v1/chat/completions"


def form(
    content: bytes, filename: str = "in.jsonl", fields: Mapping[str, str] | None = None
) -> bytes:
    """Return the form of an upload for a batch, with its file first, as many clients send it."""
    return b"".join([head(filename), content, tail(fields)])


def head(filename: str = "in.jsonl") -> bytes:
    """Return what comes before the bytes of the file."""
    says = f'form-data; name="file"; filename="{filename}"'
    return f"--{BOUNDARY}\r\nContent-Disposition: {says}\r\n\r\n".encode()


def tail(fields: Mapping[str, str] | None = None) -> bytes:
    """Return what comes behind them."""
    parts = [
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        for name, value in (fields or {"purpose": "batch"}).items()
    ]
    return "".join([*parts, f"\r\n--{BOUNDARY}--\r\n"]).encode()


def line(custom_id: object, model: str = "echo", **fields: Any) -> dict[str, Any]:
    """Return one line of a batch; `fields` replace members, None drops one."""
    whole = {
        "custom_id": custom_id,
        "method": "POST",
        "url": _CHAT,
        "body": {"model": model, "messages": [{"role": "user", "content": f"Hello {custom_id}"}]},
    }
    return {name: value for name, value in {**whole, **fields}.items() if value is not None}


def jsonl(lines: Iterable[object]) -> bytes:
    """Return lines as a file of them."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)
