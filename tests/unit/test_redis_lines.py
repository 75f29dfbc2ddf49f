"""Which lines have not ended, read from bits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.redis_store.lines import clear_bits


@given(st.sets(st.integers(0, 200)), st.integers(0, 200), st.integers(0, 25))
def test_what_is_not_set_is_open(ended: set[int], made: int, first_byte: int) -> None:
    bits = bytearray(max(ended, default=-1) // 8 + 1)
    for line in ended:
        bits[line // 8] |= 0x80 >> line % 8
    first = 8 * first_byte
    assert clear_bits(bytes(bits[first_byte:]), first, made) == [
        line for line in range(first, made) if line not in ended
    ]
