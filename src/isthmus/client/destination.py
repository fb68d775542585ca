"""Typed destinations: a stream or a queue, declared once and imported by producers and consumers.

A destination is a value: it names a topic or queue, its event types and how it is to be kept. It talks to no engine.
"""

import types
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from msgspec.structs import replace

from isthmus.client.codecs import Codec
from isthmus.client.codecs import codec as codec_named
from isthmus.client.duration import Duration, Size, duration_ms, size_bytes, start_at
from isthmus.client.event import AnyEvent, Event, Notification, Reader, State, Writer, event_type, field_names, is_model
from isthmus.client.retry import Backoff
from isthmus.definition import Level, QueueConfig, QueueDefinition, TopicConfig, TopicDefinition, check_name
from isthmus.errors import DeclarationError, InvalidArgument, Unsupported
from isthmus.limits import LEASE_MS_MAX, PARTITIONS_MAX, PRIORITIES_MAX

E = TypeVar("E", bound=AnyEvent)

RETAIN: Final = "7d"
"""How long a stream keeps its events unless told otherwise; a compacted one keeps the newest of each key for ever."""

DEAD_SUFFIX: Final = ".dead"
_BARE: Final = (Event, Notification, State)


class Destination(ABC, Generic[E]):
    """What streams and queues share: a name, event types, a key and a codec. Declare a `Stream` or a `Queue`."""

    def __init__(self, name: str, key: str | Sequence[str] | None, codec: str) -> None:
        self.name = check_name(name)
        self.key_fields: tuple[str, ...] = (key,) if isinstance(key, str) else tuple(key or ())
        self.codec_name = codec
        self._types: tuple[type[AnyEvent], ...] | None = None
        self._writers: dict[str | None, Writer[E]] = {}
        self._reader: Reader[E] | None = None

    @property
    def types(self) -> tuple[type[AnyEvent], ...]:
        """The event classes, by type name; checked when first asked for.

        Raises:
            DeclarationError: the type argument is missing, or a type, the key or the codec does not go with it.
            Unsupported: the codec needs an extra that is not installed.
        """
        if self._types is None:
            found = _declared_types(self)
            self._check(found)
            for each in found:
                self.codec.encoder(each)
            self._types = found
        return self._types

    @property
    def type_names(self) -> tuple[str, ...]:
        """The type names as they travel in headers."""
        return tuple(map(event_type, self.types))

    @property
    def codec(self) -> Codec:
        """The codec of the payload."""
        return codec_named(self.codec_name)

    @property
    def key_field(self) -> str | None:
        """The key fields as text for people and tools, joined by commas; None is "no key"."""
        return ",".join(self.key_fields) or None

    @abstractmethod
    def promises(self) -> tuple[str, ...]:
        """What it asks of an engine beyond carrying events, by the names of the engine's capabilities."""

    def writer(self, source: str | None = None) -> Writer[E]:
        """Events to records; `source` is the app's name, which goes along with each."""
        writer = self._writers.get(source)
        if writer is None:
            writer = self._writers[source] = Writer(self.name, self.types, self.key_fields, self.codec, source)
        return writer

    def reader(self) -> Reader[E]:
        """Stored records to events."""
        if self._reader is None:
            self._reader = Reader(self.name, self.types, self.codec)
        return self._reader

    def _check(self, found: tuple[type[AnyEvent], ...]) -> None:
        names: dict[str, type[AnyEvent]] = {}
        for each in found:
            other = names.setdefault(event_type(each), each)
            if other is not each:
                raise DeclarationError(
                    f"{self!r}: {other.__module__}.{other.__qualname__} and {each.__module__}.{each.__qualname__} are"
                    f" both named {event_type(each)!r}; give one of them another name with"
                    f" `class {each.__name__}(..., type=...)`"
                )
            for field in self.key_fields:
                if field not in field_names(each):
                    raise DeclarationError(
                        f"{self!r}: key field {field!r} is no field of {each.__name__}"
                        f" (it has {', '.join(field_names(each)) or 'none'})"
                    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Stream(Destination[E]):
    """A stream: every consumer group sees every event, events stay and can be read again.

    Declare it with its event types: `Stream[Placed | Cancelled]("orders", key="order_id", partitions=6)`.

    Args:
        name: 1 to 255 bytes of UTF-8 without control characters.
        key: the field (or fields) whose value picks the partition and keeps order; None for no key.
        partitions: how many groups of keys can be worked on side by side.
        retain: age after which events are removed; None is never, "auto" is 7 days, or never where it is compacted.
        retain_size: size of a partition above which its oldest events are removed.
        consumed: also remove what every declared reader is done with; never before `floor`, always after `ceiling`.
        silent: how long a group may be absent before it stops holding such events.
        compact: keep the newest event of each key. Always so for streams of `State`.
        codec: "json" or "protobuf".
        durability: "fsync" (acknowledged is on disk) or "written" (survives the process, not the power).
        dead: whether what a group fails on goes to the dead letters `<stream>.<group>.dead`.

    Raises:
        InvalidName, InvalidArgument: a name or figure that cannot be.
    """

    def __init__(
        self,
        name: str,
        *,
        key: str | Sequence[str] | None,
        partitions: int = 1,
        retain: Duration | Literal["auto"] | None = "auto",
        retain_size: Size | None = None,
        consumed: bool = False,
        floor: Duration | None = None,
        ceiling: Duration | None = None,
        silent: Duration = "7d",
        compact: bool = False,
        codec: str = "json",
        durability: Level = "fsync",
        dead: bool = True,
    ) -> None:
        super().__init__(name, key, codec)
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise InvalidArgument("partitions", f"{partitions} is outside 1 to {PARTITIONS_MAX}")
        self.partitions = partitions
        self.dead = dead
        self._compact = compact
        self._retain = retain
        self._config = TopicConfig(
            level=_level(durability),
            size_bytes=None if retain_size is None else size_bytes(retain_size, "retain_size"),
            age_ms=None if retain is None or retain == "auto" else duration_ms(retain, "retain"),
            consumed=consumed,
            floor_ms=None if floor is None else duration_ms(floor, "floor"),
            ceiling_ms=None if ceiling is None else duration_ms(ceiling, "ceiling"),
            silent_ms=duration_ms(silent, "silent"),
            codec=codec,
        )

    @property
    def compact(self) -> bool:
        """Whether it keeps the newest event of each key."""
        return self._compact or issubclass(self.types[0], State)

    def definition(self) -> TopicDefinition:
        """The topic that it is.

        Raises:
            DeclarationError: see `types`.
        """
        compact = self.compact
        config = self._config
        age_ms = duration_ms(RETAIN, "retain") if self._retain == "auto" and not compact else config.age_ms
        return TopicDefinition(
            name=self.name,
            partitions=self.partitions,
            config=replace(
                config, compact=compact, age_ms=age_ms, event_types=self.type_names, key_field=self.key_field
            ),
        )

    def promises(self) -> tuple[str, ...]:
        """See `Destination.promises`."""
        asked = {"compact": self.compact, "consumed": self._config.consumed}
        return tuple(name for name, given in asked.items() if given)

    def dead_name(self, group: str) -> str | None:
        """The dead-letter queue of a group, None when there is none."""
        return check_name(f"{self.name}.{group}{DEAD_SUFFIX}") if self.dead else None

    def dead_definition(self, group: str) -> QueueDefinition | None:
        """The dead-letter queue of a group as an ordinary queue, None when there is none."""
        name = self.dead_name(group)
        return None if name is None else _dead_letters(name, self.definition().config)

    def _check(self, found: tuple[type[AnyEvent], ...]) -> None:
        super()._check(found)
        states = [each for each in found if issubclass(each, State)]
        if states and len(states) < len(found):
            others = ", ".join(each.__name__ for each in found if each not in states)
            raise DeclarationError(
                f"{self!r} mixes State ({states[0].__name__}), of which only the newest per key is kept, with {others};"
                " declare two streams"
            )
        if (states or self._compact) and not self.key_fields:
            raise DeclarationError(f"{self!r} is compacted, which goes by key; give it key=")
        if (states or self._compact) and self._config.consumed:
            raise DeclarationError(f"{self!r} keeps the newest per key, so consumed=True cannot be")


class Queue(Destination[E]):
    """A queue: every event is worked on once, by one consumer, and is removed when acknowledged.

    Declare it with its event types: `Queue[InvoiceDue]("invoices", lease="30s")`.

    Args:
        name: 1 to 255 bytes of UTF-8 without control characters.
        of: a stream that it takes as a second source, so that its events are worked on here and still read there.
        start: where in that stream it begins: "earliest", "latest", a datetime, or a time in ISO 8601.
        key: the field (or fields) by which events keep their order; a failing key holds back only itself.
        lease: how long a consumer holds an event before it is offered to another; renewed while a handler runs.
        retry: how often and how soon a failed event comes again.
        dead: whether (or under what name) what failed too often is kept as a dead letter; `<name>.dead` by default.
        ttl: age at which an event that nobody took expires.
        dedup: how long a de-duplication id is remembered.
        codec: "json" or "protobuf"; a view has that of its stream.
        durability: "fsync" (acknowledged is on disk) or "written" (survives the process, not the power).
        priorities: how many levels of priority it has; what has a higher `priority=` goes first.
        single: one consumer at a time gets events, the next one when it is gone.
        max_events: how many events may wait in it, those that are handed out or delayed not counted.
        max_bytes: how many bytes these may have, counted as they are encoded.
        overflow: beyond either, "refuse" what is published (`QueueFull`), or "drop" what waits for longest.
        fair: comes in a later version and is refused until then.

    Raises:
        InvalidName, InvalidArgument: a name or figure that cannot be.
        Unsupported: an option of a later version.
    """

    def __init__(
        self,
        name: str,
        *,
        of: "Stream[Any] | None" = None,
        start: datetime | str = "earliest",
        key: str | Sequence[str] | None = None,
        lease: Duration = "30s",
        retry: Backoff | None = None,
        dead: bool | str = True,
        priorities: int = 1,
        fair: bool = False,
        ttl: Duration | None = None,
        max_events: int | None = None,
        max_bytes: Size | None = None,
        overflow: Literal["refuse", "drop"] = "refuse",
        dedup: Duration = "5m",
        single: bool = False,
        codec: str | None = None,
        durability: Level = "fsync",
    ) -> None:
        super().__init__(name, key, codec or (of.codec_name if of else "json"))
        _refuse_later(self, fair=fair)
        if not 1 <= priorities <= PRIORITIES_MAX:
            raise InvalidArgument("priorities", f"{priorities} is not in 1 to {PRIORITIES_MAX}")
        if of is not None and priorities > 1:
            raise Unsupported(f"{self!r} is a view of {of!r}, where priorities cannot be", "drop priorities=")
        if of is not None and (max_events is not None or max_bytes is not None):
            raise Unsupported(
                f"{self!r} is a view of {of!r}, where bounds cannot be", "set the retention of the stream"
            )
        if max_events is not None and max_events < 0:
            raise InvalidArgument("max_events", f"{max_events} is below 0")
        if overflow not in ("refuse", "drop"):
            raise InvalidArgument("overflow", f"{overflow!r} is not refuse or drop")
        self.max_events = max_events
        self.max_bytes = None if max_bytes is None else size_bytes(max_bytes, "max_bytes")
        self.overflow = overflow
        self.of = of
        self.priorities = priorities
        self.single = single
        self.retry = Backoff() if retry is None else retry
        self.lease_ms = duration_ms(lease, "lease")
        if not 1 <= self.lease_ms <= LEASE_MS_MAX:
            raise InvalidArgument("lease", f"{lease!r} is outside 1 ms to {LEASE_MS_MAX // 3_600_000} h")
        self.dead = check_name(dead) if isinstance(dead, str) else f"{name}{DEAD_SUFFIX}" if dead else None
        if self.dead is not None:
            check_name(self.dead)
        self._view_start = _view_start(start)
        self._ttl_ms = None if ttl is None else duration_ms(ttl, "ttl")
        self._topic = TopicConfig(
            level=_level(durability), consumed=True, dedup_ms=duration_ms(dedup, "dedup"), codec=self.codec_name
        )
        if of is not None and ttl is not None:
            raise Unsupported(f"{self!r} is a view of {of!r}, where a time to live cannot be", "drop ttl=")

    def definition(self) -> QueueDefinition:
        """The queue that it is.

        Raises:
            DeclarationError: see `types`.
        """
        policy = self.retry.policy
        return QueueDefinition(
            name=self.name,
            config=QueueConfig(
                lease_ms=self.lease_ms,
                failed_max=policy.attempts,
                backoff=policy,
                dead=self.dead,
                ordered=bool(self.key_fields),
                ttl_ms=self._ttl_ms,
                priorities=self.priorities,
                single=self.single,
                max_events=self.max_events,
                max_bytes=self.max_bytes,
                overflow=self.overflow,
            ),
            topic=replace(self._topic, event_types=self.type_names, key_field=self.key_field),
            view_of=None if self.of is None else self.of.name,
            view_start=self._view_start,
        )

    def promises(self) -> tuple[str, ...]:
        """See `Destination.promises`."""
        asked = {
            "queue": True,
            "ordered": bool(self.key_fields),
            "ttl": self._ttl_ms is not None,
            "view": self.of is not None,
            "retry": True,
            "dead": self.dead is not None,
            "priority": self.priorities > 1,
            "single": self.single,
            "bounded": self.max_events is not None or self.max_bytes is not None,
        }
        return tuple(name for name, given in asked.items() if given)

    def dead_definition(self) -> QueueDefinition | None:
        """Its dead-letter queue as an ordinary queue, None when there is none."""
        return None if self.dead is None else _dead_letters(self.dead, self.definition().topic)

    def _check(self, found: tuple[type[AnyEvent], ...]) -> None:
        super()._check(found)
        if self.of is None:
            return
        missing = [each.__name__ for each in self.of.types if each not in found]
        if missing:
            raise DeclarationError(
                f"{self!r} is a view of {self.of!r}, which also carries {', '.join(missing)}; name all of its types"
            )
        if self.codec_name != self.of.codec_name:
            raise DeclarationError(f"{self!r} is a view of {self.of!r}, whose codec is {self.of.codec_name!r}")
        if self.key_fields and self.key_fields != self.of.key_fields:
            raise DeclarationError(f"{self!r} is a view of {self.of!r}, so its key can only be {self.of.key_field!r}")


# ---- what the declarations are checked with ----------------------------------------------------------------------


def _declared_types(destination: Destination[Any]) -> tuple[type[AnyEvent], ...]:
    kind = type(destination).__name__
    declared = getattr(destination, "__orig_class__", None)
    if declared is None:
        raise DeclarationError(
            f"{destination!r} does not say what it carries; write {kind}[YourEvent]({destination.name!r}, ...)"
        )
    found: list[type[AnyEvent]] = []
    for each in _members(get_args(declared)[0]):
        if not _is_event_class(each):
            raise DeclarationError(
                f"{destination!r}: {_shown(each)} is no event class; subclass Notification, State or Event, or"
                " a model of pydantic"
            )
        if each not in found:
            found.append(each)
    # Sorted, because typing gives A | B for B | A when that was written first somewhere else in the program.
    return tuple(sorted(found, key=event_type))


def _is_event_class(found: object) -> TypeGuard[type[AnyEvent]]:
    return is_model(found) or (isinstance(found, type) and issubclass(found, Event) and found not in _BARE)


def _members(annotation: object) -> list[object]:
    # `type X = A | B` of Python 3.12 hides the union in __value__.
    annotation = getattr(annotation, "__value__", annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _shown(found: object) -> str:
    return found.__name__ if isinstance(found, type) else str(found)


def _level(durability: Level) -> Level:
    if durability not in get_args(Level):
        raise InvalidArgument("durability", f"{durability!r} is neither 'fsync' nor 'written'")
    return durability


def _view_start(start: datetime | str) -> int | Literal["earliest", "latest"]:
    # An age has no meaning in a declaration: it would name another instant at every start.
    if isinstance(start, str) and (start.startswith("-") or start.isdigit()):
        raise InvalidArgument("start", f"{start!r}: a view begins at 'earliest', 'latest' or a time")
    found = start_at(start, 0)
    if isinstance(found, tuple):
        return found[1]
    if isinstance(found, int):
        raise InvalidArgument("start", f"{start!r}: a view begins at 'earliest', 'latest' or a time")
    return found


def _refuse_later(queue: Queue[Any], **used: bool) -> None:
    for option, given in used.items():
        if given:
            raise Unsupported(f"{queue!r}: {option}= comes in a later version", f"leave {option}= out")


def _dead_letters(name: str, topic: TopicConfig) -> QueueDefinition:
    """A dead-letter queue never gives up on its own: what is in it leaves by acknowledgement, redrive or removal."""
    return QueueDefinition(
        name=name,
        config=QueueConfig(failed_max=None),
        topic=TopicConfig(
            level=topic.level,
            consumed=True,
            codec=topic.codec,
            event_types=topic.event_types,
            key_field=topic.key_field,
        ),
    )
