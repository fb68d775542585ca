"""Messages as they arrive at the engine on RabbitMQ, without a broker: a record on its way, seen from the other end."""

from typing import cast

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from isthmus.engines.rabbitmq.messages import Sent

NO_CHANNEL = cast("AbstractChannel", None)


def delivered(message: Sent, more: dict[str, object] | None = None, *, redelivered: bool = False) -> DeliveredMessage:
    """What a consumer gets of it; `more` are headers that the broker has added."""
    header = ContentHeader(body_size=len(message.body), properties=message.properties)
    _, _, read = frame.unmarshal(frame.marshal(header, 1))  # what cannot be encoded fails here
    assert isinstance(read, ContentHeader)
    read.properties.headers = {**(read.properties.headers or {}), **(more or {})}  # type: ignore[dict-item]
    deliver = Basic.Deliver("tag", 1, redelivered, message.exchange, message.routing_key)
    return DeliveredMessage(delivery=deliver, header=read, body=message.body, channel=NO_CHANNEL)
