"""The driver's own account of a round: what it sent, what it was told, what it read later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.answers import nonce_in

TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})


@dataclass(slots=True)
class Entry:
    """One request as the driver knows it. Instants are wall-clock seconds."""

    tag: str
    held: bool
    door: int
    priority: str
    sent: float
    id: str | None = None
    accepted: bool = False  # told so: a 202, or the answer of a held call
    refusal: str | None = None  # the error code of a 503
    dropped: bool = False  # the connection ended without an answer
    recovered: bool = False  # ran although its client was never told that it was accepted
    told_nonce: str | None = None  # in the answer of a held call
    status: str | None = None
    error_code: str | None = None
    nonce: str | None = None
    digest: str | None = None
    reads: int = 0
    missing: int = 0  # how often a read of it said 404
    changes: list[str] = field(default_factory=list)

    @property
    def terminal(self) -> bool:
        """Whether a read has shown it ended."""
        return self.status in TERMINAL

    def read(self, seen: dict[str, Any]) -> None:
        """Note a request object; the first terminal one is what all later ones must equal."""
        told = [seen["status"], seen["response"], seen["error"], seen["usage"]]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        if self.digest is not None:
            self.reads += 1
            if digest != self.digest:
                self.changes.append(f"{self.status}/{self.error_code} -> {told[0]} {seen['error']}")
            return
        self.status = str(seen["status"])
        if self.status in TERMINAL:
            self.reads, self.digest = 1, digest
            self.error_code = (seen["error"] or {}).get("code")
        if self.status == "completed":
            self.nonce = nonce_in(seen["response"]["body"])


@dataclass
class Account:
    """All entries of one round, and the ids that the backend has answered so far."""

    name: str
    entries: list[Entry] = field(default_factory=list)
    accepted_ids: set[str] = field(default_factory=set)
    answered_ids: set[str] = field(default_factory=set)
    odd: list[str] = field(default_factory=list)  # answers that no client should get
    unread: int = 0  # reads that failed; harmless while something is down

    def new(self, *, held: bool, door: int, priority: str, sent: float) -> Entry:
        """Open an entry."""
        entry = Entry(f"{self.name}-{len(self.entries)}", held, door, priority, sent)
        self.entries.append(entry)
        return entry

    def accept(self, entry: Entry, request_id: str) -> None:
        """Note that the client was told its request is accepted."""
        entry.id, entry.accepted = request_id, True
        if not entry.held:
            self.accepted_ids.add(request_id)

    def answer(self, request_ids: Iterable[str]) -> None:
        """Note ids whose call the backend has answered."""
        self.answered_ids.update(request_ids)

    @property
    def in_flight(self) -> int:
        """How many 202s the backend has not answered: no more than what is not terminal."""
        return len(self.accepted_ids - self.answered_ids)
