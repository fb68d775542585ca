"""The typed durable facts: every change of state but a record itself, as data with its encoding.

A fact sets absolute values, so that replaying the journal from an earlier LSN over a later state ends in the same
state. The log stores and replays facts and interprets only its own (the first four); whoever owns a kind of state
registers how to apply it. A payload is one byte of schema version followed by a MessagePack array whose first item
is the tag; new fields are added at the end with a default, tags are never used again.
"""

from typing import Final

import msgspec
from msgspec import Struct

from isthmus.definition import (
    ExchangeKind,
    Grant,
    HeaderMatch,
    Kept,
    Lifetime,
    Placement,
    PolicyTarget,
    QueueConfig,
    ScramCredential,
    TopicConfig,
)
from isthmus.errors import StorageError

FACT_VERSION: Final = 1

Ranges = tuple[tuple[int, int], ...]
"""Half-open ranges of offsets, rising and disjoint."""


class Fact(Struct, frozen=True, array_like=True, gc=False):
    """The common root of all facts."""


# ---- the log's own ------------------------------------------------------------------------------------------------


class SegmentOpened(Fact, frozen=True, array_like=True, gc=False, tag=1):
    """First entry of every segment file, so that a file tells whose it is and how large it was to become."""

    store: bytes
    first_lsn: int
    size_bytes: int
    time_ms: int


class StoreOpened(Fact, frozen=True, array_like=True, gc=False, tag=2):
    """The store was opened for writing: a new epoch begins."""

    epoch: int
    boot_id: str
    time_ms: int


class SegmentsRemoved(Fact, frozen=True, array_like=True, gc=False, tag=3):
    """These LSN ranges are gone on purpose; durable before the first file is unlinked."""

    ranges: Ranges


class Swap(Fact, frozen=True, array_like=True, gc=False, tag=4):
    """A compacted file takes the place of neighbouring ones; durable before a source is unlinked."""

    sources: tuple[str, ...]
    target: str
    first_lsn: int
    end_lsn: int
    length: int
    crc: int


class LossAccepted(Fact, frozen=True, array_like=True, gc=False, tag=5):
    """An operator accepted that what these LSN ranges held is lost."""

    ranges: Ranges
    time_ms: int
    report: str


class PartitionState(Fact, frozen=True, array_like=True, gc=False, tag=6):
    """All that the log knows of a partition, for checkpoints: `epochs` are (epoch, first offset) rows, `producers`
    are (id, epoch, ((first sequence, last sequence, base offset), ...)) rows. Compaction by key has been through all
    below `cleaned`, and left `clean_bytes` of the `bytes`.
    """

    partition: int
    log_start: int
    next_offset: int
    epochs: Ranges
    producers: tuple[tuple[int, int, tuple[tuple[int, int, int], ...]], ...] = ()
    bytes: int = 0
    cleaned: int = 0
    clean_bytes: int = 0


class Trimmed(Fact, frozen=True, array_like=True, gc=False, tag=7):
    """The log start of a partition moved up to `log_start`; never back."""

    partition: int
    log_start: int
    reason: str
    time_ms: int


class StoreClosed(Fact, frozen=True, array_like=True, gc=False, tag=8):
    """The store was stopped in order: in this epoch nothing was written that is not durable."""

    epoch: int
    time_ms: int


# ---- catalogue ----------------------------------------------------------------------------------------------------


class TopicSet(Fact, frozen=True, array_like=True, gc=False, tag=20):
    """A topic exists with this definition. Partition ids are `id << 16 | index`."""

    id: int
    uuid: bytes
    namespace: str
    name: str
    partitions: int
    placement: Placement
    config: TopicConfig
    lifetime: Lifetime
    queue: int | None
    created_ms: int


class TopicRemoved(Fact, frozen=True, array_like=True, gc=False, tag=21):
    """The topic is gone; its id is never used again."""

    id: int


