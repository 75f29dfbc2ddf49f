"""A form (multipart/form-data) as an Intake: only the part named `model` is looked at.

The form travels as it came; the worker replaces exactly the bytes of that part.
"""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api import preferences
from api.exchange import Exchange
from api.intake import Intake
from api.part_head import PartHead
from api.reading import check_model
from schemas.body import Span
from schemas.config import ServerConfig
from schemas.errors import RequestError

_MAX_PARTS = 100
_TRUE = (b"true", b"True", b"1")


def posted(
    raw: bytes, content_type: str, endpoint: str, exchange: Exchange, server: ServerConfig
) -> Intake:
    """Return the Intake of a posted form. Raises RequestError."""
    form = _Form(raw, content_type)
    if raw[slice(*form.spans.get(b"stream", (0, 0)))] in _TRUE:
        raise RequestError("streaming_unsupported", param="stream")
    if b"model" not in form.spans:
        raise RequestError("invalid_body", "The form has no part named `model`.", param="model")
    span = form.spans[b"model"]
    try:
        model = check_model(raw[slice(*span)].decode())
    except UnicodeDecodeError:
        raise RequestError("invalid_body", "`model` must be UTF-8.", param="model") from None
    return Intake(
        path=endpoint,
        sent=raw,
        body=raw,
        model=model,
        model_span=span,
        endpoint=endpoint,
        terms=preferences.terms_of_call(exchange, server, endpoint),
        content_type=content_type,
    )


class _Form:
    """The byte range of each part's content, by the part's name. Raises RequestError."""

    def __init__(self, raw: bytes, content_type: str) -> None:
        self.spans: dict[bytes, Span] = {}
        self._parts = 0
        self._head = PartHead()
        self._start, self._end = 0, 0
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise RequestError("invalid_body", "The form's content type names no boundary.")
        parser = MultipartParser(
            boundary,
            {
                **self._head.callbacks,
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
            },
        )
        try:
            parser.write(raw)
            parser.finalize()
        except FormParserError as error:
            raise RequestError("invalid_body", f"The form cannot be read: {error}.") from None
        if not self._parts:
            raise RequestError("invalid_body", "The form has no parts.")

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise RequestError("invalid_body", f"The form has more than {_MAX_PARTS} parts.")
        self._head.begin()
        self._start = self._end = 0

    def _on_part_data(self, _data: bytes, start: int, end: int) -> None:
        self._start = self._start or start
        self._end = end

    def _on_part_end(self) -> None:
        name = self._head.name
        if name == b"model" and name in self.spans:
            raise RequestError("duplicate_key", "The form has two parts named `model`.", "model")
        self.spans[name] = (self._start, self._end)
