"""`python -m cli.healthcheck URL|FILE`: whether a part is well, for a container's health check.

A URL is well when it answers 200, a file (`penstock worker --alive-file`) when it was touched
lately. Exits 0 or 1 and prints why. It runs every few seconds, so it imports little.
"""

from __future__ import annotations

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

MAX_AGE_S = 10.0
_ANSWER_S = 4.0
_MAX_TOLD = 2_000


def problem_with(target: str) -> str | None:
    """Return what is wrong with a URL or a file, None if nothing is."""
    if target.startswith("http://"):
        return _problem_with_url(target)
    return _problem_with_file(Path(target))


def _problem_with_url(url: str) -> str | None:
    parts = urlsplit(url)
    # Not urllib: it would ask a proxy that the container's environment names.
    connection = http.client.HTTPConnection(parts.netloc, timeout=_ANSWER_S)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        told = answer.read(_MAX_TOLD).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{url} answers {answer.status}: {told}"


def _problem_with_file(path: Path) -> str | None:
    try:
        age_s = time.time() - path.stat().st_mtime
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if age_s <= MAX_AGE_S else f"{path} was not touched for {age_s:.0f} s"


def main() -> int:
    """Check the one argument; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m cli.healthcheck URL|FILE", file=sys.stderr)
        return 2
    problem = problem_with(sys.argv[1])
    print(problem or "ok")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
