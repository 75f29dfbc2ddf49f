"""What a refusing backend's headers ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from workers.backends.retry_after import LONGEST_S, retry_after_s

NOW = 1_764_153_600.0  # Wed, 26 Nov 2025 10:40:00 GMT

NAMES = (
    "Retry-After",
    "retry-after-ms",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-requests",
)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "Wed, 26 Nov 2025 10:40:30 GMT"}, 30),
        ({"Retry-After": "Wed, 26 Nov 2025 10:40:30 -0000"}, 30),
        ({"Retry-After": "Wed, 26 Nov 2025 10:39:00 GMT"}, 0),
        ({"Retry-After": "86400"}, LONGEST_S),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Wed, 99 Nov 2025 10:40:30 GMT"}, None),
        ({"Retry-After": "5", "retry-after-ms": "250"}, 0.25),
        ({"Retry-After": "5", "retry-after-ms": "x"}, 5),
        ({"Retry-After": "5", "x-ratelimit-reset-requests": "1m"}, 5),
        ({"x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "12"}, 12),
        ({"x-ratelimit-reset-tokens": "1m and more"}, None),
        ({"x-ratelimit-reset-requests": "60s", "x-ratelimit-remaining-requests": "3"}, None),
        ({"x-ratelimit-reset-requests": "60s", "x-ratelimit-remaining-requests": "0"}, 60),
    ],
)
def test_what_is_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    told = retry_after_s(CIMultiDict(headers), NOW)
    assert told == (None if seconds is None else pytest.approx(seconds))


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40)))
def test_whatever_is_sent_is_survived_and_bounded(headers: dict[str, str]) -> None:
    told = retry_after_s(CIMultiDict(headers), NOW)
    assert told is None or 0 <= told <= LONGEST_S
