"""Browsers: only the origins of the configuration may call, and read what SDKs go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup
from tests.fakes.uploads import FORM, form

OURS = "https://app.example"
MORE = {"endpoints": ["/v1/rerank"]}


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    open_to_ours = replace(setup, server={**setup.server, "cors_origins": [OURS]}, more=MORE)
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


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "not an origin", "http://["]
)
def test_a_form_of_another_page_is_refused_though_browsers_send_it_unasked(
    door: Door, origin: str
) -> None:
    told = door.ask("POST", "/v1/files", form(b"{}"), {**FORM, "Origin": origin})
    told.assert_refused("host_not_allowed")
    passed = door.ask("POST", "/v1/rerank", form(b"{}"), {**FORM, "Origin": origin})
    passed.assert_refused("host_not_allowed")
    assert door.ask("GET", "/v1/files").json["data"] == []


def test_a_form_of_our_own_page_or_a_configured_one_is_taken(door: Door) -> None:
    for origin in (OURS, door.stack.url):
        told = door.ask("POST", "/v1/files", form(b"{}"), {**FORM, "Origin": origin})
        assert told.status == 200, told
        door.ask("DELETE", f"/v1/files/{told.json['id']}")
