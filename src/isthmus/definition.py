"""What topics, queues, exchanges and users are defined to be: the nouns of the catalogue, as data.

The client declares them, the broker journals them, every door shows them. No behaviour, no defaults that depend on a
machine.
"""

from typing import Final, Literal

from msgspec import Struct

from isthmus.errors import InvalidName
from isthmus.limits import DEDUP_WINDOW_MS, NAME_BYTES_MAX, RECORD_BYTES_MAX

Level = Literal["fsync", "written"]
"""Durability: `fsync` = on disk before it is acknowledged; `written` = survives the process, not the power."""

Placement = Literal["murmur2", "md5-range", "priority", "single"]
"""How a key finds its partition."""

Timestamps = Literal["create", "append"]
"""What a record's timestamp says: when its producer made it, or when the broker appended it."""

Compression = Literal["producer", "none", "gzip", "snappy", "lz4", "zstd"]
"""The codec of stored batches; `producer` leaves each as it comes."""

ExchangeKind = Literal["direct", "fanout", "topic", "headers"]

Overflow = Literal["refuse", "drop", "refuse_dead"]
"""What happens at the length limit of a queue."""

Scalar = bytes | int | float | bool | None
"""What a header can be compared with, text as UTF-8; None stands for any value."""

Kept = tuple[tuple[str, bytes], ...]
"""Settings of another system: name and value, the value as that system's door writes and reads it."""

Lifetime = Literal["durable", "process", "session"]
"""How long an object lives: until removed, until the process that holds the store ends, until its session ends."""

DEFAULT_NAMESPACE: Final = "default"
DAY_MS: Final = 86_400_000


class TopicConfig(Struct, frozen=True, kw_only=True):
    """How a topic keeps its records. Times in milliseconds, sizes in bytes; None means "no limit".

    Retention removes what is older than `age_ms`, or above `size_bytes` in a partition, or (`consumed`) what every
    declared reader is done with; never before `floor_ms` and always after `ceiling_ms`, both ages by append time.
    `silent_ms` is how long a group may be absent before it stops holding trims.

    `compact` keeps the newest record per key (with age or size as well, of what retention has left): records younger
    than `compact_lag_ms` stay as they are; a partition is looked at when `compact_ratio` of its bytes are new since the
    last time, or the oldest new record is older than `compact_lag_max_ms`; a record without a value, which removes its
    key, stays `tombstone_ms` longer.

    `record_bytes_max` is the limit of one record, and of one batch that a foreign producer built. A record whose
    producer's timestamp lies further than `timestamp_before_ms` in the past or `timestamp_after_ms` in the future is
    refused, unless `timestamps` is "append", which sets it. `event_types` and `key_field` are what the client declared,
    for people and tools only. With `message_ids` the ids that a publisher's protocol gives its messages are ids of
    de-duplication here. `kept` are settings by another system's names that mean nothing here and that its tools
    want to see again.
    """

    level: Level = "fsync"
    age_ms: int | None = None
    size_bytes: int | None = None
    compact: bool = False
    compact_lag_ms: int = 0
    compact_lag_max_ms: int | None = None
    compact_ratio: float = 0.5
    tombstone_ms: int = DAY_MS
    consumed: bool = False
    floor_ms: int | None = None
    ceiling_ms: int | None = None
    silent_ms: int = 7 * DAY_MS
    record_bytes_max: int = RECORD_BYTES_MAX
    timestamps: Timestamps = "create"
    timestamp_before_ms: int | None = None
    timestamp_after_ms: int | None = None
    compression: Compression = "producer"
    dedup_ms: int = DEDUP_WINDOW_MS
    message_ids: bool = False
    codec: str = "json"
    event_types: tuple[str, ...] = ()
    key_field: str | None = None
    kept: tuple[tuple[str, str], ...] = ()


class TopicDefinition(Struct, frozen=True, kw_only=True):
    """A topic as it is asked for."""

    name: str
    namespace: str = DEFAULT_NAMESPACE
    partitions: int = 1
    placement: Placement = "murmur2"
    config: TopicConfig = TopicConfig()
    lifetime: Lifetime = "durable"


class BackoffPolicy(Struct, frozen=True, kw_only=True):
    """When a failed delivery comes again: `first_ms` doubling up to `max_ms`, with up to `jitter` of it random."""

    attempts: int = 5
    first_ms: int = 1_000
    max_ms: int = 300_000
    jitter: float = 0.2


class QueueConfig(Struct, frozen=True, kw_only=True):
    """How a queue hands out its records.

    `failed_max` is the delivery limit on failures (exception, reject, expiry, lost consumer), `acquired_max` on
    hand-overs; None is no limit. What reaches a limit goes to the topic named `dead` of the same namespace (None:
    settled as dead without a copy). `ordered` holds a record back while an earlier one of its key is unsettled.
    `ttl_ms` is the age at which an unsettled record expires.

    `dead_exchange` routes the dead instead, with the key `dead_key` or else their own. `priorities` is the number of
    levels, `single` lets one consumer at a time have records, the next when it goes. `max_events` and `max_bytes` bound
    what is ready: beyond it `overflow` drops from the head, or refuses the publisher, who with "refuse_dead" leaves a
    dead letter. A queue that nobody uses for `expires_ms` is removed, and with `auto_remove` one whose last consumer
    goes. `kept` are settings by another system's names, opaque here, that its clients want to see again.

    `asked` names the settings that whoever declared the queue asked for, which policies do not override; None: all that
    are not at their default.
    """

    lease_ms: int | None = 30_000
    failed_max: int | None = 5
    acquired_max: int | None = None
    backoff: BackoffPolicy = BackoffPolicy()
    dead: str | None = None
    ordered: bool = False
    ttl_ms: int | None = None
    priorities: int = 1
    fair: bool = False
    single: bool = False
    max_events: int | None = None
    max_bytes: int | None = None
    overflow: Overflow = "refuse"
    dead_exchange: str | None = None
    dead_key: str | None = None
    expires_ms: int | None = None
    auto_remove: bool = False
    kept: Kept = ()
    asked: tuple[str, ...] | None = None


