"""The tokens that an answer tells, in the words of either dialect."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.result import Usage
from workers.backends.answers import usage_of


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Usage(5, 7, 12)),
        ({"input_tokens": 5, "output_tokens": 7}, Usage(5, 7, 12)),
        (
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 20,
                "output_tokens": 7,
            },
            Usage(35, 7, 42),
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": 7}, Usage(5, 7, 12)),
        ({"input_tokens": 5, "cache_read_input_tokens": -1, "output_tokens": 7}, Usage(5, 7, 12)),
        ({"cache_read_input_tokens": 20}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_was_read_from_a_cache_is_part_of_the_input(usage: Any, told: Usage | None) -> None:
    assert usage_of({"usage": usage}) == told
