"""`penstock config show`: every effective value, where it comes from, secrets masked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from broker.config import Loaded, read_config
from broker.config_file import At
from broker.config_secrets import MASK, is_secret, masked
from cli.options import Options
from cli.showing import plain

_COLUMN = 44


def run(options: Options) -> None:
    """Print it. Raises ConfigError."""
    flags, backends = options.flags(), options.named_backends()
    for line in shown(read_config(options.config_file, os.environ, flags, backends)):
        print(plain(line))


def shown(loaded: Loaded) -> Iterator[str]:
    """Yield the lines of the configuration as YAML, each value with its source as a comment."""
    yield from _section(loaded, loaded.config, (), "")


def _section(loaded: Loaded, section: BaseModel, at: At, indent: str) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, str) and is_secret(type(section), name):
            value = MASK
        yield from _entry(loaded, name, value, (*at, name), indent)


def _entry(loaded: Loaded, key: str, value: Any, at: At, indent: str) -> Iterator[str]:
    head = f"{indent}{_scalar(key)}:"
    if isinstance(value, BaseModel):
        yield head
        yield from _section(loaded, value, at, indent + "  ")
    elif isinstance(value, dict) and value:
        yield head
        for inner, item in value.items():
            yield from _entry(loaded, inner, item, (*at, inner), indent + "  ")
    elif isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        yield head
        for index, item in enumerate(value):
            lines = list(_section(loaded, item, (*at, index), indent + "    "))
            yield f"{indent}  - {lines[0].lstrip()}"
            yield from lines[1:]
    else:
        yield f"{head} {_scalar(value)}".ljust(_COLUMN) + f" # {_source(loaded, at)}"


def _source(loaded: Loaded, at: At) -> str:
    source = loaded.sources.get(at)
    if source is None:
        return "default"
    names = loaded.variables.get(at, ()) if ":" in source else ()
    return f"{source} ({', '.join(names)})" if names else source


def _scalar(value: Any) -> str:
    """Return one value, or a list of plain ones, on one line of YAML."""
    shown = list(map(_masked, value)) if isinstance(value, list) else _masked(value)
    safe = yaml.safe_dump(shown, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return safe.removesuffix("\n").removesuffix("\n...")


def _masked(value: Any) -> Any:
    return masked(value) if isinstance(value, str) else value