class QueueSet(Fact, frozen=True, array_like=True, gc=False, tag=22):
    """A queue exists: it owns `topic` and may view `view_of` from the offsets of `view_start` (one a partition)."""

    id: int
    namespace: str
    name: str
    topic: int
    config: QueueConfig
    view_of: int | None
    view_start: tuple[int, ...]
    lifetime: Lifetime
    created_ms: int


class QueueRemoved(Fact, frozen=True, array_like=True, gc=False, tag=23):
    """The queue is gone (its topic goes by a fact of its own)."""

    id: int


class ExchangeSet(Fact, frozen=True, array_like=True, gc=False, tag=24):
    """An exchange exists. Checkpoints say whether it `was_bound`: only then an empty one may have to go."""

    id: int
    namespace: str
    name: str
    kind: ExchangeKind
    lifetime: Lifetime
    auto_remove: bool = False
    internal: bool = False
    alternate: str | None = None
    delayed: bool = False
    kept: Kept = ()
    was_bound: bool = False


class ExchangeRemoved(Fact, frozen=True, array_like=True, gc=False, tag=25):
    """The exchange and its bindings are gone."""

    id: int


class BindingSet(Fact, frozen=True, array_like=True, gc=False, tag=26):
    """The exchange routes this key to this topic, or with `topic` 0 to the exchange `to_exchange`."""

    exchange: int
    topic: int
    key: str
    to_exchange: int = 0
    match: HeaderMatch | None = None
    kept: bytes = b""


class BindingRemoved(Fact, frozen=True, array_like=True, gc=False, tag=27):
    """The exchange no longer routes this key to this topic, or with `topic` 0 to the exchange `to_exchange`."""

    exchange: int
    topic: int
    key: str
    to_exchange: int = 0
    match: HeaderMatch | None = None
    kept: bytes = b""


class IdsUsed(Fact, frozen=True, array_like=True, gc=False, tag=28):
    """All object ids below `next_id` were given away, all producer ids below `next_producer`."""

    next_id: int
    next_producer: int


class NamespaceSet(Fact, frozen=True, array_like=True, gc=False, tag=31):
    """A namespace exists beside the default one, which always does."""

    name: str
    created_ms: int
    kept: Kept = ()


class NamespaceRemoved(Fact, frozen=True, array_like=True, gc=False, tag=32):
    """The namespace is gone (what was in it went before, by facts of its own)."""

    name: str


# ---- streams ------------------------------------------------------------------------------------------------------


class GroupSet(Fact, frozen=True, array_like=True, gc=False, tag=40):
    """A consumer group is declared; from here on it counts as a reader of what it commits for.

    One that `expires` is forgotten when it had neither member nor commit for the store's time; others are kept.
    """

    id: int
    namespace: str
    name: str
    created_ms: int
    expires: bool = False


class GroupRemoved(Fact, frozen=True, array_like=True, gc=False, tag=41):
    """The group and its positions are gone."""

    id: int


class Committed(Fact, frozen=True, array_like=True, gc=False, tag=42):
    """A group's whole position in one partition: all below `floor` is done, and `done` above it; `attempts` are
    (offset, failures, due in ms since 1970 UTC) rows of what failed and comes again.
    """

    group: int
    partition: int
    generation: int
    floor: int
    done: Ranges
    attempts: tuple[tuple[int, int, int], ...]
    leader_epoch: int
    metadata: str
    time_ms: int


class PositionRemoved(Fact, frozen=True, array_like=True, gc=False, tag=43):
    """The group has no position in that partition any more."""

    group: int
    partition: int


# ---- queues -------------------------------------------------------------------------------------------------------


class Leased(Fact, frozen=True, array_like=True, gc=False, tag=60):
    """Hand-over of a run of offsets; the counts are those after it. `until_ms` is None for a lease without time."""

    queue: int
    partition: int
    ranges: Ranges
    acquired: int
    failed: int
    consumer: str
    principal: int
    time_ms: int
    until_ms: int | None


