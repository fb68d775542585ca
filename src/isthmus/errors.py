"""Every error that Isthmus raises, by who must act.

`RequestError`: the caller asked for something that cannot be; safe to show, one class per cause, fields for programs
and a sentence for people. `ProtocolError`: a peer broke a wire protocol. `StorageError`: the operator must look at the
files. `EngineError`: a broker behind the client library failed; `retryable` says whether trying again can help. An
`InvariantError` is a bug of ours.
"""

from collections.abc import Sequence


class IsthmusError(Exception):
    """The root of the tree: catching it catches all that Isthmus raises on purpose."""


class InvariantError(IsthmusError):
    """Something that cannot happen happened: a bug in Isthmus. Stays on under `python -O`."""


# ---- the caller must act -----------------------------------------------------------------------------------------


class RequestError(IsthmusError):
    """The request cannot be done as asked; nothing was changed."""


class UnknownTopic(RequestError):
    """No topic of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no topic {name!r}; `isthmus ls` lists what there is, `isthmus create` makes one")
        self.name = name


class UnknownQueue(RequestError):
    """No queue of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no queue {name!r}; `isthmus ls` lists what there is, `isthmus create` makes one")
        self.name = name


class UnknownGroup(RequestError):
    """No consumer group of that name on that topic."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no consumer group {name!r}; `isthmus group ls` lists what there is")
        self.name = name


class UnknownUser(RequestError):
    """No user of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no user {name!r}; `isthmus user ls` lists what there is")
        self.name = name


class UnknownPolicy(RequestError):
    """No policy of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no policy {name!r}; `isthmus policy ls` lists what there is")
        self.name = name


class UnknownNamespace(RequestError):
    """No namespace of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no namespace {name!r}; `isthmus namespace ls` lists what there is")
        self.name = name


class UnknownExchange(RequestError):
    """No exchange of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no exchange {name!r}")
        self.name = name


class UnknownPartition(RequestError):
    """The topic has no partition of that index."""

    def __init__(self, topic: str, partition: int, partitions: int) -> None:
        super().__init__(f"topic {topic!r} has partitions 0 to {partitions - 1}, not {partition}")
        self.topic, self.partition, self.partitions = topic, partition, partitions


class AlreadyExists(RequestError):
    """The name is taken by something with another definition."""

    def __init__(self, kind: str, name: str, difference: str = "") -> None:
        super().__init__(f"{kind} {name!r} exists already" + (f" and differs: {difference}" if difference else ""))
        self.kind, self.name, self.difference = kind, name, difference


class BeingChanged(RequestError):
    """Another request is making, changing or removing the object at this moment."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} is being changed by another request; ask again when that is done")
        self.kind, self.name = kind, name


class InUse(RequestError):
    """The object cannot go or change while something else depends on it."""

    def __init__(self, kind: str, name: str, by: str) -> None:
        super().__init__(f"{kind} {name!r} is in use by {by}; remove that first")
        self.kind, self.name, self.by = kind, name, by


class InvalidName(RequestError):
    """The name breaks the naming rule."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} cannot be a name: {reason}")
        self.name, self.reason = name, reason


class InvalidArgument(RequestError):
    """An argument is outside its range or does not go with the others."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"{argument}: {reason}")
        self.argument, self.reason = argument, reason


class RecordTooLarge(RequestError):
    """A record or batch is larger than the limit."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{size_bytes} bytes are more than the limit of {limit_bytes}; store the content elsewhere and publish"
            " a reference, or raise the limit"
        )
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class UnitTooLarge(RequestError):
    """What was to be atomic is larger than one unit may be."""

    def __init__(self, size: int, limit: int, unit: str) -> None:
        super().__init__(f"{size} {unit} in one atomic unit are more than the limit of {limit}; split the work")
        self.size, self.limit, self.unit = size, limit, unit


class InvalidBatch(RequestError):
    """Bytes that were handed in as a record batch are not one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a valid record batch: {reason}")
        self.reason = reason


class UnsupportedCompression(RequestError):
    """The codec of a batch is not known, or the package that brings it is not installed."""

    def __init__(self, codec: str, package: str | None = None) -> None:
        why = "no such codec; use gzip, snappy, lz4 or zstd"
        if package is not None:
            why = f"the package {package!r} is missing; install the extra isthmus[fast], or use gzip"
        super().__init__(f"compression {codec!r} is not available here: {why}")
        self.codec, self.package = codec, package


class InvalidTimestamp(RequestError):
    """A record's timestamp lies further in the past or in the future than its topic takes."""

    def __init__(self, topic: str, timestamp_ms: int, now_ms: int) -> None:
        super().__init__(
            f"topic {topic!r} takes no record of timestamp {timestamp_ms} at {now_ms} (ms since 1970 UTC); set the"
            " producer's clock, or change timestamp_before_ms or timestamp_after_ms of the topic"
        )
        self.topic, self.timestamp_ms, self.now_ms = topic, timestamp_ms, now_ms


