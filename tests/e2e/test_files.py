"""Files over HTTP: taken in piece by piece, told by ranges, each tenant's own, bad ones refused."""

from __future__ import annotations

import http.client
import json
import re
import select
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.batching import ended
from tests.e2e.door import Door, open_door
from tests.e2e.wire import Told, ask_raw, chunked, open_wire, send_all
from tests.fakes.stack import Setup
from tests.fakes.uploads import BOUNDARY, FORM, form, head, jsonl, line, tail

FILES, BATCHES = "/v1/files", "/v1/batches"
KIB = 1024
MAX_BYTES, MAX_TENANT_BYTES = 256 * KIB, 1024 * KIB
ACME, GLOBEX, FULL = new_key(), new_key(), new_key()
LINES = jsonl(line(n) for n in range(3))
SLOW = "slow-60000"
UNKNOWN = "file-00" + "0" * 32


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        name: {"keys": [{"name": "ci", "hash": hash_of(key)}], "models": ["*"]}
        for name, key in (("acme", ACME), ("globex", GLOBEX), ("full", FULL))
    }
    files = {"max_bytes": MAX_BYTES, "max_tenant_bytes": MAX_TENANT_BYTES}
    whole = replace(setup, more={"tenants": tenants, "files": files})
    directory = tmp_path_factory.mktemp("files")
    with open_door(directory, whole, ["echo", SLOW], timeout_s=300, key=ACME) as opened:
        yield opened


def upload(door: Door, content: bytes = LINES, headers: Mapping[str, str] = {}, **how: Any) -> Told:
    return door.ask("POST", FILES, form(content, **how), {**FORM, **headers})


def uploaded(door: Door, content: bytes = LINES, **how: Any) -> dict[str, Any]:
    told = upload(door, content, **how)
    assert told.status == 200, told
    made: dict[str, Any] = told.json
    return made


def content(door: Door, file_id: str, **headers: str) -> Told:
    return door.ask("GET", f"{FILES}/{file_id}/content", None, headers)


def blobs(door: Door) -> list[Path]:
    """Return every blob, and everything that is on the way to be one."""
    place = door.stack.directory / "data" / "blobs"
    return sorted(each for each in place.rglob("*") if each.is_file())


@contextmanager
def nothing_stays(door: Door) -> Iterator[None]:
    """Assert that the block stores nothing, in the list or on the disk."""
    before = door.ask("GET", FILES).json, blobs(door)
    yield
    until = time.monotonic() + 20
    while (after := (door.ask("GET", FILES).json, blobs(door))) != before:
        assert time.monotonic() < until, (before, after)
        time.sleep(0.05)


def test_a_file_is_stored_told_and_deleted(door: Door) -> None:
    made = uploaded(door)
    assert re.fullmatch(r"file-0[0-9a-f]{33}", made["id"])
    assert (made["object"], made["purpose"], made["status"]) == ("file", "batch", "processed")
    assert (made["filename"], made["bytes"]) == ("in.jsonl", len(LINES))
    assert made["expires_at"] - made["created_at"] in (30 * 86_400, 30 * 86_400 + 1)
    one = f"{FILES}/{made['id']}"
    assert door.ask("GET", one).json == made
    assert content(door, made["id"]).body == LINES
    before = len(blobs(door))
    assert door.ask("DELETE", one).json == {"id": made["id"], "object": "file", "deleted": True}
    assert len(blobs(door)) == before - 1
    for told in (door.ask("GET", one), content(door, made["id"]), door.ask("DELETE", one)):
        told.assert_refused("file_not_found")


def test_a_file_says_itself_how_long_it_is_kept(door: Door) -> None:
    kept = {"expires_after[seconds]": "3600", "expires_after[anchor]": "created_at"}
    made = uploaded(door, fields={"purpose": "user_data", **kept})
    assert made["expires_at"] - made["created_at"] in (3_600, 3_601)
    assert made["purpose"] == "user_data"


