"""What a claim can answer (PROTOCOL 3, the table), and what a commit can."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.result import Result


@dataclass(frozen=True, slots=True)
class Run:
    """The caller owns the request now, as this attempt; `poison` owners died on it before."""

    attempt: int
    poison: int


@dataclass(frozen=True, slots=True)
class Done:
    """The request is terminal, perhaps forgotten, or a newer copy is confirmed: ack this one."""


@dataclass(frozen=True, slots=True)
class Late:
    """Its deadline has passed; nothing was changed. The caller ends it as expired.

    `attempt` is the record's: a commit with a lower one would lose.
    """

    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Early:
    """Its `not_before` lies ahead; nothing was changed. The caller parks it again."""

    not_before: float


@dataclass(frozen=True, slots=True)
class Running:
    """Someone runs it; nothing was changed.

    `same_generation` tells whether this delivery carries the record's generation: only then may
    the owner itself adopt it. `poison` counts the owners that have died on it so far.
    """

    owner: str
    attempt: int
    same_generation: bool
    poison: int


Claim = Run | Done | Late | Early | Running


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer of a commit: the result that is told, and whether it is the caller's.

    `result` is None where the stored one is past its retention, and where a commit lost to an
    attempt that still runs.
    """

    won: bool
    result: Result | None
