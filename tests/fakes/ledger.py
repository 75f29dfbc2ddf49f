"""The fake backend's own account of the calls it got, kept outside of Penstock's reach."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self


@dataclass(slots=True)
class Call:
    """One call as the backend saw it; `end` is None while it is open. Wall-clock seconds."""

    n: int
    id: str
    model: str
    tag: str
    nonce: str
    body_sha256: str
    start: float
    end: float | None = None
    aborted: bool = False
    status: int = 0


@dataclass
class Ledger:
    """Every call, how many are open, and the most that were open at once.

    Each change is appended to `path` and flushed, so that the account survives a kill.
    """

    path: Path | None = None
    calls: list[Call] = field(default_factory=list)
    open: int = 0
    high_water: int = 0
    answered: list[str] = field(default_factory=list)
    _file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self, request_id: str, model: str, tag: str, nonce: str, body: bytes) -> Call:
        """Note the start of a call."""
        digest = hashlib.sha256(body).hexdigest()
        call = Call(len(self.calls), request_id, model, tag, nonce, digest, time.time())
        self.calls.append(call)
        self.open += 1
        self.high_water = max(self.high_water, self.open)
        self._append("start", call)
        return call

    def finish(self, call: Call, *, aborted: bool, status: int = 0) -> None:
        """Note the end of a call; `aborted` says that the caller went away first."""
        call.end, call.aborted, call.status = time.time(), aborted, status
        self.open -= 1
        if not aborted and status == 200:
            self.answered.append(call.id)
        self._append("end", call)

    def summary(self) -> dict[str, Any]:
        """Return the counts without the calls."""
        return {
            "calls": len(self.calls),
            "answered": len(self.answered),
            "open": self.open,
            "high_water": self.high_water,
        }

    def as_dict(self, since: int = 0) -> dict[str, Any]:
        """Return the counts and the calls from number `since` on."""
        calls = [asdict(call) for call in self.calls[since:]]
        return {**self.summary(), "calls": calls}

    def _append(self, event: str, call: Call) -> None:
        if self._file is not None:
            line = {"event": event, "open": self.open, **asdict(call)}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
