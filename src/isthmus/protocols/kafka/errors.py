"""Kafka's error codes, and which of them says what a refusal of ours says.

A table only. Handlers may know better where one refusal has another code for some operation.

Spec: Apache Kafka protocol guide, "Error Codes".
"""

import enum
from typing import Final, Literal

from isthmus import errors as e

Kind = Literal["topic", "group", "cluster"]
"""What an operation is about, where a refusal of ours has a code of its own for each."""


class Code(enum.IntEnum):
    """The codes that this broker uses, by Kafka's names."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    COORDINATOR_NOT_AVAILABLE = 15
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    KAFKA_STORAGE_ERROR = 56
    SASL_AUTHENTICATION_FAILED = 58
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    MEMBER_ID_REQUIRED = 79
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    THROTTLING_QUOTA_EXCEEDED = 89
    RESOURCE_NOT_FOUND = 91
    UNKNOWN_TOPIC_ID = 100
    UNSUPPORTED_ENDPOINT_TYPE = 115


CODES: Final[dict[type[e.IsthmusError], Code]] = {
    e.UnknownTopic: Code.UNKNOWN_TOPIC_OR_PARTITION,
    e.UnknownQueue: Code.UNKNOWN_TOPIC_OR_PARTITION,
    e.UnknownGroup: Code.GROUP_ID_NOT_FOUND,
    e.UnknownUser: Code.RESOURCE_NOT_FOUND,
    e.UnknownPolicy: Code.RESOURCE_NOT_FOUND,
    e.UnknownNamespace: Code.RESOURCE_NOT_FOUND,
    e.UnknownExchange: Code.UNKNOWN_TOPIC_OR_PARTITION,
    e.UnknownPartition: Code.UNKNOWN_TOPIC_OR_PARTITION,
    e.AlreadyExists: Code.TOPIC_ALREADY_EXISTS,
    # Whoever asks again finds it changed: clients do that by themselves after a time-out.
    e.BeingChanged: Code.REQUEST_TIMED_OUT,
    e.InUse: Code.POLICY_VIOLATION,
    e.InvalidName: Code.INVALID_TOPIC_EXCEPTION,
    e.InvalidArgument: Code.INVALID_REQUEST,
    e.RecordTooLarge: Code.MESSAGE_TOO_LARGE,
    e.UnitTooLarge: Code.RECORD_LIST_TOO_LARGE,
    e.InvalidBatch: Code.CORRUPT_MESSAGE,
    e.UnsupportedCompression: Code.UNSUPPORTED_COMPRESSION_TYPE,
    e.KeyRequired: Code.INVALID_RECORD,
    e.InvalidTimestamp: Code.INVALID_TIMESTAMP,
    e.OffsetOutOfRange: Code.OFFSET_OUT_OF_RANGE,
    e.OutOfOrderSequence: Code.OUT_OF_ORDER_SEQUENCE_NUMBER,
    e.StaleProducer: Code.INVALID_PRODUCER_EPOCH,
    e.LeaseLost: Code.UNKNOWN_MEMBER_ID,
    e.StaleGeneration: Code.ILLEGAL_GENERATION,
    e.UnknownMember: Code.UNKNOWN_MEMBER_ID,
    e.RebalanceInProgress: Code.REBALANCE_IN_PROGRESS,
    e.InconsistentProtocol: Code.INCONSISTENT_GROUP_PROTOCOL,
    e.FencedInstance: Code.FENCED_INSTANCE_ID,
    e.MemberIdRequired: Code.MEMBER_ID_REQUIRED,
    e.GroupNotEmpty: Code.NON_EMPTY_GROUP,
    e.TooFarAhead: Code.OFFSET_METADATA_TOO_LARGE,
    e.AccessDenied: Code.TOPIC_AUTHORIZATION_FAILED,
    # These pass: clients of Kafka try again after them.
    e.Overloaded: Code.REQUEST_TIMED_OUT,
    e.QueueFull: Code.REQUEST_TIMED_OUT,
    e.ExclusiveOwned: Code.TOPIC_AUTHORIZATION_FAILED,
    e.StorageFull: Code.KAFKA_STORAGE_ERROR,
    e.ReadOnly: Code.KAFKA_STORAGE_ERROR,
    e.Unsupported: Code.INVALID_REQUEST,
    e.DeclarationError: Code.INVALID_REQUEST,
    e.WrongEventType: Code.INVALID_RECORD,
    e.UnknownType: Code.INVALID_RECORD,
    e.DecodeError: Code.INVALID_RECORD,
}
"""By refusal; complete, see the tests."""

DENIED: Final[dict[Kind, Code]] = {
    "topic": Code.TOPIC_AUTHORIZATION_FAILED,
    "group": Code.GROUP_AUTHORIZATION_FAILED,
    "cluster": Code.CLUSTER_AUTHORIZATION_FAILED,
}


def code_of(error: Exception, kind: Kind = "topic") -> Code:
    """The code for what went wrong with an operation on something."""
    if isinstance(error, e.AccessDenied):
        return DENIED[kind]
    if isinstance(error, e.StorageError):
        return Code.KAFKA_STORAGE_ERROR
    for each in type(error).__mro__:
        found = CODES.get(each)
        if found is not None:
            return found
    return Code.UNKNOWN_SERVER_ERROR
