"""API keys: how one is made and recognised, and the hash that is kept in its place."""

from __future__ import annotations

import hashlib
import re
import secrets

_RANDOM_BYTES = 32
_KEY = re.compile(r"psk_[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """Return a fresh key: `psk_` and 43 base64url characters, 256 random bits."""
    return f"psk_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def is_key(text: str) -> bool:
    """Tell whether `text` has the exact form of a key."""
    return _KEY.fullmatch(text) is not None


def hash_of(key: str) -> str:
    """Return what the configuration keeps: `sha256:` and 64 hex digits.

    One round without a salt is enough for a key of 256 random bits; it is not for a password.
    """
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
