"""What follows a failed call: the rule of `broker.scheduling.retry`, fed and counted."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import structlog

from broker.scheduling.retry import AnotherReplica, Failed, Later, NextStep, next_step
from broker.telemetry import RETRIED, RETRIES_DELAYED
from workers.backends.port import CallFailed
from workers.inflight import InFlight
from workers.upstreams import Upstream

_log = structlog.get_logger("penstock.retrying")


def what_follows(
    run: InFlight, upstream: Upstream, error: CallFailed, tried: Sequence[str], max_attempts: int
) -> NextStep:
    """Return the next step after `error` of the call at the last of `tried`."""
    _log.info(
        "attempt failed",
        request=run.envelope.id,
        attempt=run.attempt,
        backend=upstream.name,
        error=error.message,
    )
    now = time.monotonic()
    within_budget = upstream.budget.holds(now)
    failed = Failed(
        error.failure,
        attempt=run.attempt,
        max_attempts=max_attempts,
        tried=len(tried),
        untried=upstream.replicas.untried(tried),
        metered=upstream.metered,
        remaining_s=run.envelope.deadline - time.time(),
        retry_after_s=error.retry_after_s,
        bound=run.shown and not run.envelope.restart,
    )
    step = next_step(failed, within_budget=within_budget, draw=random.random())
    if isinstance(step, AnotherReplica | Later):
        upstream.budget.retried(now)
        RETRIED.labels(run.envelope.model, error.failure.value).inc()
        if not within_budget:
            RETRIES_DELAYED.labels(upstream.name).inc()
    return step
