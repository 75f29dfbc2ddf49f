"""`penstock batch submit`, and waiting for a batch that was submitted before."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson

from cli.batches.bars import BatchBar
from cli.batches.following import states
from cli.batches.results import fetch
from cli.batches.telling import exit_code, fields, say_end, say_mistakes
from cli.batches.uploading import endpoint_in, upload
from cli.client import Access, Client, Unreachable, connect, segment
from cli.lines import opened
from cli.outcome import INTERRUPTED, OK, exit_code_of
from cli.showing import print_fields, print_json, say
from schemas.errors import ConfigError

_ITS_FILE = "its file"
_CHAT = "/v1/chat/completions"
Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """Whether a batch is waited for, where its output goes then, and how it is printed."""

    wait: bool
    out: str | None = None
    as_json: bool = False

    def __post_init__(self) -> None:
        if self.out is not None and not self.wait:
            raise ConfigError("-o needs --wait: `penstock batch results ID -o FILE` comes later.")


@dataclass(frozen=True, slots=True)
class Submitted:
    """What is submitted; without an endpoint, to the file's. `more` are fields of the batch."""

    file: str
    endpoint: str | None
    window: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)


def submit(access: Access, submitted: Submitted, shown: Shown) -> int:
    """Upload a file, create its batch, perhaps wait for it; return the exit code."""
    file = opened(submitted.file)
    course = _Course(submitted.file, shown)
    return course.run(access, lambda client: _created(client, file, submitted))


def retry(access: Access, batch_id: str, shown: Shown) -> int:
    """Do the failed lines of a batch again, perhaps wait for them; return the exit code."""
    path = f"/v1/batches/{segment(batch_id)}/retry-failed"
    return _Course(_ITS_FILE, shown).run(
        access, lambda client: client.ask("POST", path, b"", _once())
    )


def wait_for(access: Access, batch_id: str, shown: Shown) -> int:
    """Wait for a batch; return the exit code."""
    path = f"/v1/batches/{segment(batch_id)}"
    return _Course(_ITS_FILE, shown).run(access, lambda client: client.ask("GET", path))


async def _created(client: Client, file: BinaryIO, submitted: Submitted) -> Batch:
    endpoint = submitted.endpoint or endpoint_in(file) or _CHAT
    uploaded = await upload(client, file, submitted.file)
    asked = {
        "input_file_id": uploaded["id"],
        "endpoint": endpoint,
        "completion_window": submitted.window,
        "metadata": dict(submitted.metadata),
        **submitted.more,
    }
    return await client.ask("POST", "/v1/batches", orjson.dumps(asked), _once())


def _once() -> dict[str, str]:
    """Return a header with which a call that is repeated on the way is made once."""
    return {"Idempotency-Key": secrets.token_hex(16)}


class _Course:
    """One batch, as far as it is waited for; `name` is what its file is called."""

    def __init__(self, name: str, shown: Shown) -> None:
        self._name = name
        self._shown = shown
        self._batch: Batch | None = None

    def run(self, access: Access, begin: Callable[[Client], Awaitable[Batch]]) -> int:
        """Do it and return the exit code; at Ctrl-C the batch runs on."""
        try:
            return exit_code_of(self._run(access, begin))
        except KeyboardInterrupt:
            self._tell_stop()
            return INTERRUPTED

    async def _run(self, access: Access, begin: Callable[[Client], Awaitable[Batch]]) -> int:
        async with connect(access) as client:
            self._batch = await begin(client)
            if not self._shown.wait:
                self._tell_begin(self._batch)
                return OK
            try:
                batch = await self._followed(client, self._batch)
                return await self._ended(client, batch)
            except Unreachable:
                self._tell_stop()
                raise

    async def _followed(self, client: Client, batch: Batch) -> Batch:
        with BatchBar() as bar:
            bar.show(batch)
            async with aclosing(states(client, batch["id"])) as seen:
                async for state in seen:
                    batch = batch if state is None else state
                    bar.show(batch, "the server does not answer" if state is None else "")
        return batch

    async def _ended(self, client: Client, batch: Batch) -> int:
        say_mistakes(batch, self._name)
        out = self._shown.out
        if out is not None and batch["output_file_id"] is not None:
            await fetch(client, batch, out, errors=False)
        say_end(batch)
        if self._shown.as_json:
            print_json(batch)
        elif out is None:
            print_fields(fields(batch))
        return exit_code(batch)

    def _tell_begin(self, batch: Batch) -> None:
        if self._shown.as_json:
            print_json(batch)
            return
        print(batch["id"])
        say(f"it runs; `penstock batch status {batch['id']} --wait` waits for its end.")

    def _tell_stop(self) -> None:
        if self._batch is None:
            say("stopped: no batch was created.")
            return
        batch_id = self._batch["id"]
        say(
            f"stopped waiting; the batch runs on. `penstock batch status {batch_id} --wait` waits "
            f"again, `penstock batch cancel {batch_id}` ends it."
        )
