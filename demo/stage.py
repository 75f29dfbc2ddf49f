"""The demo's stage: a folder that goes away, two model servers and a Penstock in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from demo import chat_server, embed_server, weights
from demo.children import ROOT, Child
from demo.claims import DemoError

PLACE = ROOT / ".demo"
CHAT_LIMIT = 2
_START_S = 60.0
_POLL_S = 0.05
# Below the ephemeral range: no outgoing connection takes Penstock's port while it is down.
_PORTS = range(22_000, 32_000)


class Stage:
    """Everything that runs during the demo; `close` leaves nothing of it behind."""

    def __init__(self, port: int | None = None, in_foreground: bool = False) -> None:
        self._in_foreground = in_foreground
        if port is not None and not _is_free(port):
            raise DemoError(f"Port {port} is taken; choose another one with --port.")
        self._ports = {name: _free_port() for name in ("chat", "embed")}
        self.url = f"http://127.0.0.1:{_free_port() if port is None else port}"
        PLACE.mkdir(exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=PLACE))
        self._config = self.directory / "penstock.yaml"
        self._children: dict[str, Child] = {}
        self._not_started: Child | None = None

    async def open(self) -> None:
        """Start the model servers, then Penstock. Raises DemoError."""
        # The servers check the weights as well; here a missing package is said at once.
        weights.CHAT.find()
        weights.EMBEDDINGS.find()
        self._start("chat", "demo.chat_server", "--port", str(self._ports["chat"]))
        self._start("embed", "demo.embed_server", "--port", str(self._ports["embed"]))
        await self._answers("chat", f"{self._backend_url('chat')}/models")
        await self._answers("embed", f"{self._backend_url('embed')}/models")
        self._config.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        await self.start_penstock()

    def config(self) -> dict[str, Any]:
        """Return the content of the penstock.yaml."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return {
            "server": {
                "host": host,
                "port": int(port),
                "data_dir": str(self.directory / "data"),
                "drain_s": 1,
            },
            "backends": {
                "chat": {"urls": [self._backend_url("chat")], "concurrency": CHAT_LIMIT},
                "embed": {"urls": [self._backend_url("embed")], "concurrency": 4},
            },
            "models": "auto",
        }

    async def start_penstock(self) -> None:
        """Start Penstock and wait until it serves both models. Raises DemoError."""
        port = self.url.rpartition(":")[2]
        self._start("penstock", "cli.main", "serve", "--config", str(self._config), "--port", port)
        both = (chat_server.MODEL, embed_server.MODEL)
        await self._answers("penstock", f"{self.url}/ready")
        await self._answers("penstock", f"{self.url}/v1/models", both)

    def kill_penstock(self) -> None:
        """Pull the plug: `kill -9` of the Penstock process."""
        self._children.pop("penstock").kill()

    def culprit(self) -> Child | None:
        """Return the child that did not start, or that ended by itself, if there is one."""
        if self._not_started is not None:
            return self._not_started
        return next((c for c in self._children.values() if c.exit_code is not None), None)

    def close(self) -> None:
        """Stop and reap every child, remove the folder."""
        # Penstock first: while it drains, its model servers should still answer.
        children = [self._children[name] for name in sorted(self._children, reverse=True)]
        for child in children:
            child.ask_to_stop()
            if child.name == "penstock":
                child.reap()
        for child in children:
            child.reap()
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            PLACE.rmdir()

    def _start(self, name: str, *arguments: str) -> None:
        shown = self._in_foreground and name == "penstock"
        log = None if shown else self.directory / f"{name}.log"
        env = dict(os.environ) if self._in_foreground else _plain_environment()
        self._children[name] = Child(name, arguments, log, env)

    def _backend_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}/v1"

    async def _answers(self, name: str, url: str, words: tuple[str, ...] = ()) -> None:
        child = self._not_started = self._children[name]
        until = time.monotonic() + _START_S
        timeout = aiohttp.ClientTimeout(total=5)
        said = "nothing"
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while time.monotonic() < until:
                if child.exit_code is not None:
                    raise DemoError(f"{name} did not start: it ended with {child.exit_code}.")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        text = await answer.text()
                    said = f"{answer.status} {text[:200]}"
                    if answer.status == 200 and all(word in text for word in words):
                        self._not_started = None
                        return
                await asyncio.sleep(_POLL_S)
        raise DemoError(f"{name} was not ready at {url} within {_START_S:.0f} s, but said: {said}")


def _plain_environment() -> dict[str, str]:
    # PENSTOCK_AMQP_URL and the like would turn the embedded default into something else.
    return {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}


def _free_port() -> int:
    for port in random.sample(_PORTS, k=100):
        if _is_free(port):
            return port
    raise DemoError(f"No port of 127.0.0.1 between {_PORTS.start} and {_PORTS.stop} is free.")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # Connections of a server that has just ended do not make its port a taken one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return True
        return False
