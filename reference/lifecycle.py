"""The diagram of a request's states, from the table in schemas/lifecycle.py."""

from __future__ import annotations

from reference.drawing import Box, arrow
from reference.drawing import drawing as _drawing
from schemas.lifecycle import TERMINAL, TRANSITIONS, Status

_OPEN = [status for status in Status if status not in TERMINAL]
_ENDS = [status for status in Status if status in TERMINAL]
_SAID = {
    Status.QUEUED: "durable, waits its turn",
    Status.IN_PROGRESS: "one worker has it",
    Status.COMPLETED: "a backend answered 2xx",
    Status.FAILED: "the error says why",
    Status.CANCELLED: "by the client",
    Status.EXPIRED: "past its deadline",
}
_BENDS = (-14, 14)


def drawing() -> str:
    """Return the picture: open states on the left, ends on the right."""
    boxes = {
        status: Box(120, 80 + 150 * row, status, _SAID[status], 190, 54, strong=True)
        for row, status in enumerate(_OPEN)
    }
    boxes |= {
        status: Box(560, 40 + 76 * row, status, _SAID[status], 190, 54)
        for row, status in enumerate(_ENDS)
    }
    arrows = [
        _arrow(boxes[status], boxes[after])
        for status, following in TRANSITIONS.items()
        for after in Status
        if after in following
    ]
    elements = [*arrows, *(box.svg() for box in boxes.values())]
    return _drawing(680, 310, "The states of a request and how it moves between them", elements)


def _arrow(start: Box, end: Box) -> str:
    if start.x == end.x:
        down = start.y < end.y
        x = start.x + _BENDS[down]
        away = start.height // 2 if down else -start.height // 2
        return arrow(f"M{x} {start.y + away}L{x} {end.y - away}")
    left, right = start.x + start.width // 2, end.x - end.width // 2
    bend = (right - left) // 2
    return arrow(
        f"M{left} {start.y}C{left + bend} {start.y} {right - bend} {end.y} {right} {end.y}"
    )
