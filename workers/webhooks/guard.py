"""No connection to an address that a tenant may not reach: the last word, on every attempt.

The resolver sees each answer of the DNS, so that a name that leads elsewhere than when it was
registered gains nothing. The socket factory sees every address that is about to be connected to,
also those that a URL spells out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.addresses import read_address
from schemas.destinations import AllowList, Destination
from workers.webhooks.lookup import Lookup

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
OpenSocket = Callable[[AddressInfo], socket.socket]


class Guard(AbstractResolver):
    """Of one attempt; `refused` tells that it has kept it from an address."""

    def __init__(
        self, destination: Destination, allowed: AllowList, lookup: Lookup, open_socket: OpenSocket
    ) -> None:
        self.refused = False
        self._destination = destination
        self._allowed = allowed
        self._lookup = lookup
        self._open_socket = open_socket

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  because aiohttp names it
    ) -> list[ResolveResult]:
        """Return the host's addresses. Raises OSError if a single one of them is refused."""
        addresses = await self._lookup(host)
        for address in addresses:
            self._check(address)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for address in addresses
        ]

    def open(self, info: AddressInfo) -> socket.socket:
        """Return a socket for what is about to be connected to. Raises OSError if it is refused."""
        self._check(str(info[4][0]))
        return self._open_socket(info)

    async def close(self) -> None:
        """Nothing is held."""

    def _check(self, text: str) -> None:
        address = read_address(text)
        if address is None or not self._allowed.admits(self._destination, address):
            self.refused = True
            raise OSError("refused")


def open_socket(info: AddressInfo) -> socket.socket:
    """Return a new socket of the address's kind."""
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)
