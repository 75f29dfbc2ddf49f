"""Files that a batch must survive: each is run, or each of its mistakes is named with its line."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.e2e.batching import BATCHES, create, ended, lines_of, outcome
from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup
from tests.fakes.uploads import jsonl, line

KIB = 1024
MAX_LINES, MAX_BODY = 1_200, 64 * KIB
ODD = ("html", "nan", "odd", "empty")


@dataclass(frozen=True, slots=True)
class Bad:
    """A file, and its mistakes: each its line, its code, and what its message holds."""

    data: bytes
    mistakes: Sequence[tuple[int | None, str, str]]


def one(**fields: Any) -> bytes:
    """Return a file whose third line is odd in these fields."""
    return jsonl([line("1"), line("2"), line(**{"custom_id": "3", **fields})])


def zipped(data: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("in.jsonl", data)
    return whole.getvalue()


PLAIN = jsonl([line("1"), line("2")])
GOOD: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "no end of the last line": PLAIN[:-1],
    "blank lines": b"\n\r\n \t\n" + PLAIN.replace(b"\n", b"\n\n\n"),
    "U+2028 in a string": jsonl([line("1"), line("2")]).replace(b"Hello 1", "a\u2028b".encode()),
    "a formula, a line break and quotes for ids": jsonl([line('=cmd()|"A1"'), line("a\nb")]),
    "ids of 512 characters": jsonl([line("ä" * 512), line("ä" * 511)]),
    "unknown members": jsonl([line("1", comment="x"), line("2", body={"model": "echo", "x": [1]})]),
    "other models": jsonl([line("1"), line("2", "odd")]),
}
BAD: dict[str, Bad] = {
    "empty": Bad(b"", [(None, "empty_file", "")]),
    "only line ends": Bad(b"\n\r\n\n", [(None, "empty_file", "")]),
    "CR alone": Bad(PLAIN.replace(b"\n", b"\r"), [(1, "invalid_json_line", "CR")]),
    "a JSON array": Bad(json.dumps([line("1")]).encode(), [(1, "invalid_json_line", "array")]),
    "gzip": Bad(gzip.compress(PLAIN), [(None, "unreadable_file", "gzip")]),
    "zip": Bad(zipped(PLAIN), [(None, "unreadable_file", "zip")]),
    "UTF-16": Bad(PLAIN.decode().encode("utf-16"), [(None, "unreadable_file", "UTF-16")]),
    "binary": Bad(bytes(range(256)) * 4, [(None, "unreadable_file", "")]),
    "a line that is too long": Bad(
        one(body={"model": "echo", "x": "x" * MAX_BODY}), [(3, "line_too_long", str(MAX_BODY))]
    ),
    "too many lines": Bad(
        jsonl(line(str(n)) for n in range(MAX_LINES + 1)),
        [(MAX_LINES + 1, "too_many_lines", str(MAX_LINES))],
    ),
    "cut short": Bad(one()[:-10], [(3, "invalid_json_line", "")]),
    "an id twice": Bad(jsonl([line("1"), line("1")]), [(2, "duplicate_custom_id", "1")]),
    "an id twice, far apart": Bad(
        jsonl([line("a"), *(line(str(n)) for n in range(1_000)), line("a")]),
        [(1_002, "duplicate_custom_id", "line 1")],
    ),
    "no id": Bad(one(custom_id=None), [(3, "missing_custom_id", "")]),
    "a number for an id": Bad(one(custom_id=7), [(3, "invalid_custom_id", "")]),
    "an empty id": Bad(one(custom_id=""), [(3, "invalid_custom_id", "512")]),
    "an id of 20 kB": Bad(one(custom_id="x" * 20_000), [(3, "invalid_custom_id", "512")]),
    "NUL in an id": Bad(one(custom_id="a\0b"), [(3, "invalid_custom_id", "NUL")]),
    "GET": Bad(one(method="GET"), [(3, "invalid_method", "POST")]),
    "post": Bad(one(method="post"), [(3, "invalid_method", "POST")]),
    "the operator's url": Bad(one(url="/admin/v1/keys"), [(3, "invalid_url", "")]),
    "another endpoint": Bad(one(url="/v1/embeddings"), [(3, "url_mismatch", "")]),
    "a whole url": Bad(one(url="http://x/v1/chat/completions"), [(3, "invalid_url", "")]),
    "a url that climbs": Bad(one(url="/v1/chat/completions/../x"), [(3, "invalid_url", "")]),
    "a text for a body": Bad(one(body="x"), [(3, "invalid_body", "")]),
    "no body": Bad(one(body=None), [(3, "invalid_body", "")]),
    "a stream": Bad(
        one(body={"model": "echo", "stream": True}), [(3, "streaming_unsupported", "stream")]
    ),
    "no model": Bad(one(body={"messages": []}), [(3, "invalid_body", "model")]),
    "an unknown model": Bad(one(body={"model": "gpt-9"}), [(3, "model_not_found", "gpt-9")]),
    "a model twice": Bad(
        one() + b'{"custom_id":"4","method":"POST","url":"/v1/chat/completions",'
        b'"body":{"model":"echo","model":"x"}}',
        [(4, "invalid_body", "model")],
    ),
    "many mistakes": Bad(
        jsonl([line("1", method="GET"), line("2"), line("2"), line(None), 5]),
        [
            (1, "invalid_method", ""),
            (3, "duplicate_custom_id", "2"),
            (4, "missing_custom_id", ""),
            (5, "invalid_json_line", ""),
        ],
    ),
}


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    whole = replace(
        setup,
        server={**setup.server, "max_body_bytes": MAX_BODY},
        more={"batches": {"max_lines": MAX_LINES}},
    )
    directory = tmp_path_factory.mktemp("bad-batches")
    with open_door(directory, whole, ["echo", "big-50mb", *ODD]) as opened:
        yield opened


def test_what_is_harmless_is_run(door: Door) -> None:
    made = {case: create(door, data)["id"] for case, data in GOOD.items()}
    for case, batch_id in made.items():
        batch = ended(door, batch_id)
        assert batch["status"] == "completed", (case, batch)
        assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}, case
        assert len(outcome(door, batch)) == 2, case


def test_every_mistake_is_named_with_its_line(door: Door) -> None:
    made = {case: create(door, bad.data)["id"] for case, bad in BAD.items()}
    wrong: dict[str, Any] = {}
    for case, batch_id in made.items():
        batch = ended(door, batch_id)
        told = [] if batch["errors"] is None else batch["errors"]["data"]
        named = [(each["line"], each["code"]) for each in told]
        expected = [(number, code) for number, code, _ in BAD[case].mistakes]
        words = [word for *_, word in BAD[case].mistakes]
        if batch["status"] != "failed" or named != expected:
            wrong[case] = (batch["status"], told)
        elif not all(word in each["message"] for word, each in zip(words, told, strict=True)):
            wrong[case] = told
        elif batch["output_file_id"] is not None:
            wrong[case] = batch
        else:
            in_file = [each["error"]["line"] for each in lines_of(door, batch["error_file_id"])]
            if in_file != [number for number, _ in expected]:
                wrong[case] = in_file
    assert not wrong


def test_of_many_mistakes_the_first_hundred_are_told_and_all_are_in_the_error_file(
    door: Door,
) -> None:
    batch = ended(door, create(door, [line(str(n), method="PUT") for n in range(250)])["id"])
    told = batch["errors"]["data"]
    assert [each["line"] for each in told[:100]] == list(range(1, 101))
    assert len(told) == 101
    assert "150" in told[100]["message"]
    errors = lines_of(door, batch["error_file_id"])
    assert [each["custom_id"] for each in errors] == [str(n) for n in range(250)]
    assert {each["error"]["code"] for each in errors} == {"invalid_method"}


def test_whatever_a_backend_answers_is_one_line_of_json(door: Door) -> None:
    models = [*ODD, "big-50mb", "echo"]
    batch = ended(door, create(door, [line(model, model) for model in models])["id"])
    assert batch["status"] == "completed"
    told = outcome(door, batch)
    assert set(told) == set(models)
    assert told["odd"]["response"]["body"]["said"] == "\u2028 \0 \n \u2029 \U0001f600"
    for model in ("html", "big-50mb"):
        assert told[model]["error"]["code"], told[model]


def test_a_batch_that_is_cancelled_at_once_has_exact_counts(door: Door) -> None:
    made = [create(door, [line(str(n)) for n in range(200)])["id"] for _ in range(4)]
    for batch_id in made:
        told = door.ask("POST", f"{BATCHES}/{batch_id}/cancel")
        assert told.status == 200, told
    for batch_id in made:
        batch = ended(door, batch_id)
        counts = batch["request_counts"]
        written = outcome(door, batch)
        assert len(written) == counts["completed"] + counts["failed"]
        if batch["status"] == "cancelled" and counts["total"]:
            assert batch["penstock"]["not_started"] == 200 - len(written)
