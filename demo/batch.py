"""Act five: a batch by the OpenAI SDK, the plug pulled in the middle, every line there once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from demo import embed_server
from demo.claims import DemoError, claim
from demo.stage import Stage

if TYPE_CHECKING:
    import openai
    from openai.types import Batch

_LINES = 120
_BEFORE_THE_PLUG = 20
_LOOK_EVERY_S = 0.05
_WITHIN_S = 90.0
_WRONG = 3


async def play(stage: Stage, out: Console) -> None:
    """Run the act and print it. Raises DemoError."""
    import openai

    # The SDK obeys proxy variables, and no proxy knows our loopback address.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    try:
        async with openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key="none") as client:
            await _play(client, stage, out)
    except openai.OpenAIError as error:
        raise DemoError(f"The batch was not served: {error}") from None


async def _play(client: openai.AsyncOpenAI, stage: Stage, out: Console) -> None:
    file = await client.files.create(file=("lines.jsonl", _input()), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    out.print(f"  {_LINES} lines, {file.bytes // 1024} KiB, as {batch.id}", highlight=False)
    batch = await _until(client, batch.id, lambda each: _ended(each) >= _BEFORE_THE_PLUG)
    stage.kill_penstock()
    out.print(f"  kill -9, with {_ended(batch)} of {_LINES} lines told", highlight=False)
    await stage.start_penstock()
    batch = await _until(client, batch.id, lambda each: each.status in ("completed", "failed"))
    await _check(client, out, batch)


def _input() -> bytes:
    """Return the lines; a few ask for what the model server refuses."""
    lines = []
    for number in range(_LINES):
        wrong = number % (_LINES // _WRONG) == 0
        text: object = {"not": "text"} if wrong else f"Sentence number {number} of a batch."
        body = {"model": embed_server.MODEL, "input": text}
        asked = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/embeddings"}
        lines.append(json.dumps({**asked, "body": body}) + "\n")
    return "".join(lines).encode()


async def _check(client: openai.AsyncOpenAI, out: Console, batch: Batch) -> None:
    told: Counter[str] = Counter()
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is not None:
            content = await client.files.content(file_id)
            told.update(json.loads(line)["custom_id"] for line in content.text.splitlines())
    claim(
        out,
        told == Counter(f"line-{number}" for number in range(_LINES)),
        f"each of the {_LINES} custom ids is in the output or the error file, once",
        f"{_LINES - len(told)} custom ids are missing, {told.total() - len(told)} are repeated.",
    )
    counts = batch.request_counts
    claim(
        out,
        counts is not None and (counts.completed, counts.failed) == (_LINES - _WRONG, _WRONG),
        f"{_LINES - _WRONG} completed, and the {_WRONG} that the model refuses have failed",
        f"The batch counts {counts}.",
    )


async def _until(
    client: openai.AsyncOpenAI, batch_id: str, holds: Callable[[Batch], bool]
) -> Batch:
    gives_up_at = time.monotonic() + _WITHIN_S
    while not holds(batch := await client.batches.retrieve(batch_id)):
        if time.monotonic() > gives_up_at:
            told = batch.to_json(indent=None)
            raise DemoError(f"After {_WITHIN_S:.0f} s the batch was still {told}.")
        await asyncio.sleep(_LOOK_EVERY_S)
    return batch


def _ended(batch: Batch) -> int:
    counts = batch.request_counts
    return 0 if counts is None else counts.completed + counts.failed
