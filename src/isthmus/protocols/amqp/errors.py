"""The reply codes of AMQP 0-9-1, and which of them says what a refusal of ours says.

A table only. Handlers know better where the protocol has a sentence of its own, which clients and their tests read.

Spec: AMQP 0-9-1 section 1.2 (constants), as RabbitMQ uses them.
"""

import enum
from typing import Final

from isthmus import errors as e
from isthmus.limits import AMQP_TEXT_BYTES_MAX


class Code(enum.IntEnum):
    """The codes that this broker uses, by the protocol's names."""

    REPLY_SUCCESS = 200
    NO_ROUTE = 312
    CONNECTION_FORCED = 320
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541


HARD: Final = frozenset(
    {
        Code.CONNECTION_FORCED, Code.FRAME_ERROR, Code.SYNTAX_ERROR, Code.COMMAND_INVALID, Code.CHANNEL_ERROR,
        Code.UNEXPECTED_FRAME, Code.RESOURCE_ERROR, Code.NOT_ALLOWED, Code.NOT_IMPLEMENTED, Code.INTERNAL_ERROR,
    }
)  # fmt: skip
"""What closes the connection; the others close the channel only."""


class Refused(e.ProtocolError):
    """What a client asked for cannot be: its channel closes, or its connection (`hard`)."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reply_text(code, reason))
        self.code, self.reason = code, reason

    @property
    def hard(self) -> bool:
        """Whether the connection closes."""
        return self.code in HARD

    @property
    def text(self) -> str:
        """What the peer is told."""
        return str(self)


def reply_text(code: Code, reason: str) -> str:
    """`NAME - explanation`, cut to what a short string holds."""
    text = f"{code.name} - {reason}" if code is not Code.REPLY_SUCCESS else reason
    return text.encode(errors="replace")[:AMQP_TEXT_BYTES_MAX].decode(errors="ignore")


CODES: Final[dict[type[e.RequestError], Code]] = {
    e.RequestError: Code.PRECONDITION_FAILED,
    e.UnknownTopic: Code.NOT_FOUND,
    e.UnknownQueue: Code.NOT_FOUND,
    e.UnknownGroup: Code.NOT_FOUND,
    e.UnknownUser: Code.NOT_FOUND,
    e.UnknownExchange: Code.NOT_FOUND,
    e.UnknownNamespace: Code.NOT_FOUND,
    e.UnknownPolicy: Code.NOT_FOUND,
    e.UnknownPartition: Code.NOT_FOUND,
    e.AlreadyExists: Code.PRECONDITION_FAILED,
    e.BeingChanged: Code.RESOURCE_ERROR,
    e.InUse: Code.PRECONDITION_FAILED,
    e.InvalidName: Code.PRECONDITION_FAILED,
    e.InvalidArgument: Code.PRECONDITION_FAILED,
    e.RecordTooLarge: Code.PRECONDITION_FAILED,
    e.UnitTooLarge: Code.PRECONDITION_FAILED,
    e.InvalidBatch: Code.INTERNAL_ERROR,
    e.UnsupportedCompression: Code.INTERNAL_ERROR,
    e.InvalidTimestamp: Code.PRECONDITION_FAILED,
    e.KeyRequired: Code.PRECONDITION_FAILED,
    e.OffsetOutOfRange: Code.PRECONDITION_FAILED,
    e.OutOfOrderSequence: Code.PRECONDITION_FAILED,
    e.StaleProducer: Code.PRECONDITION_FAILED,
    e.LeaseLost: Code.PRECONDITION_FAILED,
    e.StaleGeneration: Code.PRECONDITION_FAILED,
    e.UnknownMember: Code.NOT_FOUND,
    e.RebalanceInProgress: Code.PRECONDITION_FAILED,
    e.InconsistentProtocol: Code.PRECONDITION_FAILED,
    e.FencedInstance: Code.PRECONDITION_FAILED,
    e.MemberIdRequired: Code.PRECONDITION_FAILED,
    e.GroupNotEmpty: Code.PRECONDITION_FAILED,
    e.TooFarAhead: Code.PRECONDITION_FAILED,
    e.AccessDenied: Code.ACCESS_REFUSED,
    e.Overloaded: Code.RESOURCE_ERROR,
    e.QueueFull: Code.RESOURCE_ERROR,
    e.ExclusiveOwned: Code.RESOURCE_LOCKED,
    e.StorageFull: Code.RESOURCE_ERROR,
    e.ReadOnly: Code.ACCESS_REFUSED,
    e.Unsupported: Code.NOT_IMPLEMENTED,
    e.DeclarationError: Code.PRECONDITION_FAILED,
    e.WrongEventType: Code.PRECONDITION_FAILED,
    e.UnknownType: Code.PRECONDITION_FAILED,
    e.DecodeError: Code.PRECONDITION_FAILED,
}
"""By the class of the error; every `RequestError` has its row, which a test proves."""


def _code_of(kind: type[e.RequestError]) -> Code:
    return next(CODES[each] for each in kind.__mro__ if each in CODES)


def refused(error: e.IsthmusError) -> Refused:
    """What the client is told of an error of the core."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, e.RecordTooLarge):
        text = f"message size {error.size_bytes} is larger than configured max size {error.limit_bytes}"
        return Refused(Code.PRECONDITION_FAILED, text)
    if isinstance(error, e.RequestError):
        return Refused(_code_of(type(error)), str(error))
    return Refused(Code.INTERNAL_ERROR, str(error))