class KeyRequired(RequestError):
    """A record without a key was sent to a compacted topic."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} keeps the latest record per key, so every record needs a key")
        self.topic = topic


class OffsetOutOfRange(RequestError):
    """The offset is below the log start or above the high watermark."""

    def __init__(self, offset: int, log_start: int, high_watermark: int) -> None:
        super().__init__(f"offset {offset} is outside {log_start} to {high_watermark}, the offsets that exist")
        self.offset, self.log_start, self.high_watermark = offset, log_start, high_watermark


class OutOfOrderSequence(RequestError):
    """An idempotent producer skipped a sequence number."""

    def __init__(self, producer_id: int, expected: int, got: int) -> None:
        super().__init__(f"producer {producer_id} sent sequence {got}; {expected} was expected")
        self.producer_id, self.expected, self.got = producer_id, expected, got


class StaleProducer(RequestError):
    """A newer instance of the producer has taken over."""

    def __init__(self, producer_id: int, epoch: int, current: int) -> None:
        super().__init__(f"producer {producer_id} has epoch {epoch}, but {current} has taken over")
        self.producer_id, self.epoch, self.current = producer_id, epoch, current


class LeaseLost(RequestError):
    """The lease has expired, was released, or the record was handed to another consumer."""

    def __init__(self, queue: str, partition: int, offset: int) -> None:
        super().__init__(f"queue {queue!r}: the lease on offset {offset} of partition {partition} is no longer held")
        self.queue, self.partition, self.offset = queue, partition, offset


class StaleGeneration(RequestError):
    """The group has rebalanced since; what the caller holds belongs to an older generation."""

    def __init__(self, group: str, generation: int, current: int) -> None:
        super().__init__(f"group {group!r} is at generation {current}, not {generation}; join again")
        self.group, self.generation, self.current = group, generation, current


class UnknownMember(RequestError):
    """The group does not know that member (any more)."""

    def __init__(self, group: str, member: str) -> None:
        super().__init__(f"group {group!r} has no member {member!r}; join again")
        self.group, self.member = group, member


class RebalanceInProgress(RequestError):
    """The group is between two generations; join again."""

    def __init__(self, group: str) -> None:
        super().__init__(f"group {group!r} is rebalancing; join again")
        self.group = group


class InconsistentProtocol(RequestError):
    """A member offers no assignment protocol that the others of the group share."""

    def __init__(self, group: str) -> None:
        super().__init__(f"group {group!r}: no protocol that all members share")
        self.group = group


class FencedInstance(RequestError):
    """Another member has joined under the same instance id since; it owns the name now."""

    def __init__(self, group: str, instance: str, member: str) -> None:
        super().__init__(
            f"group {group!r}: a newer member than {member!r} uses instance id {instance!r}; stop one of the two, or"
            " give each its own instance id"
        )
        self.group, self.instance, self.member = group, instance, member


class MemberIdRequired(RequestError):
    """A newcomer was given its member id and must join again with it."""

    def __init__(self, group: str, member: str) -> None:
        super().__init__(f"group {group!r}: join again as member {member!r}")
        self.group, self.member = group, member


class GroupNotEmpty(RequestError):
    """The group has live members, so it cannot be removed or moved."""

    def __init__(self, group: str) -> None:
        super().__init__(f"group {group!r} has live members; stop them first")
        self.group = group


class TooFarAhead(RequestError):
    """A group finished offsets further above its floor than is kept track of."""

    def __init__(self, group: str, limit: int) -> None:
        super().__init__(f"group {group!r}: more than {limit} offsets between the floor and the furthest finished one")
        self.group, self.limit = group, limit


class AccessDenied(RequestError):
    """The principal may not do that."""

    def __init__(self, principal: str, operation: str, resource: str) -> None:
        super().__init__(f"{principal!r} may not {operation} {resource!r}")
        self.principal, self.operation, self.resource = principal, operation, resource


class Overloaded(RequestError):
    """A bound is reached; wait or send less."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what}: the limit of {limit} is reached; wait, or raise the limit")
        self.what, self.limit = what, limit


class QueueFull(RequestError):
    """A queue holds as much as it may, and refuses its publishers at that."""

    def __init__(self, queue: str, what: str, limit: int) -> None:
        super().__init__(
            f"queue {queue!r} is full: it may hold {limit} {what} that wait; consume some, then publish again"
        )
        self.queue, self.what, self.limit = queue, what, limit


