"""A batch: its states, its lines and how far it has come; as the store holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from schemas.ids import batch_file_id

# In which order the lines of the output stand: as they end, or as in the input.
Order = Literal["completion", "input"]
# What `error.code` of a failed line is: a name, or the number of an HTTP status.
ErrorCodes = Literal["names", "numbers"]
Dialect = Literal["openai", "anthropic"]


class BatchStatus(StrEnum):
    """The status of a batch, in OpenAI's words and spelling."""

    VALIDATING = "validating"  # its file is read once, nothing has started
    IN_PROGRESS = "in_progress"  # its lines are fed into the queues
    FINALIZING = "finalizing"  # every line has ended; the last of the output is written
    COMPLETED = "completed"  # every line is in the output or the errors
    FAILED = "failed"  # its file could not be used
    EXPIRED = "expired"  # its window has passed; what had ended is kept
    CANCELLING = "cancelling"  # nothing new starts; what runs is being ended
    CANCELLED = "cancelled"  # as EXPIRED, by its owner


BATCH_TRANSITIONS: dict[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.VALIDATING: frozenset(
        {
            BatchStatus.IN_PROGRESS,
            BatchStatus.FAILED,
            BatchStatus.EXPIRED,
            BatchStatus.CANCELLING,
        }
    ),
    BatchStatus.IN_PROGRESS: frozenset(
        {
            BatchStatus.FINALIZING,
            BatchStatus.FAILED,  # its file has gone meanwhile
            BatchStatus.EXPIRED,
            BatchStatus.CANCELLING,
        }
    ),
    BatchStatus.FINALIZING: frozenset({BatchStatus.COMPLETED, BatchStatus.CANCELLING}),
    BatchStatus.CANCELLING: frozenset({BatchStatus.CANCELLED}),
    BatchStatus.COMPLETED: frozenset(),
    BatchStatus.FAILED: frozenset(),
    BatchStatus.EXPIRED: frozenset(),
    BatchStatus.CANCELLED: frozenset(),
}

BATCH_TERMINAL: frozenset[BatchStatus] = frozenset(
    status for status, following in BATCH_TRANSITIONS.items() if not following
)


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a batch's file; `line` counts from 1, None where it is the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None
    custom_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the input was taken: whole lines before the byte `offset`.

    `line` counts the lines that are requests, `physical` also the blank ones.
    """

    line: int = 0
    offset: int = 0
    physical: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many lines have ended, as the output and the error file hold them.

    `cancelled` and `expired` are those of `failed` that ended so; lines that were never started
    and are not written are in none.
    """

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def ended(self) -> int:
        """Those that are written."""
        return self.completed + self.failed

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.completed + other.completed,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
            self.expired + other.expired,
        )


@dataclass(frozen=True, slots=True)
class BatchUsage:
    """The tokens of the completed lines."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: BatchUsage) -> BatchUsage:
        return BatchUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """What a batch was created with, which never changes. Instants are Unix seconds.

    `deadline` is that of every line. `retry_of` names the batch whose failed lines its file
    holds. `line_events` has the end of each line told to the tenant's webhooks. `webhook` is its
    own receiver (schemas.webhooks). `include_cancelled` writes also the lines that a cancel has
    kept from starting.
    """

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: float
    deadline: float
    key_id: str | None = None
    order: Order = "completion"
    error_codes: ErrorCodes = "names"
    dialect: Dialect = "openai"
    include_cancelled: bool = False
    line_events: bool = False
    webhook: str | None = None
    retry_of: str | None = None
    output_kept_s: float = 30 * 86_400.0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the store holds it.

    `times` has the instant at which each status was entered. `total` is the number of lines, known
    once it was validated if not before; `model` the one that all lines ask for, None for several.
    `made` lines, from the first on, became requests; `fed` is how far those are confirmed by the
    queues, which a crash can leave behind `made`. `rate` is lines that end in a second, of late.
    `told` says that the webhooks of its end are noted.
    """

    terms: BatchTerms
    status: BatchStatus = BatchStatus.VALIDATING
    times: Mapping[BatchStatus, float] = field(default_factory=dict)
    errors: tuple[LineError, ...] = ()
    total: int = 0
    model: str | None = None
    made: int = 0
    fed: Cursor = Cursor()
    counts: Counts = Counts()
    usage: BatchUsage = BatchUsage()
    rate: float = 0.0
    paused: bool = False
    has_output: bool = False
    has_errors: bool = False
    told: bool = False

    @property
    def id(self) -> str:
        """Its id."""
        return self.terms.id

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self.status in BATCH_TERMINAL

    @property
    def output_file_id(self) -> str | None:
        """The file of its completed lines, once there is one."""
        return batch_file_id(self.id, "output") if self.has_output else None

    @property
    def error_file_id(self) -> str | None:
        """The file of its failed lines, or of the mistakes in its input."""
        return batch_file_id(self.id, "errors") if self.has_errors else None
