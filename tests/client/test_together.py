"""Submissions that go up together: each has its own answer, however the one of all of them ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import penstock
import pytest
from penstock import calls, retrying, together
from penstock.calls import Answer, Call
from penstock.errors import Refused, Unreachable
from penstock.together import AsyncSubmitter, Submitter, Together, call_of

from tests.client.conftest import Real

IDS = [f"req_0a{number:032x}" for number in range(10)]


def submission(number: int) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": f"number {number}"}]}
    return calls.submission(body, {"idempotency_key": f"k-{number}", "priority": "low"})


def lines(*told: dict[str, Any]) -> Answer:
    return Answer(200, {}, b"".join(json.dumps(each).encode() + b"\n" for each in told))


def acknowledged(number: int, **more: Any) -> dict[str, Any]:
    return {"line": number, "id": IDS[number], "status": "queued", **more}


def told_to(count: int, answer: Answer) -> list[Answer | str]:
    """What each of so many submissions is told by the answer to all of them."""
    waiting = Together()
    for number in range(count):
        waiting.add(submission(number))
    some = waiting.take()
    waiting.settle(some, answer)
    assert not waiting.alone
    return [each.answer or str(each.error) for each in some]


def test_a_line_is_the_submission_with_its_key_in_front() -> None:
    waiting = Together()
    for number in range(2):
        waiting.add(submission(number))
    sent = call_of(waiting.take())
    assert (sent.method, sent.path) == ("POST", "/v1/requests:bulk")
    assert sent.headers["Content-Type"] == "application/x-ndjson"
    alone = submission(1)
    assert (sent.content or b"").split(b"\n")[1] == (
        b'{"idempotency_key": "k-1", ' + (alone.content or b"")[1:]
    )


def test_one_alone_goes_up_as_it_is() -> None:
    waiting = Together()
    waiting.add(submission(3))
    some = waiting.take()
    assert call_of(some) == submission(3)
    waiting.settle(some, Answer(404, {}, b"{}"))
    assert some[0].answer == Answer(404, {}, b"{}")
    assert not waiting.alone


def test_no_more_goes_up_at_once_than_a_proxy_lets_through() -> None:
    waiting = Together()
    sizes = [100_000] * 12 + [700_000, 1]
    for size in sizes:
        waiting.add(Call("POST", "/v1/requests", content=b"x" * size))
    taken = [[len(each.call.content or b"") for each in waiting.take()] for _ in range(5)]
    assert [len(some) for some in taken] == [5, 5, 2, 1, 1]
    assert [size for some in taken for size in some] == sizes
    for _ in range(together.MOST_LINES + 1):
        waiting.add(submission(0))
    assert [len(waiting.take()) for _ in range(2)] == [together.MOST_LINES, 1]


def test_each_is_told_its_own_line() -> None:
    refusal = {"message": "It is full.", "type": "t", "param": None, "code": "queue_full"}
    accepted, refused, replayed = told_to(
        3,
        lines(
            acknowledged(1),
            {"line": 2, "status_code": 429, "retry_after_s": 5, "error": refusal},
            acknowledged(3, status="completed", replayed=True),
            {"object": "bulk.summary", "accepted": 2, "refused": 1},
        ),
    )
    assert isinstance(accepted, Answer)
    assert isinstance(refused, Answer)
    assert isinstance(replayed, Answer)
    found = calls.request_in(calls.checked(accepted, "base"), "base")
    assert (found.id, found.status, found.model) == (IDS[1], "queued", "m")
    assert calls.request_in(replayed, "base").status == "in_progress"
    with pytest.raises(Refused) as raised:
        calls.checked(refused, "base")
    assert (raised.value.status, raised.value.code) == (429, "queue_full")
    assert (raised.value.retry_after_s, raised.value.final) == (5.0, False)


@pytest.mark.parametrize("cut", [b"", b'{"line": 2, "id": "req_0', b"<html>\n[]\n7\n"])
def test_what_a_cut_answer_does_not_tell_is_to_be_sent_again(cut: bytes) -> None:
    answer = lines(acknowledged(1))
    first, second = told_to(2, Answer(200, {}, answer.content + cut))
    assert isinstance(first, Answer)
    assert second == "the answer was cut short before it came to this request"


def test_a_refusal_of_the_whole_is_told_to_each() -> None:
    refused = Answer(503, {"retry-after": "2"}, b"{}")
    assert told_to(3, refused) == [refused] * 3


class Server:
    """What a submitter sends to: the first call waits until it may be answered."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self.seen: list[Call] = []
        self.begun, self.may = threading.Event(), threading.Event()
        self._answer = answer

    def send(self, call: Call) -> Answer:
        self.seen.append(call)
        if not self.begun.is_set():
            self.begun.set()
            assert self.may.wait(10)
        return self._answer(call)

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.seen]


