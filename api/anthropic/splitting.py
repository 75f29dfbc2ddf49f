"""The body of a batch of messages, taken apart as it comes: each request exactly as it was sent.

Nothing of it is parsed here. Brackets outside of texts are counted, and what lies in two of them is
cut out; whoever reads the pieces finds what is no JSON. What is left, with null in place of each
piece, is small, and is read as a whole at the end: so nothing passes that is not exactly
`{"requests": [...]}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from schemas.body import GAP, end_of, read_object
from schemas.errors import RequestError

_UP_TO_QUOTE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_QUOTE = ord('"')
# A request lies within the body's object and its list.
_DEPTH = 2


class Splitter:
    """Holds one request at a time, of at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self.count = 0
        self._most_bytes = most_bytes
        self._held = bytearray()
        self._around = bytearray()
        self._at = 0  # how far the held bytes were looked through
        self._depth = 0
        self._quoted = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the requests that end in `data`. Raises RequestError `body_too_large`."""
        self._held += data
        while self._to_bracket():
            if self._held[self._at] in b"{[":
                if self._depth == _DEPTH:
                    self._around += self._taken() + b"null"
                self._depth += 1
                self._at += 1
            else:
                self._depth -= 1
                self._at += 1
                if self._depth == _DEPTH:
                    yield self._request()
        if self._depth <= _DEPTH:
            self._around += self._taken()
        self._check(len(self._held))
        if len(self._around) > self._most_bytes:
            raise RequestError("body_too_large", "requests: Too much lies around them.", "requests")

    def end(self) -> None:
        """Check what was around the requests. Raises RequestError."""
        around = read_object(bytes(self._around + self._held))
        for key in around.members:
            if key != "requests":
                raise RequestError("invalid_body", f"{key[:100]}: Nothing takes this.", key[:100])
        requests = around.members.get("requests")
        if not isinstance(requests, list) or len(requests) != self.count:
            raise RequestError("invalid_body", "requests: Send a list of objects.", "requests")
        if not requests:
            raise RequestError("invalid_body", "requests: Send at least one request.", "requests")

    def _request(self) -> bytes:
        request = self._taken()
        self._check(len(request))
        self.count += 1
        return request

    def _check(self, size: int) -> None:
        if size > self._most_bytes:
            at = f"requests.{self.count}"
            raise RequestError("body_too_large", f"{at}: Over {self._most_bytes} bytes.", at)

    def _to_bracket(self) -> bool:
        """Look on to the next bracket outside of texts; False if more must come before."""
        while self._at < len(self._held):
            self._at = self._text_end() if self._quoted else end_of(GAP, self._held, self._at)
            following = self._held[self._at] if self._at < len(self._held) else None
            if following == _QUOTE:
                self._quoted = not self._quoted
                self._at += 1
            else:
                # Within a text it is a backslash, whose partner is still to come.
                return following is not None and not self._quoted
        return False

    def _text_end(self) -> int:
        """Return how far the text goes on: to its quote, or as far as is known."""
        held, at = self._held, self._at
        quote = held.find(b'"', at)
        end = len(held) if quote < 0 else quote
        return end if held.find(b"\\", at, end) < 0 else end_of(_UP_TO_QUOTE, held, at)

    def _taken(self) -> bytes:
        """Return what was looked through, and hold it no longer."""
        taken = bytes(self._held[: self._at])
        del self._held[: self._at]
        self._at = 0
        return taken
