"""The port between the client library and a broker: what every engine offers, and the shapes that cross it.

An engine is chosen by URL (`engines/connect.py`). This file names no engine and no broker.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from isthmus.clock import Clock
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Kept,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.log import batch as batches
from isthmus.record import Appended, Record, StoredRecord
from isthmus.views import (
    BindingView,
    DeadLetter,
    ExchangeView,
    GroupView,
    LifeStep,
    NamespaceView,
    PeekedRecord,
    PolicyView,
    QueueView,
    TopicView,
    UserView,
)

Start = int | Literal["earliest", "latest"] | tuple[Literal["time"], int]
"""Where reading starts: an offset, an end of the log, or ("time", milliseconds since 1970 UTC)."""

Support = Literal["native", "emulated", "refused"]


class Capability(Struct, frozen=True, kw_only=True):
    """How an engine keeps one promise; `how` is the line that is printed at start when it is not native."""

    support: Support
    how: str = ""


class Attributes(Struct, frozen=True, kw_only=True):
    """Queue attributes for the records of one publish call; times are milliseconds since 1970 UTC.

    `dedup` goes with exactly one record. None and 0 mean "not given".
    """

    due_ms: int | None = None
    expire_ms: int | None = None
    priority: int = 0
    dedup: str | None = None


class Chunk(Struct, frozen=True, gc=False):
    """Records of one partition in offset order, as a reader gets them. `partition` is the index in the topic."""

    topic: str
    partition: int
    records: list[StoredRecord]


class Extent(Struct, frozen=True, gc=False):
    """The same before it is decoded: stored batches, of which a reader gets the records from `start` up to `stop`."""

    topic: str
    partition: int
    start: int
    stop: int | None
    batches: list[bytes]

    def chunk(self) -> Chunk:
        """The records. There may be none: those that had the offsets can be gone."""
        records: list[StoredRecord] = []
        for each in self.batches:
            records += batches.decode(each, from_offset=self.start)
        stop = self.stop
        if stop is not None and records and records[-1].offset >= stop:
            records = [record for record in records if record.offset < stop]
        return Chunk(self.topic, self.partition, records)


class Received(Struct, frozen=True, gc=False):
    """One delivery to a consumer, the same from a stream group and from a queue.

    `token` is what the source that gave it wants back to settle it, opaque to everybody else. `attempt` counts
    hand-overs including this one, `failed` the failures before it. `until_ms` is the end of the lease on the
    engine's monotonic clock, None when there is none.
    """

    stored: StoredRecord
    token: object
    topic: str
    partition: int
    attempt: int
    failed: int
    until_ms: int | None = None


class Source(Protocol):
    """Deliveries for one consumer of a stream group or of a queue.

    A stream source leaves out records whose key is held back by an earlier failure and brings what failed again when
    it is due. All methods take what `receive` gave. Settling goes through a unit, so that outputs share its fate.
    """

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Up to `max_events` deliveries; waits up to `wait_ms` for the first one, returns [] when none came."""

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each and offer it again after `delay_ms`; its key waits with it (streams, ordered)."""

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Move each to the dead letters and settle it, in one unit; without a dead-letter target just settle."""

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back without counting a failure."""

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew leases to end `lease_ms` from now; returns them with their new end. Streams: returned as they are.

        Raises:
            LeaseLost: one is no longer held; the others were renewed.
        """

    async def close(self) -> None:
        """Leave, and wake a waiting `receive` (which returns []).

        What is still held is to be settled or released before: a stream group offers it to other members, a queue
        when its leases run out.
        """


class Reader(Protocol):
    """Reads partitions of a topic by offset without a group and without disturbing anybody."""

    @property
    def ended(self) -> bool:
        """Whether every partition has reached where reading was to stop."""

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """The next records of some partition; None when nothing came within `wait_ms` or all has ended."""

    async def close(self) -> None:
        """Wake a waiting `read` and free what it holds."""


