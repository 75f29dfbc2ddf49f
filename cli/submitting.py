"""`penstock submit`: JSON lines in, results out in the same order, progress on standard error.

Three stages, each in the order of the input and each bounded: requests are submitted, their ids
wait in line, the results of the next few are read. However large a file is, the memory it takes
is that of the requests and results under way and of some thousand ids.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from cli.client import Access, Client, Refused, Unreachable, connect
from cli.flow import arriving, in_order
from cli.handing_in import HandingIn
from cli.lines import Defaults, Line, counted, lines, opened
from cli.outcome import FAILED, INTERRUPTED, OK, exit_code_of
from cli.progress import Bar
from cli.showing import print_json, say
from schemas.errors import ConfigError

_IN_FLIGHT = 64
_CALLS_AT_ONCE = 4
_IN_LINE = 4_096
_WAIT_S = 30
_PATIENCE_S = 60.0
_LAST_ANSWERS_S = 5.0
_OPEN = ("queued", "in_progress")
_FULL = ("queue_full", "tenant_queue_full")
_MAX_PREFIX = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Submission:
    """What is submitted and how it is shown; `file` is ignored when there is a `prompt`."""

    file: str
    prompt: str | None
    defaults: Defaults
    key_prefix: str
    wait: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.prompt is not None and self.defaults.model is None:
            raise ConfigError("--prompt needs --model.")
        prefix = self.key_prefix
        if not (prefix.isascii() and prefix.isprintable()) or " " in prefix or not prefix:
            raise ConfigError("--idempotency-prefix must be visible ASCII characters.")
        if len(prefix) > _MAX_PREFIX:
            raise ConfigError(f"--idempotency-prefix is longer than {_MAX_PREFIX} characters.")

    def open(self) -> tuple[Iterator[Line], int | None]:
        """Return the requests and how many they are, None if unknown. Raises ConfigError."""
        if self.prompt is not None:
            body = {"messages": [{"role": "user", "content": self.prompt}]}
            return iter([Line(1, orjson.dumps(self.defaults.request(body)))]), 1
        stream = opened(self.file)
        if stream.isatty():
            say("reads requests from the terminal, one JSON body a line; Ctrl-D ends them.")
        total = counted(stream, self.file)
        return lines(stream, self.file, self.defaults), total


def run(access: Access, submission: Submission) -> int:
    """Submit everything and return the exit code: 0, 1 if any failed, 3 unreachable, 130."""
    requests, total = submission.open()
    return exit_code_of(_run(access, submission, requests, total))


async def _run(
    access: Access, submission: Submission, requests: Iterator[Line], total: int | None
) -> int:
    async with connect(access) as client:
        with Bar(total) as bar:
            course = _Course(client, submission, bar)
            return await course.run(requests)


class _Course:
    """One run over the input: what was accepted, what has ended, when to stop."""

    def __init__(self, client: Client, submission: Submission, bar: Bar) -> None:
        self._client = client
        self._submission = submission
        whole = submission.as_json and not submission.wait
        self._handing_in = HandingIn(client, submission.key_prefix, whole=whole)
        self._bar = bar
        self._began = time.monotonic()
        self._stopping = asyncio.Event()
        # How many lines each of them has sent.
        self._submitting: dict[asyncio.Task[Any], int] = {}
        self._met_server = False
        self._note = ""
        self._accepted = self._unanswered = self._printed = self._ended = self._failed = 0

    async def run(self, requests: Iterator[Line]) -> int:
        """Submit, wait, print; stop at the first Ctrl-C. Returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._stop)
        work = asyncio.create_task(self._print_all(requests))
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if work.done():
            if work.exception() is not None and self._accepted:
                self._tell_stop()
            await work
            self._tell_end()
            return FAILED if self._failed else OK
        if self._submitting:
            await asyncio.wait(self._submitting, timeout=_LAST_ANSWERS_S)
            self._unanswered = sum(self._submitting.values())
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        self._tell_stop()
        return INTERRUPTED

    def _stop(self) -> None:
        self._stopping.set()
        # A second Ctrl-C ends the process at once.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    async def _print_all(self, requests: Iterator[Line]) -> None:
        async with (
            aclosing(self._arriving(requests)) as arrived,
            aclosing(in_order(arrived, self._submit, _CALLS_AT_ONCE)) as answered,
            aclosing(_each(answered)) as accepted,
            aclosing(in_order(accepted, _itself, _IN_LINE)) as in_line,
            aclosing(in_order(in_line, self._result, _IN_FLIGHT)) as results,
        ):
            async for done in results:
                self._ended += 1
                ok = done["status"] == "completed" if self._submission.wait else done["id"]
                self._failed += not ok
                self._printed += done["id"] is not None
                print_json(done if self._submission.as_json else _short(done), indented=False)
                self._bar.show(self._ended, self._failed, self._note)

    async def _arriving(self, requests: Iterator[Line]) -> AsyncGenerator[list[Line], None]:
        async with aclosing(arriving(requests, lambda line: len(line.request))) as arrived:
            async for some in arrived:
                if self._stopping.is_set():
                    return
                yield some

    async def _submit(self, lines: list[Line]) -> list[dict[str, Any]]:
        """Return each request's object, or one with the status `refused`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  because this runs as a task of in_order
        told: dict[int, dict[str, Any]] = {}

        async def submit_rest() -> None:
            left = [line for line in lines if line.number not in told]
            self._submitting[task] = len(left)
            outcomes = await self._handing_in.submit(left)
            self._met_server |= not all(isinstance(each, Unreachable) for each in outcomes)
            troubles = []
            for line, outcome in zip(left, outcomes, strict=True):
                if isinstance(outcome, dict):
                    told[line.number] = outcome
                elif _passes(outcome):
                    troubles.append(outcome)
                elif isinstance(outcome, Refused):
                    told[line.number] = _refused(outcome)
            if troubles:
                raise troubles[0]

        try:
            await self._patiently(submit_rest)
        except Refused as error:
            if error.status == 401:
                raise
            told |= {n: _refused(error) for line in lines if (n := line.number) not in told}
        finally:
            self._submitting.pop(task, None)
            self._accepted += sum(one["id"] is not None for one in told.values())
        return [told[line.number] for line in lines]

    async def _result(self, accepted: dict[str, Any]) -> dict[str, Any]:
        request_id = accepted["id"]
        if request_id is None or not self._submission.wait:
            return accepted
        found = accepted
        while found["status"] in _OPEN or found is accepted:
            found = await self._patiently(lambda: self._client.read(request_id, _WAIT_S))
        return found

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call, which must be harmless to repeat, over what passes.

        A full queue is waited for without end. A server that once answered may be away for
        `_PATIENCE_S`, one that never did may not.
        """
        pause_s, gives_up_at = 0.25, time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = await call()
                self._met_server, self._note = True, ""
                return answer
            except Unreachable:
                if not self._met_server or time.monotonic() > gives_up_at:
                    raise
                self._wait_for("the server")
            except Refused as error:
                full = error.code in _FULL
                if not _passes(error) or (not full and time.monotonic() > gives_up_at):
                    raise
                self._wait_for("room in the queue" if full else "the server")
                pause_s = max(pause_s, error.retry_after_s or 0)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)

    def _wait_for(self, what: str) -> None:
        self._note = f"(waits for {what})"
        self._bar.show(self._ended, self._failed, self._note)

    def _tell_end(self) -> None:
        if self._ended == 1:
            return
        took_s = time.monotonic() - self._began
        what = "completed" if self._submission.wait else "accepted"
        say(f"{self._ended - self._failed:,} {what}, {self._failed:,} failed in {took_s:.1f} s.")

    def _tell_stop(self) -> None:
        told = f"stopped: {self._accepted:,} accepted, {self._printed:,} of them printed."
        if self._unanswered:
            told += f" {self._unanswered:,} more were sent and not answered."
        if self._accepted + self._unanswered > self._printed:
            told += " What is not printed runs on; `penstock status` shows what waits."
        if self._accepted or self._unanswered:
            told += (
                " To go on where this ended, give the same input and add --idempotency-prefix "
                f"{self._submission.key_prefix}: nothing runs twice."
            )
        say(told)


async def _each(groups: AsyncGenerator[list[T], None]) -> AsyncGenerator[T, None]:
    async with aclosing(groups):
        async for group in groups:
            for item in group:
                yield item


async def _itself(item: dict[str, Any]) -> dict[str, Any]:
    return item


def _passes(error: Refused | Unreachable) -> bool:
    """Tell whether it helps to wait and try again."""
    if isinstance(error, Unreachable):
        return True
    return error.code in _FULL or error.status == 503


def _refused(error: Refused) -> dict[str, Any]:
    told = {"code": error.code, "message": str(error)}
    return {"id": None, "status": "refused", "error": told}


def _short(done: dict[str, Any]) -> dict[str, Any]:
    """Return id, status and the part that matters: the text, the answer, or the error."""
    short: dict[str, Any] = {"id": done["id"], "status": done["status"]}
    if done.get("error"):
        short["error"] = done["error"]["message"]
    elif done.get("response"):
        body = done["response"]["body"]
        text = _chat_text(body)
        short["text" if text is not None else "response"] = body if text is None else text
    return short


def _chat_text(body: Any) -> str | None:
    try:
        content = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return None
    return content if isinstance(content, str) else None
