"""Streams over AMQP: a topic read by offset, delivered to a consumer whose acknowledgements only make room.

Spec: RabbitMQ "Streams" (consuming, offsets, filtering) over AMQP 0-9-1.
"""

from typing import TYPE_CHECKING

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.channel import Channel

if TYPE_CHECKING:
    from isthmus.protocols.amqp.handlers.queues import Found


async def consume(
    channel: Channel,  # noqa: ARG001
    asked: m.BasicConsume,  # noqa: ARG001
    tag: str,  # noqa: ARG001
    found: "Found",
) -> None:
    """Begin to read a topic."""
    raise Refused(Code.NOT_IMPLEMENTED, f"consuming the stream '{found.name}'")
