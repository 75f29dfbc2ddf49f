"""The envelope's bytes: golden, unchanged by a round trip, and closed to everything else."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import BadEnvelope, decode, encode
from schemas.envelope import Envelope
from schemas.priority import Priority

ENVELOPE = Envelope(
    id="req_0a" + "1f" * 16,
    tenant="default",
    model="llama-3.1-8b",
    endpoint="/v1/chat/completions",
    priority=Priority.LOW,
    accepted_at=1_700_000_000.5,
    deadline=1_700_086_400.5,
    body=b'{"model":"llama-3.1-8b","messages":[]}',
    body_hash=b"\x01" * 32,
    model_span=(9, 23),
    metadata={"team": "a"},
)


GOLDEN = (
    "01000000eb8aa26964d9267265715f306131663166316631663166316631663166316631663166316631663166"
    "31663166a674656e616e74a764656661756c74a56d6f64656cac6c6c616d612d332e312d3862a8656e64706f69"
    "6e74b42f76312f636861742f636f6d706c6574696f6e73a87072696f72697479a36c6f77ab6163636570746564"
    "5f6174cb41d954fc40200000a8646561646c696e65cb41d95550a0200000a9626f64795f68617368c420010101"
    "0101010101010101010101010101010101010101010101010101010101aa6d6f64656c5f7370616e920917a86d"
    "6574616461746181a47465616da1617b226d6f64656c223a226c6c616d612d332e312d3862222c226d65737361"
    "676573223a5b5d7d"
)


def packed(header: object, body: bytes = b"{}", version: int = 1) -> bytes:
    data: bytes = msgpack.packb(header)
    return struct.pack(">BI", version, len(data)) + data + body


def header(**changes: Any) -> dict[str, Any]:
    data = encode(ENVELOPE)
    (length,) = struct.unpack_from(">I", data, 1)
    return {**msgpack.unpackb(data[5 : 5 + length]), **changes}


def test_the_bytes_do_not_change_between_versions() -> None:
    data = encode(ENVELOPE)
    assert data[:1] == b"\x01"
    assert data.endswith(ENVELOPE.body)
    assert header() == {
        "id": ENVELOPE.id,
        "tenant": "default",
        "model": "llama-3.1-8b",
        "endpoint": "/v1/chat/completions",
        "priority": "low",
        "accepted_at": 1_700_000_000.5,
        "deadline": 1_700_086_400.5,
        "body_hash": b"\x01" * 32,
        "model_span": [9, 23],
        "metadata": {"team": "a"},
    }
    assert data.hex() == GOLDEN


def test_a_round_trip_changes_nothing() -> None:
    assert decode(encode(ENVELOPE)) == ENVELOPE


def test_keys_of_a_newer_version_survive() -> None:
    newer = decode(packed(header(colour="blue"), ENVELOPE.body))
    assert newer.extra == {"colour": "blue"}
    assert decode(encode(newer)) == newer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x00\x00\x00\xff",
        b"\x00" + encode(ENVELOPE)[1:],
        b"\xff" + encode(ENVELOPE)[1:],
        packed([1, 2]),
        packed({}),
        packed({1: 2}),
        packed(header(id="req_xyz")),
        packed(header(priority="HIGH")),
        packed(header(generation="1")),
        packed(header(generation=True)),
        packed(header(generation=-1)),
        packed(header(accepted_at=float("nan"))),
        packed(header(deadline=1e30)),
        packed(header(model_span=[0, 99])),
        packed(header(model_span=[1])),
        packed(header(metadata={"a": 1})),
        packed(header(tenant=None)),
        packed(header(on_disconnect="explode")),
        packed(header(x=msgpack.ExtType(5, b"a"))),
        packed(header(x=msgpack.Timestamp(1))),
        packed(header(x="a" * 20_000)),
        packed(header(x=list(range(1000)))),
        struct.pack(">BI", 1, 4) + b"\x82\xa1a\x01\xa1a\x02",
        struct.pack(">BI", 1, 2) + b"\xc1\x00",
        struct.pack(">BI", 1, 50_000) + b"\x91" * 50_000,
    ],
)
def test_anything_else_is_a_bad_envelope(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        decode(data)


@given(st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(data: bytes) -> None:
    with pytest.raises(BadEnvelope):
        decode(b"\x01" + data)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_never_raises_anything_else(place: int, value: int) -> None:
    data = bytearray(encode(ENVELOPE))
    data[place % len(data)] = value
    with contextlib.suppress(BadEnvelope):
        assert isinstance(decode(bytes(data)), Envelope)
