"""`penstock models list` and `backends list`: what an admin sees of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cli.client import Access, connect
from cli.outcome import exit_code_of
from cli.showing import print_json, print_table

Item = dict[str, Any]
# Columns, rows, and which columns hold numbers.
Shown = tuple[tuple[str, ...], list[list[Any]], tuple[str, ...]]


def show_models(access: Access, *, as_json: bool) -> int:
    """List the models with their targets; return the exit code."""
    return _show(access, "/admin/v1/models", model_rows, as_json=as_json)


def show_backends(access: Access, *, as_json: bool) -> int:
    """List the backends with their slots; return the exit code."""
    return _show(access, "/admin/v1/backends", backend_rows, as_json=as_json)


def model_rows(models: list[Item]) -> Shown:
    """Return the table of models."""
    columns = ("model", "state", "targets", "aliases", "waiting", "running", "slots", "max queued")
    rows = [
        [
            model["id"],
            model["state"],
            ", ".join(map(_target, model["targets"] or ())) or "auto",
            ", ".join(model["aliases"]),
            *(model[name] for name in ("waiting", "running", "slots", "max_queued")),
        ]
        for model in models
    ]
    return columns, rows, ("waiting", "running", "slots")


def backend_rows(backends: list[Item]) -> Shown:
    """Return the table of backends."""
    columns = ("backend", "state", "kind", "urls", "held", "slots", "models")
    rows = [
        [
            backend["id"],
            backend["state"],
            backend["kind"],
            ", ".join(backend["urls"]),
            backend["held"],
            backend["concurrency"],
            ", ".join(backend["models"] or ()) or "auto",
        ]
        for backend in backends
    ]
    return columns, rows, ("held", "slots")


def _show(access: Access, path: str, rows: Callable[[list[Item]], Shown], *, as_json: bool) -> int:
    async def work() -> None:
        async with connect(access) as client:
            items = await client.items(path)
        if as_json:
            print_json(items)
        else:
            print_table(*rows(items))

    return exit_code_of(work())


def _target(target: Item) -> str:
    return f"{target['model'] or '*'} on {target['backend']} ({target['weight']:g})"