def test_files_are_listed_by_pages_orders_and_purposes(door: Door) -> None:
    mine = door.as_key(GLOBEX)
    made = [uploaded(mine, fields={"purpose": purpose})["id"] for purpose in ("batch", "evals") * 3]

    def ids(query: str) -> list[str]:
        told = mine.ask("GET", f"{FILES}?{query}").json
        assert (told["first_id"], told["last_id"]) == (
            (told["data"][0]["id"], told["data"][-1]["id"]) if told["data"] else (None, None)
        )
        return [each["id"] for each in told["data"]]

    assert ids("") == made[::-1]
    assert ids("order=asc") == made
    assert ids("purpose=evals&order=asc") == made[1::2]
    assert ids("purpose=none") == []
    assert mine.ask("GET", f"{FILES}?limit=6").json["has_more"] is False
    paged, after = list[str](), ""
    while True:
        told = mine.ask("GET", f"{FILES}?limit=4{after}").json
        paged += [each["id"] for each in told["data"]]
        after = f"&after={told['last_id']}"
        if not told["has_more"]:
            break
    assert paged == made[::-1]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=10001", "limit=x", "order=up", "after=x", "colour=red", f"after={UNKNOWN}"],
)
def test_a_list_that_cannot_be_is_refused(door: Door, query: str) -> None:
    door.ask("GET", f"{FILES}?{query}").assert_refused("invalid_body")


def test_another_tenants_file_is_as_unknown_as_any(door: Door) -> None:
    made, other = uploaded(door), door.as_key(GLOBEX)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        foreign = other.ask(method, f"{FILES}/{made['id']}{path}")
        unknown = other.ask(method, f"{FILES}/{UNKNOWN}{path}")
        foreign.assert_refused("file_not_found")
        assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
        other.ask(method, f"{FILES}/file-..{path}").assert_refused("file_not_found")
    assert made["id"] not in other.ask("GET", FILES).body.decode()
    told = other.ask("GET", f"{FILES}?after={made['id']}")
    told.assert_refused("invalid_body")
    created = other.ask("POST", BATCHES, batch_of(made["id"]))
    created.assert_refused("file_not_found")
    assert created.json["error"]["param"] == "input_file_id"
    assert content(door, made["id"]).body == LINES


def batch_of(file_id: str) -> dict[str, str]:
    endpoint = "/v1/chat/completions"
    return {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "10m"}


def test_a_range_of_a_file_is_told(door: Door) -> None:
    data = bytes(range(256)) * 512
    file_id = uploaded(door, data)["id"]
    whole = content(door, file_id)
    assert (whole.status, whole.headers["accept-ranges"]) == (200, "bytes")
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "x-incomplete" not in whole.headers
    assert whole.body == data
    for asked, start, end in (("100-199", 100, 200), ("130000-", 130_000, None), ("-7", -7, None)):
        told = content(door, file_id, Range=f"bytes={asked}")
        assert (told.status, told.body) == (206, data[start:end])
        first = start % len(data)
        assert told.headers["content-range"] == f"bytes {first}-{first + len(told.body) - 1}/131072"
        assert told.headers["content-length"] == str(len(told.body))
    several = content(door, file_id, Range="bytes=0-1,5-6")
    assert (several.status, several.body) == (200, data)
    beyond = content(door, file_id, Range="bytes=131072-")
    beyond.assert_refused("range_not_satisfiable")
    assert beyond.headers["content-range"] == "bytes */131072"
    same = {"Range": "bytes=0-3", "If-Range": whole.headers["etag"]}
    assert content(door, file_id, **same).status == 206
    assert content(door, file_id, **{**same, "If-Range": '"another"'}).body == data
    assert content(door, uploaded(door, b"")["id"]).body == b""


def test_only_the_head_of_a_file_can_be_asked_for(door: Door) -> None:
    told = door.ask("HEAD", f"{FILES}/{uploaded(door)['id']}/content")
    assert (told.status, told.body) == (200, b"")
    assert told.headers["content-length"] == str(len(LINES))
    # Of what never ends by itself the head is all the sooner the end.
    made = door.ask("POST", BATCHES, batch_of(uploaded(door, jsonl([line("1", SLOW)]))["id"])).json
    told = door.ask("HEAD", f"{BATCHES}/{made['id']}/events")
    assert (told.status, told.body) == (200, b"")
    door.ask("POST", f"{BATCHES}/{made['id']}/cancel")
    ended(door, made["id"])  # what it writes must not be taken for what stays of an upload


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "a b;c=d.jsonl",
        "a" * 1_000,
        "\u202egnp.exe",
        "%0d%0aX: y",
        "отчёт",
    ],
)
def test_a_name_is_kept_as_it_is_and_harmless_when_told(door: Door, name: str) -> None:
    made = uploaded(door, filename=name)
    assert made["filename"] == name
    told = content(door, made["id"])
    assert "x" not in told.headers
    said = told.headers["content-disposition"]
    assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9._ -]+\"; filename\*=UTF-8''\S+", said)
    assert len(said) < 2_100
    saved = unquote(said.partition("''")[2])
    assert not re.search(r"[/\\\r\n\u202e]", saved)


