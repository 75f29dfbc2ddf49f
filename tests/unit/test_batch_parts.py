"""The parts of a batch's files: each has a name that is used once."""

from __future__ import annotations

from typing import cast

from broker.ports import Batches, Held
from tests.fakes.batches import make_batch
from tests.fakes.blobs import MemoryBlobs
from workers.batches.gathering import KINDS, PartStore
from workers.batches.held import HeldBatch


async def test_not_even_a_token_that_is_given_twice_names_a_part_twice() -> None:
    """A rollback of the store can take back that a token was given."""
    blobs, batch = MemoryBlobs(), make_batch()
    for _ in range(2):
        held = HeldBatch(cast("Batches", None), Held(batch, 4))
        parts = PartStore(blobs, held)
        for kind in KINDS:
            for _ in range(2):
                assert await parts.put(kind, [b"{}\n"]) is not None
    assert len(blobs.kept) == 8
    assert all(key.startswith(f"batches/{batch.id}/") for key in blobs.kept)
