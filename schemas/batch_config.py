"""The sections `batches` and `files` of the configuration."""

from __future__ import annotations

from pydantic import Field

from schemas.batches import ErrorCodes
from schemas.section import Section

DAY_S = 86_400.0
KEPT_S = 30 * DAY_S
MIB = 1024 * 1024


class BatchesConfig(Section):
    """How large a batch may be, and how it is run."""

    max_lines: int = Field(
        1_000_000, ge=1, le=10_000_000, description="a batch whose file has more has failed"
    )
    window: int = Field(
        1_000, ge=1, le=100_000, description="lines of one batch that are in the queues at a time"
    )
    retention_s: float = Field(
        KEPT_S,
        ge=3_600,
        le=366 * DAY_S,
        description="how long a batch can be read after it has ended",
    )
    error_codes: ErrorCodes = Field(
        "names",
        description="what `error.code` of a failed line is, unless the batch says: a name, or the "
        "number of an HTTP status, which some clients want",
    )


class FilesConfig(Section):
    """How large files may be, and how long they are kept."""

    max_bytes: int = Field(
        512 * MIB, ge=1024, le=1024 * 1024 * MIB, description="a larger upload is refused with 413"
    )
    retention_s: float = Field(
        KEPT_S,
        ge=3_600,
        le=366 * DAY_S,
        description="how long a file is kept that says nothing else, counted from its upload; "
        "a batch's output likewise",
    )
    max_tenant_bytes: int | None = Field(
        None, ge=1024, description="of all files of one tenant; an upload beyond it is refused"
    )
