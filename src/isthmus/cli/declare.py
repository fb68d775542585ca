"""The options of `create` and `alter`, and the definitions that they make of a stream or queue.

It turns what was written into what the engine is asked for; it asks no engine.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import click
import msgspec

from isthmus.client.destination import DEAD_SUFFIX, RETAIN
from isthmus.client.duration import duration_ms, size_bytes, start_at
from isthmus.definition import (
    BackoffPolicy,
    Compression,
    QueueConfig,
    QueueDefinition,
    Timestamps,
    TopicConfig,
    TopicDefinition,
)
from isthmus.errors import InvalidArgument
from isthmus.limits import PARTITIONS_MAX

F = TypeVar("F", bound=Callable[..., Any])

NONE: Final = "none"
"""What stands for "no limit" where an option takes a duration or a size."""

TOPIC_OPTIONS: Final = (
    click.option(
        "--partitions",
        type=click.IntRange(1, PARTITIONS_MAX),
        metavar="N",
        help="Groups of keys to work on side by side.",
    ),
    click.option("--retain", metavar="AGE", help="Remove events of this age, such as 7d; none keeps them."),
    click.option(
        "--retain-size", metavar="SIZE", help="Remove the oldest above this size of a partition, such as 10GB."
    ),
    click.option("--consumed/--no-consumed", default=None, help="Remove what every declared reader is done with."),
    click.option("--floor", metavar="AGE", help="Never remove before this age."),
    click.option("--ceiling", metavar="AGE", help="Always remove at this age."),
    click.option("--silent", metavar="AGE", help="After so long without a sign a reader no longer holds events."),
    click.option(
        "--durability",
        type=click.Choice(["fsync", "written"]),
        help="What acknowledged means: on disk, or in the system's hands.",
    ),
    click.option("--key", "key_field", metavar="FIELD", help="The field that is the key; `pub` takes it from there."),
    click.option("--max-event", "record_bytes_max", metavar="SIZE", help="The largest event."),
    click.option(
        "--compression",
        type=click.Choice(["producer", "none", "gzip", "snappy", "lz4", "zstd"]),
        help="The codec in which batches are stored, whatever producers send.",
    ),
    click.option(
        "--timestamps",
        type=click.Choice(["create", "append"]),
        help="What a timestamp says: when an event was made, or when it was appended.",
    ),
    click.option("--compact-lag", metavar="AGE", help="With --compact: younger events stay, newest of a key or not."),
    click.option("--tombstones", metavar="AGE", help="With --compact: how long a deletion can be read."),
    click.option("--dedup", metavar="AGE", help="How long an id for de-duplication is remembered."),
)
QUEUE_OPTIONS: Final = (
    click.option("--lease", metavar="TIME", help="Queue: how long a consumer holds an event before another gets it."),
    click.option("--attempts", type=click.IntRange(1), metavar="N", help="Queue: failures until it is a dead letter."),
    click.option("--backoff-first", metavar="TIME", help="Queue: wait after the first failure; doubles with each."),
    click.option("--backoff-max", metavar="TIME", help="Queue: the longest such wait."),
    click.option("--ordered/--no-ordered", default=None, help="Queue: an event waits for earlier ones of its key."),
    click.option("--ttl", metavar="AGE", help="Queue: age at which an event that nobody took expires."),
    click.option("--priorities", type=click.IntRange(1), metavar="N", help="Queue: levels of priority [default: 1]."),
    click.option("--single/--no-single", default=None, help="Queue: one consumer at a time gets events."),
    click.option("--max-events", metavar="N", help="Queue: how many events may wait; none for no bound."),
    click.option("--max-bytes", metavar="SIZE", help="Queue: how many bytes these may have; none for no bound."),
    click.option(
        "--overflow",
        type=click.Choice(["refuse", "drop"]),
        help="Queue: beyond a bound refuse what comes, or drop what waits for longest [default: refuse].",
    ),
    click.option("--dead", metavar="NAME", help="Queue: where dead letters go [default: NAME.dead]; none drops them."),
)


def options(*sets: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Several sets of options as one decorator, listed in their order."""

    def decorate(function: F) -> F:
        for option in reversed([option for each in sets for option in each]):
            function = option(function)
        return function

    return decorate


