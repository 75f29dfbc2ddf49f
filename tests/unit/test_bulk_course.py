"""One upload: what is under way is bounded, answers keep their order, each end is told as such."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from api.bulk.course import Course
from api.bulk.lines import Parcel
from api.bulk.taking import Answered, Taker
from api.exchange import ClientGone, Exchange
from broker.lifecycle import Tasks

MAX_LINE = 1_000_000
MOST_LINES, MOST_BYTES = 2_048, 4 * 1024 * 1024


class Body:
    """An exchange of which only the body matters: pieces, then its end or a client that leaves."""

    def __init__(self, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        self._pieces = pieces
        self.read = 0
        self.lingered = False

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces():
            self.read += 1
            yield piece

    async def linger(self) -> None:
        self.lingered = True


class Acknowledging:
    """A taker that accepts every line, once it may."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.may = asyncio.Event()
        self.may.set()

    async def take(self, parcel: Parcel) -> Answered:
        await self.may.wait()
        numbers = [line.number for line in parcel.lines]
        self.taken += numbers
        return Answered(b"".join(b'{"line":%d}\n' % number for number in numbers), len(numbers))


def make(body: Body, taker: Acknowledging) -> Course:
    exchange, accepting = cast(Exchange, body), cast(Taker, taker)
    return Course(exchange, accepting, MAX_LINE, Tasks("test"))


async def answered(course: Course) -> list[dict[str, Any]]:
    """Every line of the answer, to its end."""
    async with asyncio.timeout(10):
        return [json.loads(line) async for block in course.answers() for line in block.splitlines()]


async def turns() -> None:
    """Let everything go as far as it can without anybody's help."""
    for _ in range(4_000):
        await asyncio.sleep(0)


@pytest.mark.parametrize("size", [2, 200, 40_000])
async def test_who_does_not_read_the_answer_stops_the_reading_of_the_body(size: int) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield (b"x" * (size - 1) + b"\n") * max(1, 65_536 // size)

    body, taker = Body(endless), Acknowledging()
    course = make(body, taker)
    answers = course.answers()
    await turns()
    under_way = len(taker.taken)
    assert 64 <= under_way <= MOST_LINES
    assert under_way * size <= MOST_BYTES
    read = body.read
    await turns()
    assert (len(taker.taken), body.read) == (under_way, read)
    # What was sent makes room; the first block is so once the second is asked for.
    first = await anext(answers)
    await anext(answers)
    await turns()
    left = len(taker.taken) - first.count(b"\n")
    assert len(taker.taken) > under_way
    assert left <= MOST_LINES
    assert left * size <= MOST_BYTES
    await answers.aclose()
    await course.close()


async def test_a_line_larger_than_the_window_passes_alone() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (MAX_LINE - 10) + b"\n"

    taker = Acknowledging()
    assert len(await answered(make(Body(body), taker))) == 4
    assert taker.taken == [1, 2, 3]


async def test_answers_keep_the_order_of_the_lines() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"{}\n\n{}\n"

    taker = Acknowledging()
    told = await answered(make(Body(body), taker))
    assert told.pop() == {"object": "bulk.summary", "accepted": 600, "refused": 0}
    numbers = [each["line"] for each in told]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 600


async def test_a_client_that_leaves_is_told_nothing_more_and_what_was_begun_ends() -> None:
    gone = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{}\n{}\n{half"
        await gone.wait()
        raise ClientGone

    taker = Acknowledging()
    course = make(Body(body), taker)
    told = asyncio.create_task(answered(course))
    await turns()
    gone.set()
    assert [each["line"] for each in await told] == [1, 2]
    assert taker.taken == [1, 2]


async def test_draining_ends_what_is_under_way_and_names_the_first_line_that_is_not() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}\n\n{}\n{half"
        await asyncio.Event().wait()

    taker = Acknowledging()
    taker.may.clear()
    body = Body(pieces)
    course = make(body, taker)
    told = asyncio.create_task(answered(course))
    await turns()
    course.drain()
    taker.may.set()
    *lines, last = await told
    assert [each["line"] for each in lines] == [1, 3]
    assert (last["line"], last["status_code"], last["error"]["code"]) == (4, 503, "draining")
    assert body.lingered


async def test_draining_names_a_line_that_was_read_and_waits_for_room() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"\n" + b"{}\n" * 3_000
        await asyncio.Event().wait()

    taker = Acknowledging()
    taker.may.clear()
    body = Body(pieces)
    course = make(body, taker)
    told = asyncio.create_task(answered(course))
    await turns()
    course.drain()
    taker.may.set()
    *lines, last = await told
    assert [each["line"] for each in lines] == list(range(2, 2 + MOST_LINES))
    assert last["line"] == 2 + MOST_LINES
    assert body.lingered


async def test_draining_after_the_end_of_the_body_changes_nothing() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    taker = Acknowledging()
    taker.may.clear()
    course = make(Body(body), taker)
    told = asyncio.create_task(answered(course))
    await turns()
    course.drain()
    taker.may.set()
    assert (await told)[-1] == {"object": "bulk.summary", "accepted": 1, "refused": 0}
