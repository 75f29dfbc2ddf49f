"""Keeping secrets out of what is printed."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from schemas.config import Config

MASK = "***"
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^\s:/@]*):[^\s@/]*(?=@)")
# A short password is also a word: it is hidden inside URLs only.
_SHORTEST = 8


def secrets_of(config: Config) -> list[str]:
    """Return every secret of the configuration in each form in which it may appear."""
    server = config.server
    found = [server.admin_key, *(backend.api_key for backend in config.backends.values())]
    urls = [url for backend in config.backends.values() for url in backend.urls]
    if config.blobs.s3 is not None:
        found.append(config.blobs.s3.secret_key)
        urls.append(config.blobs.s3.endpoint or "")
    for url in (server.amqp_url, server.redis_url, *urls):
        password = _password(url)
        found += [password, unquote(password)]
    return sorted({secret for secret in found if secret}, key=len, reverse=True)


def masked(text: str, secrets: list[str]) -> str:
    """Return `text` without passwords in URLs, and without any of `secrets`."""
    text = _CREDENTIALS.sub(rf"\g<user>:{MASK}", text)
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return text


def _password(url: str | None) -> str:
    try:
        return urlsplit(url or "").password or ""
    except ValueError:
        return ""
