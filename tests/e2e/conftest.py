"""The engine that a test's Penstock stands on: both, one after the other."""

from __future__ import annotations

import secrets

import pytest

from tests.fakes.stack import Setup


@pytest.fixture(scope="module", autouse=True)
def _start_quickly(born_in_a_nursery: None) -> None:
    """A fork shows all the growth that `open_door` bounds: pages it maps late only add to it."""


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("real", marks=pytest.mark.realservers)],
)
def setup(request: pytest.FixtureRequest) -> Setup:
    """Return the start of a setup; `real` uses the session's servers in a namespace of its own."""
    if request.param == "embedded":
        return Setup()
    return Setup(
        engine="real",
        apis=1,
        workers=1,
        amqp_url=request.getfixturevalue("amqp_url"),
        redis_url=request.getfixturevalue("redis_url"),
        server={"namespace": f"t{secrets.token_hex(4)}"},
    )
