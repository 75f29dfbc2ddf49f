"""`penstock dead-letters`: list, show, redrive, purge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cli.choosing import Answer, confirmed, for_each
from cli.client import Access, Client, connect, segment
from cli.outcome import FAILED, OK, exit_code_of
from cli.reporting import request_fields
from cli.showing import cell, instant, json_text, plain, print_fields, print_json, print_table, say
from schemas.errors import ConfigError

_PATH = "/admin/v1/dead-letters"
_FOREIGN = f"{_PATH}/foreign"
_COLUMNS = ("id", "model", "tenant", "ended", "code", "redriven as", "message")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters: those named, or all (of a model). Raises ConfigError for both or none."""

    ids: Sequence[str]
    everything: bool
    model: str | None
    yes: bool
    as_json: bool

    def __post_init__(self) -> None:
        if bool(self.ids) == self.everything or (self.model and self.ids):
            raise ConfigError("name the dead letters, or choose --all (with --model MODEL).")

    async def chosen(self, client: Client) -> list[str]:
        """Return the ids."""
        if self.ids:
            return list(self.ids)
        found = client.pages(_PATH, {"model": self.model})
        return [letter["id"] async for letter in found]


def show_all(
    access: Access, model: str | None, tenant: str | None, limit: int, *, as_json: bool
) -> int:
    """List the dead letters; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            filters = {"model": model, "tenant": tenant}
            letters = [letter async for letter in client.pages(_PATH, filters, limit)]
        if as_json:
            print_json(letters)
        else:
            print_table(_COLUMNS, map(_row, letters))

    return exit_code_of(work())


def show_foreign(access: Access, limit: int, *, as_json: bool) -> int:
    """List the messages that are none of ours; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            letters = (await client.items(_FOREIGN))[:limit]
        if as_json:
            print_json(letters)
        else:
            columns = ("filed", "reason", "body")
            print_table(
                columns, ((instant(x["filed_at"]), x["reason"], x["body"]) for x in letters)
            )

    return exit_code_of(work())


def show(access: Access, request_id: str, *, as_json: bool) -> int:
    """Show one dead letter with its body; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            letter = await client.ask("GET", f"{_PATH}/{segment(request_id)}")
        if as_json:
            print_json(letter)
            return
        print_fields(request_fields(letter))
        print()
        body = letter.get("request")
        print(plain(body) if isinstance(body, str) else json_text(body, indented=True))

    return exit_code_of(work())


def redrive(access: Access, choice: Choice) -> int:
    """Make a new request of each; return the exit code."""
    return _do(
        access,
        choice,
        ("Redrive", "redriven"),
        lambda client: lambda one: client.ask("POST", f"{_PATH}/{segment(one)}/redrive", b"{}"),
        lambda answer: f"{answer['redrive_of']} redriven as {answer['id']}",
    )


def purge(access: Access, choice: Choice) -> int:
    """Drop what is kept of each; return the exit code."""
    return _do(
        access,
        choice,
        ("Purge", "purged"),
        lambda client: lambda one: client.ask("DELETE", f"{_PATH}/{segment(one)}"),
        lambda answer: f"{answer['id']} purged",
    )


def purge_foreign(access: Access, *, yes: bool, as_json: bool) -> int:
    """Drop every message that is none of ours; return the exit code."""

    async def work() -> int:
        if not confirmed("Purge all foreign messages?", yes=yes):
            return FAILED
        async with connect(access) as client:
            answer = await client.ask("DELETE", _FOREIGN)
        if as_json:
            print_json(answer, indented=False)
        else:
            print(f"{answer['deleted']:,} purged")
        return OK

    return exit_code_of(work())


def _do(
    access: Access,
    choice: Choice,
    verbs: tuple[str, str],
    call: Callable[[Client], Callable[[str], Awaitable[Answer]]],
    told: Callable[[Answer], str],
) -> int:
    done = 0

    def show_one(answer: Answer) -> None:
        nonlocal done
        done += 1
        if choice.as_json:
            print_json(answer, indented=False)
        else:
            print(cell(told(answer)))

    async def work() -> int:
        async with connect(access) as client:
            ids = await choice.chosen(client)
            many = choice.everything and len(ids) > 0
            if many and not confirmed(f"{verbs[0]} {len(ids):,} dead letters?", yes=choice.yes):
                return FAILED
            code = await for_each(ids, call(client), show_one)
        if len(ids) != 1:
            say(f"{done:,} of {len(ids):,} dead letters {verbs[1]}.")
        return code

    return exit_code_of(work())


def _row(letter: dict[str, Any]) -> list[Any]:
    error = letter["error"] or {}
    ended = instant(letter["finished_at"])
    names = [letter["id"], letter["model"], letter["tenant"]]
    return [*names, ended, error.get("code"), letter.get("redriven_as"), error.get("message")]
