"""Which replica of a backend takes the next call: the one with the fewest calls in flight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Replicas:
    """The base URLs of one backend and the calls this process has open on each.

    `urls` may be replaced at any time; calls on a URL that is gone are still counted.
    """

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self._open: Counter[str] = Counter()
        self._turn = 0

    def untried(self, tried: Collection[str]) -> int:
        """Return how many URLs are not in `tried`."""
        return sum(url not in tried for url in self.urls)

    def choose(self, tried: Collection[str] = ()) -> str:
        """Return the least loaded URL not in `tried`, in turn among equals.

        Falls back to all of them once every one has been tried.
        """
        candidates = [url for url in self.urls if url not in tried] or self.urls
        self._turn += 1
        offset = self._turn % len(candidates)
        turned = candidates[offset:] + candidates[:offset]
        return min(turned, key=self._open.__getitem__)

    @contextmanager
    def calling(self, url: str) -> Iterator[None]:
        """Count a call on `url` for as long as it is open."""
        self._open[url] += 1
        try:
            yield
        finally:
            self._open[url] -= 1
