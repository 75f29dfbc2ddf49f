"""Ids carry their partition; slugs are safe names and never shared."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    ID_LENGTH,
    PARTITIONS,
    is_request_id,
    new_request_id,
    partition_of,
    partition_of_seed,
    slug,
)


def test_new_ids_are_distinct_and_reach_every_partition() -> None:
    ids = {new_request_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(map(is_request_id, ids))
    assert {partition_of(request_id) for request_id in ids} == set(range(PARTITIONS))


@given(st.binary())
def test_ids_of_one_seed_are_distinct_and_share_its_partition(seed: bytes) -> None:
    one, other = new_request_id(seed), new_request_id(seed)
    assert one != other
    assert is_request_id(one)
    assert len(one) == ID_LENGTH
    assert partition_of(one) == partition_of(other) == partition_of_seed(seed)


def test_seeds_reach_every_partition() -> None:
    assert {partition_of_seed(bytes([n])) for n in range(256)} == set(range(PARTITIONS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "req_",
        "req_0",
        "req_" + "0" * 33,
        "REQ_0a" + "1" * 32,
        "req_ff" + "1" * 32,
        "req_0a" + "G" * 32,
        "req_0a" + "1" * 32 + "\n",
        "req_0a" + "\u0661" * 32,
    ],
)
def test_other_texts_are_not_ids(text: str) -> None:
    assert not is_request_id(text)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llama-3_8b", "llama-3_8b"),
        ("Llama", "llama-[0-9a-f]{8}"),
        ("meta/llama-3.1", "meta-llama-3-1-[0-9a-f]{8}"),
        ("\u6a21\u578b", "---[0-9a-f]{8}"),
    ],
)
def test_slugs(model: str, expected: str) -> None:
    assert re.fullmatch(expected, slug(model))


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_two_models_never_share_a_slug(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,120}", slug(one))
    assert (slug(one) == slug(other)) == (one == other)
