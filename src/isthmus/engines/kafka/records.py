"""Between librdkafka and the port: messages and records, errors and errors.

It translates and does nothing else.
"""

import logging
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from isthmus.errors import (
    AccessDenied,
    EngineError,
    GroupNotEmpty,
    InvalidArgument,
    IsthmusError,
    RecordTooLarge,
    StaleGeneration,
    UnknownGroup,
    UnknownMember,
    UnknownTopic,
)
from isthmus.log.headers import append_headers, decode_headers
from isthmus.record import NO_HEADERS, Record, StoredRecord

logger = logging.getLogger(__name__)

Headers = list[tuple[str, str | bytes | None]]

DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own codes have a leading underscore
    }
)
UNKNOWN_TOPIC: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001
)


def error_of(error: KafkaError, about: str) -> IsthmusError:
    """What a failure of librdkafka's is called here; `about` is the topic or group that was worked on."""
    code = error.code()
    if code in UNKNOWN_TOPIC:
        return UnknownTopic(about)
    if code in DENIED:
        return AccessDenied("this client", f"({error.str()})", about)
    match code:
        case KafkaError.GROUP_ID_NOT_FOUND:
            return UnknownGroup(about)
        case KafkaError.NON_EMPTY_GROUP:
            return GroupNotEmpty(about)
        case KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordTooLarge(0, 0)
        case KafkaError.ILLEGAL_GENERATION | KafkaError.REBALANCE_IN_PROGRESS:
            return StaleGeneration(about, -1, -1)
        case KafkaError.UNKNOWN_MEMBER_ID | KafkaError.FENCED_INSTANCE_ID:
            return UnknownMember(about, "")
        case KafkaError.INVALID_CONFIG | KafkaError.INVALID_REQUEST | KafkaError.POLICY_VIOLATION:
            return InvalidArgument(about, error.str())
        case _:
            return EngineError(f"{about}: {error.str()} ({error.name()})", retryable=_retryable(error))


def _retryable(error: KafkaError) -> bool:
    transport = (
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    )
    return error.retriable() or (error.code() in transport and not error.fatal())


def raised(error: KafkaException, about: str) -> IsthmusError:
    """`error_of` for what was raised."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, KafkaError):
        return error_of(cause, about)
    return EngineError(f"{about}: {error}", retryable=False)


def headers_of(record: Record) -> Headers | None:
    """A record's headers as librdkafka takes them. Raises InvalidBatch."""
    return None if record.headers == NO_HEADERS else list(decode_headers(record.headers))


def stored(message: Message) -> StoredRecord:
    """A message that has arrived."""
    return StoredRecord(
        number(message.offset()), message.timestamp()[1], message.key(), message.value(), _block(message)
    )


def _block(message: Message) -> bytes:
    rows = message.headers()
    if not rows:
        return NO_HEADERS
    pairs = rows.items() if isinstance(rows, dict) else rows
    try:
        return append_headers(NO_HEADERS, [(n, v.encode() if isinstance(v, str) else v) for n, v in pairs])
    except InvalidArgument as error:
        # Kafka lets more headers through than a record has here; its key and its value are what matters.
        logger.warning("%s/%s/%s: %s; read without its headers", *place(message), error)
        return NO_HEADERS


def place(message: Message) -> tuple[str, int, int]:
    """Topic, partition and offset."""
    return message.topic() or "", number(message.partition()), number(message.offset())


def number(value: int | None) -> int:
    """What librdkafka says of a message that is really there is a number."""
    return -1 if value is None else value
