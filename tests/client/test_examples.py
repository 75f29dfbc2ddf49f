"""Every public name has an example in its docstring, and each example is run."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import penstock
import pytest
from penstock import amqp, polling, webhooks

from tests.client.conftest import Real

pytestmark = pytest.mark.realservers

MODULES = (penstock, amqp, polling, webhooks)
# What the examples name, for the real thing.
_AMQP, _REDIS = "amqp://acme:password@rabbitmq:5672/", "redis://redis:6379/0"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _public() -> Iterator[tuple[str, Any]]:
    """Return everything that a user may call or name, by its full name."""
    for module in MODULES:
        yield module.__name__, module
        for name in getattr(module, "__all__", None) or _own_names(module):
            value = getattr(module, name)
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                yield from _methods(f"{module.__name__}.{name}", value)


def _own_names(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _methods(prefix: str, kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(kind).items():
        if not name.startswith("_") and inspect.isfunction(value):
            yield f"{prefix}.{name}", value


PUBLIC = dict(_public())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_example_of_a_public_name_works(
    name: str, real: Real, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_URL", real.url)
    text = inspect.getdoc(PUBLIC[name]) or ""
    for named, url in ((_AMQP, real.amqp_url), (_REDIS, real.redis_url)):
        text = text.replace(f'"{named}")', f'"{url}", namespace="{real.namespace}")')
        text = text.replace(named, url)
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    told: list[str] = []
    results = doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=told.append)
    assert results.failed == 0, "".join(told)
