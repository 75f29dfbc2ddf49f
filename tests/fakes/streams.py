"""Streamed answers of the fake backend, whole or broken, by the name of the model.

`words-<n>-<ms>` streams n words, ms apart; others that answer well two words, after their latency;
`stream-odd` does with CRLF, comments, ids, no space behind `data:`, odd pieces, more after DONE.
Broken:

    stream-dies-<n>         the connection breaks after n words
    stream-dies-once-<n>    so does the first call of a request; the next one answers well
    stream-stalls-<n>       nothing comes after n words
    stream-error-<n>        an error event without a code after n words
    stream-error-<n>-<code> an error event with one
    stream-no-done          ends without `data: [DONE]`
    stream-junk             an event that is no JSON
    stream-huge             an event of more than 1 MiB
    stream-long             more than 8 MiB in small events
    stream-json             a whole JSON answer instead
    stream-gzip             says that it is encoded
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiohttp import web

from tests.fakes.answers import answer, latency_s

FOR_EVER_S = 3_600.0
DONE = b"data: [DONE]\n\n"
JUNK = b"data: {this is no JSON}\n\n"
MIB = 1024 * 1024


async def stream(
    request: web.Request, endpoint: str, nonce: str, asked: dict[str, Any], calls: int
) -> web.StreamResponse:
    """Answer a call that asked for a stream; it is number `calls` of its request."""
    model = str(asked.get("model", ""))
    await asyncio.sleep(latency_s(model))
    if model == "stream-json":
        return web.json_response(answer(endpoint, model, nonce, asked))
    encoded = {"Content-Encoding": "gzip"} if model == "stream-gzip" else {}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **encoded})
    await response.prepare(request)
    async for piece in _pieces(endpoint, model, nonce, asked, calls):
        if piece is None:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(piece)
    await response.write_eof()
    return response


def words(model: str, nonce: str) -> list[str]:
    """Return the words that a model says."""
    kind, _, rest = model.partition("-")
    if kind == "words":
        return [f"w{number} " for number in range(int(rest.split("-")[0]))]
    if model.startswith(("stream-dies", "stream-stalls", "stream-error")):
        return [f"w{number} " for number in range(20)]
    return ["echo ", nonce]


async def _pieces(
    endpoint: str, model: str, nonce: str, asked: dict[str, Any], calls: int
) -> AsyncIterator[bytes | None]:
    """Yield what is written; None breaks the connection."""
    events = _Events(endpoint, nonce, asked)
    if model == "stream-odd":
        for piece in _oddly(events.whole(words(model, nonce))):
            yield piece
            await asyncio.sleep(0.002)
        return
    said = words(model, nonce)
    pause_s = int(model.split("-")[2]) / 1000 if model.startswith("words-") else 0.0
    fault, after = _fault(model, calls)
    for number, word in enumerate(said):
        if number == after:
            break
        yield events.word(word)
        await asyncio.sleep(pause_s)
    if fault is None:
        yield events.end(said) + DONE
    else:
        async for rest in _broken(fault, model, events):
            yield rest


async def _broken(fault: str, model: str, events: _Events) -> AsyncIterator[bytes | None]:
    """Yield what comes after the words instead of a proper end."""
    if fault == "dies":
        # What was written has to leave before the connection goes.
        await asyncio.sleep(0.05)
        yield None
    elif fault == "stalls":
        await asyncio.sleep(FOR_EVER_S)
    elif fault == "error":
        yield _error(model)
    elif fault == "long":
        for _ in range(100):
            yield events.word("x" * 100_000)
    elif fault == "huge":
        yield events.word("x" * (MIB + 1))
    elif fault == "junk":
        yield JUNK
    else:
        assert fault == "no-done"
        yield events.end([])


def _fault(model: str, calls: int) -> tuple[str | None, int | None]:
    """Return the fault that a model's name tells, and the words before it."""
    parts = model.split("-")
    if parts[0] != "stream":
        return None, None
    if parts[1:3] == ["dies", "once"]:
        return ("dies", int(parts[3])) if calls == 1 else (None, None)
    if parts[1] in ("dies", "stalls", "error"):
        return parts[1], int(parts[2])
    return "-".join(parts[1:]), None


def _error(model: str) -> bytes:
    code = model.split("-")[3:]
    error: dict[str, Any] = {"message": "the fake breaks off", "type": "fake_error"}
    return _event({"error": {**error, "code": int(code[0]) if code else None}})


def _oddly(whole: bytes) -> Iterator[bytes]:
    """Yield a stream in pieces of three bytes, with all that the format allows."""
    odd = b"\xef\xbb\xbf: hello\r\n\r\nretry: 10\r\n\r\n" + whole.replace(b"\n", b"\r\n")
    odd = odd.replace(b"data: {", b"id: 7\r\n: a comment\r\ndata:{")
    odd += DONE.replace(b"\n", b"\r") + JUNK
    for start in range(0, len(odd), 3):
        yield odd[start : start + 3]


class _Events:
    """Makes the events of one answer, as OpenAI's endpoints form them."""

    def __init__(self, endpoint: str, nonce: str, asked: dict[str, Any]) -> None:
        self._chat = endpoint == "chat/completions"
        options = asked.get("stream_options")
        self._tells_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._head = {
            "id": f"{'chatcmpl' if self._chat else 'cmpl'}-{nonce}",
            "object": "chat.completion.chunk" if self._chat else "text_completion",
            "created": 1_700_000_000,
            "model": asked.get("model"),
            "system_fingerprint": nonce,
        }
        self._given = len(json.dumps(asked.get("messages", ""))) // 4

    def word(self, text: str) -> bytes:
        """Return the event of one word."""
        return self._one({"content": text}, text, None)

    def end(self, said: list[str]) -> bytes:
        """Return the last event, and the one that tells the usage where it was asked for."""
        last = self._one({}, "", "stop")
        if not self._tells_usage:
            return last
        usage = {
            "prompt_tokens": self._given,
            "completion_tokens": len(said),
            "total_tokens": self._given + len(said),
        }
        return last + _event({**self._head, "choices": [], "usage": usage})

    def whole(self, said: list[str]) -> bytes:
        """Return all events, with the end that `data: [DONE]` is."""
        return b"".join(map(self.word, said)) + self.end(said) + DONE

    def _one(self, delta: dict[str, str], text: str, finish: str | None) -> bytes:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        choice |= {"delta": delta} if self._chat else {"text": text, "logprobs": None}
        # OpenAI's chunks say so in every chunk but the last once usage is asked for.
        usage = {"usage": None} if self._tells_usage else {}
        return _event({**self._head, "choices": [choice], **usage})


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
