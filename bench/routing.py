"""What it costs to find the bindings of an exchange that match, by its kind and the number of its bindings."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from bench.harness import Row, Settings, row
from isthmus.broker.bindings import Bound, Headers, Table, table_of
from isthmus.definition import ExchangeKind, HeaderMatch

SUBJECT: Final = "routing"
SIZES: Final = (1, 100, 10_000)
ROUTES: Final = 20_000
EVERY: Final = 4
"""Patterns of a topic exchange come in so many shapes."""

NAMES: Final[dict[ExchangeKind, str]] = {
    "direct": "direct, one matches",
    "topic": "topic with * and #, one to three match",
    "headers": "headers, all of two, one matches",
    "fanout": "fanout, all match",
}


def bound(kind: ExchangeKind, number: int) -> Bound:
    shapes = (f"a.{number}.*", f"a.*.{number}", f"#.{number}.z", f"a.{number}.#")
    key = {"direct": f"k{number}", "topic": shapes[number % EVERY]}.get(kind, "")
    match = HeaderMatch(rows=(("customer", number), ("kind", b"order"))) if kind == "headers" else None
    return Bound(number + 1, 0, key, match, b"", number)


def wanted(kind: ExchangeKind, number: int) -> tuple[tuple[str, ...], Headers]:
    """A key and headers that the binding of that number takes."""
    shapes = (f"a.{number}.x", f"a.x.{number}", f"a.{number}.z", f"a.{number}.x.y")
    key = {"direct": f"k{number}", "topic": shapes[number % EVERY]}.get(kind, "")
    return (key,), {"customer": number, "kind": "order", "trace": "0af7651916cd43dd"}


def filled(kind: ExchangeKind, size: int) -> Table:
    table = table_of(kind)
    for number in range(size):
        table.add(bound(kind, number))
    return table


def rate(routes: int, find: Callable[[int], object]) -> float:
    """Routes a second of processor time, each of another number."""
    began = time.process_time()
    for number in range(routes):
        find(number)
    return routes / (time.process_time() - began)


def rows(settings: Settings) -> Iterator[Row]:
    for kind, name in NAMES.items():
        for size in SIZES:
            table = filled(kind, size)
            asked = [wanted(kind, number % size) for number in range(min(size, ROUTES))]

            def find(number: int, table: Table = table, asked: list[tuple[tuple[str, ...], Headers]] = asked) -> None:
                keys, headers = asked[number % len(asked)]
                found = list(table.find(keys, headers))
                assert found

            count = ROUTES if kind != "fanout" else max(ROUTES // size, 20)
            rates = [rate(count, find) for _ in range(settings.rounds)]
            yield row(SUBJECT, f"{name}, {size:,} bindings", "no disk", rates, "routes/s")
