"""The demo itself: five acts on one stage, then what to type next."""

from __future__ import annotations

import time

from rich.console import Console

from demo import batch, plug, priorities, sdk, streaming
from demo.stage import CHAT_LIMIT, Stage


async def show(stage: Stage, out: Console, progress_to: Console, only_act: int | None) -> None:
    """Run the five acts, or only one. Raises DemoError at the first claim that does not hold."""
    began = time.monotonic()
    with progress_to.status("Starting two models and Penstock"):
        await stage.open()
    took = time.monotonic() - began
    out.print(
        "[bold]SmolLM2-135M[/] and [bold]all-MiniLM-L6-v2[/] run on this machine, Penstock in",
        f"front of them, embedded: ready in {took:.1f} s",
        sep="\n",
        highlight=False,
    )
    if only_act in (None, 1):
        _heading(out, 1, "Priorities", f"40 requests at once for a model that takes {CHAT_LIMIT}")
        await priorities.play(stage, out, progress_to)
    if only_act in (None, 2):
        _heading(out, 2, "Pull the plug", "kill -9 while accepted requests wait and run")
        await plug.play(stage, out)
    if only_act in (None, 3):
        _heading(out, 3, "The OpenAI SDK", "unmodified; only base_url is another")
        await sdk.play(stage, out)
    if only_act in (None, 4):
        _heading(out, 4, "Streaming", "the reader hangs up in the middle and goes on by number")
        await streaming.play(stage, out)
    if only_act in (None, 5):
        _heading(out, 5, "A batch", "the OpenAI SDK's Files and Batches, and the plug once more")
        await batch.play(stage, out)
    out.print(f"\nEvery claim held, in {time.monotonic() - began:.0f} s.", highlight=False)
    _next(out)


def _heading(out: Console, number: int, title: str, subtitle: str) -> None:
    out.print(f"\n[bold]{number}  {title}[/]  [dim]{subtitle}[/]", highlight=False)


def _next(out: Console) -> None:
    steps = (
        ("these two, port 8080", "make serve"),
        ("in front of Ollama", ".venv/bin/penstock serve --backend http://localhost:11434/v1"),
        ("in front of vLLM", ".venv/bin/penstock serve --backend http://localhost:8000/v1"),
        (
            "on RabbitMQ and Redis",
            "PENSTOCK_AMQP_URL=… PENSTOCK_REDIS_URL=… .venv/bin/penstock serve",
        ),
    )
    out.print("\n[bold]Next[/]")
    for what, typed in steps:
        out.print(f"  [dim]{what:<22}[/]{typed}", highlight=False, soft_wrap=True)
