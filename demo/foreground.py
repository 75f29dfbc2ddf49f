"""`python -m demo serve`: the demo's models and Penstock in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio

from rich.console import Console

from demo.chat_server import MODEL
from demo.claims import DemoError
from demo.stage import Stage

_LOOK_EVERY_S = 0.5


async def serve(stage: Stage, out: Console) -> None:
    """Serve until cancelled. Raises DemoError when a part does not start, or ends."""
    await stage.open()
    body = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'
    out.print(
        f"\nTwo models at [bold]{stage.url}/v1[/]; Ctrl-C ends them and forgets their requests."
    )
    out.print("Try it from another terminal:\n")
    out.print(f"  penstock status --url {stage.url}", highlight=False)
    out.print(
        f"  curl {stage.url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'\n",
        highlight=False,
        soft_wrap=True,
    )
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if (child := stage.culprit()) is not None:
            raise DemoError(f"{child.name} ended by itself with {child.exit_code}.")
