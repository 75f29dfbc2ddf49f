"""Anthropic's shape of errors: at its doors, and in the results of a batch of messages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from schemas.errors import RequestError

_TYPES: dict[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicErrorDetails(BaseModel):
    """What a program reads of an error; `param` names the part of the request that is wrong."""

    error_code: str
    param: str | None


class AnthropicErrorObject(BaseModel):
    """What went wrong, in words and as a type."""

    type: str
    message: str
    details: AnthropicErrorDetails


class AnthropicError(BaseModel):
    """A refusal; `request_id` is null at a door, where no request was made."""

    type: Literal["error"]
    error: AnthropicErrorObject
    request_id: str | None


def error_type(status: int) -> str:
    """Return the type of error that stands for an HTTP status."""
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def anthropic_error(
    status: int,
    code: str,
    message: str,
    param: str | None = None,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Return an AnthropicError; its SDK shows `code` as `error_code`."""
    details = {"error_code": code, "param": param}
    error = {"type": error_type(status), "message": message, "details": details}
    return {"type": "error", "error": error, "request_id": request_id}


def in_anthropics_shape(error: RequestError) -> dict[str, Any]:
    """Return a door's refusal as an AnthropicError."""
    return anthropic_error(error.status, error.code, error.message, error.param)
