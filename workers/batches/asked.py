"""What one line of a batch's file asks for, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol

import orjson

from schemas.batches import BatchTerms, LineError
from schemas.body import JsonObject, Span, read_object
from schemas.errors import BATCH_ERRORS, RequestError
from schemas.request import ENDPOINTS
from schemas.responses.asked import check_common, read_asked
from schemas.responses.told import ENDPOINT as RESPONSES
from schemas.tokens import input_tokens, most_output

MAX_CUSTOM_ID_CHARACTERS = 512
_MAX_MODEL_CHARACTERS = 200
_QUOTED_CHARACTERS = 100
_PARAM_CHARACTERS = 200
_PLACE = re.compile(r": line 1 column \d+ \(char (\d+)\)")
# The members in the order of OpenAI's own examples, with an id that needs no escapes.
_USUAL = re.compile(
    rb'\{\s*+"custom_id"\s*+:\s*+("[^"\\]{1,512}+")\s*+,\s*+"method"\s*+:\s*+"POST"\s*+,'
    rb'\s*+"url"\s*+:\s*+"([^"\\]*+)"\s*+,\s*+"body"\s*+:\s*+(?=\{)'
)


class BadLine(Exception):
    """A line that cannot be served; `mistake` does not know its number."""

    def __init__(self, mistake: LineError) -> None:
        self.mistake = mistake
        super().__init__(mistake.message)


class Opens(Protocol):
    """The models that a batch may ask for."""

    def __call__(self, asked: str) -> str:
        """Return the configured model that `asked` stands for.

        Raises BadLine `model_not_found` or `model_not_allowed`.
        """

    def natively(self, model: str) -> bool:
        """Tell whether every backend that can serve `model` serves Responses itself."""

    async def refresh(self) -> None:
        """Learn anew what is served, where that may have changed. Raises EngineError."""


@dataclass(slots=True)
class AskedLine:
    """What a line asks for: `body` as it is sent to the backend.

    `asked` is the name of the model in it, whose bytes lie at `model_span`; `model` the configured
    one that this stands for. `max_tokens` is the most output it asks for, None where it does not
    say.
    """

    custom_id: str
    asked: str
    model: str
    body: bytes
    model_span: Span
    input_tokens: int
    max_tokens: int | None


def read_line(data: bytes, terms: BatchTerms, opens: Opens) -> AskedLine:
    """Return what a line asks for. Raises BadLine, which names the first thing wrong."""
    custom_id, body = _usual(data, terms.endpoint) or _parts(data, terms.endpoint)
    try:
        asked = _model(body.members)
        _check_stream(body.members)
        model = opens(asked)
        if terms.endpoint == RESPONSES:
            _check_response(body.members, native=opens.natively(model))
    except BadLine as error:
        raise _of(custom_id, error) from None
    return AskedLine(
        custom_id=custom_id,
        asked=asked,
        model=model,
        body=body.raw,
        model_span=body.spans["model"],
        input_tokens=input_tokens(body.raw),
        max_tokens=most_output(terms.endpoint, body.members),
    )


def _usual(data: bytes, endpoint: str) -> tuple[str, JsonObject] | None:
    """Return the id and the body of a line as nearly all are written, in half the time.

    None for one that is otherwise, or wrong: what is behind the body's start is a body alone, or
    no JSON.
    """
    found = _USUAL.match(data)
    if found is None or found[2] != endpoint.encode() or not data.endswith(b"}"):
        return None
    try:
        return orjson.loads(found[1]), read_object(data[found.end() : -1].rstrip())
    except (orjson.JSONDecodeError, RequestError):
        return None


def _parts(data: bytes, endpoint: str) -> tuple[str, JsonObject]:
    """Return the id and the body of a line."""
    line = _line(data)
    custom_id = _custom_id(line.members)
    try:
        _check_method(line.members)
        _check_url(line.members.get("url"), endpoint)
        return custom_id, _body(line)
    except BadLine as error:
        raise _of(custom_id, error) from None


def _line(data: bytes) -> JsonObject:
    try:
        return read_object(data, "The line")
    except RequestError as error:
        sentence = _in_line(error.message)
        if b"\r" in data:
            sentence += " Lines end with LF or CRLF; a CR alone ends none."
        elif data.lstrip().startswith(b"["):
            sentence += " The file is no JSON array: write one object a line, without commas."
        _refuse("invalid_json_line", sentence, error.param and error.param[:_PARAM_CHARACTERS])


def _custom_id(members: Mapping[str, Any]) -> str:
    custom_id = members.get("custom_id")
    if custom_id is None:
        _refuse("missing_custom_id", None, "custom_id")
    if not isinstance(custom_id, str) or "\0" in custom_id:
        _refuse("invalid_custom_id", None, "custom_id")
    if not 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARACTERS:
        _refuse("invalid_custom_id", None, "custom_id")
    return custom_id


def _check_method(members: Mapping[str, Any]) -> None:
    if members.get("method") != "POST":
        _refuse("invalid_method", None, "method")


def _check_url(url: Any, endpoint: str) -> None:
    if url == endpoint:
        return
    if url in ENDPOINTS:
        _refuse(
            "url_mismatch",
            f"`url` is {url!r}, but the batch was created for {endpoint!r}; a batch asks one "
            "endpoint.",
            "url",
        )
    given = f"{url[:_QUOTED_CHARACTERS]!r}" if isinstance(url, str) else "no string"
    _refuse(
        "invalid_url", f"`url` must be {endpoint!r}, as the batch's endpoint; it is {given}.", "url"
    )


def _body(line: JsonObject) -> JsonObject:
    if not isinstance(line.members.get("body"), dict):
        _refuse("invalid_body", "`body` must be a JSON object: what the endpoint is sent.", "body")
    try:
        return line.inner("body", "`body`")
    except RequestError as error:
        _refuse("invalid_body", _short(error.message), _below("body", error.param))


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if model is None:
        _refuse("invalid_body", "`body.model` is missing; name a model.", "body.model")
    if not isinstance(model, str) or not 0 < len(model) <= _MAX_MODEL_CHARACTERS:
        _refuse(
            "invalid_body",
            f"`body.model` must be a string of 1 to {_MAX_MODEL_CHARACTERS} characters.",
            "body.model",
        )
    return model


def _check_stream(body: Mapping[str, Any]) -> None:
    stream = body.get("stream")
    if stream is None or stream is False:
        return
    if stream is True:
        _refuse("streaming_unsupported", None, "body.stream")
    _refuse("invalid_body", "`body.stream` must be false, or left out.", "body.stream")


def _check_response(body: Mapping[str, Any], *, native: bool) -> None:
    """Check a Responses body as its door does, where the answer is fetched later."""
    try:
        if native:
            check_common(body)
        else:
            read_asked(body)
    except RequestError as error:
        _refuse("invalid_body", _short(error.message), _below("body", error.param))
    if body.get("store") is False:
        _refuse(
            "invalid_body",
            "`store: false` cannot be asked for where the answer is fetched later; leave it out.",
            "body.store",
        )
    if body.get("background"):
        _refuse(
            "invalid_body",
            "Every line of a batch is in the background; leave `background` out.",
            "body.background",
        )
    if body.get("previous_response_id") is not None:
        _refuse(
            "invalid_body",
            "A line of a batch goes on from no Response; send the whole conversation in `input`.",
            "body.previous_response_id",
        )


def _of(custom_id: str, error: BadLine) -> BadLine:
    return BadLine(replace(error.mistake, custom_id=custom_id))


def _refuse(code: str, message: str | None, param: str | None) -> NoReturn:
    raise BadLine(LineError(code, message or BATCH_ERRORS[code], param=param))


def _below(place: str, param: str | None) -> str:
    return place if param is None else f"{place}.{param}"[:_PARAM_CHARACTERS]


def _short(message: str) -> str:
    most = 2 * _QUOTED_CHARACTERS
    return message if len(message) <= most else f"{message[:most]}…"


def _in_line(message: str) -> str:
    """Return the parser's sentence without its line number, which is 1 for every line."""
    return _short(_PLACE.sub(r", at character \1", message))
