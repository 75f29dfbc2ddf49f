"""Server-sent events out of bytes that come in any pieces, within bounded memory."""

from __future__ import annotations

from broker.scheduling.retry import Failure
from workers.backends.port import CallFailed

MAX_EVENT_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEPT = frozenset({b"data", b"event"})


class EventParser:
    """Cuts a stream into its events, each as its lines `event:` and `data:` joined by LF.

    Comments, ids, hints when to reconnect, and events without data are dropped, as the
    specification of server-sent events has a reader do. Raises CallFailed (unusable) for an event
    that is too large.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._line = bytearray()
        self._lines: list[bytes] = []
        self._size = 0
        self._has_data = False
        self._at_start = True
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that end in `piece`, the next part of the stream."""
        if self._after_cr and piece:
            # The line feed of a CRLF whose halves came apart ends no second line.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        events: list[bytes] = []
        for line in piece.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self._line += text
            self._check_size()
            if len(text) < len(line):
                self._end_line(events)
        self._after_cr = piece.endswith(b"\r")
        return events

    def end(self) -> list[bytes]:
        """Return the event that the stream's end has cut off from its blank line, if any."""
        events: list[bytes] = []
        self._end_line(events)
        self._end_event(events)
        return events

    def _end_line(self, events: list[bytes]) -> None:
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._at_start = False
        if not line:
            self._end_event(events)
            return
        field = line.partition(b":")[0]
        if field in _KEPT:
            self._lines.append(line)
            self._size += len(line) + 1
            self._has_data = self._has_data or field == b"data"

    def _end_event(self, events: list[bytes]) -> None:
        if self._has_data:
            events.append(b"\n".join(self._lines))
        self._lines.clear()
        self._size = 0
        self._has_data = False

    def _check_size(self) -> None:
        if self._size + len(self._line) > self._max_bytes:
            raise CallFailed(
                Failure.UNUSABLE,
                f"an event of the backend's stream is over {self._max_bytes} bytes",
            )


def data_of(event: bytes) -> bytes:
    """Return the data of an event: its data lines' values, joined by LF."""
    values = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values)
