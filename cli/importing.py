"""`penstock config import`: another gateway's file in, a penstock.yaml out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from broker.config_file import read_file
from cli.from_litellm import Converted, converted
from cli.outcome import FAILED, OK
from cli.showing import plain, say

_CONVERSIONS: dict[str, Callable[[Mapping[str, Any]], Converted]] = {"litellm": converted}


def run(kind: str, file: Path) -> int:
    """Print the converted file, tell what is not in it. Raises ConfigError.

    Returns the exit code: 1 when no model could be taken over.
    """
    done = _CONVERSIONS[kind](read_file(file, {}).raw)
    sys.stdout.write(plain(done.text()))
    models = len(done.sections["models"])
    say(f"{models} models taken over, {len(done.left_out)} things not:")
    for told in done.left_out:
        print(f"  {plain(told)}", file=sys.stderr)
    return OK if models else FAILED
