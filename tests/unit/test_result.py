"""The stored result: unchanged by a round trip, and its head readable without its body."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from schemas.lifecycle import Status
from schemas.result import HEAD_BYTES, Result, Usage, decode_head, decode_result, encode_result

RESULT = Result(
    Status.FAILED,
    1_700_000_000.5,
    code="backend_failed",
    message="The backend refused.",
    status_code=400,
    content_type="application/json",
    body=b"x" * 100_000,
    usage=Usage(1, 2, 3),
    backend="gpu-a",
    backend_model="m-1",
)


@pytest.mark.parametrize("result", [RESULT, Result(Status.COMPLETED, 1.0)])
def test_a_round_trip_changes_nothing(result: Result) -> None:
    assert decode_result(encode_result(result)) == result


@pytest.mark.parametrize("size", [0, 2, HEAD_BYTES, 100_000])
def test_the_head_is_all_but_the_body(size: int) -> None:
    data = encode_result(replace(RESULT, body=b"x" * size))
    assert decode_head(data[:HEAD_BYTES]) == replace(RESULT, body=None)


def test_the_head_of_an_earlier_version_is_read_as_far_as_it_goes() -> None:
    """It wrote the body before the usage and the backend."""
    fields = msgpack.unpackb(encode_result(RESULT))
    last = {name: fields.pop(name) for name in ("body", "usage", "backend", "backend_model")}
    earlier = msgpack.packb({**fields, **last})
    assert decode_result(earlier) == RESULT
    head = decode_head(earlier[:HEAD_BYTES])
    assert head == replace(RESULT, body=None, usage=None, backend=None, backend_model=None)
