"""What a process and its children have used: CPU seconds, each child counted once, and memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psutil

_MIB = 1024 * 1024


def cpu_s(parts: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds that each part has used so far, with its children living and dead."""
    return {name: sum(map(_cpu_s, _tree(pid))) for name, pid in parts.items()}


def pss_mib(parts: Mapping[str, int]) -> dict[str, float]:
    """Return the memory of each part: what it shares with others is counted in shares."""
    return {name: sum(map(_pss_mib, _tree(pid))) for name, pid in parts.items()}


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    # A child that ends moves into its parent's count: the sum never counts it twice.
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _pss_mib(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_full_info().pss) / _MIB
    return 0.0
