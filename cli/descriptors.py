"""Open files: each connection is one, and the process may only have so many."""

from __future__ import annotations

import contextlib
import resource


def raise_descriptor_limit() -> int:
    """Raise the limit on open files as far as this process may; return what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Refused where the kernel's own bound is lower than a hard limit of "infinite".
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def most_connections(descriptors: int) -> int:
    """Return how many of them the doors may fill: the rest is for files, engines and backends."""
    if descriptors == resource.RLIM_INFINITY:
        return 2**31
    return max(1, descriptors * 3 // 4)
