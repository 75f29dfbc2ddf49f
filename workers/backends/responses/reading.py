"""The parts of a chat completion, read with care: a backend may send anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from schemas.result import Usage


def text_of(said: Mapping[str, Any], *names: str) -> str:
    """Return the first text under these names that is not empty, else nothing."""
    for name in names:
        value = said.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def arguments_of(function: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON text; some backends send them parsed."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return orjson.dumps(arguments).decode()
    return arguments if isinstance(arguments, str) else ""


def usage_of(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat completion's usage in the words of a Response."""
    given = _count(usage, "prompt_tokens")
    made = _count(usage, "completion_tokens")
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": _detail(usage, "prompt_tokens_details", "cached_tokens"),
            "cache_write_tokens": 0,
        },
        "output_tokens": made,
        "output_tokens_details": {
            "reasoning_tokens": _detail(usage, "completion_tokens_details", "reasoning_tokens")
        },
        "total_tokens": max(_count(usage, "total_tokens"), given + made),
    }


def counted(usage: Any) -> Usage | None:
    """Return what a Response's usage counts, as a result keeps it."""
    if not isinstance(usage, dict):
        return None
    return Usage(*(_count(usage, f"{name}_tokens") for name in ("input", "output", "total")))


def logprobs_of(logprobs: Any) -> list[dict[str, Any]]:
    """Return a choice's logprobs as a Response tells them."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [
        {
            **_logprob(each),
            "top_logprobs": [_logprob(top) for top in each.get("top_logprobs") or ()],
        }
        for each in content
        if isinstance(each, dict)
    ]


def _logprob(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "token": text_of(said, "token"),
        "logprob": said.get("logprob", 0.0),
        "bytes": said.get("bytes") or [],
    }


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if type(value) is int and value >= 0 else 0


def _detail(usage: Mapping[str, Any], of: str, name: str) -> int:
    details = usage.get(of)
    return _count(details, name) if isinstance(details, dict) else 0
