"""How the lines of a batch become requests: each once, whoever feeds them."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from broker.embedded import births, line_bits
from broker.embedded.batch_rows import find_held
from broker.embedded.rows import find
from schemas.batches import BatchStatus
from schemas.envelope import Envelope
from schemas.lifecycle import Status


def feed(
    file: apsw.Connection, batch_id: str, token: int, lines: Sequence[Envelope], now: float
) -> list[bool] | None:
    """Insert the lines that are new; tell of each whether it waits and nobody has claimed it."""
    batch = find_held(file, batch_id, token)
    if batch is None or batch.status != BatchStatus.IN_PROGRESS or batch.paused:
        return None
    numbers = [line.line for line in lines if line.line is not None]
    gathered = line_bits.among(file, batch.seq, "gathered", numbers)
    flags = [line.line not in gathered and _waits(file, line, now) for line in lines]
    made = max(numbers, default=-1) + 1
    file.execute("UPDATE batches SET made = max(made, ?) WHERE seq = ?", (made, batch.seq))
    return flags


def _waits(file: apsw.Connection, line: Envelope, now: float) -> bool:
    row = find(file, line.id) or births.insert(file, line, now)
    return row.status == Status.QUEUED and row.attempt == 0
