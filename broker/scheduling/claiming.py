"""The claim's decision table (PROTOCOL 3): may this delivery of a request run here, now?

Pure: the store reads what it has, this decides, the store writes in the same atomic step.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.claims import Claim, Done, Early, Late, Run, Running
from schemas.envelope import Envelope
from schemas.lifecycle import TERMINAL, Status

# Clocks and timers differ by a little; a request this close to its time may start.
EARLY_TOLERANCE_S = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What the store knows of the request.

    `reservation` is that of the running attempt; `witnessed` tells whether a heartbeat of its owner
    has seen it running: only then is the owner's death counted as poison.
    """

    status: Status
    generation: int
    attempt: int
    poison: int
    witnessed: bool
    owner: str | None
    reservation: str | None
    deadline: float
    not_before: float | None


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who asks: the process, and the reservation it minted for this claim alone."""

    owner: str
    reservation: str


def born_from(message: Envelope) -> Found:
    """Return what a record rebuilt from its message says."""
    return Found(
        status=Status.QUEUED,
        generation=message.generation,
        attempt=0,
        poison=0,
        witnessed=False,
        owner=None,
        reservation=None,
        deadline=message.deadline,
        not_before=message.not_before,
    )


def forgotten_from(message: Envelope, retention_s: float) -> float:
    """Return the instant from which a missing record may be one that ended and was forgotten.

    A tombstone stays until its deadline and its retention after its end are both over, and no
    request ends before it is accepted: until this instant a missing record never ended.
    """
    return max(message.deadline, message.accepted_at + retention_s)


def decide_claim(
    found: Found | None, message: Envelope, claimant: Claimant, now: float, retention_s: float
) -> Claim:
    """Return the answer; for `Run` the store writes its attempt, its poison and the claimant.

    The table, by the first line that fits; a record that is missing is as its message says:

        missing, perhaps forgotten             Done: a second end must not be told
        terminal, or of a newer generation     Done
        running                                Running; to its own claim, repeated, Run
        past its deadline                      Late
        before its time                        Early
        else                                   Run
    """
    if found is None and now >= forgotten_from(message, retention_s):
        return Done()
    found = found or born_from(message)
    if found.status in TERMINAL or message.generation < found.generation:
        return Done()
    if found.status is Status.IN_PROGRESS:
        return _meet_running(found, message, claimant)
    if now >= found.deadline:
        return Late(found.attempt)
    not_before = _start_of(found, message)
    if not_before > now + EARLY_TOLERANCE_S:
        return Early(not_before)
    return Run(found.attempt + 1, found.poison)


def decide_take_over(
    found: Found | None,
    message: Envelope,
    claimant: Claimant,
    dead_owner: str,
    now: float,
    retention_s: float,
) -> Claim:
    """Return the answer to taking the request from `dead_owner`; else as `decide_claim`."""
    answer = decide_claim(found, message, claimant, now, retention_s)
    if found is None or not isinstance(answer, Running) or answer.owner != dead_owner:
        return answer
    if now >= found.deadline:
        return Late(found.attempt)
    return Run(found.attempt + 1, found.poison + int(found.witnessed))


def _meet_running(found: Found, message: Envelope, claimant: Claimant) -> Claim:
    """A claim whose answer was lost on the way is repeated and must get that answer again."""
    if (found.owner, found.reservation) == (claimant.owner, claimant.reservation):
        return Run(found.attempt, found.poison)
    return Running(
        owner=found.owner or "",
        attempt=found.attempt,
        same_generation=message.generation == found.generation,
        poison=found.poison,
    )


def _start_of(found: Found, message: Envelope) -> float:
    """The newer of the two knows its time: a newer copy may run ahead of its record step."""
    newer = message.generation > found.generation
    return (message.not_before if newer else found.not_before) or 0.0
