"""The Lua scripts: read from the package, joined with what they include, named by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

_INCLUDE = "-- include "
_sources: dict[str, str] = {}


@cache
def _sha(name: str) -> str:
    source = _read(name, set())
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    _sources[sha] = source
    return sha


def _read(name: str, seen: set[str]) -> str:
    """Return the text with each included part once, before its first use."""
    text = files("broker.redis_store").joinpath("scripts", f"{name}.lua").read_text("utf-8")
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith(_INCLUDE):
            lines.append(line)
        elif (part := line.removeprefix(_INCLUDE)) not in seen:
            seen.add(part)
            lines.append(_read(part, seen))
    return "\n".join(lines)


def script(name: str, keys: Sequence[str], *args: Any) -> tuple[Any, ...]:
    """Return the command that runs the script `name`."""
    return ("EVALSHA", _sha(name), len(keys), *keys, *args)


def source_of(sha: str) -> str:
    """Return the text of a script that `script` has named."""
    return _sources[sha]
