"""The arguments of queues and exchanges: what each means here, which are refused, and when two declarations are equal.

Tables and their reading; it asks the broker nothing and makes nothing.

Spec: RabbitMQ 4.3, "Queues" (optional arguments), "Time-To-Live", "Queue Length Limit", "Dead Letter Exchanges".
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from isthmus.definition import DAY_MS, Overflow, QueueConfig, TopicConfig
from isthmus.limits import AMQP_DELIVERY_LIMIT, AMQP_PREFIX_BYTES_MAX, RECORD_BYTES_CEILING
from isthmus.protocols.amqp.errors import Code, Refused

Table = Mapping[str, Any]
"""A field table as it was decoded."""

QueueType = Literal["classic", "quorum", "stream"]

TYPE: Final = "x-queue-type"
TYPES: Final[tuple[QueueType, ...]] = ("classic", "quorum", "stream")
MILLISECONDS_MAX: Final = 315_360_000_000
"""Ten years, which is the longest that RabbitMQ takes."""

C: Final = frozenset({"classic"})
Q: Final = frozenset({"quorum"})
S: Final = frozenset({"stream"})


class Argument(NamedTuple):
    """What a queue may be declared with: its type, the types of queue that know it, its range, what it does here."""

    kind: Literal["int", "text", "bool", "any"]
    types: frozenset[str]
    acts: str
    least: int = 0
    most: int = MILLISECONDS_MAX
    equal: bool = True
    """Whether declaring again with another value is refused."""


NOTHING: Final = "accepted; means nothing on one node"

DEDUPLICATION: Final = "x-message-deduplication"
"""Not RabbitMQ's own, but that of a plugin."""

ARGUMENTS: Final[dict[str, Argument]] = {
    TYPE: Argument("text", C | Q | S, "which arguments there are, and the delivery limit; a stream is a topic"),
    "x-message-ttl": Argument("int", C | Q, "acts"),
    "x-expires": Argument("int", C | Q, "acts", least=1),
    "x-dead-letter-exchange": Argument("text", C | Q, "acts"),
    "x-dead-letter-routing-key": Argument("text", C | Q, "acts"),
    "x-dead-letter-strategy": Argument(
        "text", Q, "accepted; both are at least once here, in one unit with the settling"
    ),
    "x-max-length": Argument("int", C | Q, "acts"),
    "x-max-length-bytes": Argument("int", C | Q | S, "acts; of a stream, it is what its topic retains"),
    "x-overflow": Argument("text", C | Q, "acts"),
    "x-max-priority": Argument("int", C, "acts", least=1, most=255),
    "x-single-active-consumer": Argument("bool", C | Q, "acts"),
    "x-delivery-limit": Argument("int", Q, "acts", least=-1),
    "x-consumer-timeout": Argument("int", Q, "acts: the lease of a delivery ends after it"),
    "x-max-age": Argument("text", S, "acts: the age to which its topic retains"),
    "x-stream-max-segment-size-bytes": Argument("int", S, NOTHING),
    "x-stream-filter-size-bytes": Argument("int", S, "accepted; filtering here is exact"),
    "x-initial-cluster-size": Argument("int", S, NOTHING),
    "x-quorum-initial-group-size": Argument("int", Q, NOTHING),
    "x-quorum-target-group-size": Argument("int", Q, NOTHING),
    "x-queue-leader-locator": Argument("text", C | Q | S, NOTHING),
    "x-queue-master-locator": Argument("text", C, NOTHING),
    "x-member-placement-tag": Argument("text", Q | S, NOTHING),
    "x-queue-mode": Argument("text", C, "accepted; every queue is on disk and in memory as far as needed", equal=False),
    "x-queue-version": Argument("int", C, "accepted; there is one kind of storage", equal=False),
    DEDUPLICATION: Argument(
        "bool", C | Q, "acts: of messages with one `message-id` within 5 minutes it takes the first"
    ),
    "x-name-prefix": Argument("text", C, "acts: what names begin with that are made for a queue", equal=False),
}
"""What is known. Others are kept and shown, and do nothing, as in RabbitMQ."""

LATER: Final = {
    "x-consumer-disconnected-timeout": "leases end with the connection",
    "x-delayed-retry-type": "delayed retries are the library's",
    "x-delayed-retry-min": "delayed retries are the library's",
    "x-delayed-retry-max": "delayed retries are the library's",
}
"""What would act in RabbitMQ 4.3 and is refused by name here, with why."""

