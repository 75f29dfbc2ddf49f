"""Browsers: only the origins of the configuration may call, and read what SDKs go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup

OURS = "https://app.example"


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    open_to_ours = replace(setup, server={**setup.server, "cors_origins": [OURS]})
    with open_door(tmp_path_factory.mktemp("cors"), open_to_ours, ["echo"]) as opened:
        yield opened


def asked(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": "POST"}


def test_a_configured_origin_may_call_and_read_the_headers_that_sdks_go_by(door: Door) -> None:
    before = door.ask("OPTIONS", "/v1/chat/completions", headers=asked(OURS))
    assert before.headers["access-control-allow-origin"] == OURS
    listed = door.ask("GET", "/v1/models", headers={"Origin": OURS})
    assert listed.headers["access-control-allow-origin"] == OURS
    told = set(listed.headers["access-control-expose-headers"].split(", "))
    assert {"x-request-id", "x-should-retry", "retry-after"} <= told


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://app.example", f"{OURS}.evil.example"]
)
def test_another_origin_is_allowed_nothing(door: Door, origin: str) -> None:
    before = door.ask("OPTIONS", "/v1/chat/completions", headers=asked(origin))
    assert before.status == 400
    assert "access-control-allow-origin" not in before.headers
    listed = door.ask("GET", "/v1/models", headers={"Origin": origin})
    assert "access-control-allow-origin" not in listed.headers
