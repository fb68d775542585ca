"""Where a record goes: from key to partition, and from exchange and routing key to topics. Pure.

It knows names and numbers only; who exists and who may publish is decided by the broker.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from isthmus.definition import ExchangeKind, Placement
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


def topics_for(kind: ExchangeKind, bindings: Iterable[tuple[int, str]], routing_key: str) -> list[int]:
    """Topic ids that an exchange routes to, each once, in the order of binding.

    Args:
        kind: `direct` compares routing keys, `fanout` takes all.
        bindings: (topic id, key) rows.
        routing_key: of the publisher.

    Raises:
        Unsupported: a kind that comes in a later version.
    """
    if kind not in ("direct", "fanout"):
        raise Unsupported(f"exchanges of kind {kind!r}")
    return list(dict.fromkeys(topic for topic, key in bindings if kind == "fanout" or key == routing_key))
