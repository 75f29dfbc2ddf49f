"""Fetching what a batch has written, into a file or onto standard output."""

from __future__ import annotations

import os
import sys
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cli.client import Access, Client, connect, segment
from cli.outcome import FAILED, OK, exit_code_of
from cli.showing import escaped, say
from schemas.errors import ConfigError

STDOUT = "-"


def fetch_results(access: Access, batch_id: str, out: str, *, errors: bool) -> int:
    """Write the output of a batch, or its error file; return the exit code."""

    async def work() -> int:
        async with connect(access) as client:
            batch = await client.ask("GET", f"/v1/batches/{segment(batch_id)}")
            return await fetch(client, batch, out, errors=errors)

    return exit_code_of(work())


async def fetch(client: Client, batch: dict[str, Any], out: str, *, errors: bool) -> int:
    """Write what a batch has written so far. Raises Refused, Unreachable, ConfigError."""
    file_id = batch["error_file_id" if errors else "output_file_id"]
    if file_id is None:
        say(
            f"{batch['id']} ({batch['status']}): no line has {'failed' if errors else 'completed'}."
        )
        return OK if errors else FAILED
    async with client.streamed(f"/v1/files/{file_id}/content") as answer:
        if answer.headers.get("x-incomplete"):
            say(f"{batch['id']} still runs: this is what it has written so far.")
        if out == STDOUT:
            await _onto_stdout(answer.pieces)
        else:
            await _into_file(answer.pieces, out)
    return OK


@contextmanager
def _opened(out: str) -> Iterator[BinaryIO]:
    """Open a file that has its name only once it is whole."""
    part = Path(f"{out}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        with file:
            yield file
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


async def _into_file(pieces: AsyncIterator[bytes], out: str) -> None:
    with _opened(out) as file:
        async for piece in pieces:
            try:
                file.write(piece)
            except OSError as error:
                raise _unwritable(out, error) from None


async def _onto_stdout(pieces: AsyncIterator[bytes]) -> None:
    """Print bytes as they are; on a terminal, without anything that it would obey."""
    decoder = getincrementaldecoder("utf-8")("replace")
    on_terminal = sys.stdout.isatty()
    try:
        async for piece in pieces:
            shown = escaped(decoder.decode(piece)).encode() if on_terminal else piece
            sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read it has had enough, as `head` does; what is left must not be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unwritable(out: str, error: OSError) -> ConfigError:
    return ConfigError(f"{out}: cannot be written: {error.strerror}.")