class Asked(msgspec.Struct, kw_only=True):
    """The options of create and alter as they were written; None is "not given"."""

    partitions: int | None = None
    retain: str | None = None
    retain_size: str | None = None
    consumed: bool | None = None
    floor: str | None = None
    ceiling: str | None = None
    silent: str | None = None
    durability: Literal["fsync", "written"] | None = None
    key_field: str | None = None
    record_bytes_max: str | None = None
    compression: Compression | None = None
    timestamps: Timestamps | None = None
    compact_lag: str | None = None
    tombstones: str | None = None
    dedup: str | None = None
    lease: str | None = None
    attempts: int | None = None
    backoff_first: str | None = None
    backoff_max: str | None = None
    ordered: bool | None = None
    ttl: str | None = None
    priorities: int | None = None
    single: bool | None = None
    max_events: str | None = None
    max_bytes: str | None = None
    overflow: Literal["refuse", "drop"] | None = None
    dead: str | None = None

    QUEUE = (
        "lease", "attempts", "backoff_first", "backoff_max", "ordered", "ttl", "priorities", "single", "max_events",
        "max_bytes", "overflow", "dead",
    )  # fmt: skip

    def topic(self, config: TopicConfig) -> TopicConfig:
        """The configuration with what was given in place of what it says."""
        changes: dict[str, Any] = {
            "age_ms": _age(self.retain, "--retain"),
            "size_bytes": _size(self.retain_size, "--retain-size"),
            "floor_ms": _age(self.floor, "--floor"),
            "ceiling_ms": _age(self.ceiling, "--ceiling"),
            "silent_ms": _age(self.silent, "--silent"),
            "record_bytes_max": _size(self.record_bytes_max, "--max-event"),
            "compression": self._given(self.compression),
            "timestamps": self._given(self.timestamps),
            "compact_lag_ms": UNSET if self.compact_lag is None else duration_ms(self.compact_lag, "--compact-lag"),
            "tombstone_ms": UNSET if self.tombstones is None else duration_ms(self.tombstones, "--tombstones"),
            "dedup_ms": _age(self.dedup, "--dedup"),
            "consumed": self._given(self.consumed),
            "level": self._given(self.durability),
            "key_field": self._given(self.key_field),
        }
        return _changed(config, changes)

    def queue(self, config: QueueConfig) -> QueueConfig:
        """The same for how a queue hands out."""
        backoff: dict[str, Any] = {
            "attempts": self._given(self.attempts),
            "first_ms": _age(self.backoff_first, "--backoff-first"),
            "max_ms": _age(self.backoff_max, "--backoff-max"),
        }
        changes: dict[str, Any] = {
            "lease_ms": _age(self.lease, "--lease"),
            "failed_max": self._given(self.attempts),
            "ordered": self._given(self.ordered),
            "ttl_ms": _age(self.ttl, "--ttl"),
            "priorities": self._given(self.priorities),
            "single": self._given(self.single),
            "max_events": _count(self.max_events, "--max-events"),
            "max_bytes": _size(self.max_bytes, "--max-bytes"),
            "overflow": self._given(self.overflow),
            "dead": UNSET if self.dead is None else None if self.dead == NONE else self.dead,
        }
        return _changed(config, changes | {"backoff": _changed(config.backoff, backoff)})

    @staticmethod
    def _given(value: object) -> object:
        return UNSET if value is None else value

    def refuse_queue_options(self, name: str) -> None:
        """Raises InvalidArgument when an option of queues was given for a stream."""
        for option in self.QUEUE:
            if getattr(self, option) is not None:
                raise InvalidArgument(f"--{option.replace('_', '-')}", f"is for queues, and {name!r} is a stream")


UNSET: Final = msgspec.UNSET
_COUNT_DIGITS_MAX: Final = 15
C = TypeVar("C", TopicConfig, QueueConfig, BackoffPolicy)


def _changed(config: C, changes: dict[str, Any]) -> C:
    given = {name: value for name, value in changes.items() if value is not UNSET}
    return msgspec.structs.replace(config, **given)


def _age(text: str | None, option: str) -> int | msgspec.UnsetType | None:
    if text is None:
        return UNSET
    return None if text == NONE else duration_ms(text, option)


def _size(text: str | None, option: str) -> int | msgspec.UnsetType | None:
    if text is None:
        return UNSET
    return None if text == NONE else size_bytes(int(text) if text.isdigit() else text, option)


def _count(text: str | None, option: str) -> int | msgspec.UnsetType | None:
    if text is None:
        return UNSET
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _COUNT_DIGITS_MAX:
        raise InvalidArgument(option, f"{text!r} is not a number, nor {NONE!r}")
    return int(text)


def stream_definition(name: str, asked: Asked, *, compact: bool) -> TopicDefinition:
    """The stream that the options describe."""
    config = TopicConfig(compact=compact, age_ms=None if compact else duration_ms(RETAIN, "--retain"))
    return TopicDefinition(name=name, partitions=asked.partitions or 1, config=asked.topic(config))


def queue_definitions(
    name: str, asked: Asked, view_of: str | None, view_start: str | None
) -> list[TopicDefinition | QueueDefinition]:
    """The queue that the options describe, and before it the one of its dead letters."""
    config = asked.queue(QueueConfig(dead=f"{name}{DEAD_SUFFIX}"))
    topic = asked.topic(TopicConfig(consumed=True))
    queue = QueueDefinition(
        name=name,
        config=config,
        topic=topic,
        partitions=asked.partitions or 1,
        view_of=view_of,
        view_start=_view_start(view_start),
    )
    if config.dead is None:
        return [queue]
    # As the library makes them: dead letters leave by acknowledgement, redrive or removal, never by themselves.
    kept = TopicConfig(level=topic.level, consumed=True, codec=topic.codec, key_field=topic.key_field)
    return [QueueDefinition(name=config.dead, config=QueueConfig(failed_max=None), topic=kept), queue]


def _view_start(text: str | None) -> int | Literal["earliest", "latest"]:
    found = start_at(text or "earliest", 0, "--from")
    if isinstance(found, tuple) and text is not None and not text.startswith("-"):
        return found[1]
    if isinstance(found, str):
        return found
    raise InvalidArgument("--from", f"{text!r}: a view begins at earliest, latest or a time")


def differences(before: msgspec.Struct, after: msgspec.Struct) -> dict[str, tuple[Any, Any]]:
    """Setting to (was, is), for what differs; settings of parts by their own names."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in before.__struct_fields__:
        was, now = getattr(before, name), getattr(after, name)
        if isinstance(was, msgspec.Struct):
            found |= differences(was, now)
        elif was != now:
            found[name] = (was, now)
    return found
