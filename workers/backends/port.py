"""The backend port: one call in, one answer or one named failure out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from broker.scheduling.retry import Failure
from schemas.result import Usage


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt: the body is the client's, with the model's name already replaced.

    `first_event` is the number that the first event of a stream will have.
    """

    request_id: str
    attempt: int
    endpoint: str
    body: bytes
    content_type: str
    timeout_s: float
    traceparent: str | None = None
    first_event: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that can be passed on byte for byte; `usage` where the backend told it.

    Of a stream, `body` holds every event that was passed on, each with a blank line behind it.
    `retry_after_s` is what a refusing backend asks for.
    """

    status_code: int
    content_type: str
    body: bytes
    usage: Usage | None = None
    retry_after_s: float | None = None


class CallFailed(Exception):
    """The call gave no usable 2xx answer; `answer` holds what the backend said, if anything.

    `retry_after_s` is the time for which it wants no further call, where it said so.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        answer: Answer | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.answer = answer
        self.retry_after_s = retry_after_s


class Sink(Protocol):
    """Where the events of a stream go, in order; it may let the backend wait."""

    async def __call__(self, data: bytes) -> None:
        """Take the lines of one event, as a `Chunk` of the event log holds them."""


class Backend(Protocol):
    """One protocol spoken to one backend's replicas."""

    async def call(self, url: str, call: Call) -> Answer:
        """Send one attempt to the replica at `url`. Raises CallFailed.

        A cancelled call closes its connection, so that the backend can stop computing.
        """

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        """Send one attempt that streams, and give each event to `sink` as it comes.

        Raises CallFailed, also after some were given. An answer has come to its proper end.
        """

    async def models(self, url: str) -> list[str]:
        """Return the names of the models the replica lists. Raises CallFailed."""
