"""How things are named on the broker: queues of a topic's partitions, of a group, and what belongs to a queue. Pure.

Every queue that the engine makes has an exchange of its own name in front, which takes whatever comes, so that the
routing key is free to be the event's key.
"""

from typing import Final

from isthmus.definition import check_name
from isthmus.errors import InvalidName
from isthmus.limits import NAME_BYTES_MAX

RESERVED: Final = "amq."
OURS: Final = "isthmus."
DEFINITIONS: Final = "isthmus.definitions"


def partition(topic: str, index: int) -> str:
    """The stream queue of a partition: the first has the topic's name, so a topic of one is a stream of that name."""
    return topic if not index else f"{topic}-{index}"


def token(group: str, queue: str) -> str:
    """The queue whose one message is the right to read a partition for a group."""
    return _within(f"isthmus.group.{group}.{queue}", group)


def position(group: str, queue: str) -> str:
    """The stream in which a group states how far it has come in a partition; its last message counts."""
    return _within(f"isthmus.position.{group}.{queue}", group)


def dead_exchange(queue: str) -> str:
    """The exchange for what RabbitMQ itself takes out of a queue as dead; bound to wherever the dead go."""
    return f"isthmus.dead.{queue}"


def policy(name: str) -> str:
    """The policy that limits a queue or a topic's streams."""
    return f"isthmus.{name}"


def check(name: str) -> str:
    """The name, when a topic or queue can have it here.

    Raises:
        InvalidName: it cannot.
    """
    check_name(name)
    if name.startswith((RESERVED, OURS)):
        raise InvalidName(name, f"what begins with {RESERVED!r} or {OURS!r} is kept for the broker and this engine")
    return _within(dead_exchange(name), name) and name


def _within(long: str, name: str) -> str:
    size = len(long.encode())
    if size > NAME_BYTES_MAX:
        raise InvalidName(name, f"with what goes in front it has {size} bytes, and AMQP takes {NAME_BYTES_MAX}")
    return long
