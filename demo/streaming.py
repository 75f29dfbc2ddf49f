"""Act four: a stream whose reader hangs up in the middle, and goes on behind the last number."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
from rich.console import Console
from rich.markup import escape

from demo.chat_server import MODEL
from demo.claims import DemoError, claim
from demo.stage import Stage

_HANGS_UP_AFTER = 8
_WITHIN_S = 60.0
_BODY = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Name three rivers, and where they are."}],
    "max_tokens": 40,
    "temperature": 0,
}


async def play(stage: Stage, out: Console) -> None:
    """Run the act and print it. Raises DemoError."""
    timeout = aiohttp.ClientTimeout(total=_WITHIN_S)
    try:
        async with aiohttp.ClientSession(stage.url, timeout=timeout) as session:
            await _play(session, out)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoError(f"The stream was not served: {type(error).__name__}: {error}") from None


async def _play(session: aiohttp.ClientSession, out: Console) -> None:
    async with session.post("/v1/requests", json={"body": _BODY, "stream": True}) as answer:
        request_id = (await answer.json())["id"]
    path = f"/v1/requests/{request_id}/events"
    first: dict[int, str] = {}
    async with aclosing(_chunks(session, path)) as chunks:
        async for number, data in chunks:
            first[number] = data
            if len(first) == _HANGS_UP_AFTER:
                break
    last = max(first, default=-1)
    rest = {
        number: data async for number, data in _chunks(session, f"{path}?starting_after={last}")
    }
    out.print(
        f"  {escape(_text(first))}[yellow]▌[/][bold]{escape(_text(rest))}[/]", highlight=False
    )
    out.print(
        f"  [dim]hung up after event {last}; GET {path}?starting_after={last}[/]", soft_wrap=True
    )
    numbers = [*first, *rest]
    claim(
        out,
        numbers == list(range(len(numbers))) and [*rest.values()][-1:] == ["[DONE]"],
        f"{len(numbers)} events in two readings, none missing, none twice",
        f"The numbers of the events are {numbers}.",
    )
    async with session.get(f"/v1/requests/{request_id}/response") as answer:
        whole = await answer.text()
    told = "".join(f"data: {data}\n\n" for data in [*first.values(), *rest.values()])
    claim(
        out,
        told == whole,
        "together they are the stored answer, byte for byte",
        "What was streamed is not what is stored.",
    )


async def _chunks(session: aiohttp.ClientSession, path: str) -> AsyncGenerator[tuple[int, str]]:
    """Yield the numbered events of a stream."""
    async with session.get(path) as stream:
        if stream.status != 200:
            raise DemoError(f"{path} answered {stream.status}: {await stream.text()}")
        number: int | None = None
        async for raw in stream.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: ") and number is not None:
                yield number, line[6:]
            elif not line:
                number = None


def _text(chunks: dict[int, str]) -> str:
    parsed = [json.loads(data) for data in chunks.values() if data.startswith("{")]
    said = (choice["delta"].get("content") or "" for each in parsed for choice in each["choices"])
    return " ".join("".join(said).splitlines())
