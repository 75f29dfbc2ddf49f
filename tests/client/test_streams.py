"""Streams that break: each chunk comes once, in order, and the end is the request's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from penstock import Chunk, RequestFailed, StreamInterrupted, Unreachable, retrying

from tests.client.scripted import REQUEST_ID, Scripted, Step, events, refused, request_json, told
from tests.client.twins import Twin

BODY = {"model": "m", "messages": []}
Make = Callable[..., Twin]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE_S", 0.01)


def chunk(number: int, text: str) -> str:
    content = json.dumps({"choices": [{"delta": {"content": text}}]})
    return f"id: {number}\ndata: {content}"


def named(event: str, status: str, **more: Any) -> str:
    return f"event: {event}\ndata: {json.dumps(request_json(status, **more))}"


RUNS = named("request.in_progress", "in_progress")
COMPLETED = named("request.completed", "completed")


async def test_a_stream_is_read_to_its_end(twin: Make) -> None:
    whole = events(
        ": queued, position 3, about 12 s", RUNS, chunk(0, "on"), chunk(1, "e"),
        "id: 2\ndata: [DONE]", COMPLETED,
    )  # fmt: skip
    chunks: list[Chunk] = []
    with Scripted([told(), whole]) as server:
        request = await twin(server.url).chunks(chunks.append, BODY, restart=True)
    assert [(each.number, each.text) for each in chunks] == [(0, "on"), (1, "e")]
    assert request.status == "completed"
    submitted, followed = server.seen
    assert json.loads(submitted.body) == {
        "body": {**BODY, "stream": True},
        "restart": True,
        "stream": True,
    }
    assert followed.path == f"/v1/requests/{REQUEST_ID}/events"


@pytest.mark.parametrize(
    "between",
    [
        [],
        [Step(hangs_up=True)],
        [refused(503, "draining", retry_after="0")],
        [Step(502, b"<html>Bad gateway</html>")],
    ],
)
@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_stream_that_breaks_goes_on_from_its_number(
    twin: Make, between: list[Step], hangs_up: bool
) -> None:
    broken = events(RUNS, chunk(0, "a"), chunk(1, "b"), hangs_up=hangs_up)
    # A server may repeat what was shown.
    rest = events(RUNS, chunk(1, "b"), chunk(2, "c"), COMPLETED)
    chunks: list[Chunk] = []
    with Scripted([told(), broken, *between, rest]) as server:
        await twin(server.url).chunks(chunks.append, BODY)
    assert "".join(each.text for each in chunks) == "abc"
    assert server.seen[-1].path.endswith("/events?starting_after=1")


async def test_half_an_event_is_no_event(twin: Make) -> None:
    half = Step(200, b"id: 0\ndata: {}", {"Content-Type": "text/event-stream"}, hangs_up=True)
    chunks: list[Chunk] = []
    with Scripted([told(), half, events(chunk(0, "a"), COMPLETED)]) as server:
        await twin(server.url).chunks(chunks.append, BODY)
    assert [each.text for each in chunks] == ["a"]
    assert server.seen[-1].path.endswith("/events")


async def test_an_answer_that_begins_anew_says_so(twin: Make) -> None:
    anew = 'id: 2\nevent: request.restarted\ndata: {"attempt": 2}'
    chunks: list[Chunk] = []
    with Scripted(
        [told(), events(chunk(0, "a"), chunk(1, "b"), anew, chunk(3, "c"), COMPLETED)]
    ) as server:
        await twin(server.url).chunks(chunks.append, BODY)
    assert [(each.number, each.text, each.restarted) for each in chunks] == [
        (0, "a", False),
        (1, "b", False),
        (2, "", True),
        (3, "c", False),
    ]


@pytest.mark.parametrize(
    ("last", "kind", "code"),
    [
        (named("request.cancelled", "cancelled"), RequestFailed, "cancelled"),
        (
            named(
                "request.failed",
                "failed",
                error={"type": "t", "code": "stream_interrupted", "message": "m", "param": None},
            ),
            StreamInterrupted,
            "stream_interrupted",
        ),
        (
            'event: error\ndata: {"error": {"code": "stream_interrupted", "message": "gap"}}',
            StreamInterrupted,
            "stream_interrupted",
        ),
    ],
)
async def test_an_end_that_is_none_is_raised(
    twin: Make, last: str, kind: type[RequestFailed], code: str
) -> None:
    chunks: list[Chunk] = []
    with (
        Scripted([told(), events(chunk(0, "a"), last)]) as server,
        pytest.raises(kind) as raised,
    ):
        await twin(server.url).chunks(chunks.append, BODY)
    assert (raised.value.code, raised.value.request.id) == (code, REQUEST_ID)
    assert [each.text for each in chunks] == ["a"]


async def test_a_server_that_stays_away_is_named_after_what_was_shown(twin: Make) -> None:
    chunks: list[Chunk] = []
    steps = [told(), events(chunk(0, "a"), hangs_up=True), Step(hangs_up=True)]
    with Scripted(steps) as server, pytest.raises(Unreachable):
        await twin(server.url, retries=2).chunks(chunks.append, BODY)
    assert [each.text for each in chunks] == ["a"]
    assert len(server.seen) == 4


async def test_what_is_no_stream_is_refused(twin: Make) -> None:
    page = Step(200, b"<html>Welcome</html>", {"Content-Type": "text/html"})
    with Scripted([told(), page]) as server, pytest.raises(Unreachable, match="event-stream"):
        await twin(server.url, retries=0).chunks(print, BODY)
