"""The end of a batch is told: its posts are noted, and sent by whoever sends webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from broker.persistence import persistently
from broker.ports import Engine, Post, Webhooks
from workers.batches.held import HeldBatch
from workers.webhooks.addressing import posts_of_batch

# Of one end there may be hundreds, each with the whole event.
_NOTED_AT_ONCE = 32


async def tell_end(engine: Engine, held: HeldBatch, retry_s: Sequence[float]) -> None:
    """Note what the end of a batch gives rise to, and that it is noted; repeated it is the same."""
    batch, webhooks = held.batch, engine.webhooks
    endpoints = [
        each
        for each in await persistently(webhooks.endpoints, "read the endpoints")
        if each.tenant == batch.terms.tenant and each.disabled_at is None
    ]
    posts = posts_of_batch(batch, endpoints, retry_s)
    while some := list(islice(posts, _NOTED_AT_ONCE)):
        await _note(webhooks, some)
    await held.told()


async def _note(webhooks: Webhooks, posts: Sequence[Post]) -> None:
    # Leased to nobody: they are due at once.
    await persistently(lambda: webhooks.add(posts, 0.0), "note a batch's webhooks")
