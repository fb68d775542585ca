"""The events that the benchmarks send: five fields, some 90 bytes as JSON. Data and declarations only."""

from collections.abc import Iterable

from isthmus import Notification, Queue, Stream


class Departed(Notification):
    tail: str
    carrier: str
    flight: int
    origin: str
    delay_min: int | None = None


def flights(numbers: Iterable[int], keys: int = 5_000) -> list[Departed]:
    """One event a number, with so many different keys."""
    return [
        Departed(tail=f"N{number % keys:05d}", carrier="UA", flight=number, origin="EWR", delay_min=number % 60)
        for number in numbers
    ]


def stream(partitions: int = 1, name: str = "flights") -> Stream[Departed]:
    """A stream of them, keyed by aircraft."""
    return Stream[Departed](name, key="tail", partitions=partitions)


def queue(name: str = "work") -> Queue[Departed]:
    """A queue of them, without an order to keep."""
    return Queue[Departed](name)
