"""Reading a backend's answer with care: bounded, whole, and really JSON where it must be."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from aiohttp import ClientResponse

from broker.scheduling.retry import Failure
from schemas.result import Usage
from workers.backends.port import CallFailed

# The parse below builds the whole answer; beyond this many parts it would cost too much memory.
_MAX_CONTAINERS = 500_000
_MAX_TOKENS = 2**53
_JSON = "application/json"
_CACHED_APART = ("cache_creation_input_tokens", "cache_read_input_tokens")


async def read_capped(response: ClientResponse, max_bytes: int) -> bytes:
    """Return the body. Raises CallFailed (unusable) beyond `max_bytes` or when it is encoded."""
    content = bytearray()
    try:
        async with aclosing(pieces(response, max_bytes)) as body:
            async for piece in body:
                content += piece
        return bytes(content)
    finally:
        # A failure's traceback keeps this frame until the collector comes by.
        content.clear()


async def pieces(response: ClientResponse, max_bytes: int) -> AsyncGenerator[bytes]:
    """Yield the body as it comes. Raises CallFailed as `read_capped` does."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise CallFailed(
            Failure.UNUSABLE, f"the backend sent Content-Encoding {encoding!r} though asked not to"
        )
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > max_bytes:
            too_large = f"the backend's answer is over {max_bytes} bytes"
            raise CallFailed(Failure.UNUSABLE, too_large)
        yield piece


def parse_answer(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a 2xx answer. Raises CallFailed (unusable)."""
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS:
        raise CallFailed(Failure.UNUSABLE, "the backend's answer has too many parts")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallFailed(
            Failure.UNUSABLE, f"the backend's answer is not valid JSON: {error}"
        ) from error
    if not isinstance(parsed, dict):
        raise CallFailed(Failure.UNUSABLE, "the backend's answer is not a JSON object")
    return parsed


def usage_in(body: bytes, content_type: str) -> Usage | None:
    """Return the usage in an answer that may be anything: only a JSON object tells one."""
    if content_type.partition(";")[0].strip().lower() != _JSON:
        return None
    try:
        return usage_of(parse_answer(body))
    except CallFailed:
        return None


def usage_of(parsed: dict[str, Any]) -> Usage | None:
    """Return the usage a backend reports, or None when it is missing or makes no sense."""
    usage = parsed.get("usage")
    if not isinstance(usage, dict):
        return None
    given = _count(usage, "prompt_tokens", "input_tokens")
    if given is not None:
        # Anthropic's dialect counts them apart from the rest of the input.
        given += sum(_count(usage, name) or 0 for name in _CACHED_APART)
    made = _count(usage, "completion_tokens", "output_tokens")
    total = _count(usage, "total_tokens")
    if given is None and made is None and total is None:
        return None
    given, made = given or 0, made or 0
    return Usage(given, made, max(total or 0, given + made))


def _count(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if type(value) is int and 0 <= value <= _MAX_TOKENS:
            return value
    return None
