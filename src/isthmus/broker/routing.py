"""Where a record goes: from key to partition, and from exchange and routing key to topics. Pure.

It knows names and numbers only; who exists and who may publish is decided by the broker.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from isthmus.broker.bindings import NOTHING, Headers, Table
from isthmus.definition import Placement
from isthmus.errors import Unsupported
from isthmus.record import Record

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_ROUTES_KEPT: Final = 65_536
"""Keys whose partition is remembered per topic."""


def murmur2(data: bytes) -> int:
    """Java clients' hash of a key, as an unsigned 32-bit number.

    Spec: Apache Kafka, `Utils.murmur2`, which is MurmurHash2 (32 bit) by Austin Appleby with a fixed seed.
    """
    length = len(data)
    value = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        word = (word ^ word >> 24) * _M & _MASK
        value = value * _M & _MASK ^ word
    if length > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    value = (value ^ value >> 13) * _M & _MASK
    return value ^ value >> 15


class Router:
    """Spreads the records of one topic over its partitions, as its placement says.

    Records without a key stay together in one partition per publish, and the next publish takes the next partition.
    """

    __slots__ = ("_known", "_next", "partitions", "placement")

    def __init__(self, placement: Placement, partitions: int) -> None:
        self.placement = placement
        self.partitions = partitions
        self._known: dict[bytes, int] = {}
        self._next = 0

    def partition_of(self, key: bytes) -> int:
        """The partition of a key.

        Raises:
            Unsupported: the placement has no rule for keys in this version.
        """
        known = self._known.get(key)
        if known is not None:
            return known
        if self.placement not in ("murmur2", "single"):
            raise Unsupported(f"placement {self.placement!r} needs a partition named by the publisher")
        found = (murmur2(key) & 0x7FFFFFFF) % self.partitions if self.placement == "murmur2" else 0
        if len(self._known) >= _ROUTES_KEPT:
            self._known.clear()
        self._known[key] = found
        return found

    def spread(self, records: Sequence[Record]) -> dict[int, list[int]]:
        """Partition to the indexes of its records, each in the order given."""
        shares: dict[int, list[int]] = {}
        known, without = self._known, -1
        for at, record in enumerate(records):
            key = record.key
            if key is None:
                if without < 0:
                    without, self._next = self._next, (self._next + 1) % self.partitions
                found = without
            else:
                found = known[key] if key in known else self.partition_of(key)
            share = shares.get(found)
            if share is None:
                shares[found] = [at]
            else:
                share.append(at)
        return shares


class Routing(Protocol):
    """What the walk asks of an exchange."""

    @property
    def table(self) -> Table:
        """Its bindings."""


E = TypeVar("E", bound=Routing)


class Walk(NamedTuple):
    """Where a walk led: topic ids, each once, and whether headers decided any of it."""

    topics: list[int]
    read_headers: bool


def walk(
    start: E,
    keys: Sequence[str],
    headers: Callable[[], Headers],
    exchange_of: Callable[[int], E | None],
    alternate_of: Callable[[E], E | None],
) -> Walk:
    """From an exchange to topics, through the exchanges that it is bound to, each of them once.

    An exchange of whose bindings none matches hands on to its alternate; one that has only passed it on to exchanges
    has found a way, whatever becomes of it there. Topics come in the order of binding, those of nearer exchanges first.

    Args:
        start: where it is published.
        keys: routing keys; a binding that matches any of them matches.
        headers: gives those of the record, called once at most and only if an exchange looks at them.
        exchange_of: an exchange by its id, None when it is gone.
        alternate_of: the exchange that takes what finds no way in this one, if there is one.
    """
    topics: dict[int, None] = {}
    seen, ahead = {id(start)}, deque([start])
    given: Headers | None = None
    while ahead:
        exchange = ahead.popleft()
        table = exchange.table
        if table.reads_headers and given is None:
            given = headers()
        passed: list[E | None] = []
        matched = False
        for row in table.find(keys, given or NOTHING):
            matched = True
            if row.topic:
                topics[row.topic] = None
            else:
                passed.append(exchange_of(row.to_exchange))
        if not matched:
            passed.append(alternate_of(exchange))
        for found in passed:
            if found is not None and id(found) not in seen:
                seen.add(id(found))
                ahead.append(found)
    return Walk(list(topics), given is not None)
