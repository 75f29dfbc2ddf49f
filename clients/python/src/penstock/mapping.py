"""Many requests at once: how many are under way, what is handed out next; no I/O."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from penstock.calls import asked
from penstock.errors import PenstockError
from penstock.shapes import Options, Request, Result

AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one of many requests ended: with a `result` or an `error`, and as which `request`.

    `index` counts the bodies from 0. `request` is None if the server never took it in.

    >>> import penstock
    >>> bodies = [{"model": "llama3.2", "messages": []}, {"model": "no-such-model"}]
    >>> with penstock.Client() as client:
    ...     for outcome in client.map(bodies):
    ...         print(outcome.index, "failed" if outcome.error else "ok")
    0 ok
    1 failed
    """

    index: int
    body: Mapping[str, Any]
    request: Request | None = None
    result: Result | None = None
    error: PenstockError | None = None

    def unwrap(self) -> Result:
        """Return the result. Raises the error if there is none.

        >>> import penstock
        >>> with penstock.Client() as client:
        ...     outcome, = client.map([{"model": "llama3.2", "messages": []}])
        >>> outcome.unwrap().request.status
        'completed'
        """
        if self.result is not None:
            return self.result
        raise self.error or PenstockError("the request was not waited for")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a `map` has come; `total` is None where the bodies have no length.

    >>> import penstock
    >>> bodies = [{"model": "llama3.2", "messages": []}] * 3
    >>> seen = []
    >>> with penstock.Client() as client:
    ...     outcomes = list(client.map(bodies, progress=seen.append))
    >>> seen[-1]
    Progress(submitted=3, ended=3, failed=0, total=3)
    """

    submitted: int = 0
    ended: int = 0
    failed: int = 0
    total: int | None = None


class Under(Protocol):
    """A task or a future."""

    def done(self) -> bool:
        """Tell whether it has ended."""

    def result(self) -> Outcome:
        """Return what it ended with."""


U = TypeVar("U", bound=Under)


class Window(Generic[U]):
    """What was begun and not handed out: never more than `at_once`. Slow takers slow it all."""

    def __init__(
        self,
        at_once: int,
        total: int | None,
        progress: Callable[[Progress], object] | None,
        *,
        ordered: bool,
    ) -> None:
        if at_once < 1:
            raise ValueError("at_once must be at least 1")
        self._at_once = at_once
        self._ordered = ordered
        self._line: deque[U] = deque()
        self._tell = progress
        self._submitted = self._ended = self._failed = 0
        self._total = total
        self.pending: set[U] = set()

    def __bool__(self) -> bool:
        return bool(self._line)

    @property
    def full(self) -> bool:
        """Whether something must be handed out before more is begun."""
        return len(self._line) >= self._at_once

    def add(self, begun: U) -> None:
        """Take in what was begun."""
        self._line.append(begun)
        self.pending.add(begun)
        self._submitted += 1

    def take(self) -> list[Outcome]:
        """Return what can be handed out now."""
        for ended in [each for each in self.pending if each.done()]:
            self.pending.discard(ended)
            self._ended += 1
            self._failed += ended.result().error is not None
            if self._tell is not None:
                self._tell(Progress(self._submitted, self._ended, self._failed, self._total))
        ready: list[U] = []
        while self._line and self._line[0].done() and self._line[0] not in self.pending:
            ready.append(self._line.popleft())
        if not self._ordered:
            ready += [each for each in self._line if each not in self.pending]
            self._line = deque(each for each in self._line if each in self.pending)
        return [each.result() for each in ready]


def length_of(bodies: object) -> int | None:
    """Return how many bodies there are, where it can be known."""
    return len(bodies) if isinstance(bodies, Sized) else None


def options_of(index: int, body: Mapping[str, Any], run: str | None, options: Options) -> Options:
    """Return the options of one of many; in a named run it has a key of its own."""
    if run is None:
        return options
    digest = hashlib.sha256(asked(body, options, stream=False)).hexdigest()[:16]
    return {**options, "idempotency_key": f"{run}-{index}-{digest}"}
