"""How ended lines get into the files of their batch: in one step, once."""

from __future__ import annotations

import apsw
import orjson

from broker.embedded import batch_steps, file_rows, line_bits, line_ends
from broker.embedded.batch_rows import BatchRow, batch_of, find_held
from broker.embedded.rows import erase_all
from broker.ports import Gathered
from schemas.batches import BatchTerms
from schemas.files import OUTPUT_PURPOSE, Part, StoredFile, batch_file_name
from schemas.ids import BatchFileKind, batch_file_id

_ADD = """
UPDATE batches SET
    completed = completed + ?, failed = failed + ?, cancelled = cancelled + ?,
    expired = expired + ?, input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,
    cached_tokens = cached_tokens + ?, reasoning_tokens = reasoning_tokens + ?, rate = ?,
    has_output = max(has_output, ?), has_errors = max(has_errors, ?),
    gathered_to = max(gathered_to, ?)
WHERE seq = ?
"""
# Until they were gathered they were kept without a limit.
_KEEP = """
UPDATE requests SET gone_at = max(expires_at, deadline)
WHERE seq IN (SELECT value FROM json_each(?))
"""
_KEEP_RESULTS = """
UPDATE results SET expires_at = (SELECT expires_at FROM requests q WHERE q.seq = results.seq)
WHERE seq IN (SELECT value FROM json_each(?))
"""


def gathered(
    file: apsw.Connection,
    batch_id: str,
    token: int,
    step: Gathered,
    now: float,
) -> bool:
    """Take the whole step; True also if it was taken before."""
    row = find_held(file, batch_id, token)
    if row is None:
        return False
    if _is_taken(file, row, step):
        return True
    requests = line_ends.gatherable(file, row.seq, step.lines)
    if row.expires_at is not None or requests is None:
        return False
    if step.after not in {None, row.completed + row.failed}:
        return False
    _add(file, row, step)
    terms = batch_of(row).terms
    _write(file, terms, "output", step.output, now)
    _write(file, terms, "errors", step.errors, now)
    # From now on the bits know what the records knew.
    line_bits.put(file, row.seq, "gathered", step.lines)
    line_bits.put(file, row.seq, "failed", step.failed)
    line_ends.drop(file, row.seq, step.lines)
    if terms.line_events:
        _keep_as_usual(file, requests)
    else:
        erase_all(file, requests)
    if step.fed is not None:
        batch_steps.fed(file, batch_id, token, step.fed)
    return True


def _is_taken(file: apsw.Connection, row: BatchRow, step: Gathered) -> bool:
    """Its parts are in the files: they are named by the hold and their number."""
    written: tuple[tuple[BatchFileKind, Part | None], ...] = (
        ("output", step.output),
        ("errors", step.errors),
    )
    return any(
        part is not None and file_rows.has_part(file, batch_file_id(row.id, kind), part)
        for kind, part in written
    )


def _add(file: apsw.Connection, row: BatchRow, step: Gathered) -> None:
    counts, usage = step.counts, step.usage
    values = (
        counts.completed,
        counts.failed,
        counts.cancelled,
        counts.expired,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        step.rate,
        int(step.output is not None),
        int(step.errors is not None),
        max(step.lines, default=-1) + 1,
        row.seq,
    )
    file.execute(_ADD, values)


def _write(
    file: apsw.Connection, terms: BatchTerms, kind: BatchFileKind, part: Part | None, now: float
) -> None:
    if part is None:
        return
    made = StoredFile(
        id=batch_file_id(terms.id, kind),
        tenant=terms.tenant,
        purpose=OUTPUT_PURPOSE,
        filename=batch_file_name(terms.id, kind),
        bytes=0,
        created_at=now,
        expires_at=now + terms.output_kept_s,
    )
    file_rows.append(file, made, part)


def _keep_as_usual(file: apsw.Connection, requests: list[int]) -> None:
    listed = (orjson.dumps(requests).decode(),)
    file.execute(_KEEP, listed)
    file.execute(_KEEP_RESULTS, listed)
