"""The head of a part of a form (multipart/form-data, RFC 7578), read as its bytes come; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


class PartHead:
    """What `Content-Disposition` says of the part that is being read."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget the part before."""
        self.name = b""
        # None where the part is no file.
        self.file_name: bytes | None = None
        self._field = self._value = b""

    @property
    def callbacks(self) -> MultipartCallbacks:
        """What a MultipartParser must call for it."""
        return {
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_end,
        }

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            options = parse_options_header(self._value)[1]
            self.name, self.file_name = options.get(b"name", b""), options.get(b"filename")
        self._field = self._value = b""
