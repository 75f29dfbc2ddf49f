"""`penstock submit`: JSON lines in, results out in the same order, progress on standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import Client, Refused, Unreachable, connect
from schemas.errors import ConfigError

_IN_FLIGHT = 64
_WAIT_S = 30
_WHOLE_REQUEST_KEYS = frozenset({"body", "endpoint"})
_UNAVAILABLE = 503
_TRIES = 6


@dataclass(frozen=True, slots=True)
class Submission:
    """What is submitted and how it is shown; `file` is ignored when there is a `prompt`."""

    file: str
    model: str | None
    prompt: str | None
    priority: str | None
    wait: bool
    as_json: bool

    def requests(self) -> list[dict[str, Any]]:
        """Return the native requests. Raises ConfigError for a line that is none."""
        if self.prompt is not None:
            lines = [_prompted(self.prompt, self.model)]
        else:
            lines = list(_lines(self.file))
        return [_request(line, self.model, self.priority) for line in lines]


def run(url: str, submission: Submission) -> int:
    """Submit everything and return the exit code: 0, 1 if any failed, 3 if unreachable."""
    requests = submission.requests()
    try:
        return asyncio.run(
            _submit_all(url, requests, wait=submission.wait, as_json=submission.as_json)
        )
    except Unreachable as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 3


def _prompted(prompt: str, model: str | None) -> dict[str, Any]:
    if model is None:
        raise ConfigError("--prompt needs --model.")
    return {"model": model, "messages": [{"role": "user", "content": prompt}]}


def _lines(file: str) -> Iterable[dict[str, Any]]:
    if file == "-":
        text = sys.stdin.buffer.read()
    else:
        try:
            text = Path(file).read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{file}:{number}: not valid JSON: {error}.") from None
        if not isinstance(parsed, dict):
            raise ConfigError(f"{file}:{number}: expected a JSON object.")
        yield parsed


def _request(line: dict[str, Any], model: str | None, priority: str | None) -> dict[str, Any]:
    """Return the native request of a line: the line itself, or a bare body wrapped."""
    request: dict[str, Any] = dict(line) if _WHOLE_REQUEST_KEYS & line.keys() else {"body": line}
    body = request.get("body")
    if model is not None and "model" not in request and isinstance(body, dict):
        request["body"] = {"model": model, **body}
    if priority is not None:
        request.setdefault("priority", priority)
    return request


async def _submit_all(
    url: str, requests: list[dict[str, Any]], *, wait: bool, as_json: bool
) -> int:
    failed = 0
    places = asyncio.Semaphore(_IN_FLIGHT)
    async with connect(url) as client:
        with _progress(len(requests)) as progress:
            bar = progress.add_task("requests", total=len(requests))

            async def one(request: dict[str, Any]) -> dict[str, Any]:
                async with places:
                    done = await _one(client, request, wait=wait)
                progress.advance(bar)
                return done

            waiting = [asyncio.ensure_future(one(request)) for request in requests]
            try:
                for next_in_order in waiting:
                    done = await next_in_order
                    failed += _failed(done, wait=wait)
                    _print(done, as_json=as_json)
            finally:
                for task in waiting:
                    task.cancel()
    return 1 if failed else 0


async def _one(client: Client, request: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    try:
        accepted = await _accepted(client, request)
    except Refused as error:
        return {"id": None, "status": "refused", "error": {"message": str(error)}}
    while wait and accepted["status"] in ("queued", "in_progress"):
        accepted = await client.read(accepted["id"], _WAIT_S)
    return accepted


async def _accepted(client: Client, request: dict[str, Any]) -> dict[str, Any]:
    """Submit; a 503 means that nothing was accepted, so it is safe to ask again."""
    for again in range(_TRIES):
        try:
            return await client.submit(request)
        except Refused as error:
            if error.status != _UNAVAILABLE or again == _TRIES - 1:
                raise
        await asyncio.sleep(0.5 * 2**again)
    raise AssertionError("the last try returns or raises")


def _failed(done: dict[str, Any], *, wait: bool) -> bool:
    return done["status"] != "completed" if wait else done["id"] is None


def _print(done: dict[str, Any], *, as_json: bool) -> None:
    shown = done if as_json else _short(done)
    sys.stdout.buffer.write(orjson.dumps(shown) + b"\n")
    sys.stdout.buffer.flush()


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


def _progress(total: int) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal or total == 1,
        transient=True,
    )