REFUSED: dict[str, tuple[bytes, str]] = {
    "no file": (tail(), "invalid_body"),
    "no purpose": (form(LINES, fields={"expires_after[anchor]": "created_at"}), "invalid_body"),
    "an output": (form(LINES, fields={"purpose": "batch_output"}), "invalid_body"),
    "an unknown field": (form(LINES, fields={"purpose": "batch", "model": "m"}), "invalid_body"),
    "two files": (head() + LINES + b"\r\n" + form(LINES), "duplicate_key"),
    "a text for the file": (tail({"purpose": "batch", "file": "in.jsonl"}), "invalid_body"),
    "a name of 10 kB": (form(LINES, filename="a" * 10_000), "invalid_body"),
    "a name that breaks its line": (form(LINES, filename="a\r\nb"), "invalid_body"),
    "a NUL in the name": (form(LINES, filename="a\x00b"), "invalid_body"),
    "kept for too short": (
        form(
            LINES,
            fields={
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "1",
            },
        ),
        "invalid_body",
    ),
    "cut short": (form(LINES)[:-10], "invalid_body"),
    "another boundary": (form(LINES).replace(BOUNDARY.encode(), b"other"), "invalid_body"),
    "empty": (b"", "invalid_body"),
    "no form": (b'{"purpose": "batch"}', "invalid_body"),
    "a byte too many": (form(b"x" * (MAX_BYTES + 1)), "file_too_large"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_of_a_refused_upload_nothing_stays(door: Door, case: str) -> None:
    raw, code = REFUSED[case]
    with nothing_stays(door):
        door.ask("POST", FILES, raw, FORM).assert_refused(code)


def test_a_file_of_exactly_the_size_that_is_allowed_is_taken(door: Door) -> None:
    assert uploaded(door, b"x" * MAX_BYTES)["bytes"] == MAX_BYTES


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain"])
def test_another_media_type_is_refused(door: Door, kind: str) -> None:
    with nothing_stays(door):
        told = door.ask("POST", FILES, form(LINES), {"Content-Type": kind})
        told.assert_refused("unsupported_media_type")


def raw_head(door: Door, *more: str) -> str:
    says = [f"Authorization: Bearer {door.key}", f"Content-Type: {FORM['Content-Type']}", *more]
    return "\r\n".join([f"POST {FILES} HTTP/1.1", *says])


def test_a_file_that_says_to_be_too_large_is_refused_unread(door: Door) -> None:
    with nothing_stays(door):
        says = raw_head(door, f"Content-Length: {64 * MAX_BYTES}")
        ask_raw(door.stack.url, says, []).assert_refused("file_too_large")


def test_who_is_still_sending_a_refused_file_reads_why(door: Door) -> None:
    host = door.stack.url.removeprefix("http://")
    says = raw_head(door, f"Host: {host}", f"Content-Length: {64 * MAX_BYTES}")
    with open_wire(door.stack.url) as wire:
        wire.sendall(f"{says}\r\n\r\n".encode())
        readable, _, _ = select.select([wire], [], [], 20)
        assert readable
        # Sent to a closed connection, these would have what came of the answer thrown away.
        send_all(wire, [b"x" * KIB] * 64)
        with wire.makefile("rb") as answer:
            assert b"file_too_large" in answer.read()


def test_a_file_without_end_is_refused_as_soon_as_it_is_too_large(door: Door) -> None:
    begun = head()
    sizes = [f"{len(begun):x}\r\n".encode() + begun + b"\r\n", *chunked(64 * MAX_BYTES, b"x" * KIB)]
    with nothing_stays(door):
        told = ask_raw(door.stack.url, raw_head(door, "Transfer-Encoding: chunked"), sizes)
        told.assert_refused("file_too_large")


def test_a_client_that_leaves_leaves_nothing(door: Door) -> None:
    raw = form(b"x" * MAX_BYTES)
    with nothing_stays(door):
        before = len(blobs(door))
        with open_wire(door.stack.url) as wire:
            host = door.stack.url.removeprefix("http://")
            says = raw_head(door, f"Host: {host}", f"Content-Length: {len(raw)}")
            send_all(wire, [f"{says}\r\n\r\n".encode(), raw[: MAX_BYTES // 2]])
            until = time.monotonic() + 20
            while len(blobs(door)) == before:  # what has come is on its way to the disk
                assert time.monotonic() < until
                time.sleep(0.02)


def test_a_tenant_has_room_for_so_much(door: Door) -> None:
    mine = door.as_key(FULL)
    made = [uploaded(mine, b"x" * MAX_BYTES)["id"] for _ in range(3)]
    made.append(uploaded(mine, b"x" * (MAX_BYTES - KIB))["id"])
    told = upload(mine, b"x" * (KIB + 1))
    told.assert_refused("tenant_files_full")
    assert "1024 bytes" in told.json["error"]["message"]
    made.append(uploaded(mine, b"x" * KIB)["id"])
    upload(mine, b"x").assert_refused("tenant_files_full")
    assert upload(door, b"x").status == 200
    mine.ask("DELETE", f"{FILES}/{made[0]}")
    assert upload(mine, b"x" * MAX_BYTES).status == 200


def test_the_same_upload_under_a_key_is_one_file(door: Door) -> None:
    keyed = {"Idempotency-Key": "upload-1"}
    first = upload(door, headers=keyed)
    with nothing_stays(door):
        again = upload(door, headers=keyed)
        assert (first.json["id"], "idempotent-replayed" in first.headers) == (
            again.json["id"],
            False,
        )
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json == first.json
        for other in (
            upload(door, LINES[:-1], headers=keyed),
            upload(door, LINES.replace(b"Hello 1", b"Hallo 1"), headers=keyed),
            upload(door, filename="other.jsonl", headers=keyed),
            upload(door, fields={"purpose": "evals"}, headers=keyed),
        ):
            other.assert_refused("idempotency_conflict")
    assert content(door, first.json["id"]).body == LINES
    # Another tenant's key is another one.
    assert upload(door.as_key(GLOBEX), headers=keyed).json["id"] != first.json["id"]


def test_uploads_under_one_key_at_a_time_are_one_file(door: Door) -> None:
    starts = threading.Barrier(6)

    def send(number: int) -> Told:
        starts.wait()
        body = LINES if number % 2 else LINES + LINES
        return upload(door, body, headers={"Idempotency-Key": "upload-2"})

    before = len(blobs(door))
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(send, range(6)))
    kept = [each for each in told if each.status == 200]
    assert len({each.json["id"] for each in kept}) == 1
    assert len([each for each in kept if "idempotent-replayed" not in each.headers]) == 1
    for each in told:
        if each.status != 200:
            each.assert_refused("idempotency_conflict")
    assert len(content(door, kept[0].json["id"]).body) == kept[0].json["bytes"]
    assert len(blobs(door)) == before + 1


def test_the_file_of_a_batch_that_runs_cannot_be_deleted(door: Door) -> None:
    made = uploaded(door, jsonl([line("1", SLOW)]))
    created = door.ask("POST", BATCHES, batch_of(made["id"]))
    assert created.status == 200, created
    told = door.ask("DELETE", f"{FILES}/{made['id']}")
    told.assert_refused("file_in_use")
    assert created.json["id"] in told.json["error"]["message"]
    cancelled = door.ask("POST", f"{BATCHES}/{created.json['id']}/cancel")
    assert cancelled.json["status"] == "cancelling"
    ended(door, created.json["id"])
    assert door.ask("DELETE", f"{FILES}/{made['id']}").status == 200


def test_a_place_of_files_that_is_away_is_told_and_comes_back(door: Door) -> None:
    file_id = uploaded(door)["id"]
    kept = door.stack.directory / "data" / "blobs"
    away = kept.rename(kept.with_name("away"))
    try:
        upload(door).assert_refused("blobs_unavailable")
    finally:
        away.rename(kept)
    assert upload(door).status == 200
    assert content(door, file_id).body == LINES


def test_a_file_whose_bytes_are_gone_is_not_found(door: Door) -> None:
    before = set(blobs(door))
    file_id = uploaded(door)["id"]
    (new,) = set(blobs(door)) - before
    new.unlink()
    content(door, file_id).assert_refused("file_not_found")
    assert door.ask("DELETE", f"{FILES}/{file_id}").status == 200


def test_a_slow_reader_does_not_fill_the_memory(door: Door) -> None:
    file_id = uploaded(door, b"x" * MAX_BYTES)["id"]
    connection = http.client.HTTPConnection(door.stack.url.removeprefix("http://"), timeout=20)
    headers = {"Authorization": f"Bearer {door.key}"}
    connection.request("GET", f"{FILES}/{file_id}/content", None, headers)
    answer = connection.getresponse()
    assert answer.read(10) == b"x" * 10
    connection.close()
    door.assert_well()
    assert json.loads(door.ask("GET", f"{FILES}/{file_id}").body)["bytes"] == MAX_BYTES
