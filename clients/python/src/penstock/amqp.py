"""Asking over RabbitMQ and waiting for the reply (`penstock[amqp]`).

The user in the URL is the tenant; while no key is configured at the server, the tenant is
`default` whoever asks.

>>> import asyncio, penstock.amqp
>>> async def main():
...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
...         print((await asker.request(body)).text)
>>> asyncio.run(main())
echo ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Unpack
from urllib.parse import unquote, urlsplit

from penstock.asking import Tell, cancellation, patience_s, question
from penstock.calls import completed
from penstock.line import Line
from penstock.shapes import Options, Request, Result

_CANCEL_S = 30.0
# RabbitMQ's own user, which is no tenant's.
_GUEST = "guest"


@asynccontextmanager
async def connect(
    url: str, *, namespace: str = "penstock", tenant: str | None = None
) -> AsyncIterator[Asker]:
    """Connect to the RabbitMQ at `url`; a lost connection is made again. Raises Unreachable.

    `namespace` is the server's `server.namespace`. `tenant` is the user in the URL, or `default`
    for RabbitMQ's guest.

    >>> import asyncio, penstock.amqp
    >>> async def main():
    ...     url = "amqp://acme:password@rabbitmq:5672/"
    ...     async with penstock.amqp.connect(url) as asker:
    ...         print(type(asker).__name__)
    >>> asyncio.run(main())
    Asker
    """
    user = unquote(urlsplit(url).username or _GUEST)
    line = Line(url, namespace, user, tenant or ("default" if user == _GUEST else user))
    keeping = asyncio.create_task(line.keep_connected())
    try:
        await line.connected()
        yield Asker(line)
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


class Asker:
    """A connection over which any number of tasks ask at once; `connect` makes one.

    >>> import asyncio, penstock.amqp
    >>> async def main():
    ...     bodies = [{"model": "llama3.2", "messages": [{"role": "user", "content": name}]}
    ...               for name in ("apple", "pear")]
    ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
    ...         results = await asyncio.gather(*(asker.request(body) for body in bodies))
    ...     print(len({result.text for result in results}))
    >>> asyncio.run(main())
    2
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    async def request(
        self, body: Mapping[str, Any], *, progress: Tell | None = None, **options: Unpack[Options]
    ) -> Result:
        """Hand in a request and return its result. Raises Refused, RequestFailed, Unreachable.

        `body` is the backend's own JSON. `progress` is called with the request once it is durable,
        and as it moves. An answer above 1 MiB does not come this way: the result's body is None,
        and `Client.result` reads it. To cancel the task does not cancel the request.

        >>> import asyncio, penstock.amqp
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
        ...         result = await asker.request(body, priority="high", timeout_s=60)
        ...         print(result.request.priority)
        >>> asyncio.run(main())
        high
        """
        asked = question(body, options, wants_progress=progress is not None)
        request = completed(await self._line.ask(asked, progress, patience_s(options)))
        return Result(request, request.response.body if request.response else None)

    async def cancel(self, request: Request) -> Request:
        """Cancel a request, wherever it is, and return it; one that has ended stays as it is.

        >>> import asyncio, penstock, penstock.amqp
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "slow", "messages": []})
        ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
        ...         print((await asker.cancel(request)).status)
        >>> asyncio.run(main())
        cancelled
        """
        return await self._line.ask(cancellation(request), None, _CANCEL_S)
