"""The service of AMQP on a listener: makes the door of each connection, and keeps what they share.

Spec: AMQP 0-9-1 as RabbitMQ 4.3 speaks it; docs/protocols/amqp.md says where it deviates.
"""

from isthmus.broker.broker import Broker
from isthmus.protocols.amqp.handlers.door import AmqpDoor
from isthmus.protocols.amqp.handlers.link import AmqpOptions, Shared
from isthmus.protocols.amqp.handlers.replies import Replies
from isthmus.protocols.amqp.handlers.ways import way_of
from isthmus.protocols.door import Line


class AmqpService:
    """See the module text.

    Args:
        broker: open.
        options: see `AmqpOptions`.
    """

    def __init__(self, broker: Broker, options: AmqpOptions | None = None) -> None:
        self.shared = Shared(broker=broker, options=options or AmqpOptions(), replies=Replies(), exclusive={})
        if way_of not in broker.burial.views:
            broker.burial.views.append(way_of)

    def open(self, line: Line) -> AmqpDoor:
        """See `Service`."""
        return AmqpDoor(self.shared, line)
