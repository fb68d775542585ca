"""What typing costs: microseconds an event from class to record and from stored record to message, by codec.

Neither the batch format nor a disk is involved, so no durability stands beside the figures.
"""

import timeit
from collections.abc import Callable, Iterator
from typing import Final

from bench.harness import US, Row, Settings, row
from isthmus import Notification, Stream
from isthmus.client.consumer import messages_of
from isthmus.engines.base import Chunk
from isthmus.log.batch import append_headers
from isthmus.record import Record, StoredRecord

SUBJECT: Final = "events"
EVENTS: Final = 1_000
REPEAT: Final = 5
CALLS: Final = 10
WRITE_US_MAX: Final = 0.9
READ_US_MAX: Final = 1.6


class Departed(Notification):
    tail: str
    carrier: str
    flight: int
    origin: str
    delay_min: int | None = None


class Cancelled(Notification):
    tail: str


STREAM: Final = Stream[Departed | Cancelled]("flights", key="tail")


def us_each(call: Callable[[], object], settings: Settings) -> list[float]:
    """Microseconds an event, in each round the best of some repetitions: whatever else the machine does only adds."""
    bests = (min(timeit.repeat(call, number=CALLS, repeat=REPEAT)) for _ in range(settings.rounds))
    return [best / (CALLS * EVENTS) * 1e6 for best in bests]


def chunk(records: list[Record]) -> Chunk:
    return Chunk("flights", 0, [StoredRecord(at, 1, r.key, r.value, r.headers) for at, r in enumerate(records)])


def read_us(records: list[Record], settings: Settings) -> list[float]:
    stored = chunk(records)
    assert all(message.error is None for message in messages_of(STREAM, stored))
    return us_each(lambda: messages_of(STREAM, stored), settings)


def rows(settings: Settings) -> Iterator[Row]:
    writer = STREAM.writer("bench")
    events: list[Departed | Cancelled] = [
        Departed(tail=f"N{number:05d}", carrier="UA", flight=number, origin="EWR", delay_min=number % 60)
        for number in range(EVENTS)
    ]
    records = writer.records(events)
    own = [Record(r.value, r.key, append_headers(r.headers, [("ce_id", b"%d" % at)])) for at, r in enumerate(records)]

    written = us_each(lambda: writer.records(events), settings)
    yield row(SUBJECT, f"write, {EVENTS:,} at a time", "no disk", written, US, bar=WRITE_US_MAX)
    lone = us_each(lambda: [writer.record(event) for event in events], settings)
    yield row(SUBJECT, "write, one at a time", "no disk", lone, US)
    yield row(SUBJECT, "read, one header block", "no disk", read_us(records, settings), US, bar=READ_US_MAX)
    yield row(SUBJECT, "read, own header blocks", "no disk", read_us(own, settings), US)
