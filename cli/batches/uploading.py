"""Sending a file: read and sent piece by piece, however large it is."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from cli.batches.bars import UploadBar
from cli.client import Client
from schemas.errors import ConfigError

_PIECE = 256 * 1024
_FIRST_LINE_BYTES = 1024 * 1024
_UNQUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


async def upload(client: Client, file: BinaryIO, name: str) -> dict[str, Any]:
    """Upload a file for a batch and return its object. Raises Refused, Unreachable, ConfigError."""
    size = _size(file)
    boundary = secrets.token_hex(16)
    before, behind = _around(boundary, "stdin.jsonl" if name == "-" else Path(name).name)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if size is not None:
        headers["Content-Length"] = str(len(before) + size + len(behind))
    with UploadBar(size) as bar:
        pieces = _form(before, file, behind, name, bar)
        return await client.ask("POST", "/v1/files", pieces, headers, patience_s=None)


def endpoint_in(file: BinaryIO) -> str | None:
    """Return the `url` of the first line of a file that can be read twice, if it has one."""
    if not file.seekable():
        return None
    start = file.tell()
    line = file.readline(_FIRST_LINE_BYTES).removeprefix(b"\xef\xbb\xbf")
    file.seek(start)
    try:
        url = orjson.loads(line)["url"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return url if isinstance(url, str) else None


async def _form(
    before: bytes, file: BinaryIO, behind: bytes, name: str, bar: UploadBar
) -> AsyncIterator[bytes]:
    yield before
    sent = 0
    while piece := await asyncio.to_thread(_read, file, name):
        yield piece
        sent += len(piece)
        bar.show(sent)
    yield behind


def _read(file: BinaryIO, name: str) -> bytes:
    try:
        return file.read(_PIECE)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}.") from None


def _around(boundary: str, name: str) -> tuple[bytes, bytes]:
    """Return what a form has before and behind the bytes of its file."""
    line = f"--{boundary}\r\nContent-Disposition: form-data; name="
    before = f'{line}"purpose"\r\n\r\nbatch\r\n{line}"file"; filename="{name.translate(_UNQUOTED)}"'
    return f"{before}\r\n\r\n".encode(), f"\r\n--{boundary}--\r\n".encode()


def _size(file: BinaryIO) -> int | None:
    """Return the bytes that are left of a file, None for a pipe."""
    return os.fstat(file.fileno()).st_size - file.tell() if file.seekable() else None