class Released(Fact, frozen=True, array_like=True, gc=False, tag=61):
    """Leases ended without settling: ready again at `due_ms` (wall clock; 0 is at once, -1 is never: it reached a limit
    and is to be moved to the dead letters), with these counts.
    """

    queue: int
    partition: int
    ranges: Ranges
    acquired: int
    failed: int
    due_ms: int
    reason: str
    time_ms: int


class Settled(Fact, frozen=True, array_like=True, gc=False, tag=62):
    """These offsets are done with for this queue.

    `why` is acked, rejected, expired, purged, trimmed, dead, or gap (there is no record).
    """

    queue: int
    partition: int
    ranges: Ranges
    why: str
    consumer: str
    time_ms: int


class LedgerState(Fact, frozen=True, array_like=True, gc=False, tag=63):
    """A slice of a queue's state in one partition, for checkpoints; docs/formats/ledger.md has `rows` and `counts`
    (the first slice has them, the others have none). `ages` are (offset, time in ms since 1970 UTC) rows: all below the
    offset was there at that time.
    """

    queue: int
    partition: int
    floor: int
    done: Ranges
    rows: bytes
    counts: tuple[int, ...]
    ages: Ranges = ()


class DedupState(Fact, frozen=True, array_like=True, gc=False, tag=64):
    """De-duplication ids of a topic in insertion order, for checkpoints; packed by `log/dedup.py`."""

    topic: int
    rows: bytes


# ---- access -------------------------------------------------------------------------------------------------------


class UserSet(Fact, frozen=True, array_like=True, gc=False, tag=80):
    """A user exists, with these credentials and rights; `id` is the principal in what it publishes."""

    id: int
    name: str
    scrams: tuple[ScramCredential, ...]
    admin: bool
    grants: tuple[Grant, ...]
    created_ms: int


class UserRemoved(Fact, frozen=True, array_like=True, gc=False, tag=81):
    """The user is gone; its id is never used again."""

    id: int


class AccessSecret(Fact, frozen=True, array_like=True, gc=False, tag=82):
    """What the salts are made of that logins of unknown users are answered with; made with the first user."""

    secret: bytes


# ---- policies -----------------------------------------------------------------------------------------------------


class PolicySet(Fact, frozen=True, array_like=True, gc=False, tag=90):
    """A policy is this; the values of `settings` are JSON."""

    namespace: str
    name: str
    pattern: str
    applies_to: PolicyTarget
    priority: int
    settings: Kept


class PolicyRemoved(Fact, frozen=True, array_like=True, gc=False, tag=91):
    """The policy is gone."""

    namespace: str
    name: str


AnyFact = (
    SegmentOpened
    | StoreOpened
    | SegmentsRemoved
    | Swap
    | LossAccepted
    | PartitionState
    | Trimmed
    | StoreClosed
    | TopicSet
    | TopicRemoved
    | QueueSet
    | QueueRemoved
    | ExchangeSet
    | ExchangeRemoved
    | BindingSet
    | BindingRemoved
    | IdsUsed
    | NamespaceSet
    | NamespaceRemoved
    | GroupSet
    | GroupRemoved
    | Committed
    | PositionRemoved
    | Leased
    | Released
    | Settled
    | LedgerState
    | DedupState
    | UserSet
    | UserRemoved
    | AccessSecret
    | PolicySet
    | PolicyRemoved
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFact] = msgspec.msgpack.Decoder(AnyFact)
_PREFIX = bytes([FACT_VERSION])


def encode(fact: Fact) -> bytes:
    """The payload of a fact entry."""
    return _PREFIX + _encoder.encode(fact)


def decode(payload: bytes) -> AnyFact:
    """The fact of a payload whose checksum has been verified.

    Raises:
        StorageError: a schema version or a fact that this version does not know.
    """
    if payload[:1] != _PREFIX:
        found = payload[0] if payload else "none"
        raise StorageError(f"fact of schema version {found}; this version of Isthmus reads {FACT_VERSION}: upgrade it")
    try:
        return _decoder.decode(memoryview(payload)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(f"a fact that this version of Isthmus does not know ({error}): upgrade it") from error
