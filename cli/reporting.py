"""`penstock status`: a request in full, or what waits and runs, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.client import Access, Refused, connect
from cli.listing import backend_rows
from cli.outcome import exit_code_of
from cli.showing import instant, json_text, print_fields, print_json, print_table

_PRIORITIES = ("high", "normal", "low", "batch")
_LOAD = "running / slots"


def show_request(access: Access, request_id: str, *, as_json: bool) -> int:
    """Show one request; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            found = await client.read(request_id)
        if as_json:
            print_json(found)
        else:
            print_fields(request_fields(found))

    return exit_code_of(work())


def show_all(access: Access, admin: Access, *, as_json: bool) -> int:
    """Show the models, and the backends to an admin; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            models = await client.items("/v1/models")
        backends = await _admin_items(admin, "backends")
        known = await _admin_items(admin, "models")
        if known is not None:
            states = _states(known)
            models = [{**model, "state": states.get(model["id"])} for model in models]
        if as_json:
            print_json({"models": models, "backends": backends})
            return
        if models:
            numbers = (*_PRIORITIES, _LOAD)
            columns = ("model", *(["state"] if known is not None else []), *numbers)
            print_table(columns, map(_model_row, models), numbers)
        else:
            print("No model is served yet.")
        if backends:
            print()
            print_table(*backend_rows(backends))

    return exit_code_of(work())


async def _admin_items(admin: Access, kind: str) -> list[dict[str, Any]] | None:
    """Return the models or backends as the operator sees them, None for somebody else."""
    if admin.key is None:
        return None
    try:
        async with connect(admin) as client:
            return await client.items(f"/admin/v1/{kind}")
    except Refused:
        return None


def _states(models: list[dict[str, Any]]) -> dict[str, str]:
    """Return the state of each model by each of its names."""
    return {name: model["state"] for model in models for name in (model["id"], *model["aliases"])}


def _model_row(model: dict[str, Any]) -> list[Any]:
    load = model["penstock"]
    waiting = [load["priorities"][name] for name in _PRIORITIES]
    state = [model["state"]] if "state" in model else []
    return [model["id"], *state, *waiting, f"{load['running']} / {load['slots']}"]


def request_fields(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield what there is to say of a request, in the order of its life."""
    for name in ("id", "status", "model", "endpoint", "priority", "tenant", "attempts"):
        yield name, found.get(name)
    yield "position", found.get("position")
    yield "eta", _seconds(found.get("eta_s"))
    yield "waits for", found.get("waiting_for")
    yield "created", instant(found["created_at"])
    yield "not before", instant(found.get("not_before"))
    yield "deadline", instant(found["deadline"])
    started, finished = found["started_at"], found["finished_at"]
    yield "started", instant(started)
    yield "finished", instant(finished)
    yield "waited", _seconds(started - found["created_at"]) if started else None
    yield "ran", _seconds(finished - started) if started and finished else None
    if target := found.get("target"):
        yield "target", f"{target['model']} on {target['backend']}"
    if error := found.get("error"):
        yield "error", f"{error['code']}: {error['message']}"
    if usage := found.get("usage"):
        yield "usage", ", ".join(f"{key.replace('_', ' ')} {n}" for key, n in usage.items())
    if found.get("metadata"):
        yield "metadata", json_text(found["metadata"])
    for name in ("redrive_of", "redriven_as"):
        yield name.replace("_", " "), found.get(name)
    if response := found.get("response"):
        yield "response", f"{response['status_code']} {json_text(response['body'])}"


def _seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.3f} s"
