"""Act three: the OpenAI SDK as it comes from the package index, pointed at Penstock."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo import chat_server, embed_server
from demo.claims import DemoError, claim
from demo.requests import Requests
from demo.stage import Stage

if TYPE_CHECKING:
    import openai

_HEADERS = (
    "x-request-id",
    "x-penstock-backend",
    "x-penstock-attempts",
    "x-penstock-queue-ms",
    "x-penstock-overhead-ms",
)
_QUESTION = "Name a fruit."
_CAT = "A cat sleeps on the sofa."
_KITTEN = "A kitten naps on the couch."
_INVOICE = "The invoice is due on Friday."


async def play(stage: Stage, out: Console) -> None:
    """Run the act and print it. Raises DemoError."""
    import openai

    # The SDK obeys proxy variables, and no proxy knows our loopback address.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    base_url = f"{stage.url}/v1"
    out.print(f'  client = openai.AsyncOpenAI(base_url="{base_url}", …)', highlight=False)
    try:
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
            request_id = await _chat(client, out)
            await _read_back(stage, out, request_id)
            await _embeddings(client, out)
    except openai.OpenAIError as error:
        raise DemoError(f"The OpenAI SDK was not served: {error}") from None


async def _chat(client: openai.AsyncOpenAI, out: Console) -> str:
    raw = await client.chat.completions.with_raw_response.create(
        model=chat_server.MODEL,
        messages=[{"role": "user", "content": _QUESTION}],
        max_tokens=12,
        temperature=0,
    )
    text = raw.parse().choices[0].message.content or ""
    out.print(f"  {_QUESTION}  [bold]{escape(' '.join(text.split()))}[/]", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in _HEADERS:
        table.add_row(f"[dim]{name}[/]", raw.headers.get(name, "-"))
    out.print(table)
    missing = [name for name in _HEADERS if name not in raw.headers]
    claim(
        out,
        bool(text) and not missing,
        "the chat call is answered, and its headers say what it took",
        f"The chat answer was empty or without the headers {missing}.",
    )
    return raw.headers["x-request-id"]


async def _read_back(stage: Stage, out: Console, request_id: str) -> None:
    async with Requests(stage.url) as requests:
        status = (await requests.get(request_id))["status"]
    claim(
        out,
        status == "completed",
        "its x-request-id reads back as a completed request",
        f"GET /v1/requests/{request_id} says {status}, not completed.",
    )


async def _embeddings(client: openai.AsyncOpenAI, out: Console) -> None:
    answer = await client.embeddings.create(
        model=embed_server.MODEL, input=[_CAT, _KITTEN, _INVOICE]
    )
    cat, kitten, invoice = (item.embedding for item in answer.data)
    near, far = _cosine(cat, kitten), _cosine(cat, invoice)
    table = Table(box=None, show_header=False, padding=(0, 2))
    for other, nearness in ((_KITTEN, near), (_INVOICE, far)):
        table.add_row(_CAT, other, f"{nearness:.2f}")
    out.print(table)
    claim(
        out,
        near > 0.5 > far,
        "sentences that mean the same are nearer than sentences that do not",
        f"Like sentences are {near:.2f} near, unlike ones {far:.2f}.",
    )


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))
