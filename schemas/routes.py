"""Which configured model a client's name means, and the name that a target is called by.

A model's key may hold one `*`, which stands for any text: `llama-*` is one route, with one queue,
for every name that fits. Queues are named by the key, never by what a client asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WILD = "*"
EVERY_MODEL = (WILD,)


@dataclass(frozen=True, slots=True)
class Route:
    """The configured model `name` serves what was `asked` for."""

    name: str
    asked: str


class Routes:
    """The models and aliases of one configuration."""

    def __init__(self, models: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self._models = frozenset(models)
        self._aliases = dict(aliases or {})
        self._patterns = sorted(filter(is_pattern, self._models), key=_most_exact_first)

    def resolve(self, asked: str) -> Route | None:
        """Return the route of `asked`: a model of that name, else an alias, else a pattern.

        Of several patterns the one with the most text before its `*` is taken, then after it.
        """
        if asked in self._models and not is_pattern(asked):
            return Route(asked, asked)
        if (model := self._aliases.get(asked)) is not None:
            return Route(model, asked) if model in self._models else None
        for pattern in self._patterns:
            if matched(pattern, asked) is not None:
                return Route(pattern, asked)
        return None


def is_pattern(name: str) -> bool:
    """Tell whether `name` stands for many names."""
    return WILD in name


def matched(pattern: str, name: str) -> str | None:
    """Return the text in `name` that the `*` of `pattern` stands for; None if it does not fit.

    A pattern without a `*` fits itself alone.
    """
    before, wild, after = pattern.partition(WILD)
    if not wild:
        return "" if name == pattern else None
    if len(name) < len(before) + len(after):
        return None
    if not (name.startswith(before) and name.endswith(after)):
        return None
    return name[len(before) : len(name) - len(after)]


def opens(patterns: Iterable[str], *names: str) -> bool:
    """Tell whether one of a model's names fits one of the patterns that a key opens."""
    return any(matched(pattern, name) is not None for pattern in patterns for name in names)


def fill(pattern: str, target: str, asked: str) -> str:
    """Return the name that a target is called by: its `*` is what that of `pattern` stood for.

    A target without a `*` has one name. A name that does not fit `pattern` is left as it is.
    """
    if not is_pattern(target):
        return target
    text = matched(pattern, asked)
    return asked if text is None else target.replace(WILD, text)


def _most_exact_first(pattern: str) -> tuple[int, int, str]:
    before, _, after = pattern.partition(WILD)
    return (-len(before), -len(after), pattern)
