"""What a reader of a stream is told: one attempt after its place, or an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from api.streams.cursor import NOTHING, Cursor, Interrupted, events_of
from broker.ports import Chunk
from broker.ports.events import LOST_GAP
from schemas.lifecycle import Status
from schemas.record import Record, born
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result

Log = list[Chunk]


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[Log], Record]:
    """Return a log as it is after each write, by the rules of the port Events, and its end.

    Every attempt but the last dies somewhere; with it its log may be lost.
    """
    restart = draw(st.booleans())
    log: Log = []
    seen, following, attempt, first = [log], 0, 1, 0
    for attempt in range(1, draw(st.integers(1, 4)) + 1):
        lost = attempt > 1 and draw(st.booleans())
        if lost:
            log, following = [], (attempt - 1) * LOST_GAP
        if lost or (log and log[-1].data):
            if not restart and not lost:
                return seen, _record(attempt - 1, None, first, restart=restart)
            if restart:
                log = [*log, Chunk(following, attempt, b"")]
                following += 1
        first = following
        for _ in range(draw(st.integers(0, 4))):
            seen.append(log)
            log = [*log, Chunk(following, attempt, b"data: %d of %d" % (following, attempt))]
            following += 1
        seen.append(log)
    content = [chunk.data for chunk in log if chunk.number >= first]
    return seen, _record(attempt, content, first, restart=restart)


def _record(attempt: int, content: list[bytes] | None, first: int, *, restart: bool) -> Record:
    record = replace(born(make_envelope(stream=True, restart=restart)), attempt=attempt)
    if content is None:
        failed = make_result(Status.FAILED, code="stream_interrupted")
        return replace(record, status=Status.FAILED, result=failed)
    body = b"".join(b"%b\n\n" % event for event in content)
    result = make_result(content_type="text/event-stream", body=body, first_event=first)
    return replace(record, status=Status.COMPLETED, result=result)


def _taken(cursor: Cursor, chunks: Sequence[Chunk]) -> Log:
    return [chunk for chunk in chunks if cursor.take(chunk)]


def _content(told: Log) -> list[bytes]:
    """Return what stands in the end: what was told behind the last marker."""
    markers = [place for place, chunk in enumerate(told) if not chunk.data]
    return [chunk.data for chunk in told[markers[-1] + 1 if markers else 0 :]]


@given(_histories(), st.data())
def test_nobody_is_told_a_splice(history: tuple[list[Log], Record], data: st.DataObject) -> None:
    """It reads now and then, leaves, resumes by number; in the end the log is there or gone."""
    seen, record = history
    assert record.result is not None
    cursor, told, interrupted = Cursor(), list[Chunk](), False
    try:
        for log in seen:
            if data.draw(st.booleans(), label="reads"):
                told += _taken(cursor, [chunk for chunk in log if chunk.number > cursor.number])
            if data.draw(st.booleans(), label="resumes"):
                cursor = Cursor(cursor.number)
        told += _taken(cursor, cursor.rest(record))
    except Interrupted:
        interrupted = True
    event(f"interrupted: {interrupted}, {record.status}")
    assert record.restart or all(chunk.data for chunk in told), "nobody has allowed a restart"
    attempts: set[int] = set()
    for chunk in told:
        attempts = attempts | {chunk.attempt} if chunk.data else set()
        assert len(attempts) <= 1, told
    if interrupted:
        assert not record.restart
        assert told, "who has seen nothing is not interrupted"
    elif record.status is Status.COMPLETED:
        assert _content(told) == events_of(record.result.body or b"")


@given(st.integers(0, 5), st.integers(1, 5), st.integers(0, 6))
def test_a_stored_stream_goes_on_from_any_number(first: int, count: int, after: int) -> None:
    content = [b"data: %d" % number for number in range(first, first + count)]
    told = Cursor(after).rest(_record(1, content, first, restart=True))
    numbers = [chunk.number for chunk in told]
    marker = [first - 1] if after < first - 1 else []
    assert numbers == [*marker, *range(max(first, after + 1), first + count)]
    assert all(chunk.data == b"data: %d" % chunk.number for chunk in told if chunk.data)


def test_a_gap_interrupts_but_for_who_has_nothing() -> None:
    chunk = Chunk(7, 1, b"data: x")
    assert Cursor(6).take(chunk)
    assert Cursor(NOTHING).take(chunk)
    assert not Cursor(7).take(chunk)
    with pytest.raises(Interrupted):
        Cursor(5).take(chunk)
    assert Cursor(5).take(replace(chunk, data=b"")), "what begins anew needs nothing before it"


def test_another_attempt_interrupts_but_for_a_marker_between() -> None:
    cursor = Cursor()
    assert cursor.take(Chunk(0, 1, b"data: x"))
    with pytest.raises(Interrupted):
        cursor.take(Chunk(1, 2, b"data: y"))
    assert cursor.take(Chunk(1, 2, b""))
    assert cursor.take(Chunk(2, 2, b"data: y"))


def test_what_did_not_complete_has_no_rest() -> None:
    assert not Cursor(3).rest(_record(2, None, 0, restart=False))
    answer = make_result(body=b'{"a": 1}')
    plain = replace(_record(1, [b"data: x"], 0, restart=False), result=answer)
    assert not Cursor().rest(plain)
