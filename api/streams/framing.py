"""How a dialect words a stream, as server-sent events; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from broker.ports import Chunk
from broker.scheduling.outlook import Outlook
from schemas.lifecycle import Status
from schemas.record import Record


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with a request that has not ended; `changed` if its status was another."""

    record: Record
    outlook: Outlook
    changed: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The last step of a whole stream: everything was told before."""

    record: Record


@dataclass(frozen=True, slots=True)
class Broken:
    """The last step of a stream that cannot go on, whatever becomes of its request."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The last step of a stream whose process ends: another one can tell the rest."""


Step = Chunk | State | Ended | Broken | Leaving


class Framing(Protocol):
    """The words of one dialect. Each method returns whole events, or none: b"".

    `last` is the number of the last event that the reader has, -1 if none.
    """

    @property
    def tells_states(self) -> bool:
        """Whether a change of status is an event of this dialect, and not only a comment."""

    def opening(self, record: Record, /) -> bytes:
        """Return what comes before everything else, to a reader that starts from the beginning."""

    def state(self, state: State, /) -> bytes:
        """Return how it stands: told at the start, on changes, and where nothing else comes."""

    def chunk(self, chunk: Chunk, /) -> bytes:
        """Return an event of the answer."""

    def restarted(self, chunk: Chunk, /) -> bytes:
        """Return that all content before this chunk, which has none, is void."""

    def ended(self, record: Record, last: int, /) -> bytes:
        """Return the end of a stream that was told as a whole."""

    def broken(self, record: Record, broken: Broken, last: int, /) -> bytes:
        """Return the end of a stream that breaks off."""

    def leaving(self, record: Record, last: int, /) -> bytes:
        """Return the end of a stream that another process can go on with."""


def framed(framing: Framing, step: Step, record: Record, last: int) -> bytes:
    """Return the words for one step of the stream of `record`."""
    match step:
        case Chunk():
            return framing.chunk(step) if step.data else framing.restarted(step)
        case State():
            return framing.state(step)
        case Ended():
            return framing.ended(step.record, last)
        case Broken():
            return framing.broken(record, step, last)
        case Leaving():
            return framing.leaving(record, last)


def numbered(chunk: Chunk) -> bytes:
    """Return a chunk as an event under its number, as the backend sent it."""
    return b"id: %d\n%b\n\n" % (chunk.number, chunk.data)


def event(data: bytes, name: str | None = None, number: int | None = None) -> bytes:
    """Return an event of our own; `data` has no line breaks."""
    lines = [] if number is None else [b"id: %d" % number]
    if name is not None:
        lines.append(b"event: " + name.encode())
    return b"\n".join([*lines, b"data: " + data, b"", b""])


def comment(text: str) -> bytes:
    """Return a line that readers pass over; it keeps the connection open."""
    return f": {text}\n\n".encode()


def how_it_stands(state: State) -> bytes:
    """Return a state as a comment."""
    if state.record.status is not Status.QUEUED:
        return comment("running")
    words = ["queued"]
    outlook = state.outlook
    if outlook.position is not None:
        words.append(f"position {outlook.position}")
    if outlook.eta_s is not None:
        words.append(f"about {outlook.eta_s:.0f} s")
    if outlook.waiting_for is not None:
        words.append(f"waits for {outlook.waiting_for}")
    return comment(", ".join(words).replace("\n", " ").replace("\r", " "))


def going_away(last: int) -> bytes:
    """Return the comment of a process that ends, for readers that resume elsewhere."""
    place = "from the start" if last < 0 else f"from {last}"
    return comment(f"the server goes away; go on {place}")
