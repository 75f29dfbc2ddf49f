"""The examination of a Penstock that runs: ready, of this version, with a worker for each model."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from broker.findings import Examined, Finding
from broker.living import PART
from cli.client import Fetched, Unreachable, fetch

ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server should be; `named` says that somebody told us so."""

    url: str
    key: str | None
    named: bool

    def headers(self) -> Mapping[str, str]:
        """Return what opens the doors."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


async def examine(place: Place, models: Collection[str]) -> list[Finding]:
    """Return what the server says of itself; `models` are those it should serve."""
    examined = Examined(PART)
    try:
        ready, document, listed = await asyncio.gather(
            *(
                fetch(place.url + path, place.headers(), ANSWER_S)
                for path in ("/ready", "/openapi.json", "/v1/models")
            )
        )
    except Unreachable as error:
        _away(examined, place, error)
        return examined.findings
    _ready(examined, place.url, ready)
    _version(examined, document)
    _models(examined, listed, models)
    return examined.findings


def _away(examined: Examined, place: Place, error: Unreachable) -> None:
    said = f"no Penstock answers at {place.url} ({error})"
    if place.named:
        examined.fail("running", said, "start it, or correct PENSTOCK_URL")
    else:
        examined.note("running", said, "not started yet? elsewhere? PENSTOCK_URL names it")


def _ready(examined: Examined, url: str, answer: Fetched) -> None:
    checks = answer.content.get("checks") if isinstance(answer.content, dict) else None
    if answer.status == 200 and isinstance(checks, dict):
        examined.ok("ready", f"{url} accepts and serves")
    elif isinstance(checks, dict):
        wrong = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
        examined.fail("ready", f"{url} is not: {'; '.join(wrong)}", "see the parts above")
    else:
        examined.fail("ready", f"{url} answers {answer.status}: no Penstock", "what runs there?")


def _version(examined: Examined, answer: Fetched) -> None:
    ours = version("penstock-broker")
    info = answer.content.get("info") if isinstance(answer.content, dict) else None
    theirs = info.get("version") if isinstance(info, dict) else None
    if theirs is None:
        examined.note("version", "it does not tell its version")
    elif theirs != ours:
        examined.warn("version", f"it runs {theirs}, this is {ours}", "restart it after upgrades")
    else:
        examined.ok("version", str(theirs))


def _models(examined: Examined, answer: Fetched, wanted: Collection[str]) -> None:
    if answer.status in (401, 403):
        examined.note("models", "it wants a key", "set PENSTOCK_API_KEY")
        return
    data = answer.content.get("data") if isinstance(answer.content, dict) else None
    if not isinstance(data, list):
        examined.fail("models", f"/v1/models answers {answer.status}", "look at its log")
        return
    served = {str(model["id"]): _slots(model) for model in data}
    idle = sorted(name for name in {*wanted, *served} if not served.get(name))
    if idle:
        examined.warn(
            "models",
            f"no live worker serves {', '.join(idle)}: requests for it wait",
            "start a worker, and see that the model's backends answer",
        )
    else:
        examined.ok("models", f"{len(served)} served, each by a live worker")


def _slots(model: dict[str, Any]) -> int:
    said = model.get("penstock")
    return int(said.get("slots", 0)) if isinstance(said, dict) else 0
