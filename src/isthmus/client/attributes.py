"""Queue attributes of a publish call, checked against what the destination can do and turned into the port's terms.

Pure: the present is an argument.
"""

from datetime import datetime
from typing import Any, TypedDict

from isthmus.client.destination import Destination, Queue
from isthmus.client.duration import Duration, duration_ms, time_ms
from isthmus.client.event import Headers, Key
from isthmus.engines.base import Attributes
from isthmus.errors import InvalidArgument, Unsupported
from isthmus.limits import DEDUP_ID_BYTES_MAX


class PublishOptions(TypedDict, total=False):
    """What a publish call can say beside its events; see `Bus.publish`."""

    key: Key | None
    delay: Duration | None
    at: datetime | None
    ttl: Duration | None
    priority: int
    dedup: str | None
    headers: Headers | None


def attributes_of(
    destination: Destination[Any],
    count: int,
    now_ms: int,
    *,
    delay: Duration | None = None,
    at: datetime | None = None,
    ttl: Duration | None = None,
    priority: int = 0,
    dedup: str | None = None,
) -> Attributes | None:
    """The attributes of `count` events published now (milliseconds since 1970 UTC); None when none is given.

    Raises:
        Unsupported: the destination cannot do what is asked, such as delay on a stream or on a view.
        InvalidArgument: values that cannot be, or that do not go together.
    """
    if delay is None and at is None and ttl is None and not priority and dedup is None:
        return None
    timed = {"delay": delay is not None, "at": at is not None, "ttl": ttl is not None, "priority": priority != 0}
    for option, given in timed.items():
        if given:
            _check_queue(destination, option)
    if priority:
        _check_priority(destination, priority)
    if dedup is not None:
        _check_dedup(destination, count, dedup)
    return Attributes(
        due_ms=_due_ms(now_ms, delay, at),
        expire_ms=None if ttl is None else now_ms + duration_ms(ttl, "ttl"),
        priority=priority,
        dedup=dedup,
    )


def _due_ms(now_ms: int, delay: Duration | None, at: datetime | None) -> int | None:
    if delay is not None and at is not None:
        raise InvalidArgument("delay", "goes without at=; give one of them")
    if delay is not None:
        return now_ms + duration_ms(delay, "delay")
    return None if at is None else time_ms(at, "at")


def _check_priority(destination: Destination[Any], priority: int) -> None:
    levels = destination.priorities if isinstance(destination, Queue) else 1
    if levels == 1:
        raise Unsupported(f"{destination!r} has one priority level", "give it priorities=, or leave priority= out")
    if not 0 <= priority < levels:
        raise InvalidArgument("priority", f"{priority} is not in 0 to {levels - 1}, the levels of {destination!r}")


def _check_queue(destination: Destination[Any], option: str) -> None:
    if not isinstance(destination, Queue):
        raise Unsupported(f"{destination!r} is a stream: {option}= is for queues", f"leave {option}= out")
    _check_own(destination, option)


def _check_own(destination: Destination[Any], option: str) -> None:
    if isinstance(destination, Queue) and destination.of is not None:
        raise Unsupported(
            f"{destination!r} is a view of {destination.of!r}, where {option}= cannot be",
            "declare a queue without of= for it",
        )


def _check_dedup(destination: Destination[Any], count: int, dedup: str) -> None:
    _check_own(destination, "dedup")
    if count != 1:
        raise InvalidArgument("dedup", f"names one event, but {count} are published; publish them one by one")
    size = len(dedup.encode())
    if not 1 <= size <= DEDUP_ID_BYTES_MAX:
        raise InvalidArgument("dedup", f"has {size} bytes of UTF-8; 1 to {DEDUP_ID_BYTES_MAX} are possible")
