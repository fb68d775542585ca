"""The attributes of a queue as SQS has them: which there are, their ranges and defaults, and the queue that they make.

Pure: it checks and translates, and asks no broker. Spec: Amazon SQS API, `SetQueueAttributes`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs.errors import invalid, invalid_value

ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
FIFO: Final = ".fifo"
MESSAGE_BYTES_MAX: Final = 1_048_576
RECORD_BYTES: Final = MESSAGE_BYTES_MAX + 65_536
"""A message with its attributes, as a record with headers."""

NUMBERS: Final[dict[str, tuple[int, int, int]]] = {
    "DelaySeconds": (0, 900, 0),
    "MaximumMessageSize": (1_024, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20, 0),
    "VisibilityTimeout": (0, 43_200, 30),
}
"""Lowest, highest and usual value."""

FLAGS: Final = ("FifoQueue", "ContentBasedDeduplication", "SqsManagedSseEnabled")
CHOICES: Final = {
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
FIFO_ONLY: Final = ("FifoQueue", "ContentBasedDeduplication", *CHOICES)
TEXTS: Final = ("Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId")
"""Empty removes them."""

KMS_REUSE: Final = "KmsDataKeyReusePeriodSeconds"
SETTABLE: Final = frozenset({*NUMBERS, *FLAGS, *CHOICES, *TEXTS, KMS_REUSE})
COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
READ_ONLY: Final = ("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", *COUNTS)
NAMES: Final = SETTABLE | {*READ_ONLY}

KEPT: Final = "sqs"
"""Under which name a queue's definition keeps what is SQS's own."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]*:[0-9]{12}:([A-Za-z0-9_.-]{1,80})\Z")
RECEIVES_MAX: Final = 1_000


