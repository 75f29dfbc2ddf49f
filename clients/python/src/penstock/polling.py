"""Reading requests straight from Redis, for services on the same network (`penstock[redis]`).

It needs no HTTP and no key, and sees every tenant's requests. The layout that it reads is a
documented contract with a version.

>>> import penstock
>>> from penstock.polling import Poller
>>> with penstock.Client() as client, Poller("redis://redis:6379/0") as poller:
...     request = client.submit({"model": "llama3.2", "messages": []})
...     print(poller.wait(request.id, timeout_s=30).status)
completed
"""

from __future__ import annotations

import asyncio
import time

import redis
import redis.asyncio
from redis.exceptions import RedisError

from penstock.calls import completed, id_of
from penstock.errors import TimedOut, Unreachable
from penstock.layout import Stored, check_version, keys_of, known, pauses, version_key
from penstock.lifetime import AsyncClosing, Closing
from penstock.shapes import Request, Result

_PATIENCE_S = 5.0


class Poller(Closing):
    """The requests in a Redis, for programs that wait. Raises UnknownLayout and Unreachable.

    >>> from penstock.polling import Poller
    >>> with Poller("redis://redis:6379/0") as poller:
    ...     print(poller.get("req_0000000000000000000000000000000000"))
    None
    """

    def __init__(self, url: str, *, namespace: str = "penstock") -> None:
        """Make a reader; `namespace` is the server's `server.namespace`."""
        self._redis = redis.Redis.from_url(url, socket_timeout=_PATIENCE_S)
        self._namespace = namespace
        self._checked = False

    def close(self) -> None:
        """Close every connection.

        >>> from penstock.polling import Poller
        >>> Poller("redis://redis:6379/0").close()
        """
        self._redis.close()

    def get(self, request: Request | str) -> Request | None:
        """Return a request as it is now; None for one that is unknown or past its retention.

        What a queued one can expect is not told here.

        >>> import penstock
        >>> from penstock.polling import Poller
        >>> with penstock.Client() as client, Poller("redis://redis:6379/0") as poller:
        ...     request = client.wait(client.submit({"model": "llama3.2", "messages": []}))
        ...     print(poller.get(request).usage == request.usage)
        True
        """
        found = self._stored(request)
        return None if found is None else found.request

    def wait(self, request: Request | str, timeout_s: float) -> Request:
        """Return a request once it has ended. Raises TimedOut, PenstockError for an unknown one.

        >>> import penstock
        >>> from penstock.polling import Poller
        >>> with penstock.Client() as client, Poller("redis://redis:6379/0") as poller:
        ...     request = client.submit({"model": "llama3.2", "messages": []})
        ...     print(poller.wait(request, timeout_s=30).ended)
        True
        """
        return self._ended(request, timeout_s).request

    def result(self, request: Request | str, timeout_s: float) -> Result:
        """Wait for a request and return its result.

        Raises RequestFailed, TimedOut, and NotInRedis for an answer over 256 KiB.

        >>> import penstock
        >>> from penstock.polling import Poller
        >>> body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        >>> with penstock.Client() as client, Poller("redis://redis:6379/0") as poller:
        ...     print(poller.result(client.submit(body), timeout_s=30).text)
        echo ...
        """
        found = self._ended(request, timeout_s)
        completed(found.request)
        return found.result()

    def _ended(self, request: Request | str, timeout_s: float) -> Stored:
        until, pause = time.monotonic() + timeout_s, pauses()
        while True:
            found = known(self._stored(request), id_of(request))
            if found.request.ended:
                return found
            pause_s = next(pause)
            if time.monotonic() + pause_s > until:
                raise TimedOut(found.request, timeout_s)
            time.sleep(pause_s)

    def _stored(self, request: Request | str) -> Stored | None:
        record, result = keys_of(self._namespace, id_of(request))
        try:
            if not self._checked:
                check_version(self._redis.get(version_key(self._namespace)), self._namespace)
                self._checked = True
            # Both as they are at one instant.
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hgetall(record)
                pipeline.get(result)
                fields, packed = pipeline.execute()
        except RedisError as error:
            raise Unreachable(f"Redis does not answer: {error}") from error
        return Stored.of(id_of(request), fields, packed)


