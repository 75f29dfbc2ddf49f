"""API keys as text."""

from __future__ import annotations

import pytest

from schemas.config import KEY_HASH
from schemas.keys import hash_of, is_key, new_key


def test_a_new_key_is_one_and_never_the_same() -> None:
    first, second = new_key(), new_key()
    assert is_key(first)
    assert is_key(second)
    assert first != second


@pytest.mark.parametrize(
    "text", ["", "psk_", "psk_" + "a" * 42, "psk_" + "a" * 44, "psk_" + "ä" * 43, "sk_" + "a" * 43]
)
def test_other_texts_are_not_keys(text: str) -> None:
    assert not is_key(text)


def test_the_hash_is_the_configurations_form() -> None:
    assert KEY_HASH.fullmatch(hash_of("psk_x"))
    assert hash_of("abc").endswith("f20015ad")  # SHA-256 of "abc" (FIPS 180-4, B.1)
