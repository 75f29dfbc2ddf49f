"""Keys of blobs, and their order."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,200}(/[A-Za-z0-9_.-]{1,200}){0,7}")
_LONGEST = 512


def parts_of(key: str) -> list[str]:
    """Return a key's parts. Raises ValueError for what is no key: it could lead elsewhere."""
    parts = key.split("/")
    if not _KEY.fullmatch(key) or len(key) > _LONGEST or {".", ".."} & set(parts):
        raise ValueError(f"{key!r} is no key of a blob")
    return parts


def folder_of(prefix: str) -> str:
    """Return the whole parts at the beginning of a prefix, each with its `/`."""
    return prefix[: prefix.rfind("/") + 1]
