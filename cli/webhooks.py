"""`penstock webhooks`: list, create, test, delete, deliveries, redeliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from cli.choosing import confirmed, do_each
from cli.client import Access, Client, connect, segment
from cli.outcome import FAILED, OK, exit_code_of
from cli.showing import cell, instant, print_fields, print_json, print_table, say
from schemas.errors import ConfigError
from schemas.webhooks import REQUEST_EVENTS

_ENDPOINTS = "/v1/webhook_endpoints"
_DELIVERIES = "/v1/webhook_deliveries"
_COLUMNS = ("id", "name", "url", "events", "secret", "disabled")
_DELIVERY_COLUMNS = ("id", "event", "request", "to", "status", "attempts", "next", "last")


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Which deliveries: those that fit all that is given. Instants are Unix seconds."""

    endpoint: str | None = None
    request: str | None = None
    status: str | None = None
    created_after: float | None = None
    created_before: float | None = None

    def filters(self) -> dict[str, Any]:
        """Return what is given, as the API calls it."""
        named = {
            "webhook_endpoint_id": self.endpoint,
            "request_id": self.request,
            "status": self.status,
            "created_after": self.created_after,
            "created_before": self.created_before,
        }
        return {name: value for name, value in named.items() if value is not None}


def show_endpoints(access: Access, *, as_json: bool) -> int:
    """List the endpoints of the tenant; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            endpoints = [each async for each in client.pages(_ENDPOINTS, {})]
        if as_json:
            print_json(endpoints)
        else:
            print_table(_COLUMNS, map(_endpoint_row, endpoints))

    return exit_code_of(work())


def create(
    access: Access, url: str, name: str | None, events: Sequence[str], *, as_json: bool
) -> int:
    """Register an endpoint and show its secret; return the exit code."""
    asked = {
        "url": url,
        "name": name or _host_of(url),
        "event_types": list(events or REQUEST_EVENTS),
    }

    async def work() -> None:
        async with connect(access) as client:
            made = await client.ask("POST", _ENDPOINTS, orjson.dumps(asked))
        if as_json:
            print_json(made)
            return
        shown = {"events": ", ".join(made["event_types"]), "secret": made["signing_secret"]}
        print_fields([*((key, made[key]) for key in ("id", "name", "url")), *shown.items()])
        say("the secret is shown this once.")

    return exit_code_of(work())


def send_test(access: Access, endpoint_id: str, event: str, *, as_json: bool) -> int:
    """Let a sample event be sent, and show what was answered; return the exit code."""
    body = orjson.dumps({"event_type": event})

    async def work() -> None:
        async with connect(access) as client:
            told = await client.ask("POST", f"{_ENDPOINTS}/{segment(endpoint_id)}/test", body)
        if as_json:
            print_json(told)
        else:
            print(f"{cell(told['webhook_endpoint_id'])} answered {told['status_code']}")

    return exit_code_of(work())


def delete(access: Access, ids: Sequence[str], *, as_json: bool) -> int:
    """Delete these endpoints; return the exit code."""
    return do_each(
        access,
        ids,
        lambda client, one: client.ask("DELETE", f"{_ENDPOINTS}/{segment(one)}"),
        lambda answer: f"{cell(answer['id'])} is deleted",
        as_json=as_json,
    )


def show_deliveries(access: Access, chosen: Deliveries, limit: int, *, as_json: bool) -> int:
    """List deliveries, newest first; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            filters = {name: str(value) for name, value in chosen.filters().items()}
            found = [each async for each in client.pages(_DELIVERIES, filters, limit)]
        if as_json:
            print_json(found)
        else:
            print_table(_DELIVERY_COLUMNS, map(_delivery_row, found), ("attempts",))

    return exit_code_of(work())


def redeliver(access: Access, ids: Sequence[str], *, as_json: bool) -> int:
    """Send these again; return the exit code."""
    return do_each(
        access,
        ids,
        lambda client, one: client.ask("POST", f"{_DELIVERIES}/{segment(one)}/redeliver", b"{}"),
        lambda answer: f"{cell(answer['id'])} is sent again",
        as_json=as_json,
    )


def redeliver_range(access: Access, chosen: Deliveries, *, yes: bool, as_json: bool) -> int:
    """Send all that fit again; return the exit code."""
    filters = chosen.filters()
    if not filters:
        raise ConfigError("name the deliveries, or say which by --endpoint, --status and the like.")

    async def work() -> int:
        if not confirmed("Send every delivery that fits again?", yes=yes):
            return FAILED
        async with connect(access) as client:
            sent = await _redeliver_all(client, filters)
        if as_json:
            print_json({"redelivered": sent}, indented=False)
        else:
            print(f"{sent:,} are sent again")
        return OK

    return exit_code_of(work())


async def _redeliver_all(client: Client, filters: dict[str, Any]) -> int:
    """Ask again until there is no more: each answer is about so many at most."""
    sent, place = 0, dict[str, str]()
    while True:
        body = orjson.dumps({**filters, **place})
        told = await client.ask("POST", f"{_DELIVERIES}/redeliver", body)
        sent += int(told["redelivered"])
        if not told["has_more"]:
            return sent
        place = {"after": told["last_id"]}


def _endpoint_row(endpoint: dict[str, Any]) -> list[Any]:
    names = [endpoint[name] for name in ("id", "name", "url")]
    events = ", ".join(endpoint["event_types"])
    disabled = instant(endpoint["disabled_at"])
    return [*names, events, endpoint["signing_secret_hint"], disabled]


def _delivery_row(delivery: dict[str, Any]) -> list[Any]:
    last = delivery["history"][-1] if delivery["history"] else {}
    return [
        *(delivery[name] for name in ("id", "event_type", "request_id")),
        delivery["webhook_endpoint_id"] or delivery["url"],
        *(delivery[name] for name in ("status", "attempts")),
        instant(delivery["next_attempt_at"]),
        last.get("message") or last.get("status_code"),
    ]


def _host_of(url: str) -> str:
    """Return what an endpoint is called that nobody has named."""
    try:
        return urlsplit(url).hostname or "webhook"
    except ValueError:
        return "webhook"  # the server says what is wrong with it
