"""What is wrong with a body is told as a sentence about its place, without pydantic's own words."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import RequestError
from schemas.misfits import fitted
from schemas.request import SubmitRequest

GOOD = {"body": {"model": "m"}}


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({}, "body", "`body` is missing."),
        ({**GOOD, "webhok": "x"}, "webhok", "`webhok` is not known here."),
        (
            {**GOOD, "priority": "hihg"},
            "priority",
            "`priority` must be `high`, `normal`, `low` or `batch`.",
        ),
        ({**GOOD, "restart": "yes"}, "restart", "`restart` must be a valid boolean."),
        (
            {**GOOD, "webhook": {"url": "https://a.example/", "secret": "bad"}},
            "webhook.secret",
            "`webhook.secret` must be `whsec_` and the base64 of 24 to 64 random bytes.",
        ),
    ],
)
def test_the_first_misfit_is_told(body: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        fitted(SubmitRequest, body)
    refusal = caught.value
    assert (refusal.code, refusal.param, refusal.message) == ("invalid_body", param, message)
