"""Where the server is, and the key that opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict
from urllib.parse import urlsplit

from penstock.calls import Call
from penstock.errors import PenstockError, Unreachable

DEFAULT_URL = "http://127.0.0.1:8080"
RETRIES = 4
PATIENCE_S = 30.0
POLL_S = 30.0


class Sent(TypedDict):
    """The arguments of an HTTP client's `request`."""

    method: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Access:
    """A server's URL, with or without `/v1`, and a key. Raises PenstockError if unusable."""

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PenstockError("base_url (PENSTOCK_URL) must be an http:// or https:// URL")
        if parts.username or parts.password:
            raise PenstockError("base_url (PENSTOCK_URL) holds a password: use api_key instead")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise PenstockError("the API key holds characters that no key has (PENSTOCK_API_KEY)")

    @classmethod
    def given(cls, url: str | None, key: str | None) -> Access:
        """Return what was given, and from the environment what was not."""
        return cls(
            url or os.environ.get("PENSTOCK_URL") or DEFAULT_URL,
            key or os.environ.get("PENSTOCK_API_KEY") or None,
        )

    @property
    def base(self) -> str:
        """The URL without `/v1`."""
        return self.url.rstrip("/").removesuffix("/v1")

    def sent(self, call: Call) -> Sent:
        """Return a call as an HTTP client takes it."""
        headers = {"User-Agent": "penstock-python", "Accept": "application/json", **call.headers}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return {
            "method": call.method,
            "url": self.base + call.path,
            "params": call.params,
            "headers": headers,
            "content": call.content,
        }

    def unreachable(self, error: Exception) -> Unreachable:
        """Return what to say of a call that met no answer."""
        return Unreachable(
            f"no Penstock answers at {self.base}: {str(error) or type(error).__name__}"
        )
