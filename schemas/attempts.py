"""The calls that were made for a request, as they are told to who asks for it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any

import msgpack

# What is kept of a request's attempts: the first and the newest of them.
MAX_ATTEMPTS_TOLD = 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a backend. Instants are Unix seconds.

    `outcome` is `ok`, `cancelled`, or the class of its failure; `status_code` is the backend's
    answer, where there was one.
    """

    number: int
    backend: str
    started_at: float
    ended_at: float
    outcome: str
    status_code: int | None = None
    message: str | None = None


def encode_attempt(attempt: Attempt) -> bytes:
    """Return the bytes of an attempt: its fields in order; later versions add theirs at the end."""
    packed: bytes = msgpack.packb(astuple(attempt))
    return packed


def decode_attempt(data: bytes) -> Attempt:
    """Return the attempt in `data`."""
    values: list[Any] = msgpack.unpackb(data)
    return Attempt(*values[: len(fields(Attempt))])


def encode_history(history: tuple[Attempt, ...]) -> bytes:
    """Return the bytes of finished attempts, as scripts/history.lua makes them too."""
    packed: bytes = msgpack.packb([encode_attempt(each) for each in history])
    return packed


def decode_history(data: bytes | None) -> tuple[Attempt, ...]:
    """Return the finished attempts in `data`."""
    if data is None:
        return ()
    return tuple(decode_attempt(each) for each in msgpack.unpackb(data, raw=True))


def with_attempt(history: tuple[Attempt, ...], made: Attempt | None) -> tuple[Attempt, ...]:
    """Return the history with one more; beyond the most that are told, the second goes."""
    if made is None:
        return history
    if len(history) >= MAX_ATTEMPTS_TOLD:
        history = (history[0], *history[2:])
    return (*history, made)
