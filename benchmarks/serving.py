"""Serving a bare protocol on loopback until killed."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

import uvloop


def serve(protocol: Callable[[], asyncio.Protocol], about: str | None) -> None:
    """Serve on the port that the command line names; `about` is what its help says."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(protocol, parser.parse_args().port))


async def _serve(protocol: Callable[[], asyncio.Protocol], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()
