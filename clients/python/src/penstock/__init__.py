"""Penstock from Python: hand in requests, wait for them, stream their answers, many at once.

`Client` waits, `AsyncClient` is for asyncio. `penstock.webhooks` checks webhooks, `penstock.amqp`
asks over RabbitMQ (extra `amqp`), `penstock.polling` reads records straight from
Redis (extra `redis`).

>>> import penstock
>>> with penstock.Client() as client:
...     request = client.submit(
...         {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
...     )
...     print(client.result(request).text)
echo ...
"""

from penstock.async_client import AsyncClient
from penstock.async_stream import AsyncStream
from penstock.client import Client
from penstock.errors import (
    InvalidSignature,
    NotInRedis,
    PenstockError,
    Refused,
    RequestFailed,
    StreamInterrupted,
    TimedOut,
    UnknownLayout,
    Unreachable,
)
from penstock.mapping import Outcome, Progress
from penstock.shapes import (
    Attempt,
    BackendResponse,
    Failure,
    Options,
    Receiver,
    Request,
    Result,
    Target,
    Usage,
)
from penstock.stream import Stream
from penstock.streaming import Chunk

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "Attempt",
    "BackendResponse",
    "Chunk",
    "Client",
    "Failure",
    "InvalidSignature",
    "NotInRedis",
    "Options",
    "Outcome",
    "PenstockError",
    "Progress",
    "Receiver",
    "Refused",
    "Request",
    "RequestFailed",
    "Result",
    "Stream",
    "StreamInterrupted",
    "Target",
    "TimedOut",
    "UnknownLayout",
    "Unreachable",
    "Usage",
]
