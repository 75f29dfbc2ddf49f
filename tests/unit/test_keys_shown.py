"""The headers that show a key: one key, by either name."""

from __future__ import annotations

import pytest

from api.auth import Access, Authenticator
from schemas.config import Config
from schemas.errors import RequestError
from schemas.keys import hash_of, new_key

KEY, OTHER = new_key(), new_key()
AUTHENTICATOR = Authenticator(
    Config.model_validate(
        {
            "tenants": {
                name: {"keys": [{"name": "k", "hash": hash_of(key)}], "models": ["*"]}
                for name, key in (("acme", KEY), ("globex", OTHER))
            }
        }
    )
)


def tenant(**headers: str) -> str:
    shown = [(n.replace("_", "-").encode(), text.encode()) for n, text in headers.items()]
    return AUTHENTICATOR.caller(shown, Access.CLIENT).tenant


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"x_api_key": KEY},
        {"authorization": f"bearer {KEY}", "x_api_key": KEY},
    ],
)
def test_a_key_is_known_by_either_header(headers: dict[str, str]) -> None:
    assert tenant(**headers) == "acme"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_api_key": ""},
        {"x_api_key": f"Bearer {KEY}"},
        {"x_api_key": f"{KEY} "},
        {"authorization": f"Bearer {KEY}", "x_api_key": OTHER},
        {"authorization": f"Bearer {KEY}", "x_api_key": ""},
        {"authorization": f"Basic {KEY}", "x_api_key": KEY},
        {"authorization": "", "x_api_key": KEY},
    ],
)
def test_anything_else_opens_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as refused:
        tenant(**headers)
    assert refused.value.code == "invalid_api_key"


def test_a_key_shown_twice_by_one_name_opens_nothing() -> None:
    with pytest.raises(RequestError):
        AUTHENTICATOR.caller([(b"x-api-key", KEY.encode())] * 2, Access.CLIENT)
