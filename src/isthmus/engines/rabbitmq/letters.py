"""Dead letters on RabbitMQ: those of ours, and what RabbitMQ itself took out of a queue.

Both are shown in the same way; it publishes nothing.
"""

from datetime import datetime

from aiormq.abc import DeliveredMessage

from isthmus.broker import redrive
from isthmus.engines.rabbitmq.delays import PREFIX
from isthmus.engines.rabbitmq.messages import death_of, number, stored
from isthmus.log.headers import header_value
from isthmus.record import StoredRecord


def opened(message: DeliveredMessage, queue: str, identity: int) -> StoredRecord:
    """A message of a queue as a record; what RabbitMQ says of its death is said in our headers, unless we said it.

    Coming home from where it waited is no death.
    """
    record, death = stored(message, identity), death_of(message)
    origin = death.get("queue")
    if not isinstance(origin, str) or origin.startswith(PREFIX) or origin == queue:
        return record
    if header_value(record.headers, redrive.ORIGIN) is not None:
        return record
    at = death.get("time")
    letter = redrive.letter(
        record,
        cause=f"{origin}/0/{identity}",
        origin=f"{redrive.QUEUE}{origin}",
        reason=f"RabbitMQ: {death.get('reason')}",
        traceback="",
        failed=number(death.get("count")),
        now_ms=int(at.timestamp() * 1_000) if isinstance(at, datetime) else 0,
    )
    return StoredRecord(identity, letter.timestamp_ms, letter.key, letter.value, letter.headers)
