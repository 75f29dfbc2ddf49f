"""A server without keys answers this machine's names only, so that no web page can reach it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup

KEY = new_key()


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("keyless"), Setup(), ["echo"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {"acme": {"keys": [{"name": "k", "hash": hash_of(KEY)}], "models": ["*"]}}
    whole = replace(Setup(), more={"tenants": tenants})
    with open_door(tmp_path_factory.mktemp("keyed"), whole, ["echo"], key=KEY) as opened:
        yield opened


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8080",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.8.9.10:8080",
        "[::1]",
        "[::1]:8080",
    ],
)
def test_names_of_this_machine_are_answered(keyless: Door, host: str) -> None:
    assert keyless.ask("GET", "/v1/models", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:127.0.0.1",
        "0.0.0.0",
        "10.0.0.1:8080",
        "[::2]:8080",
        "[::1",
        "[localhost].evil.example",
    ],
)
def test_other_names_are_refused_whatever_they_ask_for(keyless: Door, host: str) -> None:
    asked = [("GET", "/v1/models"), ("POST", "/v1/requests"), ("GET", "/metrics"), ("GET", "/x")]
    for method, path in asked:
        headers = {"Host": host, "Content-Type": "application/json"}
        told = keyless.ask(method, path, {} if method == "POST" else None, headers)
        if told.status != 400:  # some are no `Host` at all
            told.assert_refused("host_not_allowed")


def test_with_a_key_any_name_will_do(keyed: Door) -> None:
    assert keyed.ask("GET", "/v1/models", headers={"Host": "penstock.example"}).status == 200
    unknown = keyed.as_key(None).ask("GET", "/v1/models", headers={"Host": "penstock.example"})
    unknown.assert_refused("invalid_api_key")
