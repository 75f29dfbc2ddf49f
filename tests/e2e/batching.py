"""Batches over HTTP, as a test creates, awaits and reads them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.e2e.door import Door
from tests.e2e.wire import Told
from tests.fakes.uploads import FORM, form, jsonl

FILES, BATCHES = "/v1/files", "/v1/batches"
CHAT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")


def upload(door: Door, data: bytes, **how: Any) -> str:
    """Upload a file and return its id."""
    told = door.ask("POST", FILES, form(data, **how), FORM)
    assert told.status == 200, told
    file_id: str = told.json["id"]
    return file_id


def asked(file_id: str, **fields: Any) -> dict[str, Any]:
    """Return the body that creates a batch, with `fields`; None drops one."""
    whole = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "1h", **fields}
    return {name: value for name, value in whole.items() if value is not None}


def create(door: Door, lines: Iterable[object] | bytes, **fields: Any) -> dict[str, Any]:
    """Upload lines, create a batch of them, and return it."""
    data = lines if isinstance(lines, bytes) else jsonl(lines)
    told = door.ask("POST", BATCHES, asked(upload(door, data), **fields))
    assert told.status == 200, told
    made: dict[str, Any] = told.json
    return made


def read(door: Door, batch_id: str) -> dict[str, Any]:
    """Return a batch as it is now."""
    told = door.ask("GET", f"{BATCHES}/{batch_id}")
    assert told.status == 200, told
    found: dict[str, Any] = told.json
    return found


def until(
    door: Door, batch_id: str, holds: Callable[[dict[str, Any]], bool], within_s: float = 60.0
) -> dict[str, Any]:
    """Wait until a batch is as it should be, and return it."""
    gives_up_at = time.monotonic() + within_s
    while not holds(seen := read(door, batch_id)):
        assert time.monotonic() < gives_up_at, (seen, door.stack.logs())
        time.sleep(0.1)
    return seen


def ended(door: Door, batch_id: str, within_s: float = 60.0) -> dict[str, Any]:
    """Wait for the end of a batch and return it."""
    return until(door, batch_id, lambda batch: batch["status"] in ENDED, within_s)


def content(door: Door, file_id: str | None) -> Told:
    """Return the bytes of a file."""
    return door.ask("GET", f"{FILES}/{file_id}/content")


def lines_of(door: Door, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of an output or error file, in their order; none where there is no file."""
    if file_id is None:
        return []
    body = content(door, file_id).body
    assert body.endswith(b"\n")
    return [json.loads(each) for each in body[:-1].split(b"\n")]


def outcome(door: Door, batch: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every written line of a batch by its custom_id; each is there once."""
    output = lines_of(door, batch["output_file_id"])
    errors = lines_of(door, batch["error_file_id"])
    counts = batch["request_counts"]
    assert (len(output), len(errors)) == (counts["completed"], counts["failed"])
    assert all(each["error"] is None for each in output)
    assert all(each["error"] is not None for each in errors)
    by_id = {each["custom_id"]: each for each in (*output, *errors)}
    assert len(by_id) == len(output) + len(errors)
    return by_id
