"""API keys: how one is made, recognised, and kept as a hash only.

A key is `psk_` and 43 base64url characters: 256 random bits, so a plain SHA-256 hides it.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_KEY = re.compile(r"psk_[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """Return a fresh key."""
    return f"psk_{secrets.token_urlsafe(32)}"


def is_key(text: str) -> bool:
    """Tell whether `text` has the exact form of a key."""
    return _KEY.fullmatch(text) is not None


def hash_of(key: str) -> str:
    """Return what the configuration keeps of a key: `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
