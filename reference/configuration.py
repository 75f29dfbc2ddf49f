"""The configuration's page: every key of schemas/config.py with type, default and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from reference.markdown import code, head, noted, table
from schemas.blob_config import BlobsConfig, S3Config
from schemas.changes import takeable
from schemas.config import Config, ServerConfig

_INTRO = """
One YAML file, `penstock.yaml`. Flags win over the [environment](environment.md), which wins over
the file, which wins over these defaults. `${NAME}` in a value is filled in from the environment.
Unknown keys are errors.

A changed file is taken over within two seconds, or at once on SIGHUP, without dropping a request;
[operations](../guide/operations.md#reload) says how. Keys marked *restart* keep their old value
until the process is started again.
"""
_BOUNDS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "matches `{}`",
}
# Opened once: a change needs a restart.
_FIXED = (BlobsConfig, S3Config)
_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false"}


def page() -> str:
    """Return the page."""
    sections = "\n\n".join(_section(path, model) for path, model in sections_of(Config))
    return f"{head('Configuration', 'schemas/config.py')}{_INTRO}\n{sections}\n"


def sections_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Return each section with its path, e.g. `backends.NAME`, in the order of the file."""
    yield path, model
    for name, field in model.model_fields.items():
        for suffix, inner in _models_in(field.annotation):
            yield from sections_of(inner, f"{path}.{name}{suffix}".removeprefix("."))


def _models_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    elif get_origin(annotation) is dict:
        yield from ((f".NAME{more}", inner) for more, inner in _models_in(get_args(annotation)[1]))
    elif get_origin(annotation) is list:
        yield from ((f"[]{more}", inner) for more, inner in _models_in(get_args(annotation)[0]))
    else:
        for part in get_args(annotation):
            yield from _models_in(part)


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"## {code(path) if path else 'The file'}"
    said = " ".join((model.__doc__ or "").split())
    rows = [_row(name, field, model) for name, field in model.model_fields.items()]
    return f"{title}\n\n{said}\n\n{table(('key', 'type', 'default', 'what it is'), rows)}"


def _row(name: str, field: FieldInfo, model: type[BaseModel]) -> tuple[str, str, str, str]:
    notes = list(_bounds(field))
    if model in _FIXED or (model is ServerConfig and _needs_restart(name)):
        notes.append("*restart*")
    return (
        code(name),
        _type(field.annotation),
        _default(field),
        noted(field.description or "", notes),
    )


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, words in _BOUNDS.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                yield words.format(f"{bound:,}" if isinstance(bound, int) else bound)


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(code(part) for part in parts)
    if origin is list:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"{_type(parts[0])} to {_type(parts[1])}"
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in parts if part is not NoneType)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _PLAIN[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, BaseModel):
        return "its defaults"
    if default is None or default is PydanticUndefined:
        return "none"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return code(default)


def _needs_restart(name: str) -> bool:
    old = Config()
    server = old.server.model_copy(update={name: object()})
    _, fixed = takeable(old, old.model_copy(update={"server": server}))
    return bool(fixed)
