"""Exchanges, queues and bindings at random, messages for them, and where RabbitMQ's rules bring each: a naive model.

The model is written from RabbitMQ's description and shares no code with the broker: it looks at every binding, matches
topics by recursion and headers row by row.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from isthmus.definition import ExchangeKind

Value = str | int | float | bool | None
Rows = dict[str, Value]

KINDS: Final[tuple[ExchangeKind, ...]] = ("direct", "fanout", "topic", "headers")
KEYS: Final = ("", "a", "b", "a.b", "b.a", "a.b.c", "a.a.b", "..", "a.")
PATTERNS: Final = (*KEYS, "*", "#", "a.*", "*.b", "a.#", "#.b", "a.#.b", "*.#", "#.*.#", "*.*", "#.a.#", "a.*.b")
MATCHES: Final = ("all", "any", "all-with-x", "any-with-x")
NAMES: Final = ("p", "q", "x-r")
VALUES: Final[tuple[Value, ...]] = ("1", "v", 1, 2, True, False, None)

Choose = Callable[[Sequence[Any]], Any]
"""Takes one of several, by chance or as a test tool likes."""


class Exchange(NamedTuple):
    """An exchange by number; `alternate` is the number of another."""

    kind: ExchangeKind
    alternate: int | None


class Way(NamedTuple):
    """A binding from an exchange to a queue or to another exchange, both by number."""

    exchange: int
    to: Literal["queue", "exchange"]
    target: int
    key: str
    match: str
    rows: Rows


class Message(NamedTuple):
    """What is published to an exchange: with its own key, and those of copies."""

    exchange: int
    keys: tuple[str, ...]
    headers: Rows


class Topology(NamedTuple):
    """All of it."""

    exchanges: tuple[Exchange, ...]
    queues: int
    ways: tuple[Way, ...]
    messages: tuple[Message, ...]


def some(choose: Choose, *, values: Sequence[Value] = VALUES, messages: int = 6) -> Topology:
    """A topology of a few exchanges and queues and up to twelve bindings."""
    count, queues = choose((1, 2, 3, 4)), 4
    exchanges = tuple(Exchange(choose(KINDS), choose((None, None, *range(count)))) for _ in range(count))
    ways = tuple(_way(choose, count, queues, values) for _ in range(choose((1, 3, 6, 9, 12))))
    given = tuple(
        Message(choose(range(count)), tuple(choose(KEYS) for _ in range(choose((1, 1, 2, 3)))), _rows(choose, values))
        for _ in range(messages)
    )
    return Topology(exchanges, queues, ways, given)


def _way(choose: Choose, exchanges: int, queues: int, values: Sequence[Value]) -> Way:
    to = choose(("queue", "queue", "exchange"))
    target = choose(range(queues if to == "queue" else exchanges))
    return Way(choose(range(exchanges)), to, target, choose(PATTERNS), choose(MATCHES), _rows(choose, values))


def _rows(choose: Choose, values: Sequence[Value]) -> Rows:
    return {name: choose(values) for name in NAMES if choose((True, False))}


# ---- the model -----------------------------------------------------------------------------------------------------


def routed(topology: Topology, message: Message) -> set[int]:
    """The queues that get a message."""
    found: set[int] = set()
    seen: set[int] = set()
    ahead = [message.exchange]
    while ahead:
        number = ahead.pop()
        if number in seen:
            continue
        seen.add(number)
        exchange = topology.exchanges[number]
        ways = [way for way in topology.ways if way.exchange == number and matches(exchange.kind, way, message)]
        found |= {way.target for way in ways if way.to == "queue"}
        ahead += [way.target for way in ways if way.to == "exchange"]
        if not ways and exchange.alternate is not None:
            ahead.append(exchange.alternate)
    return found


def matches(kind: ExchangeKind, way: Way, message: Message) -> bool:
    """Whether a binding of an exchange of that kind takes a message."""
    match kind:
        case "direct":
            return way.key in message.keys
        case "fanout":
            return True
        case "topic":
            return any(fits(split(way.key), split(key)) for key in message.keys)
        case "headers":
            return headers_match(way, message.headers)


def split(key: str) -> list[str]:
    """Words of a key."""
    return [] if key == "" else key.split(".")


def fits(pattern: list[str], words: list[str]) -> bool:
    """Whether words fit a pattern, tried in every way."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(fits(pattern[1:], words[at:]) for at in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and fits(pattern[1:], words[1:])


def headers_match(way: Way, headers: Rows) -> bool:
    """Whether the rows of a binding are in the headers: all of them, or any."""
    rows = {name: value for name, value in way.rows.items() if "with-x" in way.match or not name.startswith("x-")}
    found = [name in headers and (value is None or same(value, headers[name])) for name, value in rows.items()]
    return all(found) if way.match.startswith("all") else any(found)


def same(one: Value, other: Value) -> bool:
    """Equal, where a truth value is no number."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
