"""How a command ends: its exit code, and the sentence for what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from cli.client import Refused, Unreachable
from cli.showing import say

OK, FAILED, UNREACHABLE, INTERRUPTED = 0, 1, 3, 130


def exit_code_of(work: Coroutine[Any, Any, int | None]) -> int:
    """Run `work` and return the exit code: its own, or that of the error that ended it."""
    try:
        return asyncio.run(work) or OK
    except Unreachable as error:
        say(str(error))
        return UNREACHABLE
    except Refused as error:
        say(str(error))
        return FAILED