class BatchReader(Reader, Protocol):
    """A reader that can hand on what is stored without decoding it, and that another one can follow."""

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where it goes on, one a partition."""

    @property
    def ends(self) -> tuple[int, ...] | None:
        """Where it stops, one a partition."""

    async def read_batches(self, max_bytes: int, wait_ms: int) -> Extent | None:
        """As `read`."""


class Unit(Protocol):
    """What becomes durable together: outputs and settlements. Dropped without a trace unless submitted."""

    def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> None:
        """Add records for a topic or queue; `compression` as in `Engine.publish`."""

    def settle(self, source: Source, received: Sequence[Received]) -> None:
        """Add the acknowledgement (queue) or the finished offsets (stream) of deliveries."""

    async def submit(self) -> list[Appended]:
        """Make it durable; returns once it is.

        Raises:
            LeaseLost, StaleGeneration: a delivery is no longer ours: nothing was published, nothing settled.
        """


class Admin(Protocol):
    """What the command line and the console ask. Names are of the engine's namespace."""

    async def topics(self) -> list[TopicView]:
        """All topics by name (those that queues own included)."""

    async def queues(self) -> list[QueueView]:
        """All queues by name."""

    async def topic(self, name: str) -> TopicView:
        """One topic. Raises UnknownTopic."""

    async def queue(self, name: str) -> QueueView:
        """One queue. Raises UnknownQueue."""

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists whatever the definition."""

    async def alter(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Change what can change. Raises UnknownTopic, UnknownQueue, InvalidArgument."""

    async def remove(self, name: str) -> None:
        """Remove a topic, or a queue with the topic it owns. Raises UnknownTopic, InUse."""

    async def groups(self, topic: str | None = None) -> list[GroupView]:
        """All groups, or those with a position in a topic."""

    async def seek(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Move a group without live members; returns (partition, new floor) rows. Raises GroupNotEmpty."""

    async def remove_group(self, group: str) -> None:
        """Forget a group without live members. Raises UnknownGroup, GroupNotEmpty."""

    async def peek(self, queue: str, count: int) -> list[PeekedRecord]:
        """The next records of a queue in order, without taking them."""

    async def purge(self, queue: str) -> int:
        """Settle all that is not leased; returns how many."""

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """Unsettled dead letters of a dead-letter queue, oldest first."""

    async def redrive(self, queue: str, count: int | None = None) -> int:
        """Move dead letters back to where they came from, each in one unit; returns how many."""

    async def explain(self, topic: str, partition: int, offset: int) -> list[LifeStep]:
        """The life of one event, as far as the journal still tells."""

    async def reclaim(self) -> int:
        """Remove now, and not at some quiet time, what retention lets go, and what newer events of a compacted stream
        have replaced; returns the bytes of disk that came back.
        """

    async def users(self) -> list[UserView]:
        """All users by name. Raises AccessDenied for who is no administrator, like the three that follow."""

    async def create_user(self, definition: UserDefinition) -> None:
        """Make it. Raises AlreadyExists, InvalidName, InvalidArgument."""

    async def alter_user(self, definition: UserDefinition) -> None:
        """Give it these rights; and these credentials, unless they are None. Raises UnknownUser, InvalidArgument."""

    async def remove_user(self, name: str) -> None:
        """Remove it; its sessions end. Raises UnknownUser."""

    async def policies(self) -> list[PolicyView]:
        """All policies, as they are asked whether they fit. Raises AccessDenied, like the two that follow."""

    async def set_policy(self, definition: PolicyDefinition) -> None:
        """Make a policy, or put it in the place of that of its name. Raises InvalidArgument, Unsupported."""

    async def remove_policy(self, name: str) -> None:
        """Remove a policy. Raises UnknownPolicy."""

    async def namespaces(self) -> list[NamespaceView]:
        """All namespaces by name. Raises AccessDenied for who is no administrator, like the two that follow."""

    async def create_namespace(self, name: str, kept: Kept = ()) -> None:
        """Make it. Raises AlreadyExists, InvalidName, InvalidArgument."""

    async def remove_namespace(self, name: str) -> None:
        """Remove it with everything in it. Raises UnknownNamespace, InvalidArgument."""

    async def exchanges(self) -> list[ExchangeView]:
        """All exchanges by name."""

    async def create_exchange(self, definition: ExchangeDefinition) -> None:
        """Make it. Raises AlreadyExists whatever the definition."""

    async def remove_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove it with the bindings from it and to it. Raises UnknownExchange; InUse if it must have none."""

    async def bindings(self, exchange: str | None = None, target: str | None = None) -> list[BindingView]:
        """All bindings, those of an exchange, or those to a topic or exchange. Raises UnknownExchange."""

    async def bind(self, binding: Binding) -> None:
        """Make it, if it is not there. Raises UnknownExchange, UnknownTopic, InvalidArgument."""

    async def unbind(self, binding: Binding) -> None:
        """Take it back, if it is there. Raises UnknownExchange, UnknownTopic, InvalidArgument."""


class Engine(Protocol):
    """A broker, here or elsewhere."""

    @property
    def url(self) -> str:
        """What `connect` was given, without secrets."""

    @property
    def clock(self) -> Clock:
        """The clock that all waits of this engine and its clients go through."""

    @property
    def capabilities(self) -> dict[str, Capability]:
        """By promise: "unit", "delay", "ttl", "dedup", "ordered", "priority", "compact", "consumed", "extend", ..."""

    @property
    def admin(self) -> Admin:
        """Administration, each call of which an engine may refuse by name with `Unsupported`."""

    async def start(self) -> None:
        """Connect or open."""

    async def close(self) -> None:
        """Flush, disconnect or close; idempotent."""

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it if it is not there; take over what can change; `AlreadyExists` names what differs and cannot."""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises UnknownTopic."""

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Publish to a topic or queue and return when acknowledged, in the order of appending per partition.

        Calls for one name take effect in the order in which they were made, also when they wait while the engine's
        buffers are full. Where the records went to more than one place, each `Appended` says by `indexes` which of
        them it is for. `compression` is the codec of the batches ("none", "gzip", "snappy", "lz4", "zstd"); an engine
        that compresses by other means takes it as a wish.

        Raises:
            UnknownTopic, RecordTooLarge, KeyRequired, UnsupportedCompression: nothing was published.
        """

    def unit(self) -> Unit:
        """A new unit. Raises Unsupported where the engine has none."""

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> Reader:
        """Read all partitions from `start`; `stop="end"` stops at the high watermarks of this moment."""

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Join a group (declared here; positions start at `start`); `dead` is its dead-letter queue, declared."""

    async def queue_source(self, queue: str, consumer: str) -> Source:
        """Consume a queue under a consumer's name."""


class ServedEngine(Engine, Protocol):
    """An engine that others can be served with, and that single partitions can be read of: what is beyond the port."""

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> BatchReader:
        """As of every engine."""

    async def reader_at(self, topic: str, offsets: Sequence[int], ends: Sequence[int] | None) -> BatchReader:
        """A reader that goes on where an earlier one was; offsets and ends as that one said them.

        Raises:
            UnknownTopic, InvalidArgument: there are not so many partitions.
        """
