"""A stream's own state: its shards with their ranges, parents and times, and what else only Kinesis knows of it.

Pure. It is kept as JSON among the settings of the topic; the shard at an index is the partition of that index.

Invariants:
    S1: the ranges of the open shards cover all hash keys, and no two of them share one.
    S2: a shard that was closed stays so, and keeps its index and its range.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from isthmus.definition import TopicConfig
from isthmus.errors import InvariantError
from isthmus.protocols.kinesis import hashes
from isthmus.protocols.kinesis.hashes import Range

NAME: Final = "kinesis"
"""Of the row in the settings of a topic."""

DAY_HOURS: Final = 24
HOUR_MS: Final = 3_600_000
RECORD_KIB: Final = 1_024


class Shard(Struct, frozen=True, array_like=True):
    """One shard. `low` and `high` are hexadecimal; times are ms since 1970 UTC, `closed_ms` None while it is open.

    `parent` and `adjacent` are indexes: of the shard that it was cut from, or of the two that it was made of.
    """

    low: str
    high: str
    created_ms: int
    closed_ms: int | None = None
    parent: int | None = None
    adjacent: int | None = None

    @property
    def range(self) -> Range:
        """Of hash keys."""
        return int(self.low, 16), int(self.high, 16)

    @property
    def parents(self) -> list[int]:
        """None, one or two."""
        return [index for index in (self.parent, self.adjacent) if index is not None]

    def open_at(self, time_ms: int) -> bool:
        """Whether it was open at a time."""
        return self.created_ms <= time_ms and (self.closed_ms is None or self.closed_ms > time_ms)


class Consumer(Struct, frozen=True, array_like=True):
    """One that was registered, and when, in seconds since 1970 UTC."""

    name: str
    created_s: int


class Own(Struct, frozen=True, omit_defaults=True):
    """What a topic keeps for Kinesis."""

    shards: tuple[Shard, ...]
    on_demand: bool = False
    record_kib: int = RECORD_KIB
    tags: dict[str, str] = {}
    key_id: str | None = None
    metrics: tuple[str, ...] = ()
    policy: str | None = None
    consumers: tuple[Consumer, ...] = ()


class Layout:
    """Which open shard takes a hash key."""

    __slots__ = ("_indexes", "_starts", "own")

    def __init__(self, own: Own) -> None:
        self.own = own
        rows = sorted((shard.range[0], index) for index, shard in enumerate(own.shards) if shard.closed_ms is None)
        self._starts = [start for start, _ in rows]
        self._indexes = [index for _, index in rows]

    @property
    def open(self) -> list[int]:
        """The indexes of the open shards, by their ranges."""
        return list(self._indexes)

    def shard_of(self, hash_key: int) -> int:
        """The index of the shard that takes a hash key."""
        return self._indexes[bisect_right(self._starts, hash_key) - 1]


def made(count: int, now_ms: int) -> tuple[Shard, ...]:
    """The shards of a new stream."""
    return tuple(shard_of(each, now_ms) for each in hashes.even(count))


def shard_of(keys: Range, now_ms: int, parents: Sequence[int] = ()) -> Shard:
    """A new shard."""
    parent, adjacent = [*parents, None, None][:2]
    return Shard(f"{keys[0]:x}", f"{keys[1]:x}", now_ms, None, parent, adjacent)


def split(own: Own, index: int, at: int, now_ms: int) -> Own:
    """The state after a shard was cut before a hash key. Raises AwsError when that does not lie inside."""
    low, high = hashes.split(own.shards[index].range, at)
    return _replaced(own, [index], [low, high], now_ms)


def merge(own: Own, one: int, other: int, now_ms: int) -> Own | None:
    """The state after two shards became one, None when they do not touch."""
    joined = hashes.merge(own.shards[one].range, own.shards[other].range)
    return None if joined is None else _replaced(own, [one, other], [joined], now_ms)


def _replaced(own: Own, closed: Sequence[int], ranges: Sequence[Range], now_ms: int) -> Own:
    shards = list(own.shards)
    for index in closed:
        shards[index] = msgspec.structs.replace(shards[index], closed_ms=now_ms)
    shards += [shard_of(each, now_ms, closed) for each in ranges]
    return msgspec.structs.replace(own, shards=tuple(shards))


def scaled(own: Own, target: int, now_ms: int) -> Own:
    """The state with so many open shards of equal size: shards are cut where the new ones begin, then joined."""
    for low, high in hashes.even(target):
        mine = _touched(own, low, high)
        for cut in (low, high + 1):
            for index in mine:
                first, last = own.shards[index].range
                if first < cut <= last:
                    own = split(own, index, cut, now_ms)
                    mine = _touched(own, low, high)
                    break
        while len(mine) > 1:
            joined = merge(own, mine[0], mine[1], now_ms)
            if joined is None:
                raise InvariantError(f"shards {mine[0]} and {mine[1]} follow each other and do not touch")
            own = joined
            mine = _touched(own, low, high)
    return own


def _touched(own: Own, low: int, high: int) -> list[int]:
    """The open shards that have keys of a range, by their ranges."""
    return [
        index for index in Layout(own).open if own.shards[index].range[0] <= high and own.shards[index].range[1] >= low
    ]


def kept(config: TopicConfig, own: Own) -> TopicConfig:
    """The settings of a topic with this state in them."""
    rows = [row for row in config.kept if row[0] != NAME]
    text = msgspec.json.encode(own).decode()
    return msgspec.structs.replace(config, kept=(*rows, (NAME, text)))


def layout_of(config: TopicConfig, partitions: int, created_ms: int) -> Layout:
    """The shards of a topic; one that another door made has even ranges, and was never resharded."""
    text = next((text for name, text in config.kept if name == NAME), None)
    return _layout(text, 0 if text else partitions, created_ms)


@lru_cache(1_024)
def _layout(text: str | None, partitions: int, created_ms: int) -> Layout:
    return Layout(Own(made(partitions, created_ms)) if text is None else msgspec.json.decode(text, type=Own))