class Own(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What SQS wants to see again of a queue: attributes as they were set, tags, permissions, times in seconds."""

    attributes: dict[str, str] = {}
    tags: dict[str, str] = {}
    permissions: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    created_s: int = 0
    modified_s: int = 0


class RedrivePolicy(Struct, frozen=True, rename="camel"):
    """Where the dead go, and after how many receives."""

    dead_letter_target_arn: str
    max_receive_count: int | str


def own_of(config: QueueConfig) -> Own:
    """What SQS knows of a queue; of one that another door made, what follows from how it hands out."""
    for name, value in config.kept:
        if name == KEPT:
            return msgspec.json.decode(value, type=Own)
    found = {"VisibilityTimeout": str((config.lease_ms or 30_000) // 1_000)}
    return Own(attributes=found)


def check_name(name: str, *, fifo: bool) -> None:
    """Raises AwsError for a name that a queue cannot have."""
    stem = name.removesuffix(FIFO)
    if fifo and (stem == name or not _NAME.match(stem) or len(name) > 80):
        raise invalid(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end "
            "with .fifo suffix and be 1 to 80 in length"
        )
    if not fifo and not _NAME.match(name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def is_name(name: str) -> bool:
    """Whether SQS could name it so: what others made is not listed under a name that SQS has no word for."""
    return _NAME.match(name.removesuffix(FIFO)) is not None and len(name) <= 80


def arn_of(name: str, region: str = REGION, account: str = ACCOUNT) -> str:
    """The resource name of a queue."""
    return f"arn:aws:sqs:{region}:{account}:{name}"


def name_of_arn(arn: str) -> str | None:
    """The queue that a resource name means, None for what is no such name."""
    found = _ARN.match(arn)
    return found[1] if found else None


# ---- checking -----------------------------------------------------------------------------------------------------


def check(given: Mapping[str, str], *, fifo: bool) -> None:
    """Hold attributes that are to be set against the rules.

    Raises:
        AwsError: one does not exist, or has a value that it cannot have.
    """
    for name, value in given.items():
        if name not in SETTABLE:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        if name in FIFO_ONLY and not fifo:
            _refuse_fifo(name)
        _check_value(name, value)
    scope, limit = given.get("DeduplicationScope"), given.get("FifoThroughputLimit")
    if limit == "perMessageGroupId" and scope != "messageGroup":
        raise _bad(limit, "FifoThroughputLimit")


def _refuse_fifo(name: str) -> None:
    if name == "FifoQueue":
        raise AwsError(
            "InvalidAttributeValue",
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        )
    raise AwsError("InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.")


def _check_value(name: str, value: str) -> None:
    if name in NUMBERS or name == KMS_REUSE:
        low, high, _ = NUMBERS.get(name, (60, 86_400, 300))
        if not value.isascii() or not value.isdigit() or not low <= int(value[:12] or "0") <= high:
            raise _bad(value, name)
    elif (name in FLAGS and value.lower() not in {"true", "false"}) or value not in CHOICES.get(name, (value,)):
        raise _bad(value, name)
    elif name == "RedrivePolicy" and value:
        redrive_of(value)
    elif name in {"Policy", "RedriveAllowPolicy"} and value:
        _object(name, value)


def _bad(value: str, name: str) -> AwsError:
    return AwsError(
        "InvalidAttributeValue", f"Invalid value for the parameter {name}. Reason: {value!r} is not allowed."
    )


def _object(name: str, value: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise invalid_value(value, name, "it is no JSON object.") from error


def redrive_of(value: str) -> tuple[str, int]:
    """The queue for the dead and the number of receives, of a redrive policy.

    Raises:
        AwsError: it is none.
    """
    try:
        policy = msgspec.json.decode(value, type=RedrivePolicy)
        count = int(policy.max_receive_count)
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError) as error:
        raise invalid_value(value, "RedrivePolicy", "Redrive policy is not a valid JSON map.") from error
    if not 1 <= count <= RECEIVES_MAX:
        reason = (
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to {RECEIVES_MAX} both inclusive."
        )
        raise invalid_value(value, "RedrivePolicy", reason)
    name = name_of_arn(policy.dead_letter_target_arn)
    if name is None:
        raise invalid_value(value, "RedrivePolicy", "Invalid value for deadLetterTargetArn.")
    return name, count


# ---- translating --------------------------------------------------------------------------------------------------


def number(own: Own, name: str) -> int:
    """A number among the attributes, its usual value when it was not set."""
    return int(own.attributes.get(name, NUMBERS[name][2]))


def flag(own: Own, name: str) -> bool:
    """A flag among the attributes."""
    return own.attributes.get(name, "false").lower() == "true"


def definition_of(name: str, namespace: str, own: Own) -> QueueDefinition:
    """The queue that these attributes make."""
    dead, receives = None, None
    if policy := own.attributes.get("RedrivePolicy"):
        dead, receives = redrive_of(policy)
    config = QueueConfig(
        lease_ms=max(1, number(own, "VisibilityTimeout") * 1_000),
        failed_max=None,
        acquired_max=receives,
        dead=dead,
        ordered=name.endswith(FIFO),
        ttl_ms=number(own, "MessageRetentionPeriod") * 1_000,
        kept=((KEPT, msgspec.json.encode(own)),),
    )
    return QueueDefinition(
        name=name,
        namespace=namespace,
        config=config,
        topic=TopicConfig(consumed=True, record_bytes_max=RECORD_BYTES),
    )


def changed(own: Own, given: Mapping[str, str], now_s: int) -> Own:
    """The same with these attributes set; empty texts are removed."""
    attributes = {name: value for name, value in {**own.attributes, **given}.items() if value or name not in TEXTS}
    if given.get("KmsMasterKeyId"):
        attributes["SqsManagedSseEnabled"] = "false"
    return msgspec.structs.replace(own, attributes=attributes, modified_s=now_s)


def shown(name: str, own: Own, counts: tuple[int, int, int]) -> dict[str, str]:
    """All attributes of a queue; `counts` are those available, in flight and delayed."""
    found = {each: str(number(own, each)) for each in NUMBERS}
    found |= {"SqsManagedSseEnabled": "true"} | own.attributes
    found |= {each: str(count) for each, count in zip(COUNTS, counts, strict=True)}
    found |= {"QueueArn": arn_of(name), "CreatedTimestamp": str(own.created_s)}
    found["LastModifiedTimestamp"] = str(own.modified_s)
    if name.endswith(FIFO):
        usual = {"FifoQueue": "true", "ContentBasedDeduplication": "false"}
        found = {**usual, "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue", **found}
    return found


def difference(own: Own, given: Mapping[str, str]) -> str | None:
    """The first attribute in which a queue differs from what is asked for."""
    has = shown("", own, (0, 0, 0))
    return next((name for name, value in given.items() if has.get(name, "").lower() != value.lower()), None)
