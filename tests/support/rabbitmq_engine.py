"""RabbitMQ brokers as tests of the engine find them: in a virtual host of their own each time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.clock import Clock
from isthmus.engines.connect import open_engine
from isthmus.engines.rabbitmq.engine import RabbitEngine
from support.rabbitmq import RabbitMQ


@asynccontextmanager
async def rabbitmq_engine(url: str, clock: Clock | None = None) -> AsyncGenerator[RabbitEngine]:
    """An engine on a broker, connected."""
    engine = await open_engine(url, clock=clock)
    assert isinstance(engine, RabbitEngine)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def on_rabbitmq(node: RabbitMQ, name: str, clock: Clock | None = None) -> AsyncGenerator[RabbitEngine]:
    """The same in a virtual host of that name, with the management API."""
    with node.vhost(name) as url:
        async with rabbitmq_engine(f"{url}?api={node.api_url}", clock) as engine:
            yield engine
