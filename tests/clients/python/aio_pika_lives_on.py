"""aio-pika's robust connection, which comes back by itself: prints what arrives in two queues until it is stopped."""

import asyncio
import sys

import aio_pika
from aio_pika.abc import AbstractIncomingMessage


async def main(url: str, name: str) -> None:
    connection = await aio_pika.connect_robust(url, reconnect_interval=0.2)
    channel = await connection.channel()
    kept = await channel.declare_queue(name, durable=True, arguments={"x-max-priority": 3})
    own = await channel.declare_queue("", exclusive=True)
    await own.bind("amq.fanout")

    async def take(message: AbstractIncomingMessage) -> None:
        print("got", message.body.decode(), flush=True)  # noqa: T201 - the test reads it
        await message.ack()

    await kept.consume(take)
    await own.consume(take)
    print("ready", flush=True)  # noqa: T201 - the test reads it
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:3]))
