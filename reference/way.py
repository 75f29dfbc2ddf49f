"""The diagram of a request's way through the parts."""

from __future__ import annotations

from reference.drawing import Box, arrow, label
from reference.drawing import drawing as _drawing

_Y = 70
_BOXES = (
    Box(75, _Y, "client", "HTTP", 110),
    Box(250, _Y, "door", "checks, makes durable", 160),
    Box(450, _Y, "queue", "model and priority", 150, strong=True),
    Box(650, _Y, "pool", "order, slots, claim", 160),
    Box(850, _Y, "backend", "your model server", 150),
)
_STORE = Box(450, 210, "store", "record and result", 150, strong=True)
_STEPS = ("1 request", "3 message", "4 delivery", "5 call")


def drawing() -> str:
    """Return the picture."""
    elements = [box.svg() for box in (*_BOXES, _STORE)]
    for left, right, said in zip(_BOXES, _BOXES[1:], _STEPS, strict=False):
        start, end = left.x + left.width // 2, right.x - right.width // 2
        elements.append(arrow(f"M{start} {_Y}L{end} {_Y}"))
        elements.append(label((start + end) // 2, 32, said, "small"))
    elements += [
        arrow("M250 95L250 202L375 202"),
        label(258, 150, "2 record; then 202", "small left"),
        arrow("M650 95L650 202L525 202"),
        label(658, 150, "6 commit, then ack", "small left"),
        arrow("M375 222L75 222L75 95"),
        label(83, 214, "7 result: held call, ?wait=", "small left"),
    ]
    return _drawing(940, 250, "The way of a request through Penstock", elements)