GOVERNED: Final = {
    "x-message-ttl": "ttl_ms",
    "x-expires": "expires_ms",
    "x-dead-letter-exchange": "dead_exchange",
    "x-dead-letter-routing-key": "dead_key",
    "x-max-length": "max_events",
    "x-max-length-bytes": "max_bytes",
    "x-overflow": "overflow",
    "x-delivery-limit": "failed_max",
}
"""Arguments beside which a policy may have something to say, and what they set."""

OVERFLOWS: Final[dict[str, Overflow]] = {
    "drop-head": "drop",
    "reject-publish": "refuse",
    "reject-publish-dlx": "refuse_dead",
}
AGE_UNITS_MS: Final = {
    "Y": 365 * DAY_MS, "M": 30 * DAY_MS, "D": DAY_MS, "h": 3_600_000, "m": 60_000, "s": 1_000,
}  # fmt: skip
"""What `x-max-age` is written in."""

KEPT: Final = "amqp-arguments"
"""The name under which a queue or an exchange keeps its arguments, as an encoded table."""


class Named(NamedTuple):
    """What the sentences of refusals speak of, such as `queue 'q' in vhost '/'`."""

    kind: Literal["queue", "exchange"]
    name: str
    vhost: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' in vhost '{self.vhost}'"


class Flags(NamedTuple):
    """How a queue was declared besides its arguments."""

    durable: bool
    exclusive: bool
    auto_delete: bool


def queue_type(named: Named, arguments: Table) -> QueueType:
    """Which type of queue the arguments ask for. Raises Refused."""
    found = text(arguments.get(TYPE, "classic"))
    for known in TYPES:
        if found == known:
            return known
    raise invalid(TYPE, named, f"there is no queue type {found!r}")


def check_queue(named: Named, flags: Flags, arguments: Table) -> QueueType:
    """Hold a declaration against the table.

    Raises:
        Refused: an argument has a value that it cannot have, or does not go with the type of queue.
    """
    type_ = queue_type(named, arguments)
    for name, value in arguments.items():
        if name in LATER:
            raise invalid(name, named, f"not supported here: {LATER[name]}")
        argument = ARGUMENTS.get(name)
        if argument is None:
            continue
        if type_ not in argument.types:
            raise Refused(
                Code.PRECONDITION_FAILED, f"invalid arg '{name}' for {named} of queue type rabbit_{type_}_queue"
            )
        _check_value(name, named, argument, value)
    _check_texts(named, arguments)
    if type_ != "classic":
        _check_flags(named, flags)
    return type_


def _check_value(name: str, named: Named, argument: Argument, value: object) -> None:
    if argument.kind == "int":
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(name, named, f"{{unacceptable_type,{type_name(value)}}}")
        if value == 0 and argument.least == 1:
            raise invalid(name, named, "{value_zero,0}")
        if value < argument.least:
            raise invalid(name, named, f"{{value_negative,{value}}}")
        if value > argument.most:
            raise invalid(name, named, f"{{value_too_big,{value}}}")
    elif (argument.kind == "text" and text(value) is None) or (argument.kind == "bool" and not isinstance(value, bool)):
        raise invalid(name, named, f"{{unacceptable_type,{type_name(value)}}}")


def _check_texts(named: Named, arguments: Table) -> None:
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        raise invalid("x-dead-letter-routing-key", named, "routing_key_but_no_dlx_defined")
    for name, allowed, why in (
        ("x-overflow", OVERFLOWS, "invalid_overflow"),
        ("x-queue-mode", ("default", "lazy"), "invalid_queue_mode"),
        ("x-dead-letter-strategy", ("at-most-once", "at-least-once"), "invalid_dlx_strategy"),
    ):
        if name in arguments and text(arguments[name]) not in allowed:
            raise invalid(name, named, why)
    if queue_type(named, arguments) == "quorum" and text(arguments.get("x-overflow")) == "reject-publish-dlx":
        raise invalid("x-overflow", named, "reject-publish-dlx is for classic queues")
    if "x-max-age" in arguments:
        age_ms(named, text(arguments["x-max-age"]) or "")
    prefix = text(arguments.get("x-name-prefix", "")) or ""
    if len(prefix.encode()) > AMQP_PREFIX_BYTES_MAX:
        raise invalid("x-name-prefix", named, f"it has more than {AMQP_PREFIX_BYTES_MAX} bytes")


def _check_flags(named: Named, flags: Flags) -> None:
    for name, wrong in (
        ("non-durable", not flags.durable),
        ("exclusive-owner", flags.exclusive),
        ("auto-delete", flags.auto_delete),
    ):
        if wrong:
            raise Refused(Code.PRECONDITION_FAILED, f"invalid property '{name}' for {named}")


