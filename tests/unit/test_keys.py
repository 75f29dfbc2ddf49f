"""API keys: their form, and the hash that the configuration keeps."""

from __future__ import annotations

import pytest

from schemas.config import KEY_HASH
from schemas.keys import hash_of, is_key, new_key


def test_a_new_key_has_the_form_of_a_key_and_is_new() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(is_key(key) for key in keys)


def test_a_hash_is_what_the_configuration_takes() -> None:
    assert KEY_HASH.fullmatch(hash_of(new_key()))


def test_the_hash_of_a_key_never_changes() -> None:
    key = "psk_" + "A" * 43
    assert hash_of(key) == (
        "sha256:22aff24ff841593c29d0c3f3d8a764b061dd418c5a9e517ad778d39adf154ec0"
    )


NO_KEYS = (
    "",
    "psk_",
    "psk_" + "A" * 42,
    "psk_" + "A" * 44,
    "PSK_" + "A" * 43,
    "sk-" + "A" * 44,
    "psk_" + "A" * 42 + "+",
    "psk_" + "A" * 43 + "\n",
    " psk_" + "A" * 43,
)


@pytest.mark.parametrize("text", NO_KEYS)
def test_anything_else_is_no_key(text: str) -> None:
    assert not is_key(text)
