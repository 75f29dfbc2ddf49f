"""Whatever a client sends, it gets a precise refusal, and the next request is served."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.e2e.door import Door, open_door
from tests.e2e.wire import ask_raw, chunked
from tests.fakes.stack import Setup

SUBMIT, CHAT = "/v1/requests", "/v1/chat/completions"
OK = b'{"model": "echo", "messages": []}'
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("bad-input"), setup, ["echo", "slow-2000"]) as opened:
        yield opened


def _deep(levels: int) -> bytes:
    return b'{"model": "echo", "messages": ' + b"[" * levels + b"]" * levels + b"}"


# Each is sent as the whole body of both doors.
NOT_USABLE = {
    "empty": (b"", "invalid_json"),
    "blank": (b" \r\n", "invalid_json"),
    "not JSON": (b"model=echo", "invalid_json"),
    "half": (b'{"model": "echo", "mess', "invalid_json"),
    "two documents": (OK + OK, "invalid_json"),
    "trailing comma": (b'{"model": "echo",}', "invalid_json"),
    "single quotes": (b"{'model': 'echo'}", "invalid_json"),
    "null": (b"null", "invalid_body"),
    "array": (b"[]", "invalid_body"),
    "string": (b'"x"', "invalid_body"),
    "number": (b"1", "invalid_body"),
    "true": (b"true", "invalid_body"),
    "byte order mark": (b"\xef\xbb\xbf" + OK, "invalid_json"),
    "UTF-16": (OK.decode().encode("utf-16"), "invalid_json"),
    "invalid UTF-8": (b'{"model": "echo", "messages": "\xff"}', "invalid_json"),
    "overlong UTF-8": (b'{"model": "echo", "messages": "\xc0\xaf"}', "invalid_json"),
    "lone surrogate": (b'{"model": "echo", "messages": "\\ud800"}', "invalid_json"),
    "NaN": (b'{"model": "echo", "temperature": NaN}', "invalid_json"),
    "Infinity": (b'{"model": "echo", "temperature": Infinity}', "invalid_json"),
    "-Infinity": (b'{"model": "echo", "temperature": -Infinity}', "invalid_json"),
    "1e999": (b'{"model": "echo", "temperature": 1e999}', "invalid_json"),
    "depth 10,000": (_deep(10_000), "invalid_json"),
    "depth 1,000": (_deep(1_000), "invalid_body"),
    "depth 100": (_deep(100), "invalid_body"),
    "a million parts": (b'{"model": [' + b"[]," * 1_000_000 + b"[]]}", "invalid_body"),
}

# Each is wrong in itself, at the chat door and as the `body` of a submit.
WRONG_BODY = {
    "duplicate key": (b'{"model": "echo", "model": "echo"}', "duplicate_key"),
    "duplicate key, escaped": (b'{"model": "echo", "mod\\u0065l": "x"}', "duplicate_key"),
    "no model": (b'{"messages": []}', "invalid_body"),
    "null model": (b'{"model": null}', "invalid_body"),
    "number as model": (b'{"model": 7}', "invalid_body"),
    "empty model": (b'{"model": ""}', "invalid_body"),
    "long model": (b'{"model": "' + b"m" * 300 + b'"}', "invalid_body"),
    "unknown model": (b'{"model": "gpt-none"}', "model_not_found"),
    "path as model": (b'{"model": "../../etc/passwd"}', "model_not_found"),
    "newline in model": (b'{"model": "echo\\n"}', "model_not_found"),
    "NUL in model": (b'{"model": "echo\\u0000"}', "model_not_found"),
    "stream as text": (b'{"model": "echo", "stream": "true"}', "invalid_body"),
    "stream as number": (b'{"model": "echo", "stream": 1}', "invalid_body"),
}

# Fields beside a good `body`.
WRONG_FIELDS: dict[str, tuple[dict[str, object], str]] = {
    "unknown field": ({"modle": "echo"}, "invalid_body"),
    "unknown endpoint": ({"endpoint": "/v1/images"}, "unsupported_endpoint"),
    "endpoint with a path": ({"endpoint": "/v1/chat/completions/../x"}, "unsupported_endpoint"),
    "other model": ({"model": "slow-2000"}, "model_mismatch"),
    "number as model": ({"model": 7}, "invalid_body"),
    "stream of embeddings": (
        {"stream": True, "endpoint": "/v1/embeddings"},
        "streaming_unsupported",
    ),
    "stream as text": ({"stream": "true"}, "invalid_body"),
    "restart as text": ({"restart": "true"}, "invalid_body"),
    "priority in capitals": ({"priority": "HIGH"}, "invalid_body"),
    "priority as number": ({"priority": 0}, "invalid_body"),
    "priority with a blank": ({"priority": "high "}, "invalid_body"),
    "deadline in the past": ({"deadline": 1_000_000_000}, "invalid_deadline"),
    "deadline as text": ({"deadline": "tomorrow"}, "invalid_body"),
    "deadline too far": ({"deadline": 253_402_300_800}, "invalid_deadline"),
    "deadline true": ({"deadline": True}, "invalid_body"),
    "deadline and timeout_s": (
        {"deadline": time.time() + 3_600, "timeout_s": 60},
        "invalid_deadline",
    ),
    "timeout 0": ({"timeout_s": 0}, "invalid_deadline"),
    "timeout -1": ({"timeout_s": -1}, "invalid_deadline"),
    "timeout 1e18": ({"timeout_s": 1e18}, "invalid_deadline"),
    "not_before after the deadline": (
        {"not_before": time.time() + 7_200, "timeout_s": 60},
        "invalid_deadline",
    ),
    "not_before negative": ({"not_before": -5}, "invalid_deadline"),
    "17 metadata": ({"metadata": {f"k{n}": "v" for n in range(17)}}, "invalid_body"),
    "long metadata": ({"metadata": {"k": "v" * 513}}, "invalid_body"),
    "metadata of numbers": ({"metadata": {"k": 1}}, "invalid_body"),
    "NUL in metadata": ({"metadata": {"k": "a\0b"}}, "invalid_body"),
    "on_disconnect": ({"on_disconnect": "ignore"}, "invalid_body"),
}


@pytest.mark.parametrize("path", [SUBMIT, CHAT])
@pytest.mark.parametrize("case", NOT_USABLE)
def test_what_is_not_a_json_object_is_refused(door: Door, path: str, case: str) -> None:
    raw, code = NOT_USABLE[case]
    door.ask("POST", path, raw).assert_refused(code)
    door.assert_well()


@pytest.mark.parametrize("case", WRONG_BODY)
def test_a_wrong_body_is_refused_at_both_doors(door: Door, case: str) -> None:
    raw, code = WRONG_BODY[case]
    door.ask("POST", CHAT, raw).assert_refused(code)
    door.ask("POST", SUBMIT, b'{"body": ' + raw + b"}").assert_refused(code)
    door.assert_well()


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_field_is_refused(door: Door, case: str) -> None:
    fields, code = WRONG_FIELDS[case]
    asked = {"body": json.loads(OK), **fields}
    door.ask("POST", SUBMIT, asked).assert_refused(code)
    door.assert_well()


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"7"])
def test_a_body_that_is_no_object_is_refused(door: Door, raw: bytes) -> None:
    door.ask("POST", SUBMIT, b'{"model": "echo", "body": ' + raw + b"}").assert_refused(
        "invalid_body"
    )


def test_a_submit_without_a_body_is_refused(door: Door) -> None:
    door.ask("POST", SUBMIT, b'{"model": "echo"}').assert_refused("invalid_body")


def test_a_duplicate_top_level_key_is_refused(door: Door) -> None:
    raw = b'{"body": ' + OK + b', "priority": "low", "priority": "high"}'
    door.ask("POST", SUBMIT, raw).assert_refused("duplicate_key")


def test_every_byte_but_the_models_reaches_the_backend_as_sent(door: Door) -> None:
    raw = (
        b'{ "model" :"echo","seed":123456789012345678901234567890, "x": -0, "y":1E+2,\t'
        b'"z":[1.10,"\\u00e9\\/ \\u0000"],"long":' + b"9" * 300 + b', "messages":[ ]}'
    )
    told = door.ask("POST", SUBMIT, b'{"body":' + raw + b"}")
    assert told.status == 202, told
    assert door.ended(told.json["id"])["status"] == "completed"
    held = door.ask("POST", CHAT, raw)
    assert held.status == 200, held
    for request_id in (told.json["id"], held.headers["x-request-id"]):
        (call,) = door.calls_of(request_id)
        assert call["body_sha256"] == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("path", [SUBMIT, CHAT])
def test_20_mb_are_refused_by_their_length(door: Door, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {20 * MIB}"
    told = ask_raw(door.stack.url, head, [b"x" * MIB] * 20)
    told.assert_refused("body_too_large")
    door.assert_well()


@pytest.mark.parametrize("path", [SUBMIT, CHAT])
def test_20_mb_in_chunks_are_refused_at_the_cap(door: Door, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    told = ask_raw(door.stack.url, head, chunked(20 * MIB, b"x" * 65_536))
    told.assert_refused("body_too_large")
    door.assert_well()


def test_a_body_just_below_the_cap_is_served(door: Door) -> None:
    raw = b'{"model": "echo", "messages": "' + b"x" * (8 * MIB - 100) + b'"}'
    told = door.ask("POST", CHAT, raw)
    assert told.status == 200, told.status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "zstd"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [SUBMIT, CHAT])
def test_other_media_types_are_refused(door: Door, path: str, headers: dict[str, str]) -> None:
    door.ask("POST", path, OK, headers).assert_refused("unsupported_media_type")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-penstock-priority", "HIGH", "invalid_body"),
        ("x-penstock-timeout-s", "abc", "invalid_deadline"),
        ("x-penstock-timeout-s", "nan", "invalid_deadline"),
        ("x-penstock-timeout-s", "0", "invalid_deadline"),
        ("x-penstock-timeout-s", "1e18", "invalid_deadline"),
        ("x-penstock-on-disconnect", "maybe", "invalid_body"),
    ],
)
def test_wrong_headers_of_a_held_call_are_refused(
    door: Door, name: str, value: str, code: str
) -> None:
    door.chat("echo", headers={name: value}).assert_refused(code)


def test_a_held_call_whose_deadline_passes_is_told_so(door: Door) -> None:
    began = time.monotonic()
    told = door.chat("slow-2000", headers={"x-penstock-timeout-s": "0.3"})
    assert told.status == 504, told
    assert told.json["error"]["code"] in ("deadline_exceeded", "backend_timeout")
    assert time.monotonic() - began < 2
    door.assert_well()


@pytest.mark.parametrize(
    "request_id",
    [
        "req_00" + "0" * 32,  # well formed, unknown
        "req_1",
        "req_",
        "x",
        "req_FF" + "A" * 32,
        "req_3f" + "0" * 32,
        "batch_00" + "0" * 32,
        "req_00" + "0" * 32 + "%00",
        "req_00" + "0" * 32 + "%0a",
        "req_0%D9%A1" + "0" * 32,
        "-1",
        "req_00" + "a" * 10_000,
        "%7b7*7%7d",
        "'%20OR%201=1--",
    ],
    ids=lambda text: text[:24],
)
def test_an_unknown_or_malformed_id_is_not_found(door: Door, request_id: str) -> None:
    door.ask("GET", f"/v1/requests/{request_id}").assert_refused("request_not_found")
    door.ask("GET", f"/v1/requests/{request_id}?wait=5").assert_refused("request_not_found")
    door.ask("POST", f"/v1/requests/{request_id}/cancel").assert_refused("request_not_found")


@pytest.mark.parametrize("wait", ["abc", "nan", "", "1,5"])
def test_a_wrong_wait_is_refused_or_nothing(door: Door, wait: str) -> None:
    request_id = door.submit("echo")
    told = door.ask("GET", f"/v1/requests/{request_id}?wait={wait}")
    if wait:
        told.assert_refused("invalid_body")
    else:
        assert told.status == 200


@pytest.mark.parametrize("wait", ["-1", "0", "1e9", "inf"])
def test_a_wait_is_clamped(door: Door, wait: str) -> None:
    request_id = door.submit("echo")
    told = door.ask("GET", f"/v1/requests/{request_id}?wait={wait}")
    assert told.status == 200, told


def test_many_query_fields_do_not_break_a_read(door: Door) -> None:
    request_id = door.submit("echo")
    for fields, code in ((2_000, "invalid_body"), (5_000, "uri_too_long")):
        query = "&".join(f"f{n}=1" for n in range(fields))
        door.ask("GET", f"/v1/requests/{request_id}?{query}").assert_refused(code)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/chat/completions", "method_not_allowed"),
        ("DELETE", "/v1/requests", "method_not_allowed"),
        ("TRACE", "/v1/models", "method_not_allowed"),
        ("GET", "/v1/nothing", "route_not_found"),
        ("GET", "//v1/models", "route_not_found"),
        ("GET", "/v1/requests/../models", "route_not_found"),
        ("GET", "/v1/models/none", "model_not_found"),
    ],
)
def test_an_unknown_path_or_method_is_refused_in_the_same_shape(
    door: Door, method: str, path: str, code: str
) -> None:
    door.ask(method, path).assert_refused(code)


@pytest.mark.parametrize(
    "head",
    [
        "GET /v1/models HTTP/1.1\r\nX-Big: " + "x" * 1_000_000,
        "FOO-BAR^ \x01 HTTP/9",
        "POST /v1/requests HTTP/1.1\r\nContent-Length: -5",
        "POST /v1/requests HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ],
    ids=["1 MB header", "garbage", "negative length", "two framings"],
)
def test_broken_http_is_refused_by_the_server(door: Door, head: str) -> None:
    told = ask_raw(door.stack.url, head, [b"0\r\n\r\n"])
    assert 400 <= told.status < 500
    door.assert_well()


def test_a_client_that_leaves_in_mid_body_harms_nobody(door: Door) -> None:
    head = (
        f"POST {CHAT} HTTP/1.1\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000"
    )
    for _ in range(20):
        _send_and_leave(door, head, b'{"model": ')
    door.assert_well()


def _send_and_leave(door: Door, head: str, part: bytes) -> None:

    with socket.create_connection(("127.0.0.1", door.stack.ports[0]), timeout=5) as wire:
        wire.sendall(f"{head}\r\nHost: localhost\r\n\r\n".encode() + part)
