"""What pydantic found wrong with what a client sent, in words for that client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import RequestError

_MAX_PARAM_CHARACTERS = 200
# "Input should be ...", "String should have at most ..."
_SHOULD = re.compile(r"^\w+ should\b")

M = TypeVar("M", bound=BaseModel)


def fitted(kind: type[M], members: Mapping[str, Any]) -> M:
    """Return `members` as a `kind`. Raises RequestError, which tells the first thing wrong."""
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(map(str, first["loc"]))[:_MAX_PARAM_CHARACTERS] or None
        raise RequestError("invalid_body", sentence(param, first), param=param) from None


def sentence(param: str | None, details: ErrorDetails) -> str:
    """Return what is wrong with the member at `param`; None is the whole body."""
    place = f"`{param}`" if param else "the body"
    told = _told(details)
    return f"{place}{'' if told.startswith(('must ', 'is ')) else ':'} {told}."


def _told(details: ErrorDetails) -> str:
    match details["type"]:
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is missing"
        case _:
            told = details["msg"].removeprefix("Value error, ")
            return _SHOULD.sub("must", told).replace("'", "`")
