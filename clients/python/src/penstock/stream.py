"""A streamed answer for programs that wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from penstock import calls
from penstock.calls import Call
from penstock.errors import Refused, Unreachable
from penstock.lifetime import Closing
from penstock.retrying import Patience
from penstock.shapes import Request
from penstock.streaming import BROKE_OFF, Chunk, Course, ServerEvent, joined


class Stream(Closing):
    """The chunks of one answer, each once and in order, also over a connection that breaks.

    A loop over it ends when the request has completed. It raises RequestFailed for any other end,
    StreamInterrupted where what was shown is void, Unreachable when the server stays away. A stream
    that is left early does not cancel its request.

    >>> import penstock
    >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
    >>> with penstock.Client() as client, client.stream(body) as stream:
    ...     print(stream.text())
    ...     print(stream.request.status)
    echo ...
    completed
    """

    def __init__(
        self,
        events: Callable[[Call], Generator[ServerEvent, None, None]],
        course: Course,
        retries: int,
    ) -> None:
        self._events = events
        self._course = course
        self._retries = retries
        self._chunks = self._read()

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    @property
    def request(self) -> Request:
        """The request as the server last told it."""
        return self._course.request

    def close(self) -> None:
        """Stop reading.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client:
        ...     client.stream(body).close()
        """
        self._chunks.close()

    def text(self) -> str:
        """Return the whole text of the answer once it is there.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client:
        ...     print(client.stream(body).text())
        echo ...
        """
        text = ""
        for chunk in self:
            text = joined(text, chunk)
        return text

    def _read(self) -> Generator[Chunk, None, None]:
        patience = Patience(self._retries)
        while True:
            failure: Unreachable | Refused = Unreachable(BROKE_OFF)
            try:
                call = calls.following(self.request, self._course.after)
                with closing(self._events(call)) as events:
                    for event in events:
                        patience.renew()
                        if (chunk := self._course.take(event)) is not None:
                            yield chunk
                        if self._course.over:
                            return
            except (Unreachable, Refused) as error:
                failure = error
            pause_s = patience.pause_s(failure)
            if pause_s is None:
                raise failure
            time.sleep(pause_s)
