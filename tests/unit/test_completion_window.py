"""Completion windows: what is read, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.completion_window import window_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400),
        ("10m", 600),
        ("1h30m", 5_400),
        ("90s", 90),
        ("7d", 604_800),
        ("1d12h", 129_600),
        ("1.5h", 5_400),
        ("0h5m", 300),
        ("1s", 1),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert window_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "24", "h", "24 h", " 24h", "24h\n", "-1h", "+1h", "1e3s", "30m1h", "1h1h", "24H"),
        *(
            "1w",
            ".5h",
            "1.h",
            "\u0661h",
            "1h,30m",
            "inf",
            "nans",
            "Standard (24h)",
            "9" * 400 + "s",
        ),
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="such as 24h"):
        window_s(text)


@pytest.mark.parametrize("text", ["0s", "0h0m", "0.5s", "8d", "7d1s", "999999999d", "604801s"])
def test_what_is_too_short_or_too_long_is_refused_with_the_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="from 1s to 7d"):
        window_s(text)


@given(st.integers(0, 6), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_the_parts_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert window_s(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
