"""`python -m reference` writes what is not up to date; `--check` only names it, and exits 1."""

from __future__ import annotations

import sys
from pathlib import Path

from reference.pages import DOCS, PAGES, stale


def main() -> int:
    """Write or check; return the exit code."""
    old = stale()
    if "--check" in sys.argv[1:]:
        for page in old:
            print(f"docs/{page} is not up to date: run `python -m reference`", file=sys.stderr)
        return 1 if old else 0
    for page in old:
        path = Path(DOCS, page)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGES[page](), encoding="utf-8")
        print(f"wrote docs/{page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
