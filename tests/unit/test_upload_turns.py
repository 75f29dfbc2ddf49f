"""Many uploads at once: however many have bytes, the event loop looks at one piece a turn."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from api.auth import Caller
from api.exchange import Exchange
from api.files.incoming import Incoming, Room
from api.files.turns import Turns
from tests.fakes.uploads import FORM, form

UPLOADS, PIECES = 20, 5
CONTENT = b"x" * 1000


class Sender:
    """A client whose bytes are always there already; it notes what is asked of it."""

    def __init__(self, name: int, asked: list[int]) -> None:
        self._name = name
        self._asked = asked
        whole = form(CONTENT)
        size = -(-len(whole) // PIECES)
        self._left = [whole[start : start + size] for start in range(0, len(whole), size)]

    async def receive(self) -> MutableMapping[str, Any]:
        self._asked.append(self._name)
        body = self._left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._left)}


async def take_in(sender: Sender, turns: Turns) -> bytes:
    headers = [(b"content-type", FORM["Content-Type"].encode())]
    exchange = Exchange({"headers": headers}, sender.receive, Caller("acme"))
    upload = Incoming(exchange, Room(10_000, "file_too_large"), turns, hashed=False)
    return b"".join([piece async for piece in upload.pieces()])


async def test_of_many_uploads_one_goes_on_in_a_turn_of_the_loop() -> None:
    asked: list[int] = []
    turns = Turns()
    senders = [Sender(name, asked) for name in range(UPLOADS)]
    tasks = [asyncio.ensure_future(take_in(sender, turns)) for sender in senders]
    await asyncio.sleep(0)
    assert asked == list(range(UPLOADS))  # each one's first piece
    while not all(task.done() for task in tasks):
        before = len(asked)
        await asyncio.sleep(0)
        assert len(asked) - before <= 1
    # Nobody is before another one by more than a piece.
    assert asked == list(range(UPLOADS)) * PIECES
    assert [task.result() for task in tasks] == [CONTENT] * UPLOADS


async def test_an_upload_that_is_dropped_keeps_nobody_waiting() -> None:
    asked: list[int] = []
    turns = Turns()
    tasks = [asyncio.ensure_future(take_in(Sender(name, asked), turns)) for name in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    async with asyncio.timeout(10):
        assert await tasks[2] == CONTENT
