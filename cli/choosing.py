"""Doing one thing to many: ask first, go on over what is refused, tell how many."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import typer

from cli.client import Access, Client, Refused, connect
from cli.flow import in_order
from cli.outcome import FAILED, OK, exit_code_of
from cli.showing import cell, print_json, say
from schemas.errors import ConfigError

_AT_ONCE = 16
Answer = dict[str, Any]


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; with --yes the answer is yes.

    Raises ConfigError where there is no terminal to answer on.
    """
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"{question} There is no terminal to answer on: add --yes.")
    return yes or typer.confirm(question, err=True)


async def for_each(
    ids: Sequence[str], work: Callable[[str], Awaitable[Answer]], show: Callable[[Answer], None]
) -> int:
    """Do `work` to each id and show its answer, in order; return the exit code.

    One that is refused is told on standard error and does not stop the others; a wrong key does.
    """
    refused = 0

    async def one(name: str) -> Answer | Refused:
        try:
            return await work(name)
        except Refused as error:
            if error.status in (401, 403):
                raise
            return error

    async with aclosing(in_order(_each(ids), one, _AT_ONCE)) as answers:
        index = 0
        async for answer in answers:
            if isinstance(answer, Refused):
                say(f"{cell(ids[index])}: {answer}")
                refused += 1
            else:
                show(answer)
            index += 1
    return FAILED if refused else OK


def do_each(
    access: Access,
    ids: Sequence[str],
    work: Callable[[Client, str], Awaitable[Answer]],
    line: Callable[[Answer], str],
    *,
    as_json: bool,
) -> int:
    """Do `work` to each id over one connection, showing each answer as JSON or as a line.

    Return the exit code.
    """

    def show(answer: Answer) -> None:
        if as_json:
            print_json(answer, indented=False)
        else:
            print(line(answer))

    async def run() -> int:
        async with connect(access) as client:
            return await for_each(ids, lambda one: work(client, one), show)

    return exit_code_of(run())


async def _each(ids: Sequence[str]) -> AsyncIterator[str]:
    for name in ids:
        yield name
