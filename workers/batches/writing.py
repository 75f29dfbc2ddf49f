"""How a line's end is written: one JSON object on one line, whatever the backend has answered.

Failed lines with an HTTP answer have both `response` and `error`: public readers disagree on which
of them they look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from broker.ports.batches import EndedLine
from schemas.batches import Batch, BatchStatus, BatchUsage, LineError
from schemas.errors import BATCH_ENDINGS, TERMINAL_CODES
from schemas.ids import line_id
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Usage
from workers.batches import message_results
from workers.batches.one_line import json_value, members_in, one_line, sound_text

Unstarted = Literal["batch_cancelled", "batch_expired"]
# What stands for an HTTP status where nothing has answered.
_NUMBERS = {"batch_cancelled": 499, "cancelled": 499, "batch_expired": 504, "expired": 504}
_LEAST_ERROR = 400
_MAX_TOKENS = 2**53
_BEING_CANCELLED = (BatchStatus.CANCELLING, BatchStatus.CANCELLED)
# Its result was not kept as long as the batch took to read it.
_CODES_WITHOUT_RESULT = {Status.FAILED: "copy_lost", Status.CANCELLED: "cancelled"}
_DETAILED = (b"_tokens_details", b"cache_read_input_tokens", b"cache_creation_input_tokens")


def output_line(batch: Batch, ended: EndedLine, body: bytes | None) -> bytes:
    """Return the line of a completed request; `body` is the backend's answer."""
    record = ended.record
    if batch.terms.dialect == "anthropic":
        return message_results.succeeded(record, body)
    return _line(record.id, _custom_id(record), _response(record, body), None)


def error_line(batch: Batch, ended: EndedLine, body: bytes | None) -> bytes:
    """Return the line of a request that did not complete; `body` is the last answer, if any."""
    record = ended.record
    code, message = _why(batch, record)
    if batch.terms.dialect == "anthropic":
        return message_results.unsuccessful(record, code, message, body)
    response = _response(record, body)
    status = response["status_code"] if response is not None else None
    error = {"code": _code(batch, code, status), "message": message}
    return _line(record.id, _custom_id(record), response, error)


def unstarted_line(batch: Batch, line: int, custom_id: str, code: Unstarted) -> bytes:
    """Return the line of a request that was never made, for `line` counts from 0."""
    if batch.terms.dialect == "anthropic":
        return message_results.unstarted(custom_id, code)
    error = {"code": _code(batch, code, None), "message": BATCH_ENDINGS[code]}
    return _line(line_id(batch.id, line), custom_id, None, error)


def mistake_line(batch: Batch, mistake: LineError) -> bytes:
    """Return the line that tells what is wrong with one of the input."""
    if batch.terms.dialect == "anthropic":
        return message_results.mistaken(mistake)
    error = {
        "code": _code(batch, mistake.code, 400),
        "message": mistake.message,
        "line": mistake.line,
        "param": mistake.param,
    }
    return _line(line_id(batch.id, mistake.line or 0), mistake.custom_id, None, error)


def usage_of(record: Record, body: bytes | None) -> BatchUsage:
    """Return the tokens of a completed request, in OpenAI's words or in Anthropic's.

    What was read from a cache is part of the input.
    """
    usage: Mapping[str, Any] = {}
    if body is not None and any(detail in body for detail in _DETAILED):
        usage = _object(members_in(body), "usage")
    if not usage:
        charged = (record.result and record.result.usage) or Usage(0, 0, 0)
        return BatchUsage(charged.input_tokens, charged.output_tokens)
    given = _count(usage, "prompt_tokens", "input_tokens")
    cached = _count(usage, "cache_read_input_tokens")
    given += cached + _count(usage, "cache_creation_input_tokens")
    for details in ("prompt_tokens_details", "input_tokens_details"):
        cached += _count(_object(usage, details), "cached_tokens")
    reasoning = 0
    for details in ("completion_tokens_details", "output_tokens_details"):
        reasoning += _count(_object(usage, details), "reasoning_tokens")
    made = _count(usage, "completion_tokens", "output_tokens")
    return BatchUsage(given, made, cached, reasoning)


def _custom_id(record: Record) -> str | None:
    return record.metadata.get("custom_id")


def _why(batch: Batch, record: Record) -> tuple[str, str]:
    """Return the code and the sentence of a line that did not complete."""
    result = record.result
    if record.status is Status.EXPIRED:
        return "batch_expired", BATCH_ENDINGS["batch_expired"]
    if record.status is Status.CANCELLED and batch.status in _BEING_CANCELLED:
        return "batch_cancelled", BATCH_ENDINGS["batch_cancelled"]
    code = (result and result.code) or _CODES_WITHOUT_RESULT[record.status]
    return code, (result and result.message) or TERMINAL_CODES.get(code, code)


def _code(batch: Batch, code: str, status: int | None) -> str | int:
    if batch.terms.error_codes == "names":
        return code
    return status or _NUMBERS.get(code, 500)


def _response(record: Record, body: bytes | None) -> dict[str, Any] | None:
    """Return the answer, where there is one: a 2xx that could not be used is none."""
    result = record.result
    if result is None or result.status_code is None:
        return None
    if record.status is not Status.COMPLETED and result.status_code < _LEAST_ERROR:
        return None
    return {
        "status_code": result.status_code,
        "request_id": record.id,
        "body": json_value(body),
    }


def _line(
    request_id: str,
    custom_id: str | None,
    response: dict[str, Any] | None,
    error: dict[str, Any] | None,
) -> bytes:
    digits = request_id.removeprefix("req_")
    return one_line(
        {
            "id": f"batch_req_{digits}",
            "custom_id": custom_id,
            "response": response,
            "error": error and {**error, "message": sound_text(error["message"])},
        }
    )


def _object(parsed: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parsed.get(name)
    return value if isinstance(value, dict) else {}


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if type(value) is int and 0 <= value <= _MAX_TOKENS:
            return value
    return 0
