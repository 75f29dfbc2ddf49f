"""Names are looked up beside the loop's own resolver, each once at a time and not too many."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from workers.webhooks.lookup import Lookups


class NameServer:
    """Answers each name when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, *_rest: object, **_named: object) -> list[Any]:
        self.asked.append(host)
        assert self.go.wait(20)
        if host == "unknown":
            raise socket.gaierror("unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))] * 2


async def test_who_asks_for_the_same_name_shares_a_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, look_up = NameServer(monkeypatch), Lookups()
    asking = [asyncio.create_task(look_up("a")) for _ in range(5)]
    asking[0].cancel()
    await asyncio.sleep(0)
    server.go.set()
    assert await asyncio.gather(*asking[1:]) == [["192.0.2.1"]] * 4
    assert server.asked == ["a"]
    assert await look_up("a") == ["192.0.2.1"]
    assert server.asked == ["a", "a"]
    with pytest.raises(OSError, match="unknown"):
        await look_up("unknown")


async def test_silent_name_servers_hold_a_bounded_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, look_up = NameServer(monkeypatch), Lookups()
    asking = [asyncio.create_task(look_up(f"n{number}")) for number in range(32)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await look_up("one-more")
    server.go.set()
    await asyncio.gather(*asking)
    assert await look_up("one-more") == ["192.0.2.1"]
