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

# The asyncio connection packs in Python, at ten times the cost of hiredis.
_serializer = HiredisRespSerializer()
_LOST = (RedisError, OSError)


def pack(*command: Any) -> bytes:
    """Return the bytes of a command. Raises DataError for what cannot be sent."""
    packed: bytes = _serializer.pack(*command)[0]
    return packed


class Node:
    """A server and its idle connections."""

    def __init__(self, address: Address, opener: Opener) -> None:
        self.address = address
        self._opener = opener
        self._idle: list[AbstractConnection] = []

    def __str__(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    async def run(self, commands: Sequence[bytes]) -> list[Any]:
        """Return the answers in order; an answer may be a ResponseError.

        Raises StoreUnavailable when the connection breaks: what was done is then unknown, and
        nothing is sent twice here.
        """
        connection = self._idle.pop() if self._idle else self._opener()
        try:
            return await self._run_on(connection, commands)
        except _LOST as error:
            await self.forget()
            raise StoreUnavailable(f"Redis at {self} does not answer: {error}") from error

    def connection(self) -> AbstractConnection:
        """Return a connection for the caller alone, to be opened and closed by it."""
        return self._opener()

    async def forget(self) -> None:
        """Close the idle connections: where one was lost the others lead nowhere either."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def _run_on(self, connection: AbstractConnection, commands: Sequence[bytes]) -> list[Any]:
        answers: list[Any] = []
        try:
            if not connection.is_connected:
                await connection.connect()  # type: ignore[no-untyped-call]  # because redis-py leaves it untyped
            await connection.send_packed_command(commands, check_health=False)
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
