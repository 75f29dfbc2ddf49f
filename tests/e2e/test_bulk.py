"""Bulk intake: each line is a request of its own, acknowledged in order once it is durable."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from schemas.errors import DOOR_ERRORS
from tests.e2e.door import Door, chat_body, open_door
from tests.e2e.test_bad_input import NOT_USABLE, OK, WRONG_BODY, WRONG_FIELDS
from tests.e2e.uploads import BULK, NDJSON, answers, begun, line, upload
from tests.fakes.stack import Setup

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("bulk"), setup, ["echo", "slow-2000"]) as opened:
        yield opened


def test_each_line_is_a_request_acknowledged_in_order(door: Door) -> None:
    lines = [line(f"order-{number}", priority="low") for number in range(300)]
    told = answers(upload(door, b"\n".join(lines)))
    assert [each["line"] for each in told] == list(range(1, 301))
    assert {each["status"] for each in told} == {"queued"}
    assert len({each["id"] for each in told}) == 300
    for each in (told[0], told[150], told[-1]):
        done = door.ended(each["id"])
        assert (done["status"], done["priority"]) == ("completed", "low")
        (call,) = door.calls_of(each["id"])
        sent = json.loads(lines[each["line"] - 1])["body"]
        assert call["tag"] == sent["user"]


def test_acknowledgements_come_while_lines_still_go_up(door: Door) -> None:
    with begun(door) as upload:
        told = upload.answers()
        for number in range(1, 4):
            upload.send([line("dialogue")])
            acknowledged = next(told)
            assert (acknowledged["line"], acknowledged["status"]) == (number, "queued")
            assert door.ask("GET", f"/v1/requests/{acknowledged['id']}").status == 200
        upload.end()
        assert list(told) == [{"object": "bulk.summary", "accepted": 3, "refused": 0}]


def test_a_client_may_wait_until_it_is_told_to_go_on(door: Door) -> None:
    with begun(door, {**NDJSON, "Expect": "100-continue"}) as upload:
        assert upload.wire.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        upload.send([line()])
        assert next(upload.answers())["status"] == "queued"


def test_marks_line_ends_and_blank_lines_are_no_mistakes(door: Door) -> None:
    body = b"\xef\xbb\xbf" + line() + b"\r\n\r\n  \n" + line() + b"\n\n" + line()
    assert [each["line"] for each in answers(upload(door, body))] == [1, 4, 6]
    assert answers(upload(door, b"")) == []
    assert answers(upload(door, b"\n\n \r\n")) == []


def test_a_refused_line_does_not_stop_the_others(door: Door) -> None:
    blank_or_many = ("empty", "blank", "UTF-16")
    cases: list[tuple[bytes, str]] = [
        case for name, case in NOT_USABLE.items() if name not in blank_or_many
    ]
    cases += [(b'{"body":' + raw + b"}", code) for raw, code in WRONG_BODY.values()]
    cases += _wrong_fields()
    told = answers(upload(door, b"".join(raw + b"\n" + line() + b"\n" for raw, _ in cases)))
    assert [each["line"] for each in told] == list(range(1, 2 * len(cases) + 1))
    assert all("id" in each for each in told[1::2])
    for each, (_, code) in zip(told[::2], cases, strict=True):
        assert each["error"]["code"] == code, each
        assert each["status_code"] == DOOR_ERRORS[code].status
        assert each.get("retry_after_s") == DOOR_ERRORS[code].retry_after_s
        assert set(each["error"]) == {"message", "type", "param", "code"}


def _wrong_fields() -> Iterator[tuple[bytes, str]]:
    keys = (7, "", "k" * 256, "a b", "ключ")
    wrong: list[tuple[dict[str, object], str]] = list(WRONG_FIELDS.values())
    wrong += [({"idempotency_key": key}, "invalid_body") for key in keys]
    for fields, code in wrong:
        yield json.dumps({"body": json.loads(OK), **fields}).encode(), code


def test_a_line_that_is_too_long_is_refused_alone(door: Door) -> None:
    long = b'{"body": {"model": "echo", "messages": "' + b"x" * 9 * MIB + b'"}}'
    just = b'{"body":{"model":"echo","messages":"' + b"x" * (8 * MIB - 39) + b'"}}'
    told = answers(upload(door, b"\n".join([long, line(), just, long])))
    assert [each.get("status_code") for each in told] == [413, None, None, 413]
    assert {told[0]["error"]["code"], told[3]["error"]["code"]} == {"line_too_long"}


def test_a_line_without_an_end_costs_no_memory(door: Door) -> None:
    """What the processes may grow by is looked at when the door is closed."""
    with begun(door) as upload:
        for _ in range(100):
            upload.send_bytes(b"x" * MIB)
        upload.send([b"", line()])
        upload.end()
        long, accepted, summary = upload.answers()
    assert long["error"]["code"] == "line_too_long"
    assert (accepted["line"], summary["accepted"]) == (2, 1)


def test_a_key_makes_a_line_the_same_request(door: Door) -> None:
    keyed = line("keyed", idempotency_key="bulk-1")
    other = line("other", idempotency_key="bulk-1")
    first, again, conflict = answers(upload(door, b"\n".join([keyed, keyed, other])))
    assert first["id"] == again["id"]
    assert "replayed" not in first
    assert again["replayed"] is True
    assert (conflict["status_code"], conflict["error"]["code"]) == (409, "idempotency_conflict")
    door.ended(first["id"])
    (later,) = answers(upload(door, keyed))
    assert (later["id"], later["status"], later["replayed"]) == (first["id"], "completed", True)
    assert len(door.calls_of(first["id"])) == 1


@pytest.mark.parametrize(
    ("key", "keyed"),
    [
        ("first-1", b'{"idempotency_key": "first-1", "body": %s}'),
        ("last-1", b'{"body": %s, "idempotency_key": "last-1"}'),
    ],
)
def test_a_keyed_line_is_the_same_request_as_by_itself(door: Door, key: str, keyed: bytes) -> None:
    """So that a client may send again by itself what it is not sure of."""
    body = json.dumps(chat_body("echo", "alone")).encode()
    (first,) = answers(upload(door, keyed % body))
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    told = door.ask("POST", "/v1/requests", b'{"body": %s}' % body, headers)
    assert (told.status, told.json.get("id")) == (202, first["id"]), told


def test_a_key_of_the_whole_gives_each_line_its_own(door: Door) -> None:
    headers = {**NDJSON, "Idempotency-Key": "whole-1"}
    body = b"\n".join([line("a"), b"", line("b"), line("c", idempotency_key="own-1")])
    first = answers(upload(door, body, headers))
    again = answers(upload(door, body, headers))
    assert [each["id"] for each in again] == [each["id"] for each in first]
    assert all(each["replayed"] for each in again)
    # Named so that a line can be sent again by itself.
    (alone,) = answers(upload(door, line("b", idempotency_key="whole-1-3")))
    assert alone["id"] == first[1]["id"]


def test_what_was_acknowledged_stays_when_the_client_leaves(door: Door) -> None:
    with begun(door) as upload:
        upload.send([line("leaves"), line("leaves")])
        told = list(itertools.islice(upload.answers(), 2))
        # A line that did not come whole is none, even if it could be read as one.
        upload.send_bytes(line("half")[:-1] + b', "metadata": {}}')
    for each in told:
        assert door.ended(each["id"])["status"] == "completed"
    calls = [call["tag"] for call in door.ledger()["calls"]]
    assert "half" not in calls
    assert calls.count("leaves") == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-ndjson; charset=utf-16"},
        {"Content-Type": "application/jsonl", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
def test_other_media_types_are_refused(door: Door, headers: dict[str, str]) -> None:
    upload(door, line(), headers).assert_refused("unsupported_media_type")


def test_jsonl_is_the_same(door: Door) -> None:
    told = upload(door, line(), {"Content-Type": "application/jsonl; charset=utf-8"})
    assert len(answers(told)) == 1


def test_a_key_that_cannot_be_refuses_the_whole(door: Door) -> None:
    upload(door, line(), {**NDJSON, "Idempotency-Key": "a b"}).assert_refused("invalid_body")
    door.ask("GET", BULK).assert_refused("method_not_allowed")
