"""The form of an upload (multipart/form-data), read as its bytes come; no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.part_head import PartHead
from schemas.errors import RequestError

_MULTIPART = b"multipart/form-data"
_FILE = "file"
_MAX_FIELD_BYTES = 1_024
# A name longer than it may be is refused for that, and not for its header.
_MAX_HEADER_BYTES = 32 * 1_024


class UploadForm:
    """A form with one file and small fields, in any order.

    `feed` it, then `end` it; both raise RequestError for what cannot be used.
    """

    def __init__(self, content_type: str, fields: tuple[str, ...]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != _MULTIPART or not boundary:
            raise RequestError(
                "unsupported_media_type", "Send a form: multipart/form-data with its boundary."
            )
        self._known = (*fields, _FILE)
        self._texts: dict[str, bytes] = {}
        self._file_name: bytes | None = None
        self._head = PartHead()
        self._part: str | None = None
        self._fresh: list[bytes] = []
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                **self._head.callbacks,
                "on_part_begin": self._on_part_begin,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
            max_header_size=_MAX_HEADER_BYTES,
        )

    def feed(self, data: bytes) -> list[bytes]:
        """Read on, and return what of the file has come."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise RequestError("invalid_body", f"The form cannot be read: {error}.") from None
        fresh, self._fresh = self._fresh, []
        return fresh

    def end(self) -> None:
        """Check that it has come whole, with its file."""
        if not self._ended:
            raise RequestError("invalid_body", "The form breaks off before its end.")
        if self._file_name is None:
            raise RequestError("invalid_body", "The form has no part named `file`.", _FILE)

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields that were given."""
        return {name: _text(name, value) for name, value in self._texts.items()}

    @property
    def file_name(self) -> str:
        """The name that the file was sent with."""
        return _text(_FILE, self._file_name or b"")

    def _on_part_begin(self) -> None:
        self._head.begin()
        self._part = None

    def _on_headers_finished(self) -> None:
        name = self._head.name.decode(errors="replace")
        if name not in self._known:
            raise RequestError("invalid_body", f"`{name[:100]}` is not known here.", name[:100])
        if name in self._texts or (name == _FILE and self._file_name is not None):
            raise RequestError("duplicate_key", f"The form has two parts named `{name}`.", name)
        if name != _FILE:
            self._texts[name] = b""
        elif self._head.file_name is None:
            raise RequestError(
                "invalid_body", "`file` must be a file, with its name (curl: -F file=@NAME).", name
            )
        else:
            self._file_name = self._head.file_name
        self._part = name

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        name = self._part
        if name == _FILE:
            self._fresh.append(data[start:end])
        elif name is not None:
            self._texts[name] += data[start:end]
            if len(self._texts[name]) > _MAX_FIELD_BYTES:
                raise RequestError(
                    "invalid_body", f"`{name}` is over {_MAX_FIELD_BYTES} bytes.", name
                )

    def _on_end(self) -> None:
        self._ended = True


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestError("invalid_body", f"`{name}` must be UTF-8.", name) from None
