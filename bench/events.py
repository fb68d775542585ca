"""What typing costs: microseconds an event from class to record and from stored record to message, by codec.

Neither the batch format nor a disk is involved, so no durability stands beside the figures. Run with
`python -m bench.events`; the best of several rounds is printed.
"""

import timeit
from collections.abc import Callable
from typing import Final

from isthmus import Notification, Stream
from isthmus.client.consumer import messages_of
from isthmus.engines.base import Chunk
from isthmus.log.batch import append_headers
from isthmus.record import Record, StoredRecord

EVENTS: Final = 1_000
ROUNDS: Final = 15
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


def best_us(call: Callable[[], object], events: int) -> float:
    """Microseconds an event of the fastest round."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / (CALLS * events) * 1e6


def chunk(records: list[Record]) -> Chunk:
    return Chunk("flights", 0, [StoredRecord(at, 1, r.key, r.value, r.headers) for at, r in enumerate(records)])


def read_us(records: list[Record]) -> float:
    stored = chunk(records)
    assert all(message.error is None for message in messages_of(STREAM, stored))
    return best_us(lambda: messages_of(STREAM, stored), len(records))


def main() -> None:
    writer = STREAM.writer("bench")
    events: list[Departed | Cancelled] = [
        Departed(tail=f"N{number:05d}", carrier="UA", flight=number, origin="EWR", delay_min=number % 60)
        for number in range(EVENTS)
    ]
    records = writer.records(events)
    own = [Record(r.value, r.key, append_headers(r.headers, [("ce_id", b"%d" % at)])) for at, r in enumerate(records)]

    write = best_us(lambda: writer.records(events), EVENTS)
    lone = best_us(lambda: [writer.record(event) for event in events], EVENTS)
    read = read_us(records)
    print(f"write, {EVENTS} at a time   {write:6.2f} µs   bar {WRITE_US_MAX}")
    print(f"write, one at a time     {lone:6.2f} µs")
    print(f"read, one header block   {read:6.2f} µs   bar {READ_US_MAX}")
    print(f"read, own header blocks  {read_us(own):6.2f} µs")
    print("held" if write <= WRITE_US_MAX and read <= READ_US_MAX else "MISSED")


if __name__ == "__main__":
    main()
