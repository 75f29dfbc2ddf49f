"""One Redis server: its idle connections, and a pipeline of commands over one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisError, ResponseError

from broker.redis_store.connect import Address, Opener
from schemas.errors import StoreUnavailable

Command = tuple[Any, ...]
# The asyncio connection packs in Python, at ten times the cost of hiredis.
_pack = HiredisRespSerializer().pack
_LOST = (RedisError, OSError)


class Node:
    """A server; `losses` counts how often it failed, for those who must notice a gap."""

    def __init__(self, address: Address, opener: Opener) -> None:
        self.address = address
        self.losses = 0
        self._opener = opener
        self._idle: list[AbstractConnection] = []

    def __str__(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers in order; an answer may be a ResponseError.

        Raises StoreUnavailable when the connection breaks: what was done is then unknown. Nothing
        is sent twice here, since a slot must not be granted twice after a restart without data.
        """
        connection = self._idle.pop() if self._idle else self._opener()
        try:
            return await self._run_on(connection, commands)
        except _LOST as error:
            await self.lost()
            raise StoreUnavailable(f"Redis at {self} does not answer: {error}") from error

    async def lost(self) -> None:
        """Note that the server failed: the idle connections lead nowhere either."""
        self.losses += 1
        await self.forget()

    def connection(self) -> AbstractConnection:
        """Return a connection for the caller alone, to be opened and closed by it."""
        return self._opener()

    async def forget(self) -> None:
        """Close the idle connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def _run_on(
        self, connection: AbstractConnection, commands: Sequence[Command]
    ) -> list[Any]:
        answers: list[Any] = []
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]
            packed = [part for command in commands for part in _pack(*command)]
            await connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                try:
                    # Infinity means "no timeout for this read": the whole batch has one.
                    answers.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            # Half an exchange is left on it, also when the caller was cancelled.
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return answers
