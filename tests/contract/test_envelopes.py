"""The envelope's bytes between versions: an earlier one's are read, a newer one's keys survive."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields, replace

import msgpack
import pytest

from schemas.codec import decode, encode
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.contract.golden import GOLDEN, golden_envelope

_BODY = b'{"model": "echo", "messages": []}'
_MINIMAL = Envelope(
    id="req_03" + "0a" * 16,
    tenant="default",
    model="echo",
    endpoint="/v1/chat/completions",
    priority=Priority.NORMAL,
    accepted_at=1_764_000_000.25,
    deadline=9_000_000_000.0,
    body=_BODY,
    body_hash=hashlib.sha256(_BODY).digest(),
    model_span=(10, 16),
)
_FULL = replace(
    _MINIMAL,
    id="req_0c" + "1b" * 16,
    key_id="ci",
    content_type="application/json; charset=utf-8",
    not_before=1_764_000_060.5,
    generation=2,
    meetings=1,
    held_by="a1b2c3d4e5f6:1764000000000",
    on_disconnect="finish",
    stream=True,
    restart=True,
    reply_to="amq.gen-x",
    correlation_id="c-1",
    webhook="https://example.com/hook",
    batch="batch_1",
    line=7,
    redrive_of="req_05" + "2c" * 16,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    metadata={"job": "nightly", "ü": "ß"},
)
_LANED = replace(_FULL, lane=Lane.FLOOD, input_tokens=9, max_tokens=64)
_REPLIED = replace(_LANED, reply_as="application/msgpack")
_LINED = replace(
    _REPLIED,
    quiet=True,
    body=b"",
    body_blob=f"until/0000491000/{_FULL.id}.0a1b2c3d.body",
    body_bytes=300_000,
)
_NEWEST = _LINED
_EXPECTED = {
    "minimal": _MINIMAL,
    "full": _FULL,
    "laned": _LANED,
    "replied": _REPLIED,
    "lined": _LINED,
}


def test_every_kept_envelope_is_looked_at() -> None:
    assert set(GOLDEN) == set(_EXPECTED)


@pytest.mark.parametrize("name", GOLDEN)
def test_an_envelope_of_an_earlier_version_is_read(name: str) -> None:
    assert decode(golden_envelope(name)) == _EXPECTED[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_this_version_writes_what_the_earlier_one_can_read(name: str) -> None:
    """While both run side by side; a new key may be added, and then changes nothing else."""
    assert encode(_EXPECTED[name]) == golden_envelope(name)


def test_the_newest_has_every_key() -> None:
    plain = {field.name: field.default for field in fields(Envelope)}
    same = {name for name in plain if getattr(_NEWEST, name) == plain[name]}
    assert same == set(), "these have their default"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_key_of_a_newer_version_survives_being_read_and_written(name: str) -> None:
    data = golden_envelope(name)
    (length,) = struct.unpack_from(">I", data, 1)
    header = {**msgpack.unpackb(data[5 : 5 + length]), "colour": ["blue", {"deep": 1}]}
    packed = msgpack.packb(header)
    newer = data[:1] + struct.pack(">I", len(packed)) + packed + data[5 + length :]
    again = encode(replace(decode(newer), generation=9))
    (length,) = struct.unpack_from(">I", again, 1)
    assert msgpack.unpackb(again[5 : 5 + length]) == {**header, "generation": 9}
    assert again.endswith(_EXPECTED[name].body)
