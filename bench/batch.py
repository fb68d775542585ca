"""What a record costs in the record batch format: microseconds a record to encode and decode, by batch size.

No disk is involved, so no durability stands beside the figures.
"""

import timeit
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.harness import US, Row, Settings, row
from isthmus.log.batch import check, decode, encode, encode_headers, place
from isthmus.record import Record

SUBJECT: Final = "batch"
CONSTANT: Final = "one header block"
NOW_MS: Final = 1_357_000_000_000
SIZES: Final = (1, 10, 100, 1_000)
REPEAT: Final = 5
RECORDS_A_ROUND: Final = 10_000
ENCODE_US_MAX: Final = 0.8
DECODE_US_MAX: Final = 1.0

BLOCK: Final = encode_headers([("ce_type", b"flights.v1.Departed")])


def constant(count: int) -> list[Record]:
    """Key 8 bytes, value 60, one header block for all, the time of append: what the library publishes."""
    return [Record(b"v" * 60, b"k%07d" % number, BLOCK) for number in range(count)]


def stamped(count: int) -> list[Record]:
    """The same with a time of its own in each record: what Kafka's producers send."""
    return [Record(b"v" * 60, b"k%07d" % number, BLOCK, NOW_MS + 3 * number) for number in range(count)]


def distinct(count: int) -> list[Record]:
    """The same with a header block of its own in each record, such as an id."""
    return [
        Record(b"v" * 60, b"k%07d" % number, encode_headers([("ce_id", b"%08d" % number)])) for number in range(count)
    ]


def us_each(call: Callable[[], object], records: int, settings: Settings) -> list[float]:
    """Microseconds a record, in each round the best of some repetitions: whatever else the machine does only adds."""
    calls = max(1, RECORDS_A_ROUND // records)
    bests = (min(timeit.repeat(call, number=calls, repeat=REPEAT)) for _ in range(settings.rounds))
    return [best / (calls * records) * 1e6 for best in bests]


def both(name: str, records: Sequence[Record], settings: Settings, compression: str = "none") -> Iterator[Row]:
    """Encoding and decoding of one batch; the bars are for a thousand records as the library publishes them."""
    batch = encode(records, now_ms=NOW_MS, compression=compression)
    assert len(decode(batch)) == len(records)
    calls: dict[str, tuple[Callable[[], object], float]] = {
        "encode": (lambda: encode(records, now_ms=NOW_MS, compression=compression), ENCODE_US_MAX),
        "decode": (lambda: decode(batch), DECODE_US_MAX),
    }
    for what, (call, most) in calls.items():
        bar = most if name == CONSTANT and len(records) == SIZES[-1] else None
        note = f"{len(batch):,} bytes a batch"
        took = us_each(call, len(records), settings)
        yield row(SUBJECT, f"{what}, {len(records):,} records, {name}", "no disk", took, US, bar=bar, note=note)


def rows(settings: Settings) -> Iterator[Row]:
    for count in SIZES:
        yield from both(CONSTANT, constant(count), settings)
    yield from both("own timestamps", stamped(SIZES[-1]), settings)
    yield from both("own headers", distinct(SIZES[-1]), settings)
    yield from both("gzip", constant(SIZES[-1]), settings, "gzip")
    batch = encode(constant(100), now_ms=NOW_MS)
    yield row(SUBJECT, "check a foreign batch of 100", "no disk", us_each(lambda: check(batch), 1, settings), US)
    placed = us_each(lambda: place(batch, 1_000_000, 3), 1, settings)
    yield row(SUBJECT, "place a foreign batch of 100", "no disk", placed, US)
