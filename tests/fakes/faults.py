"""The ways in which the fake backend misbehaves, one coroutine per model name."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections.abc import Awaitable, Callable
from functools import cache

from aiohttp import web

from tests.fakes.answers import refusal

FOR_EVER_S = 3_600.0
MIB = 1024 * 1024

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


def find(model: str) -> Fault | None:
    """Return the misbehaviour that `model` names, or None where it names none."""
    if model.startswith("status-"):
        return lambda _request: _status(int(model.removeprefix("status-")))
    if model.startswith("flaky-"):
        return _flaky(int(model.removeprefix("flaky-")))
    return _NAMED.get(model)


def _flaky(percent: int) -> Fault | None:
    # Drawn per call, so that a retry of the same request has its own chance.
    return (lambda _request: _status(500)) if random.randrange(100) < percent else None


async def _status(status: int) -> web.StreamResponse:
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.Response(
        status=status, body=refusal(status), content_type="application/json", headers=headers
    )


async def _hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(FOR_EVER_S)
    return web.Response()


async def _hang_after_headers(request: web.Request) -> web.StreamResponse:
    response = await _json_stream(request, length=1000)
    await asyncio.sleep(FOR_EVER_S)
    return response


async def _drip(request: web.Request) -> web.StreamResponse:
    response = await _json_stream(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.2)


async def _html(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html><body>502 Bad Gateway</body></html>", content_type="text/html")


async def _odd(request: web.Request) -> web.StreamResponse:
    """Answer valid JSON over many lines, with what breaks whoever puts it on one."""
    said = "\u2028 \\u0000 \\n \\u2029 \\ud83d\\ude00"
    body = f'{{\r\n  "object": "chat.completion",\n  "choices": [],\n\n  "said": "{said}"\n}}\n'
    return web.Response(body=body.encode(), content_type="application/json")


async def _empty(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"", content_type="application/json")


async def _half(request: web.Request) -> web.StreamResponse:
    response = await _json_stream(request, length=1000)
    await response.write(b'{"id": "chatcmpl-half", "choi')
    if request.transport is not None:
        request.transport.abort()
    return response


async def _big(request: web.Request) -> web.StreamResponse:
    response = await _json_stream(request)
    await response.write(b'{"choices": [], "padding": "')
    for _ in range(50):
        await response.write(b"x" * MIB)
    await response.write(b'"}')
    await response.write_eof()
    return response


async def _gzip_bomb(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    await response.prepare(request)
    await response.write(_bomb())
    await response.write_eof()
    return response


async def _nan(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"choices": [], "score": NaN}', content_type="application/json")


async def _redirect(request: web.Request) -> web.StreamResponse:
    # A caller that follows this is seen in the ledger as a call of the model `redirected`.
    return web.Response(status=307, headers={"Location": "/v1/redirected"})


async def _json_stream(request: web.Request, length: int | None = None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response


@cache
def _bomb() -> bytes:
    """Return a gzip member of about 130 KiB that unpacks to 128 MiB.

    A fully flushed block can be repeated as it is, so the blocks are packed once and not 128 times.
    """
    squeeze = zlib.compressobj(9, wbits=-15)
    head = squeeze.compress(b'{"padding": "') + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(b"0" * MIB) + squeeze.flush(zlib.Z_FULL_FLUSH)
    tail = squeeze.compress(b'"}') + squeeze.flush()
    check = zlib.crc32(b'{"padding": "')
    for _ in range(128):
        check = zlib.crc32(b"0" * MIB, check)
    size = 128 * MIB + len(b'{"padding": ""}')
    start = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return start + head + block * 128 + tail + struct.pack("<II", zlib.crc32(b'"}', check), size)


_NAMED: dict[str, Fault] = {
    "hang": _hang,
    "hang-headers": _hang_after_headers,
    "drip": _drip,
    "html": _html,
    "odd": _odd,
    "empty": _empty,
    "half": _half,
    "big-50mb": _big,
    "gzip-bomb": _gzip_bomb,
    "nan": _nan,
    "redirect": _redirect,
}