class ExclusiveOwned(RequestError):
    """A queue belongs to one session, and no other may use it."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue!r} belongs to another session, which made it for itself alone")
        self.queue = queue


class StorageFull(RequestError):
    """The disk has no room for more events; acknowledging and trimming still work."""

    def __init__(self, directory: str, needed_bytes: int) -> None:
        super().__init__(
            f"{directory}: no room to pre-allocate the next {needed_bytes} bytes of the journal; free space, or let"
            " consumers acknowledge and retention trim, then publish again"
        )
        self.directory, self.needed_bytes = directory, needed_bytes


class ReadOnly(RequestError):
    """The store was opened for reading only."""

    def __init__(self, directory: str, reason: str) -> None:
        super().__init__(f"{directory} is open for reading only: {reason}")
        self.directory, self.reason = directory, reason


class Unsupported(RequestError):
    """The engine, or this version, does not do that; said when it is declared, not when it is first used."""

    def __init__(self, what: str, instead: str = "") -> None:
        super().__init__(what + (f"; {instead}" if instead else ""))
        self.what, self.instead = what, instead


class DeclarationError(RequestError):
    """An event, destination or handler is declared in a way that cannot work; raised at import."""


class WrongEventType(RequestError):
    """An event of a type that the destination does not carry."""

    def __init__(self, destination: str, got: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{destination!r} carries {' | '.join(allowed)}, not {got}")
        self.destination, self.got, self.allowed = destination, got, tuple(allowed)


class UnknownType(RequestError):
    """A stored event names a type that the destination's declaration does not have."""

    def __init__(self, destination: str, type_name: str | None) -> None:
        named = f"type {type_name!r}" if type_name else "no type name (header ce_type)"
        super().__init__(f"{destination!r}: a stored event has {named}, so it cannot be decoded")
        self.destination, self.type_name = destination, type_name


class DecodeError(RequestError):
    """The bytes of a stored event do not fit the type that they are said to be."""

    def __init__(self, destination: str, type_name: str, reason: str) -> None:
        super().__init__(f"{destination!r}: an event of type {type_name!r} cannot be decoded: {reason}")
        self.destination, self.type_name, self.reason = destination, type_name, reason


# ---- the peer must act -------------------------------------------------------------------------------------------


class ProtocolError(IsthmusError):
    """A peer broke the wire protocol; the connection or channel closes."""


# ---- the operator must act ---------------------------------------------------------------------------------------


class StorageError(IsthmusError):
    """The files or the disk need a person to look at them."""


class DirectoryInUse(StorageError):
    """Another process holds the data directory, and cannot be asked to do what is wanted."""

    def __init__(self, directory: str, pid: int | None, since: str | None) -> None:
        who = f"process {pid}" if pid is not None else "another process"
        when = f" since {since}" if since else ""
        super().__init__(
            f"{directory} is held by {who}{when}; it does not answer other processes, or not in time: reading commands"
            " work beside it all the same, to write wait for that process or stop it"
        )
        self.directory, self.pid, self.since = directory, pid, since


class ForkedBroker(StorageError):
    """The process was forked after the broker was opened; the child must not use it."""

    def __init__(self, directory: str) -> None:
        super().__init__(
            f"{directory} was opened before this process was forked; open the broker in the child, or use the"
            " 'spawn' start method"
        )
        self.directory = directory


class FormatTooNew(StorageError):
    """The data was written by a newer version."""

    def __init__(self, directory: str, found: int, supported: int) -> None:
        super().__init__(
            f"{directory} has format {found}, this version of Isthmus reads up to {supported}; upgrade Isthmus."
            " Nothing was changed"
        )
        self.directory, self.found, self.supported = directory, found, supported


class NotAStore(StorageError):
    """The directory holds something else."""

    def __init__(self, directory: str, reason: str) -> None:
        super().__init__(f"{directory} is not an Isthmus data directory: {reason}. Nothing was changed")
        self.directory, self.reason = directory, reason


class NoAccess(StorageError):
    """The operating system does not let this process use the directory."""

    def __init__(self, directory: str, cause: str) -> None:
        super().__init__(
            f"{directory} cannot be used: {cause}; give this user the right to write there, on a file system that is"
            " mounted for writing. Nothing was changed"
        )
        self.directory, self.cause = directory, cause


class Damaged(StorageError):
    """Bytes that were acknowledged as durable are no longer there as they were written."""

    def __init__(self, directory: str, ranges: Sequence[str]) -> None:
        super().__init__(
            f"{directory} is damaged: {'; '.join(ranges)}. It can be read but not written; see `isthmus log verify`,"
            " restore a backup, or accept the loss with `isthmus log repair --accept-loss`"
        )
        self.directory, self.ranges = directory, tuple(ranges)


class StorePoisoned(StorageError):
    """A write or a sync failed, so nothing more can be promised until the store is opened again."""

    def __init__(self, directory: str, cause: str) -> None:
        super().__init__(
            f"{directory}: {cause}. What was not acknowledged is in doubt; close the broker, look at the disk, open"
            " it again"
        )
        self.directory, self.cause = directory, cause


class Closed(StorageError):
    """The broker or engine has been closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is closed")
        self.what = what


# ---- the client must act -----------------------------------------------------------------------------------------


class EngineError(IsthmusError):
    """A broker behind the client library failed; `retryable` says whether trying again can help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class CircuitOpen(EngineError):
    """An upstream service failed too often; it is left alone and asked again after `after_ms`."""

    def __init__(self, service: str, after_ms: int) -> None:
        super().__init__(f"{service} failed too often and is left alone for another {after_ms} ms", retryable=True)
        self.service, self.after_ms = service, after_ms
