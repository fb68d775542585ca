"""What `show`, `ls`, `lag`, `peek` and `explain` answer: the same structs from every engine, as data.

Views are snapshots of applied state; nothing here can be changed to change a broker.
"""

from msgspec import Struct

from isthmus.definition import (
    ExchangeKind,
    Grant,
    HeaderMatch,
    Kept,
    Lifetime,
    PolicyTarget,
    QueueConfig,
    TopicConfig,
)
from isthmus.record import StoredRecord


class PartitionView(Struct, frozen=True, kw_only=True):
    """One partition: offsets `log_start` to `high_watermark`, exclusive, can be read; `bytes` is an estimate."""

    index: int
    log_start: int
    high_watermark: int
    bytes: int


class TopicView(Struct, frozen=True, kw_only=True):
    """A topic (a stream, or the topic that a queue owns)."""

    name: str
    namespace: str
    id: int
    uuid: str
    placement: str
    lifetime: str
    config: TopicConfig
    partitions: tuple[PartitionView, ...]
    queue: str | None
    groups: tuple[str, ...]
    views: tuple[str, ...]
    created_ms: int


class QueueView(Struct, frozen=True, kw_only=True):
    """A queue with its counts: enqueued = ready + leased + delayed + dying + acked + rejected + dead + expired + purged
    + trimmed + dropped, at every quiescent point. `dying` has reached a limit and is on its way to the dead letters.
    `config` is what was declared, `effective` what holds with the policy; both are None when no policy is about the
    queue.
    """

    name: str
    namespace: str
    id: int
    config: QueueConfig
    view_of: str | None
    lifetime: str
    enqueued: int
    ready: int
    leased: int
    delayed: int
    dying: int
    acked: int
    rejected: int
    dead: int
    expired: int
    purged: int
    trimmed: int
    oldest_ready_ms: int | None
    created_ms: int
    policy: str | None = None
    effective: QueueConfig | None = None
    dropped: int = 0


class GroupPartitionView(Struct, frozen=True, kw_only=True):
    """A group's position in one partition. `lag` counts offsets, which are not dense."""

    topic: str
    partition: int
    floor: int
    done_above: int
    retrying: int
    high_watermark: int
    lag: int
    member: str | None


class GroupView(Struct, frozen=True, kw_only=True):
    """A consumer group: `state` as in the classic state machine; `silent` readers no longer hold trims."""

    name: str
    namespace: str
    id: int
    state: str
    generation: int
    members: tuple[str, ...]
    silent: bool
    partitions: tuple[GroupPartitionView, ...]
    lag: int


class PeekedRecord(Struct, frozen=True, kw_only=True):
    """A record of a queue, looked at without taking it: `state` is ready, leased, delayed or waiting (not admitted).

    `priority` is its level in a queue that has several, those of the highest come first; None in others.
    """

    topic: str
    partition: int
    record: StoredRecord
    state: str
    acquired: int
    failed: int
    due_ms: int | None
    priority: int | None = None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A dead-lettered record with why: `cause` names where it came from as topic/partition/offset."""

    topic: str
    partition: int
    record: StoredRecord
    cause: str
    reason: str
    traceback: str
    failed: int
    died_ms: int


class LifeStep(Struct, frozen=True, kw_only=True):
    """One thing that happened to an event: at what LSN, when, what, by whom, and details for people."""

    lsn: int
    time_ms: int
    what: str
    who: str
    detail: str


class UserView(Struct, frozen=True, kw_only=True):
    """A user, without what is kept of its password: `mechanisms` are the logins that it can use, none for a user that
    has a certificate only.
    """

    name: str
    id: int
    admin: bool
    mechanisms: tuple[str, ...]
    grants: tuple[Grant, ...]
    created_ms: int


class PolicyView(Struct, frozen=True, kw_only=True):
    """A policy, as `PolicyDefinition` has it."""

    name: str
    namespace: str
    pattern: str
    applies_to: PolicyTarget
    priority: int
    settings: Kept


class NamespaceView(Struct, frozen=True, kw_only=True):
    """A namespace with the number of what is in it; `kept` is as another system gave it, for that system."""

    name: str
    topics: int
    queues: int
    exchanges: int
    created_ms: int
    kept: Kept = ()


class BindingView(Struct, frozen=True, kw_only=True):
    """A binding as `Binding` has it: from an exchange to a topic or to another exchange."""

    exchange: str
    topic: str
    to_exchange: str
    key: str
    match: HeaderMatch | None
    kept: bytes = b""


class ExchangeView(Struct, frozen=True, kw_only=True):
    """An exchange as `ExchangeDefinition` has it, with the number of bindings from it and to it.

    `alternate` is what holds, also when a policy says it.
    """

    name: str
    namespace: str
    id: int
    kind: ExchangeKind
    lifetime: Lifetime
    auto_remove: bool
    internal: bool
    delayed: bool
    alternate: str | None
    bindings: int
    bound: int
    kept: Kept = ()
