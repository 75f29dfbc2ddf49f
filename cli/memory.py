"""Giving memory back: one large body must not leave a process large for the rest of its life."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Threads that read and write blobs would keep a heap each.
_ARENAS = 2
_LARGE_BYTES = 256 * 1024


def return_large_blocks() -> None:
    """Make the C library map large blocks apart, so that freeing them returns them.

    By default glibc raises its threshold with the first large block that is freed, and later
    bodies of that size stay in the heap (mallopt(3), M_MMAP_THRESHOLD). Does nothing elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_ARENA_MAX, _ARENAS)