class QueueDefinition(Struct, frozen=True, kw_only=True):
    """A queue as it is asked for.

    It always owns a topic of its own name, made with `topic`. `view_of` names a topic that it takes as a second
    source, from `view_start` on: "earliest", "latest", or a time in milliseconds since 1970 UTC.
    """

    name: str
    namespace: str = DEFAULT_NAMESPACE
    config: QueueConfig = QueueConfig()
    topic: TopicConfig = TopicConfig(consumed=True)
    partitions: int = 1
    view_of: str | None = None
    view_start: int | Literal["earliest", "latest"] = "earliest"
    lifetime: Lifetime = "durable"


class ExchangeDefinition(Struct, frozen=True, kw_only=True):
    """A place to publish to that routes by binding.

    `auto_remove` removes it when the last binding from it goes, `internal` takes from other exchanges only, what finds
    no way goes to the exchange named `alternate`, and `delayed` keeps what has a due time until then.
    """

    name: str
    namespace: str = DEFAULT_NAMESPACE
    kind: ExchangeKind = "direct"
    lifetime: Lifetime = "durable"
    auto_remove: bool = False
    internal: bool = False
    alternate: str | None = None
    delayed: bool = False
    kept: Kept = ()


class HeaderMatch(Struct, frozen=True, kw_only=True):
    """What the headers of a record are to hold, all or any of it; names that begin with `x-` count only `with_x`."""

    mode: Literal["all", "any"] = "all"
    with_x: bool = False
    rows: tuple[tuple[str, Scalar], ...] = ()


class Binding(Struct, frozen=True, kw_only=True):
    """From an exchange to a topic, or to another exchange: exactly one of `topic` and `to_exchange` is given.

    By routing key (direct), by pattern (topic), by `match` (headers) or always (fanout). `kept` is what another system
    said beside; bindings that differ in it are two.
    """

    exchange: str
    topic: str = ""
    key: str = ""
    namespace: str = DEFAULT_NAMESPACE
    to_exchange: str = ""
    match: HeaderMatch | None = None
    kept: bytes = b""


PolicyTarget = Literal["queues", "exchanges", "all"]


class PolicyDefinition(Struct, frozen=True, kw_only=True):
    """A policy as it is asked for: settings of all queues or exchanges of a namespace whose name fits `pattern`.

    The pattern is a regular expression, which may match anywhere in a name. Of several that fit, the one of the highest
    priority counts, then the one whose name comes first. `settings` are names as in `QueueConfig` and
    `ExchangeDefinition`, with their values in JSON.
    """

    name: str
    pattern: str
    namespace: str = DEFAULT_NAMESPACE
    applies_to: PolicyTarget = "all"
    priority: int = 0
    settings: Kept = ()


# ---- users ---------------------------------------------------------------------------------------------------------

Operation = Literal["create", "alter", "remove", "describe", "publish", "read", "consume", "commit", "administer"]
"""What somebody may be allowed to do with topics, queues, exchanges and groups; docs/security.md says what each is."""

ScramMechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512"]


class ScramCredential(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a password for one mechanism: it proves who knows the password and does not tell it.

    With `before` it was made of somebody else's hash of the password, which was salted with that: only who sends the
    password itself can be let in by it.
    """

    mechanism: ScramMechanism
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes
    before: bytes = b""

    def __repr__(self) -> str:
        """Without the keys: a representation may end in a log."""
        return f"ScramCredential({self.mechanism!r}, {self.iterations} iterations)"


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """These operations on everything whose name fits `pattern`, in which `*` stands for any text and nothing else is
    special: in one namespace, or with None in all. Nothing is ever taken away by a grant.
    """

    operations: tuple[Operation, ...]
    pattern: str
    namespace: str | None = None


class UserDefinition(Struct, frozen=True, kw_only=True):
    """A user as it is asked for.

    `scrams` are the credentials, one a mechanism: none for a user that has a certificate only, None to keep those that
    there are. An `admin` may do everything, whatever the grants say.
    """

    name: str
    scrams: tuple[ScramCredential, ...] | None = None
    admin: bool = False
    grants: tuple[Grant, ...] = ()


def check_name(name: str) -> str:
    """The name, when it can be one: 1 to 255 bytes of UTF-8 without control characters. It never becomes a path.

    Raises:
        InvalidName: it cannot.
    """
    if not isinstance(name, str):
        raise InvalidName(repr(name), f"it is {type(name).__name__}, not text")
    if not name:
        raise InvalidName(name, "it is empty; names have 1 to 255 bytes")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
        raise InvalidName(name, "it holds a control character; remove it")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidName(name, "it is not valid Unicode text") from error
    if size > NAME_BYTES_MAX:
        raise InvalidName(name, f"it has {size} bytes of UTF-8; {NAME_BYTES_MAX} is the most")
    return name