def queue_config(type_: QueueType, flags: Flags, arguments: Table, kept: bytes) -> QueueConfig:
    """How a queue with these arguments, which were checked, hands out."""
    return QueueConfig(
        lease_ms=arguments.get("x-consumer-timeout"),
        failed_max=_failed_max(type_, arguments),
        ttl_ms=arguments.get("x-message-ttl"),
        dead_exchange=text(arguments.get("x-dead-letter-exchange")),
        dead_key=text(arguments.get("x-dead-letter-routing-key")),
        max_events=arguments.get("x-max-length"),
        max_bytes=arguments.get("x-max-length-bytes"),
        overflow=OVERFLOWS[text(arguments.get("x-overflow")) or "drop-head"],
        priorities=min(255, arguments.get("x-max-priority", 0) + 1),
        single=bool(arguments.get("x-single-active-consumer", False)),
        expires_ms=arguments.get("x-expires"),
        auto_remove=flags.auto_delete,
        kept=((KEPT, kept),),
        asked=tuple([setting for name, setting in GOVERNED.items() if name in arguments]),
    )


def _failed_max(type_: QueueType, arguments: Table) -> int | None:
    """Failures with which a message is dead: one more than the limit, which may be reached."""
    if type_ != "quorum":
        return None
    limit: int = arguments.get("x-delivery-limit", AMQP_DELIVERY_LIMIT)
    return None if limit < 0 else limit + 1


def queue_topic(flags: Flags, arguments: Table) -> TopicConfig:
    """How the topic of a queue keeps its records: what is not durable need not survive the power."""
    level: Literal["fsync", "written"] = "fsync" if flags.durable else "written"
    return TopicConfig(
        consumed=True,
        level=level,
        record_bytes_max=RECORD_BYTES_CEILING,
        message_ids=arguments.get(DEDUPLICATION) is True,
    )


def stream_topic(named: Named, arguments: Table, kept: str) -> TopicConfig:
    """How the topic that a stream is keeps its records."""
    age = text(arguments.get("x-max-age"))
    return TopicConfig(
        age_ms=None if age is None else age_ms(named, age),
        size_bytes=arguments.get("x-max-length-bytes"),
        record_bytes_max=RECORD_BYTES_CEILING,
        kept=((KEPT, kept),),
    )


def age_ms(named: Named, written: str) -> int:
    """`7D` and the like, in milliseconds. Raises Refused."""
    number, unit = written[:-1], AGE_UNITS_MS.get(written[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or len(number) > len(str(MILLISECONDS_MAX)):
        raise invalid("x-max-age", named, "invalid_max_age")
    return int(number) * unit


def differences(named: Named, asked: Table, current: Table, names: Iterator[str] | None = None) -> None:
    """Compare the arguments of a declaration with those that there are.

    Raises:
        Refused: one has another value.
    """
    for name in names or iter([each for each, argument in ARGUMENTS.items() if argument.equal]):
        default = "classic" if name == TYPE else None
        new, old = asked.get(name, default), current.get(name, default)
        if not equal(new, old):
            raise Refused(
                Code.PRECONDITION_FAILED,
                f"inequivalent arg '{name}' for {named}: received {shown(new)} but current is {shown(old)}",
            )


def differs(named: Named, name: str, *, asked: object, current: object) -> Refused:
    """A property of a declaration, such as `durable`, is another one than there is."""
    return Refused(
        Code.PRECONDITION_FAILED,
        f"inequivalent arg '{name}' for {named}: received '{_plain(asked)}' but current is '{_plain(current)}'",
    )


def equal(new: object, old: object) -> bool:
    """Whether two values of an argument are the same, whatever type their numbers have."""
    if isinstance(new, bool) or isinstance(old, bool):
        return new is old
    if isinstance(new, str | bytes) and isinstance(old, str | bytes):
        return text(new) == text(old)
    return new == old


def shown(value: object) -> str:
    """A value as RabbitMQ's sentences show it."""
    return "none" if value is None else f"the value '{_plain(value)}' of type '{type_name(value)}'"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(text(value) or value)


def text(value: object) -> str | None:
    """A string of a table as text; None when it is no string."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None


def type_name(value: object) -> str:
    """RabbitMQ's name for the type of a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "signedint" if -(1 << 31) <= value < 1 << 31 else "long"
    for kind, name in (
        (str | bytes, "longstr"),
        (float, "double"),
        (Mapping, "table"),
        (list | tuple, "array"),
    ):
        if isinstance(value, kind):
            return name
    return "void" if value is None else "unknown"


def invalid(name: str, named: Named, why: str) -> Refused:
    """An argument that cannot be taken."""
    return Refused(Code.PRECONDITION_FAILED, f"invalid arg '{name}' for {named}: {why}")
