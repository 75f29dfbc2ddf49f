"""The calls that were made for a request, as they are told to who asks for it."""

from __future__ import annotations

from dataclasses import dataclass

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
