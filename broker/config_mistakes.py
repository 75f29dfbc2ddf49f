"""What pydantic found wrong, in words for whoever wrote the file: the place, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from broker.config_file import At, Mistake
from schemas.config import MISFIT, Config
from schemas.nearness import did_you_mean

_QUOTED = re.compile(r"'([^']*)'")
# What pydantic calls the branch of a union that is a bounded number; others have a bracket.
_BOUNDED = "constrained-int"


def check(raw: Mapping[str, Any]) -> Config | list[Mistake]:
    """Return the configuration, or every mistake in it."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        found = _explained(error, raw)
    # Whether the parts fit together is looked at only when each is well formed: look again
    # without what is not.
    try:
        Config.model_validate(_without([mistake.at for _, mistake in found], raw))
    except ValidationError as error:
        found += [one for one in _explained(error, raw) if one[0] == MISFIT and one not in found]
    return [mistake for _, mistake in found]


def _explained(error: ValidationError, raw: Mapping[str, Any]) -> list[tuple[str, Mistake]]:
    found: list[tuple[str, Mistake]] = []
    for details in error.errors(include_url=False):
        at = _place(details["loc"], raw)
        if not _of_another_form(details, at, raw):
            found.append((details["type"], Mistake(at, _sentence(details, at))))
    return found


def _place(loc: At, raw: Any) -> At:
    """Return the keys of `loc`, which also names the branches of unions and `[key]`."""
    at: list[str | int] = []
    here = raw
    for part in loc:
        inner = _inside(here, part)
        if inner is None and isinstance(part, str) and ("[" in part or part == _BOUNDED):
            continue
        here = inner
        at.append(part)
    return tuple(at)


def _of_another_form(details: ErrorDetails, at: At, raw: Any) -> bool:
    """Tell whether this is about the form of a union that the value does not have."""
    if not at or details["loc"][-1] == at[-1]:
        return False
    value = raw
    for part in at:
        value = _inside(value, part)
    is_mapping = isinstance(value, Mapping)
    others = {"literal_error", "int_type"} if is_mapping else {"dict_type", "model_type"}
    return details["type"] in others


def _inside(value: Any, part: str | int) -> Any:
    """Return what stands at one key or index of `value`, None if nothing does."""
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _sentence(details: ErrorDetails, at: At) -> str:
    match details["type"]:
        case "extra_forbidden":
            known = sorted(_keys_at(Config, at[:-1]))
            near = did_you_mean(str(at[-1]), known)
            return f"unknown key{near}" if near else f"unknown key; known: {', '.join(known)}"
        case "literal_error":
            expected = str(details["ctx"]["expected"]) if "ctx" in details else ""
            choices = _QUOTED.findall(expected)
            near = did_you_mean(str(details["input"]), choices)
            return f"must be {expected.replace(chr(39), '`')}{near}"
        case "string_type":
            return "must be text: write it in quotes"
        case "missing":
            return "is missing"
        case _:
            told = details["msg"].removeprefix("Value error, ")
            return told.replace("Input should", "must")


def _keys_at(kind: Any, at: At) -> Iterator[str]:
    """Yield the keys that the section at `at` may have."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not at:
            yield from kind.model_fields
        elif str(at[0]) in kind.model_fields:
            yield from _keys_at(kind.model_fields[str(at[0])].annotation, at[1:])
        return
    # The parameters of dict and list take one step down the path; those of a union take none.
    container = getattr(kind, "__origin__", None) in (dict, list)
    for inner in get_args(kind):
        yield from _keys_at(inner, at[1:] if container else at)


def _without(places: list[At], raw: Any, at: At = ()) -> Any:
    if isinstance(raw, Mapping):
        kept = {key: value for key, value in raw.items() if (*at, key) not in places}
        return {key: _without(places, value, (*at, key)) for key, value in kept.items()}
    if isinstance(raw, list):
        return [_without(places, item, (*at, index)) for index, item in enumerate(raw)]
    return raw
