"""What a record costs in the record batch format: microseconds a record to encode and decode, by batch size.

No disk is involved, so no durability stands beside the figures. Run with `python -m bench.batch`; the best of
several rounds is printed, because whatever else the machine does only adds.
"""

import timeit
from collections.abc import Callable, Sequence
from typing import Final

from isthmus.log.batch import check, decode, encode, encode_headers, place
from isthmus.record import Record

NOW_MS: Final = 1_357_000_000_000
SIZES: Final = (1, 10, 100, 1_000)
ROUNDS: Final = 15
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


def best_us(call: Callable[[], object], records: int) -> float:
    """Microseconds a record of the fastest round."""
    calls = max(1, RECORDS_A_ROUND // records)
    return min(timeit.repeat(call, number=calls, repeat=ROUNDS)) / (calls * records) * 1e6


def row(name: str, records: Sequence[Record], compression: str = "none") -> tuple[float, float]:
    batch = encode(records, now_ms=NOW_MS, compression=compression)
    assert len(decode(batch)) == len(records)
    encoded = best_us(lambda: encode(records, now_ms=NOW_MS, compression=compression), len(records))
    decoded = best_us(lambda: decode(batch), len(records))
    print(f"{name:<24} {len(records):>7} {len(batch):>9} {encoded:>10.2f} {decoded:>10.2f}")
    return encoded, decoded


def main() -> None:
    print(f"{'records':<24} {'a batch':>7} {'bytes':>9} {'encode µs':>10} {'decode µs':>10}")
    for count in SIZES:
        encoded, decoded = row("constant header block", constant(count))
    row("own timestamps", stamped(SIZES[-1]))
    row("own header blocks", distinct(SIZES[-1]))
    row("gzip", constant(SIZES[-1]), "gzip")
    print(f"bar for {SIZES[-1]} records {'':>23} {ENCODE_US_MAX:>10.2f} {DECODE_US_MAX:>10.2f}", end="  ")
    print("held" if encoded <= ENCODE_US_MAX and decoded <= DECODE_US_MAX else "MISSED")

    batch = encode(constant(100), now_ms=NOW_MS)
    print(f"a foreign batch of 100 records: check {best_us(lambda: check(batch), 1):.2f} µs", end=", ")
    print(f"place {best_us(lambda: place(batch, 1_000_000, 3), 1):.2f} µs")


if __name__ == "__main__":
    main()
