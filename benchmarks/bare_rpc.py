"""The RPC server of aio-pika's tutorial with a model behind it: a message in, a call, a reply.

python -m benchmarks.bare_rpc AMQP_URL QUEUE BACKEND_URL
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika
import aiohttp
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from benchmarks.systems import IN_FLIGHT


async def serve(amqp_url: str, name: str, backend_url: str) -> None:
    """Serve until killed."""
    connection = await aio_pika.connect(amqp_url)
    async with connection, aiohttp.ClientSession() as session:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=IN_FLIGHT)
        queue = await channel.declare_queue(name)

        async def answer(message: AbstractIncomingMessage) -> None:
            headers = {"Content-Type": "application/json"}
            async with session.post(backend_url, data=message.body, headers=headers) as called:
                body = await called.read()
            reply = aio_pika.Message(
                body, content_type="application/json", correlation_id=message.correlation_id
            )
            await channel.default_exchange.publish(reply, message.reply_to or "")
            await message.ack()

        await queue.consume(answer)
        await asyncio.Future()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
