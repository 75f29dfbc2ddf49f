"""The client for programs that wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING, Any, Unpack

from penstock import calls
from penstock.access import PATIENCE_S, POLL_S, RETRIES, Access
from penstock.calls import Answer, Call
from penstock.errors import PenstockError, Refused, TimedOut, Unreachable
from penstock.lifetime import Closing
from penstock.mapping import AT_ONCE, Outcome, Progress, Window, length_of, options_of
from penstock.retrying import Patience
from penstock.shapes import Options, Request, Result
from penstock.stream import Stream
from penstock.streaming import Course
from penstock.together import Submitter

if TYPE_CHECKING:
    import httpx2

# So soon a `map` that is left notices it.
_MAP_POLL_S = 5.0


class Client(Closing):
    """A Penstock over HTTP, for any number of threads.

    `base_url` is PENSTOCK_URL if it is not given, `api_key` PENSTOCK_API_KEY. A call that meets no
    answer, a full queue or a failing server is made again, `retries` times with growing pauses and
    never sooner than the server asks; a submission that is repeated is still one request.
    Each method raises Unreachable or Refused when that did not help.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     request = client.submit({"model": "llama3.2", "messages": []})
    ...     print(client.result(request).body["object"])
    chat.completion
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        retries: int = RETRIES,
        timeout_s: float = PATIENCE_S,
        http: httpx2.Client | None = None,
    ) -> None:
        """Make a client; `timeout_s` is how long one try may take, `http` another HTTP client."""
        self._access = Access.given(base_url, api_key)
        self._retries = retries
        # The HTTP client is most of what importing this costs; not all who import it call.
        from penstock.transport import Transport

        self._transport = Transport(self._access, timeout_s, http)

    def close(self) -> None:
        """Close every connection.

        >>> import penstock
        >>> penstock.Client().close()
        """
        self._transport.close()

    def submit(self, body: Mapping[str, Any], **options: Unpack[Options]) -> Request:
        """Hand in a request, which is durable from then on, and return it.

        `body` is the backend's own JSON.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client:
        ...     request = client.submit(body, priority="low", timeout_s=3600)
        >>> request.priority
        'low'
        """
        return self._request(calls.submission(body, options))

    def get(self, request: Request | str) -> Request:
        """Return a request as it is now.

        >>> import penstock
        >>> with penstock.Client() as client:
        ...     request = client.submit({"model": "llama3.2", "messages": []})
        ...     print(client.get(request.id).model)
        llama3.2
        """
        return self._request(calls.reading(request))

    def wait(self, request: Request | str, timeout_s: float | None = None) -> Request:
        """Return a request once it has ended, however it did. Raises TimedOut.

        >>> import penstock
        >>> with penstock.Client() as client:
        ...     request = client.submit({"model": "llama3.2", "messages": []})
        ...     print(client.wait(request, timeout_s=60).status)
        completed
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = POLL_S if until is None else min(until - time.monotonic(), POLL_S)
            found = self._request(calls.reading(request, max(left_s, 0.0)))
            if found.ended:
                return found
            if until is not None and time.monotonic() >= until:
                raise TimedOut(found, timeout_s or 0.0)

    def result(self, request: Request | str, timeout_s: float | None = None) -> Result:
        """Wait for a request and return its result. Raises RequestFailed, TimedOut.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client:
        ...     print(client.result(client.submit(body)).text)
        echo ...
        """
        return self._result(self.wait(request, timeout_s))

    def cancel(self, request: Request | str) -> Request:
        """Cancel a request, wherever it is, and return it; one that has ended stays as it is.

        >>> import penstock
        >>> with penstock.Client() as client:
        ...     request = client.submit({"model": "slow", "messages": []})
        ...     print(client.cancel(request).status)
        cancelled
        """
        return self._request(calls.cancelling(request))

    def stream(self, body: Mapping[str, Any], **options: Unpack[Options]) -> Stream:
        """Hand in a request and return its answer while it is made.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client, client.stream(body) as stream:
        ...     for chunk in stream:
        ...         print(chunk.text, end="")
        echo ...
        """
        return self.resume(self._request(calls.submission(body, options, stream=True)))

    def resume(self, request: Request | str, after: int = -1) -> Stream:
        """Return the streamed answer of a request behind the chunk numbered `after`.

        >>> import penstock
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client:
        ...     with client.stream(body) as stream:
        ...         first = next(iter(stream))
        ...     rest = list(client.resume(stream.request, after=first.number))
        >>> rest[0].number > first.number
        True
        """
        known = request if isinstance(request, Request) else self.get(request)
        return Stream(self._transport.events, Course(known, after), self._retries)

    def map(
        self,
        bodies: Iterable[Mapping[str, Any]],
        *,
        at_once: int = AT_ONCE,
        ordered: bool = True,
        progress: Callable[[Progress], object] | None = None,
        run: str | None = None,
        **options: Unpack[Options],
    ) -> Generator[Outcome, None, None]:
        """Hand in a request for each of `bodies` and yield how each ended, in their order.

        Not `ordered`, they come as they end. At most `at_once` are under way or not yet taken: a
        loop that is slow to take them slows down how `bodies` is read, and a full queue is waited
        for. `progress` is called as requests end. A map that is made again with the same `run`,
        bodies and options finds the requests that it had handed in before.

        >>> import penstock
        >>> questions = [{"model": "llama3.2", "messages": [
        ...     {"role": "user", "content": f"Name fruit {number}."}]} for number in range(5)]
        >>> with penstock.Client() as client:
        ...     answers = [outcome.unwrap().text for outcome in client.map(questions)]
        >>> len(answers)
        5
        """
        stopped, submitter = Event(), Submitter(self._transport.send)
        window: Window[Future[Outcome]] = Window(
            at_once, length_of(bodies), progress, ordered=ordered
        )
        pool = ThreadPoolExecutor(at_once, "penstock-map")
        try:
            for index, body in enumerate(bodies):
                while window.full:
                    wait(window.pending, return_when=FIRST_COMPLETED)
                    yield from window.take()
                own = options_of(index, body, run, options)
                window.add(pool.submit(self._outcome, index, body, own, submitter, stopped))
            while window:
                wait(window.pending, return_when=FIRST_COMPLETED)
                yield from window.take()
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _outcome(
        self,
        index: int,
        body: Mapping[str, Any],
        options: Options,
        submitter: Submitter,
        stopped: Event,
    ) -> Outcome:
        """Take one request of a map to its end."""
        request = None
        try:
            submission = calls.submission(body, options)
            answer = self._patiently(submitter.send, submission, stopped)
            request = calls.request_in(answer, self._access.base)
            while not request.ended and not stopped.is_set():
                request = self._request(calls.reading(request, _MAP_POLL_S))
            result = self._result(request) if request.ended else None
        except PenstockError as error:
            return Outcome(index, body, request, error=error)
        return Outcome(index, body, request, result)

    def _result(self, ended: Request) -> Result:
        request = calls.completed(ended)
        inline = calls.inline_result(request)
        return inline or Result(request, calls.content_of(self._answer(calls.answering(request))))

    def _request(self, call: Call) -> Request:
        return calls.request_in(self._answer(call), self._access.base)

    def _answer(self, call: Call) -> Answer:
        return self._patiently(self._transport.send, call, None)

    def _patiently(
        self, send: Callable[[Call], Answer], call: Call, stopped: Event | None
    ) -> Answer:
        """Make a call, again where that can help; with `stopped`, wait for room until it is set."""
        patience = Patience(self._retries, waits_for_room=stopped is not None)
        while True:
            try:
                return calls.checked(send(call), self._access.base)
            except (Unreachable, Refused) as error:
                pause_s = patience.pause_s(error)
                if pause_s is None or (stopped is not None and stopped.is_set()):
                    raise
            time.sleep(pause_s)
