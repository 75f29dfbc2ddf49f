"""The name that somebody probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def did_you_mean(word: str, known: Iterable[str] | Mapping[str, str]) -> str:
    """Return "; did you mean `name`?" for the known name nearest to `word`, else "".

    A mapping gives, for each name that is compared, the one that is shown.
    """
    shown = known if isinstance(known, Mapping) else {name: name for name in known}
    names = {name.lower(): told for name, told in shown.items()}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean `{names[near[0]]}`?" if near else ""
