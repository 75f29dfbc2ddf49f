"""A file's name in a header, so that no browser takes it for more than a name; no I/O."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_MAX_CHARACTERS = 150
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


def disposition(filename: str) -> str:
    """Return Content-Disposition: to be saved, under the name as far as that is harmless.

    Control and format characters (line ends, right-to-left marks) and the separators of paths
    become `_`; of a long name its end is told.
    """
    name = "".join("_" if _is_odd(each) else each for each in filename[-_MAX_CHARACTERS:])
    name = name.strip(". ") or "file"
    plain = _NOT_PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _is_odd(character: str) -> bool:
    return character in "/\\:" or (unicodedata.category(character)[0] in "CZ" and character != " ")
