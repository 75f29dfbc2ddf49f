"""The event logs of streamed answers: numbered once, followed by many, never spliced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from broker.ports.events import LOST_GAP, Chunk
from schemas.ids import new_request_id
from tests.conformance.stages import Process, two_processes

# A told reader is here in milliseconds; one that only looked would need its whole pause.
_PROMPT_S = 1.5
_LATER = 3_600.0


async def _begun(engine: Process, attempt: int = 1, *, restart: bool = False) -> tuple[str, int]:
    request_id = new_request_id()
    return request_id, await _begin(engine, request_id, attempt, restart=restart)


async def _begin(engine: Process, request_id: str, attempt: int, *, restart: bool = False) -> int:
    deadline = time.time() + _LATER
    first = await engine.events.begin(request_id, attempt, restart=restart, deadline=deadline)
    assert first is not None
    return first


async def test_events_are_numbered_from_nought_and_read_from_any_place(engine: Process) -> None:
    request_id, first = await _begun(engine)
    assert first == 0
    assert await engine.events.append(request_id, 1, 0, [b"data: a", b"data: b"])
    assert await engine.events.append(request_id, 1, 2, [b"event: x\ndata: \xc3\xa9:1"])
    chunks = [
        Chunk(0, 1, b"data: a"),
        Chunk(1, 1, b"data: b"),
        Chunk(2, 1, b"event: x\ndata: \xc3\xa9:1"),
    ]
    for after in range(-1, 3):
        assert list(await engine.events.read(request_id, after)) == chunks[after + 1 :]


async def test_an_unknown_log_is_empty(engine: Process) -> None:
    request_id = new_request_id()
    assert list(await engine.events.read(request_id, -1)) == []
    assert not await engine.events.append(request_id, 1, 0, [b"data: a"])
    await engine.events.seal(request_id)


async def test_a_repeated_append_adds_nothing_twice(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    assert await engine.events.append(request_id, 1, 0, [b"a", b"b"])
    assert await engine.events.append(request_id, 1, 0, [b"a", b"b"])
    assert await engine.events.append(request_id, 1, 1, [b"b", b"c"])
    assert _data(await engine.events.read(request_id, -1)) == [b"a", b"b", b"c"]


async def test_an_attempt_that_showed_nothing_is_followed_without_a_word(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    assert await _begin(engine, request_id, 2) == 0
    assert not await engine.events.append(request_id, 1, 0, [b"late"])
    assert await engine.events.append(request_id, 2, 0, [b"a"])
    assert list(await engine.events.read(request_id, -1)) == [Chunk(0, 2, b"a")]


async def test_what_was_shown_is_not_taken_back(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    await engine.events.append(request_id, 1, 0, [b"a"])
    deadline = time.time() + _LATER
    assert await engine.events.begin(request_id, 2, restart=False, deadline=deadline) is None
    assert list(await engine.events.read(request_id, -1)) == [Chunk(0, 1, b"a")]


async def test_a_restart_is_told_and_numbers_go_on(engine: Process) -> None:
    request_id, _ = await _begun(engine, restart=True)
    await engine.events.append(request_id, 1, 0, [b"a", b"b"])
    assert await _begin(engine, request_id, 2, restart=True) == 3
    assert await _begin(engine, request_id, 2, restart=True) == 3
    assert not await engine.events.append(request_id, 1, 2, [b"late"])
    await engine.events.append(request_id, 2, 3, [b"c"])
    chunks = await engine.events.read(request_id, 0)
    assert list(chunks) == [Chunk(1, 1, b"b"), Chunk(2, 2, b""), Chunk(3, 2, b"c")]


async def test_an_older_attempt_cannot_begin_any_more(engine: Process) -> None:
    request_id, _ = await _begun(engine, attempt=1)
    await _begin(engine, request_id, 2, restart=True)
    deadline = time.time() + _LATER
    assert await engine.events.begin(request_id, 1, restart=True, deadline=deadline) is None
    assert await engine.events.append(request_id, 2, 0, [b"a"])


async def test_after_a_lost_log_numbers_leave_a_gap(engine: Process) -> None:
    request_id, first = await _begun(engine, attempt=3)
    assert first == 2 * LOST_GAP
    await engine.events.append(request_id, 3, first, [b"a"])
    assert list(await engine.events.read(request_id, 10)) == [Chunk(first, 3, b"a")]


async def test_after_a_lost_log_a_restart_is_told_too(engine: Process) -> None:
    request_id, first = await _begun(engine, attempt=2, restart=True)
    assert list(await engine.events.read(request_id, -1)) == [Chunk(first - 1, 2, b"")]
    assert await _begin(engine, request_id, 2, restart=True) == first


async def test_a_long_log_is_read_in_pages(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    data = [b"%d" % number + b"x" * 100_000 for number in range(30)]
    await engine.events.append(request_id, 1, 0, data)
    await engine.events.append(request_id, 1, 30, [b"y"] * 200)
    found: list[Chunk] = []
    while page := await engine.events.read(request_id, len(found) - 1):
        assert len(found) == 0 or sum(len(chunk.data) for chunk in page) < 2_000_000
        found += page
    assert _data(found) == data + [b"y"] * 200


async def test_a_reader_is_told_of_each_event(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    async with engine.events.follow(request_id) as follower:
        assert await follower.after(-1, 0.05) == []
        for number in range(20):
            reading = asyncio.create_task(_promptly(follower.after(number - 1, 30)))
            await asyncio.sleep(0.01)
            await engine.events.append(request_id, 1, number, [b"%d" % number])
            assert list(await reading) == [Chunk(number, 1, b"%d" % number)]


async def test_a_log_can_be_followed_before_it_begins(engine: Process) -> None:
    request_id = new_request_id()
    async with engine.events.follow(request_id) as follower:
        reading = asyncio.create_task(_promptly(follower.after(-1, 30)))
        await asyncio.sleep(0.1)
        await _begin(engine, request_id, 1)
        await engine.events.append(request_id, 1, 0, [b"a"])
        assert _data(await reading) == [b"a"]


@two_processes
async def test_many_readers_in_many_processes_hear_the_same(
    engine: Process, other: Process
) -> None:
    request_id, _ = await _begun(engine)
    readers = [
        asyncio.create_task(_read_until(process, request_id, after, 300))
        for process in (engine, other)
        for after in (-1, 100, 250)
    ]
    for number in range(0, 300, 3):
        data = [b"%d" % each + b"x" * (each % 7 * 3_000) for each in range(number, number + 3)]
        await engine.events.append(request_id, 1, number, data)
    for chunks in await asyncio.gather(*readers):
        first = chunks[0].number
        assert [chunk.number for chunk in chunks] == list(range(first, 300))
        assert all(
            chunk.data.startswith(b"%dx" % chunk.number) or chunk.number % 7 == 0
            for chunk in chunks
        )


async def test_a_slow_reader_misses_nothing(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    async with engine.events.follow(request_id) as follower:
        await follower.after(-1, 0.05)
        for number in range(40):
            await engine.events.append(request_id, 1, number, [b"x" * 20_000])
        await asyncio.sleep(0.1)
        found: list[Chunk] = []
        while len(found) < 40:
            page = await _promptly(follower.after(len(found) - 1, 5))
            assert page
            found += page
    assert [chunk.number for chunk in found] == list(range(40))


async def test_a_sealed_log_is_still_there(engine: Process) -> None:
    request_id, _ = await _begun(engine)
    await engine.events.append(request_id, 1, 0, [b"a"])
    await engine.events.seal(request_id)
    assert _data(await engine.events.read(request_id, -1)) == [b"a"]


async def _promptly(reading: Awaitable[Sequence[Chunk]]) -> Sequence[Chunk]:
    async with asyncio.timeout(_PROMPT_S):
        return await reading


async def _read_until(process: Process, request_id: str, after: int, end: int) -> list[Chunk]:
    found: list[Chunk] = []
    async with process.events.follow(request_id) as follower, asyncio.timeout(30):
        cursor = after
        while cursor < end - 1:
            page = await follower.after(cursor, 5)
            found += page
            cursor = found[-1].number if found else after
    return found


def _data(chunks: Sequence[Chunk]) -> list[bytes]:
    return [chunk.data for chunk in chunks]