def by_key(call: Call) -> Answer:
    """Accept each line, with an id that its key tells."""
    if call.path == "/v1/requests":
        number = int(call.headers["Idempotency-Key"].removeprefix("k-"))
        return Answer(202, {}, json.dumps({"id": IDS[number]}).encode())
    asked = [json.loads(line) for line in (call.content or b"").splitlines()]
    keys = [int(each["idempotency_key"].removeprefix("k-")) for each in asked]
    return lines(*({**acknowledged(key), "line": at} for at, key in enumerate(keys, start=1)))


def submitted(submitter: Submitter, server: Server, count: int) -> list[str | None]:
    """Submit one, and the others while that is under way; the id of each."""
    with ThreadPoolExecutor(count) as pool:
        first = pool.submit(submitter.send, submission(0))
        assert server.begun.wait(10)
        others = [pool.submit(submitter.send, submission(number)) for number in range(1, count)]
        until = time.monotonic() + 10
        while len(submitter._together._waiting) < count - 1:
            assert time.monotonic() < until
            time.sleep(0.001)
        server.may.set()
        return [json.loads(each.result(10).content)["id"] for each in (first, *others)]


def test_what_comes_during_one_call_makes_the_next() -> None:
    server = Server(by_key)
    assert submitted(Submitter(server.send), server, 10) == IDS
    assert server.paths == ["/v1/requests", "/v1/requests:bulk"]


@pytest.mark.parametrize("status", [404, 405])
def test_an_older_server_gets_each_by_itself(status: int) -> None:
    def older(call: Call) -> Answer:
        unknown = Answer(status, {}, b"{}")
        return by_key(call) if call.path == "/v1/requests" else unknown

    server = Server(older)
    submitter = Submitter(server.send)
    assert submitted(submitter, server, 5) == IDS[:5]
    assert sorted(server.paths) == ["/v1/requests"] * 5 + ["/v1/requests:bulk"]
    assert json.loads(submitter.send(submission(7)).content)["id"] == IDS[7]
    assert len(server.paths) == 7


def test_where_nobody_answers_each_is_told_so() -> None:
    def away(call: Call) -> Answer:
        raise Unreachable("nobody")

    server = Server(away)
    with pytest.raises(Unreachable, match="nobody"):
        submitted(Submitter(server.send), server, 3)


async def test_tasks_share_a_call_and_one_that_is_cancelled_leaves_it_to_the_others() -> None:
    seen: list[Call] = []
    begun, may = asyncio.Event(), asyncio.Event()

    async def send(call: Call) -> Answer:
        seen.append(call)
        begun.set()
        await may.wait()
        return by_key(call)

    submitter = AsyncSubmitter(send)
    tasks = [asyncio.create_task(submitter.send(submission(number))) for number in range(5)]
    await begun.wait()
    tasks[0].cancel()
    may.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    ids = [json.loads(each.content)["id"] for each in answers if isinstance(each, Answer)]
    assert ids == IDS[1:5]
    assert [call.path for call in seen] == ["/v1/requests", "/v1/requests:bulk"]


class Cutting(httpx2.BaseTransport):
    """A network that cuts every other answer to an upload in the middle."""

    def __init__(self) -> None:
        self._inner = httpx2.HTTPTransport()
        self.uploads = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        if request.url.path != "/v1/requests:bulk":
            return response
        content = response.read()
        response.close()
        self.uploads += 1
        kept = content[: len(content) // 2] if self.uploads % 2 else content
        return httpx2.Response(response.status_code, content=kept)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.realservers
def test_a_map_over_a_network_that_cuts_answers_asks_each_thing_once(
    real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE_S", 0.01)
    job, network = f"job-{time.monotonic_ns()}", Cutting()
    bodies = [
        {"model": "llama3.2", "messages": [{"role": "user", "content": f"number {number}"}]}
        for number in range(60)
    ]
    with (
        httpx2.Client(transport=network) as http,
        penstock.Client(real.url, retries=20, http=http) as client,
    ):
        outcomes = list(client.map(bodies, at_once=20, metadata={"job": job}))
    assert [outcome.unwrap().request.status for outcome in outcomes] == ["completed"] * 60
    assert network.uploads >= 3
    listed = httpx2.get(f"{real.url}/v1/requests?limit=100").json()["data"]
    made = {each["id"] for each in listed if each["metadata"].get("job") == job}
    assert made == {outcome.unwrap().request.id for outcome in outcomes}
    assert len(made) == 60