class AsyncPoller(AsyncClosing):
    """The requests in a Redis, for asyncio. Raises UnknownLayout and Unreachable.

    >>> import asyncio, penstock
    >>> from penstock.polling import AsyncPoller
    >>> async def main():
    ...     async with penstock.AsyncClient() as client:
    ...         request = await client.submit({"model": "llama3.2", "messages": []})
    ...     async with AsyncPoller("redis://redis:6379/0") as poller:
    ...         print((await poller.wait(request, timeout_s=30)).status)
    >>> asyncio.run(main())
    completed
    """

    def __init__(self, url: str, *, namespace: str = "penstock") -> None:
        """Make a reader; `namespace` is the server's `server.namespace`."""
        self._redis = redis.asyncio.Redis.from_url(url, socket_timeout=_PATIENCE_S)
        self._namespace = namespace
        self._checked = False

    async def close(self) -> None:
        """Close every connection.

        >>> import asyncio
        >>> from penstock.polling import AsyncPoller
        >>> async def main():
        ...     await AsyncPoller("redis://redis:6379/0").close()
        >>> asyncio.run(main())
        """
        await self._redis.aclose()

    async def get(self, request: Request | str) -> Request | None:
        """Return a request as it is now; None for one that is unknown or past its retention.

        What a queued one can expect is not told here.

        >>> import asyncio
        >>> from penstock.polling import AsyncPoller
        >>> async def main():
        ...     async with AsyncPoller("redis://redis:6379/0") as poller:
        ...         print(await poller.get("req_0000000000000000000000000000000000"))
        >>> asyncio.run(main())
        None
        """
        found = await self._stored(request)
        return None if found is None else found.request

    async def wait(self, request: Request | str, timeout_s: float) -> Request:
        """Return a request once it has ended. Raises TimedOut, PenstockError for an unknown one.

        >>> import asyncio, penstock
        >>> from penstock.polling import AsyncPoller
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "llama3.2", "messages": []})
        ...     async with AsyncPoller("redis://redis:6379/0") as poller:
        ...         print((await poller.wait(request, timeout_s=30)).ended)
        >>> asyncio.run(main())
        True
        """
        return (await self._ended(request, timeout_s)).request

    async def result(self, request: Request | str, timeout_s: float) -> Result:
        """Wait for a request and return its result.

        Raises RequestFailed, TimedOut, and NotInRedis for an answer over 256 KiB.

        >>> import asyncio, penstock
        >>> from penstock.polling import AsyncPoller
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "llama3.2", "messages": []})
        ...     async with AsyncPoller("redis://redis:6379/0") as poller:
        ...         print((await poller.result(request, timeout_s=30)).text)
        >>> asyncio.run(main())
        echo ...
        """
        found = await self._ended(request, timeout_s)
        completed(found.request)
        return found.result()

    async def _ended(self, request: Request | str, timeout_s: float) -> Stored:
        until, pause = time.monotonic() + timeout_s, pauses()
        while True:
            found = known(await self._stored(request), id_of(request))
            if found.request.ended:
                return found
            pause_s = next(pause)
            if time.monotonic() + pause_s > until:
                raise TimedOut(found.request, timeout_s)
            await asyncio.sleep(pause_s)

    async def _stored(self, request: Request | str) -> Stored | None:
        record, result = keys_of(self._namespace, id_of(request))
        try:
            if not self._checked:
                check_version(await self._redis.get(version_key(self._namespace)), self._namespace)
                self._checked = True
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.execute_command("HGETALL", record)
                pipeline.execute_command("GET", result)
                fields, packed = await pipeline.execute()
        except RedisError as error:
            raise Unreachable(f"Redis does not answer: {error}") from error
        return Stored.of(id_of(request), fields, packed)
