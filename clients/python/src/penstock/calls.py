"""The calls of the HTTP API and how their answers are read; no I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from penstock.errors import Refused, RequestFailed, Unreachable
from penstock.shapes import ENDED, Options, Request, Result

# The server's own limit for one reading.
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call; it may always be repeated. `waits_s` is how long the server may think about it."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    waits_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def submission(body: Mapping[str, Any], options: Options, *, stream: bool = False) -> Call:
    """Return the call that submits a request, once however often it is made."""
    key = options.get("idempotency_key") or str(uuid.uuid4())
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return Call("POST", "/v1/requests", headers=headers, content=asked(body, options, stream))


def asked(body: Mapping[str, Any], options: Options, stream: bool) -> bytes:
    """Return the JSON of a request as every door takes it."""
    outer = {name: value for name, value in options.items() if name != "idempotency_key"}
    if stream:
        outer["stream"] = True
        body = {**body, "stream": True}
    return json.dumps({"body": dict(body), **outer}, ensure_ascii=False).encode()


def reading(request: Request | str, wait_s: float = 0.0) -> Call:
    """Return the call that reads a request, after at most `wait_s` if it has not ended."""
    wait_s = min(wait_s, LONGEST_WAIT_S)
    return Call("GET", _path(request), params={"wait": f"{wait_s:g}"}, waits_s=wait_s)


def cancelling(request: Request | str) -> Call:
    """Return the call that cancels a request."""
    headers = {"Content-Type": "application/json"}
    return Call("POST", f"{_path(request)}/cancel", headers=headers, content=b"{}")


def answering(request: Request) -> Call:
    """Return the call that reads a backend's own bytes."""
    return Call("GET", f"{_path(request)}/response")


def following(request: Request, after: int) -> Call:
    """Return the call that streams a request's events behind the number `after`."""
    params = {"starting_after": str(after)} if after >= 0 else {}
    headers = {"Accept": "text/event-stream"}
    return Call("GET", f"{_path(request)}/events", params=params, headers=headers)


def id_of(request: Request | str) -> str:
    """Return the id of a request that is named either way."""
    return request if isinstance(request, str) else request.id


def request_in(answer: Answer, base: str) -> Request:
    """Return the request in an answer. Raises Unreachable if there is none."""
    try:
        return Request.of(json.loads(answer.content))
    except (ValueError, AttributeError):
        raise Unreachable(f"what answers at {base} is no Penstock") from None


def checked(answer: Answer, base: str) -> Answer:
    """Return a success. Raises Refused for any other answer, Unreachable if it is no Penstock's."""
    if answer.status < 300:
        return answer
    try:
        told = json.loads(answer.content)["error"]
        message = str(told["message"])
    except (ValueError, TypeError, KeyError):
        # A proxy's own page, while what it stands before is away.
        raise Unreachable(f"what answers at {base} says {answer.status}, and not why") from None
    raise Refused(
        answer.status,
        message,
        code=told.get("code"),
        kind=told.get("type"),
        param=told.get("param"),
        retry_after_s=_seconds(answer.headers.get("retry-after")),
        final=not _worth_another_try(answer),
        request_id=answer.headers.get("x-request-id"),
    )


def completed(request: Request) -> Request:
    """Return a request that has completed. Raises RequestFailed for one that ended otherwise."""
    if request.status != "completed" and request.status in ENDED:
        raise RequestFailed(request)
    return request


def inline_result(request: Request) -> Result | None:
    """Return the result that came with a request; None if it must be read by itself.

    Text may stand for bytes that are no text.
    """
    inline = request.response.body if request.response else None
    return Result(request, inline) if isinstance(inline, dict | list) else None


def content_of(answer: Answer) -> Any:
    """Return JSON as what it says, anything else as its bytes."""
    if "json" not in answer.headers.get("content-type", ""):
        return answer.content
    try:
        return json.loads(answer.content)
    except ValueError:
        return answer.content


def _path(request: Request | str) -> str:
    return f"/v1/requests/{quote(id_of(request), safe='')}"


def _worth_another_try(answer: Answer) -> bool:
    said = answer.headers.get("x-should-retry")
    if said in ("true", "false"):
        return said == "true"
    return answer.status in (408, 429) or answer.status >= 500


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(float(retry_after or ""), 0.0)
    except ValueError:
        return None
