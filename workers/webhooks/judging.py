"""What follows an attempt to deliver: told, tried again, or given up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.ports.webhooks import Post, PostState
from schemas.webhook_events import TEST
from workers.webhooks.sender import Answer

# A pause is drawn from itself to so much more, so that what failed together comes back apart.
JITTER = 0.2
_GONE = 410


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state that follows; `due_at` (Unix seconds) of one that is tried again.

    `gone` tells that the receiver wants nothing any more.
    """

    state: PostState
    due_at: float | None = None
    gone: bool = False


def judge(
    post: Post, answer: Answer, now: float, retry_s: Sequence[float], drawn: float
) -> Verdict:
    """Return what follows an attempt that has just ended; `drawn` is random, 0 to 1."""
    if answer.delivered:
        return Verdict(PostState.DELIVERED)
    # Somebody waits for what a test says.
    if post.request_id == TEST:
        return Verdict(PostState.FAILED)
    if answer.status_code == _GONE:
        return Verdict(PostState.DROPPED, gone=True)
    made = post.tried + 1
    if made >= len(retry_s) or is_old(post, now, retry_s):
        return Verdict(PostState.FAILED)
    pause_s = retry_s[made] * (1 + JITTER * drawn)
    return Verdict(PostState.PENDING, now + max(pause_s, answer.retry_after_s or 0.0))


def is_old(post: Post, now: float, retry_s: Sequence[float]) -> bool:
    """Tell whether it has waited twice as long as its whole schedule.

    Pauses of its receiver's breaker are no attempts; this bounds them.
    """
    return now > post.created_at + 2 * sum(retry_s) + 3_600
