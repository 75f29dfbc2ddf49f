"""Submissions that come at the same time go up in one call, each still a request of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from threading import Lock
from typing import Any

from penstock.calls import Answer, Call
from penstock.errors import PenstockError, Unreachable

# So much goes up at once: the answer to it fits into what lies between the server and a client
# that reads nothing before all is sent, and a proxy that limits bodies at 1 MB lets it through.
MOST_LINES, MOST_BYTES = 500, 512 * 1024
_PATH, _KEY = "/v1/requests:bulk", "Idempotency-Key"
# An older server has no such path.
_UNKNOWN_PATH = (404, 405)
_DAY_S = 86_400.0


class Waiting:
    """A submission that goes up with others, and what came of it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer: Answer | None = None
        self.error: PenstockError | None = None

    @property
    def told(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None


class Together:
    """What waits to go up; no I/O. With `alone`, each submission is to be sent by itself."""

    def __init__(self) -> None:
        self.alone = False
        self._waiting: deque[Waiting] = deque()

    def add(self, call: Call) -> Waiting:
        """Take in a submission, which has an idempotency key."""
        self._waiting.append(waiting := Waiting(call))
        return waiting

    def take(self) -> list[Waiting]:
        """Remove what goes up next: at least one."""
        some, size = [self._waiting.popleft()], 0
        while self._waiting and len(some) < MOST_LINES:
            size += len(some[-1].call.content or b"")
            if size + len(self._waiting[0].call.content or b"") > MOST_BYTES:
                break
            some.append(self._waiting.popleft())
        return some

    def settle(self, some: Sequence[Waiting], answer: Answer) -> None:
        """Hand the answer out: to one alone as it is, to many line by line."""
        if len(some) == 1:
            some[0].answer = answer
        elif answer.status in _UNKNOWN_PATH:
            self.alone = True
        elif answer.status != 200:
            for each in some:
                each.answer = answer
        else:
            _hand_out(some, answer)

    def fail(self, some: Sequence[Waiting], error: PenstockError) -> None:
        """Tell of an error that concerns all of them."""
        for each in some:
            each.error = error

    def put_back(self, some: Sequence[Waiting]) -> None:
        """Let what was taken go up later: nobody knows what came of it."""
        self._waiting.extendleft(reversed(some))


def call_of(some: Sequence[Waiting]) -> Call:
    """Return the call that submits these."""
    if len(some) == 1:
        return some[0].call
    lines = b"".join(_line(each.call) + b"\n" for each in some)
    return Call("POST", _PATH, headers={"Content-Type": "application/x-ndjson"}, content=lines)


class Submitter:
    """Sends submissions for any number of threads: what comes during one call makes the next."""

    def __init__(self, send: Callable[[Call], Answer]) -> None:
        self._send = send
        self._together = Together()
        self._sending = Lock()

    def send(self, call: Call) -> Answer:
        """Return the answer to a submission, as if it had been sent by itself."""
        waiting = self._together.add(call)
        with self._sending:
            while not waiting.told and not self._together.alone:
                self._send_some()
        return _answer_of(waiting) or self._send(call)

    def _send_some(self) -> None:
        some = self._together.take()
        try:
            self._together.settle(some, self._send(call_of(some)))
        except PenstockError as error:
            self._together.fail(some, error)


class AsyncSubmitter:
    """Sends submissions for any number of tasks: what comes during one call makes the next."""

    def __init__(self, send: Callable[[Call], Awaitable[Answer]]) -> None:
        self._send = send
        self._together = Together()
        self._sending = asyncio.Lock()

    async def send(self, call: Call) -> Answer:
        """Return the answer to a submission, as if it had been sent by itself."""
        waiting = self._together.add(call)
        async with self._sending:
            while not waiting.told and not self._together.alone:
                await self._send_some()
        return _answer_of(waiting) or await self._send(call)

    async def _send_some(self) -> None:
        some = self._together.take()
        try:
            self._together.settle(some, await self._send(call_of(some)))
        except PenstockError as error:
            self._together.fail(some, error)
        except BaseException:
            # The task that sends for others was cancelled: another one does.
            self._together.put_back(some)
            raise


def _answer_of(waiting: Waiting) -> Answer | None:
    if waiting.error is not None:
        raise waiting.error
    return waiting.answer


def _line(call: Call) -> bytes:
    """Return the submission as a line; the server knows it as the one that `call` would make."""
    named = json.dumps({"idempotency_key": call.headers[_KEY]})[:-1]
    return named.encode() + b", " + (call.content or b"{}")[1:]


def _hand_out(some: Sequence[Waiting], answer: Answer) -> None:
    for told in _objects(answer.content):
        number = told.get("line", 0)
        if isinstance(number, int) and 1 <= number <= len(some):
            some[number - 1].answer = _as_alone(some[number - 1].call, told)
    for each in some:
        if each.answer is None:
            each.error = Unreachable("the answer was cut short before it came to this request")


def _objects(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON lines; the last line may have been cut."""
    for line in content.split(b"\n"):
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            yield told


def _as_alone(call: Call, told: dict[str, Any]) -> Answer:
    """Return a line as the answer that the submission would have got by itself.

    Of a request that was accepted it holds what is known here; one that has ended meanwhile is told
    as running, since how it ended is still to be read.
    """
    if "id" not in told:
        wait_s = told.get("retry_after_s")
        headers = {} if wait_s is None else {"retry-after": str(wait_s)}
        return Answer(told.get("status_code", 500), headers, json.dumps(told).encode())
    asked, now = json.loads(call.content or b"{}"), time.time()
    known = {
        "object": "request",
        "id": told["id"],
        "status": "queued" if told.get("status") == "queued" else "in_progress",
        "model": asked.get("model") or asked["body"].get("model", ""),
        "endpoint": asked.get("endpoint", "/v1/chat/completions"),
        "priority": asked.get("priority", "normal"),
        "tenant": "",
        "created_at": now,
        "deadline": asked.get("deadline", now + asked.get("timeout_s", _DAY_S)),
        "attempts": 0,
        "metadata": asked.get("metadata", {}),
    }
    return Answer(202, {}, json.dumps(known).encode())
