"""Which values of a configuration are secret, and how they are shown instead.

A field that pydantic keeps out of its repr is a secret; so is the password of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from broker.config_file import At

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/?#@]*):([^/?#]*)@")
_QUERY = re.compile(
    r"([?&][^=&#]*(?:key|token|secret|password|signature)[^=&#]*=)[^&#]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of a configuration; `host` is where it is sent, None if it is for us."""

    at: At
    value: str
    host: str | None


def masked(text: str) -> str:
    """Return `text` without the passwords of the URLs in it."""
    return _QUERY.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1:{MASK}@", text))


def is_secret(model: type[BaseModel], key: str) -> bool:
    """Tell whether the field `key` of `model` holds a secret."""
    return not model.model_fields[key].repr


def secrets_of(section: BaseModel, at: At = ()) -> Iterator[Secret]:
    """Yield the secrets in a section. Hashes of keys are none: nothing can be read from them."""
    urls = getattr(section, "urls", [])
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, str) and name != "hash" and is_secret(type(section), name):
            yield Secret((*at, name), value, urlsplit(urls[0]).hostname if urls else None)
        yield from _inner(value, (*at, name))


def _inner(value: Any, at: At) -> Iterator[Secret]:
    if isinstance(value, BaseModel):
        yield from secrets_of(value, at)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _inner(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _inner(item, (*at, index))
    elif isinstance(value, str) and (found := _PASSWORD.search(value)):
        yield Secret(at, found[2], urlsplit(value).hostname)
