"""`penstock status` and `penstock cancel`: what the server says, as a table or as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from cli.client import Refused, Unreachable, connect


def run(url: str, request_id: str | None, *, as_json: bool) -> int:
    """Show one request or all models; return the exit code."""
    if request_id is not None:
        return _exit_code(_show_request(url, request_id, as_json=as_json))
    return _exit_code(_show_models(url, as_json=as_json))


def run_cancel(url: str, request_ids: list[str]) -> int:
    """Cancel requests; return the exit code."""
    return _exit_code(_cancel(url, request_ids))


def _exit_code(work: Coroutine[Any, Any, None]) -> int:
    try:
        asyncio.run(work)
    except Unreachable as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 3
    except Refused as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 1
    return 0


async def _show_request(url: str, request_id: str, *, as_json: bool) -> None:
    async with connect(url) as client:
        found = await client.read(request_id)
    if as_json:
        _print_json(found)
        return
    table = Table(show_header=False, box=None)
    for name in ("id", "status", "model", "priority", "attempts"):
        table.add_row(name, str(found[name]))
    if found["started_at"]:
        table.add_row("waited", f"{found['started_at'] - found['created_at']:.3f} s")
    if found["finished_at"] and found["started_at"]:
        table.add_row("ran", f"{found['finished_at'] - found['started_at']:.3f} s")
    if found["error"]:
        table.add_row("error", f"{found['error']['code']}: {found['error']['message']}")
    Console().print(table)


async def _show_models(url: str, *, as_json: bool) -> None:
    async with connect(url) as client:
        models = await client.models()
    if as_json:
        _print_json(models)
        return
    table = Table("model", box=None)
    for name in ("high", "normal", "low", "batch", "running / slots"):
        table.add_column(name, justify="right")
    for model in models:
        load = model["penstock"]
        waiting = [str(load["priorities"][name]) for name in ("high", "normal", "low", "batch")]
        table.add_row(model["id"], *waiting, f"{load['running']} / {load['slots']}")
    Console().print(table if models else "No model is served yet.")


async def _cancel(url: str, request_ids: list[str]) -> None:
    async with connect(url) as client:
        for request_id in request_ids:
            found = await client.cancel(request_id)
            print(f"{found['id']} {found['status']}")


def _print_json(content: object) -> None:
    sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")
