"""The methods of AMQP 0-9-1 as RabbitMQ has them: one class for each, its fields in the order of the wire.

Data only. The codec makes readers and writers of it; what a method means is for the handlers.

Spec: AMQP 0-9-1, with the additions of RabbitMQ (basic.nack, confirm, exchange.bind, blocked, update-secret).
"""

from typing import Annotated, ClassVar, Final

from msgspec import Struct

from isthmus.protocols.amqp.table import Table

Octet = Annotated[int, "octet"]
Short = Annotated[int, "short"]
Long = Annotated[int, "long"]
LongLong = Annotated[int, "longlong"]
ShortText = Annotated[str, "shortstr"]
"""UTF-8, at most 255 bytes."""
LongBytes = Annotated[bytes, "longstr"]
Arguments = Annotated[Table, "table"]
Bit = Annotated[bool, "bit"]
"""Up to eight that stand side by side share an octet; the first is the lowest bit."""


# ---- connection --------------------------------------------------------------------------------------------------


class ConnectionStart(Struct, frozen=True, gc=False):
    """The first of a server: who it is, and how one may log in."""

    METHOD: ClassVar[int] = 10 << 16 | 10
    NAME: ClassVar[str] = "connection.start"

    version_major: Octet = 0
    version_minor: Octet = 0
    server_properties: Arguments = {}
    mechanisms: LongBytes = b""
    locales: LongBytes = b""


class ConnectionStartOk(Struct, frozen=True, gc=False):
    """Who the client is, and the first answer of its login."""

    METHOD: ClassVar[int] = 10 << 16 | 11
    NAME: ClassVar[str] = "connection.start-ok"

    client_properties: Arguments = {}
    mechanism: ShortText = ""
    response: LongBytes = b""
    locale: ShortText = ""


class ConnectionSecure(Struct, frozen=True, gc=False):
    """A question of the login."""

    METHOD: ClassVar[int] = 10 << 16 | 20
    NAME: ClassVar[str] = "connection.secure"

    challenge: LongBytes = b""


class ConnectionSecureOk(Struct, frozen=True, gc=False):
    """The answer to it."""

    METHOD: ClassVar[int] = 10 << 16 | 21
    NAME: ClassVar[str] = "connection.secure-ok"

    response: LongBytes = b""


class ConnectionTune(Struct, frozen=True, gc=False):
    """The limits that the server proposes; `heartbeat` in seconds."""

    METHOD: ClassVar[int] = 10 << 16 | 30
    NAME: ClassVar[str] = "connection.tune"

    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionTuneOk(Struct, frozen=True, gc=False):
    """The limits that hold."""

    METHOD: ClassVar[int] = 10 << 16 | 31
    NAME: ClassVar[str] = "connection.tune-ok"

    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionOpen(Struct, frozen=True, gc=False):
    """Enter a virtual host."""

    METHOD: ClassVar[int] = 10 << 16 | 40
    NAME: ClassVar[str] = "connection.open"

    virtual_host: ShortText = ""
    capabilities: ShortText = ""
    insist: Bit = False


class ConnectionOpenOk(Struct, frozen=True, gc=False):
    """The virtual host was entered."""

    METHOD: ClassVar[int] = 10 << 16 | 41
    NAME: ClassVar[str] = "connection.open-ok"

    known_hosts: ShortText = ""


class ConnectionClose(Struct, frozen=True, gc=False):
    """The connection ends, and why; the last two name the method that was wrong, 0 when none was."""

    METHOD: ClassVar[int] = 10 << 16 | 50
    NAME: ClassVar[str] = "connection.close"

    reply_code: Short = 0
    reply_text: ShortText = ""
    class_id: Short = 0
    method_id: Short = 0


class ConnectionCloseOk(Struct, frozen=True, gc=False):
    """The connection has ended; nothing follows."""

    METHOD: ClassVar[int] = 10 << 16 | 51
    NAME: ClassVar[str] = "connection.close-ok"


class ConnectionBlocked(Struct, frozen=True, gc=False):
    """Who publishes is not read for a while, and why."""

    METHOD: ClassVar[int] = 10 << 16 | 60
    NAME: ClassVar[str] = "connection.blocked"

    reason: ShortText = ""


class ConnectionUnblocked(Struct, frozen=True, gc=False):
    """Who publishes is read again."""

    METHOD: ClassVar[int] = 10 << 16 | 61
    NAME: ClassVar[str] = "connection.unblocked"


class ConnectionUpdateSecret(Struct, frozen=True, gc=False):
    """A new secret of a login that expires."""

    METHOD: ClassVar[int] = 10 << 16 | 70
    NAME: ClassVar[str] = "connection.update-secret"

    new_secret: LongBytes = b""
    reason: ShortText = ""


class ConnectionUpdateSecretOk(Struct, frozen=True, gc=False):
    """The new secret was taken."""

    METHOD: ClassVar[int] = 10 << 16 | 71
    NAME: ClassVar[str] = "connection.update-secret-ok"


# ---- channel -----------------------------------------------------------------------------------------------------


class ChannelOpen(Struct, frozen=True, gc=False):
    """Begin to use a channel."""

    METHOD: ClassVar[int] = 20 << 16 | 10
    NAME: ClassVar[str] = "channel.open"

    out_of_band: ShortText = ""


class ChannelOpenOk(Struct, frozen=True, gc=False):
    """The channel can be used."""

    METHOD: ClassVar[int] = 20 << 16 | 11
    NAME: ClassVar[str] = "channel.open-ok"

    channel_id: LongBytes = b""


class ChannelFlow(Struct, frozen=True, gc=False):
    """Pause or resume what is delivered."""

    METHOD: ClassVar[int] = 20 << 16 | 20
    NAME: ClassVar[str] = "channel.flow"

    active: Bit = False


class ChannelFlowOk(Struct, frozen=True, gc=False):
    """Whether it flows."""

    METHOD: ClassVar[int] = 20 << 16 | 21
    NAME: ClassVar[str] = "channel.flow-ok"

    active: Bit = False


class ChannelClose(Struct, frozen=True, gc=False):
    """The channel ends, and why; as in `ConnectionClose`."""

    METHOD: ClassVar[int] = 20 << 16 | 40
    NAME: ClassVar[str] = "channel.close"

    reply_code: Short = 0
    reply_text: ShortText = ""
    class_id: Short = 0
    method_id: Short = 0


class ChannelCloseOk(Struct, frozen=True, gc=False):
    """The channel has ended."""

    METHOD: ClassVar[int] = 20 << 16 | 41
    NAME: ClassVar[str] = "channel.close-ok"


# ---- access ------------------------------------------------------------------------------------------------------


class AccessRequest(Struct, frozen=True, gc=False):
    """A relic that clients of version 0-8 send."""

    METHOD: ClassVar[int] = 30 << 16 | 10
    NAME: ClassVar[str] = "access.request"

    realm: ShortText = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


class AccessRequestOk(Struct, frozen=True, gc=False):
    """The answer to the relic."""

    METHOD: ClassVar[int] = 30 << 16 | 11
    NAME: ClassVar[str] = "access.request-ok"

    ticket: Short = 0


# ---- exchange ----------------------------------------------------------------------------------------------------


class ExchangeDeclare(Struct, frozen=True, gc=False):
    """There shall be an exchange, or with `passive`: is there one?"""

    METHOD: ClassVar[int] = 40 << 16 | 10
    NAME: ClassVar[str] = "exchange.declare"

    ticket: Short = 0
    exchange: ShortText = ""
    kind: ShortText = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    nowait: Bit = False
    arguments: Arguments = {}


class ExchangeDeclareOk(Struct, frozen=True, gc=False):
    """There is."""

    METHOD: ClassVar[int] = 40 << 16 | 11
    NAME: ClassVar[str] = "exchange.declare-ok"


class ExchangeDelete(Struct, frozen=True, gc=False):
    """Remove an exchange."""

    METHOD: ClassVar[int] = 40 << 16 | 20
    NAME: ClassVar[str] = "exchange.delete"

    ticket: Short = 0
    exchange: ShortText = ""
    if_unused: Bit = False
    nowait: Bit = False


class ExchangeDeleteOk(Struct, frozen=True, gc=False):
    """It is gone."""

    METHOD: ClassVar[int] = 40 << 16 | 21
    NAME: ClassVar[str] = "exchange.delete-ok"


class ExchangeBind(Struct, frozen=True, gc=False):
    """What reaches `source` with a fitting key reaches `destination`, which is an exchange."""

    METHOD: ClassVar[int] = 40 << 16 | 30
    NAME: ClassVar[str] = "exchange.bind"

    ticket: Short = 0
    destination: ShortText = ""
    source: ShortText = ""
    routing_key: ShortText = ""
    nowait: Bit = False
    arguments: Arguments = {}


class ExchangeBindOk(Struct, frozen=True, gc=False):
    """It does."""

    METHOD: ClassVar[int] = 40 << 16 | 31
    NAME: ClassVar[str] = "exchange.bind-ok"


class ExchangeUnbind(Struct, frozen=True, gc=False):
    """The contrary of `ExchangeBind`."""

    METHOD: ClassVar[int] = 40 << 16 | 40
    NAME: ClassVar[str] = "exchange.unbind"

    ticket: Short = 0
    destination: ShortText = ""
    source: ShortText = ""
    routing_key: ShortText = ""
    nowait: Bit = False
    arguments: Arguments = {}


class ExchangeUnbindOk(Struct, frozen=True, gc=False):
    """It does not any more."""

    METHOD: ClassVar[int] = 40 << 16 | 51
    NAME: ClassVar[str] = "exchange.unbind-ok"


# ---- queue -------------------------------------------------------------------------------------------------------


class QueueDeclare(Struct, frozen=True, gc=False):
    """There shall be a queue, or with `passive`: is there one?"""

    METHOD: ClassVar[int] = 50 << 16 | 10
    NAME: ClassVar[str] = "queue.declare"

    ticket: Short = 0
    queue: ShortText = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    nowait: Bit = False
    arguments: Arguments = {}


class QueueDeclareOk(Struct, frozen=True, gc=False):
    """There is; `message_count` counts those that are ready."""

    METHOD: ClassVar[int] = 50 << 16 | 11
    NAME: ClassVar[str] = "queue.declare-ok"

    queue: ShortText = ""
    message_count: Long = 0
    consumer_count: Long = 0


class QueueBind(Struct, frozen=True, gc=False):
    """What reaches the exchange with a fitting key reaches the queue."""

    METHOD: ClassVar[int] = 50 << 16 | 20
    NAME: ClassVar[str] = "queue.bind"

    ticket: Short = 0
    queue: ShortText = ""
    exchange: ShortText = ""
    routing_key: ShortText = ""
    nowait: Bit = False
    arguments: Arguments = {}


class QueueBindOk(Struct, frozen=True, gc=False):
    """It does."""

    METHOD: ClassVar[int] = 50 << 16 | 21
    NAME: ClassVar[str] = "queue.bind-ok"


class QueuePurge(Struct, frozen=True, gc=False):
    """Remove what is ready."""

    METHOD: ClassVar[int] = 50 << 16 | 30
    NAME: ClassVar[str] = "queue.purge"

    ticket: Short = 0
    queue: ShortText = ""
    nowait: Bit = False


class QueuePurgeOk(Struct, frozen=True, gc=False):
    """How much was removed."""

    METHOD: ClassVar[int] = 50 << 16 | 31
    NAME: ClassVar[str] = "queue.purge-ok"

    message_count: Long = 0


class QueueDelete(Struct, frozen=True, gc=False):
    """Remove a queue."""

    METHOD: ClassVar[int] = 50 << 16 | 40
    NAME: ClassVar[str] = "queue.delete"

    ticket: Short = 0
    queue: ShortText = ""
    if_unused: Bit = False
    if_empty: Bit = False
    nowait: Bit = False


class QueueDeleteOk(Struct, frozen=True, gc=False):
    """It is gone, with so many messages."""

    METHOD: ClassVar[int] = 50 << 16 | 41
    NAME: ClassVar[str] = "queue.delete-ok"

    message_count: Long = 0


class QueueUnbind(Struct, frozen=True, gc=False):
    """The contrary of `QueueBind`."""

    METHOD: ClassVar[int] = 50 << 16 | 50
    NAME: ClassVar[str] = "queue.unbind"

    ticket: Short = 0
    queue: ShortText = ""
    exchange: ShortText = ""
    routing_key: ShortText = ""
    arguments: Arguments = {}


class QueueUnbindOk(Struct, frozen=True, gc=False):
    """It does not any more."""

    METHOD: ClassVar[int] = 50 << 16 | 51
    NAME: ClassVar[str] = "queue.unbind-ok"


# ---- basic -------------------------------------------------------------------------------------------------------


class BasicQos(Struct, frozen=True, gc=False):
    """How much may be delivered and not settled; `everywhere` is the bit `global`."""

    METHOD: ClassVar[int] = 60 << 16 | 10
    NAME: ClassVar[str] = "basic.qos"

    prefetch_size: Long = 0
    prefetch_count: Short = 0
    everywhere: Bit = False


class BasicQosOk(Struct, frozen=True, gc=False):
    """That holds."""

    METHOD: ClassVar[int] = 60 << 16 | 11
    NAME: ClassVar[str] = "basic.qos-ok"


class BasicConsume(Struct, frozen=True, gc=False):
    """Begin to consume."""

    METHOD: ClassVar[int] = 60 << 16 | 20
    NAME: ClassVar[str] = "basic.consume"

    ticket: Short = 0
    queue: ShortText = ""
    consumer_tag: ShortText = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    nowait: Bit = False
    arguments: Arguments = {}


class BasicConsumeOk(Struct, frozen=True, gc=False):
    """The consumer of this tag has begun."""

    METHOD: ClassVar[int] = 60 << 16 | 21
    NAME: ClassVar[str] = "basic.consume-ok"

    consumer_tag: ShortText = ""


class BasicCancel(Struct, frozen=True, gc=False):
    """The consumer ends; a server says it too, when the queue has gone."""

    METHOD: ClassVar[int] = 60 << 16 | 30
    NAME: ClassVar[str] = "basic.cancel"

    consumer_tag: ShortText = ""
    nowait: Bit = False


class BasicCancelOk(Struct, frozen=True, gc=False):
    """It has ended."""

    METHOD: ClassVar[int] = 60 << 16 | 31
    NAME: ClassVar[str] = "basic.cancel-ok"

    consumer_tag: ShortText = ""


class BasicPublish(Struct, frozen=True, gc=False):
    """A message for an exchange; its content follows."""

    METHOD: ClassVar[int] = 60 << 16 | 40
    NAME: ClassVar[str] = "basic.publish"

    ticket: Short = 0
    exchange: ShortText = ""
    routing_key: ShortText = ""
    mandatory: Bit = False
    immediate: Bit = False


class BasicReturn(Struct, frozen=True, gc=False):
    """A message that went nowhere; its content follows."""

    METHOD: ClassVar[int] = 60 << 16 | 50
    NAME: ClassVar[str] = "basic.return"

    reply_code: Short = 0
    reply_text: ShortText = ""
    exchange: ShortText = ""
    routing_key: ShortText = ""


class BasicDeliver(Struct, frozen=True, gc=False):
    """A message for a consumer; its content follows."""

    METHOD: ClassVar[int] = 60 << 16 | 60
    NAME: ClassVar[str] = "basic.deliver"

    consumer_tag: ShortText = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortText = ""
    routing_key: ShortText = ""


class BasicGet(Struct, frozen=True, gc=False):
    """Ask for one message."""

    METHOD: ClassVar[int] = 60 << 16 | 70
    NAME: ClassVar[str] = "basic.get"

    ticket: Short = 0
    queue: ShortText = ""
    no_ack: Bit = False


class BasicGetOk(Struct, frozen=True, gc=False):
    """One message, and how many are left; its content follows."""

    METHOD: ClassVar[int] = 60 << 16 | 71
    NAME: ClassVar[str] = "basic.get-ok"

    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortText = ""
    routing_key: ShortText = ""
    message_count: Long = 0


class BasicGetEmpty(Struct, frozen=True, gc=False):
    """There is none."""

    METHOD: ClassVar[int] = 60 << 16 | 72
    NAME: ClassVar[str] = "basic.get-empty"

    cluster_id: ShortText = ""


class BasicAck(Struct, frozen=True, gc=False):
    """A delivery is settled, or with `multiple` all up to it; from a server: so many are published."""

    METHOD: ClassVar[int] = 60 << 16 | 80
    NAME: ClassVar[str] = "basic.ack"

    delivery_tag: LongLong = 0
    multiple: Bit = False


class BasicReject(Struct, frozen=True, gc=False):
    """A delivery is not wanted."""

    METHOD: ClassVar[int] = 60 << 16 | 90
    NAME: ClassVar[str] = "basic.reject"

    delivery_tag: LongLong = 0
    requeue: Bit = False


class BasicRecoverAsync(Struct, frozen=True, gc=False):
    """Deliver again what is not settled; has no answer."""

    METHOD: ClassVar[int] = 60 << 16 | 100
    NAME: ClassVar[str] = "basic.recover-async"

    requeue: Bit = False


class BasicRecover(Struct, frozen=True, gc=False):
    """Deliver again what is not settled."""

    METHOD: ClassVar[int] = 60 << 16 | 110
    NAME: ClassVar[str] = "basic.recover"

    requeue: Bit = False


class BasicRecoverOk(Struct, frozen=True, gc=False):
    """It will be."""

    METHOD: ClassVar[int] = 60 << 16 | 111
    NAME: ClassVar[str] = "basic.recover-ok"


class BasicNack(Struct, frozen=True, gc=False):
    """Deliveries are not wanted; from a server: what was published is lost."""

    METHOD: ClassVar[int] = 60 << 16 | 120
    NAME: ClassVar[str] = "basic.nack"

    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


# ---- confirm -----------------------------------------------------------------------------------------------------


class ConfirmSelect(Struct, frozen=True, gc=False):
    """Tell what became of what is published from now on."""

    METHOD: ClassVar[int] = 85 << 16 | 10
    NAME: ClassVar[str] = "confirm.select"

    nowait: Bit = False


class ConfirmSelectOk(Struct, frozen=True, gc=False):
    """It will be told."""

    METHOD: ClassVar[int] = 85 << 16 | 11
    NAME: ClassVar[str] = "confirm.select-ok"


# ---- tx ----------------------------------------------------------------------------------------------------------


class TxSelect(Struct, frozen=True, gc=False):
    """What is published and settled from now on waits for `TxCommit`."""

    METHOD: ClassVar[int] = 90 << 16 | 10
    NAME: ClassVar[str] = "tx.select"


class TxSelectOk(Struct, frozen=True, gc=False):
    """It does."""

    METHOD: ClassVar[int] = 90 << 16 | 11
    NAME: ClassVar[str] = "tx.select-ok"


class TxCommit(Struct, frozen=True, gc=False):
    """All of it happens."""

    METHOD: ClassVar[int] = 90 << 16 | 20
    NAME: ClassVar[str] = "tx.commit"


class TxCommitOk(Struct, frozen=True, gc=False):
    """It has happened."""

    METHOD: ClassVar[int] = 90 << 16 | 21
    NAME: ClassVar[str] = "tx.commit-ok"


class TxRollback(Struct, frozen=True, gc=False):
    """None of it happens."""

    METHOD: ClassVar[int] = 90 << 16 | 30
    NAME: ClassVar[str] = "tx.rollback"


class TxRollbackOk(Struct, frozen=True, gc=False):
    """None has."""

    METHOD: ClassVar[int] = 90 << 16 | 31
    NAME: ClassVar[str] = "tx.rollback-ok"


# ---- all of them -------------------------------------------------------------------------------------------------

Method = (
    ConnectionStart
    | ConnectionStartOk
    | ConnectionSecure
    | ConnectionSecureOk
    | ConnectionTune
    | ConnectionTuneOk
    | ConnectionOpen
    | ConnectionOpenOk
    | ConnectionClose
    | ConnectionCloseOk
    | ConnectionBlocked
    | ConnectionUnblocked
    | ConnectionUpdateSecret
    | ConnectionUpdateSecretOk
    | ChannelOpen
    | ChannelOpenOk
    | ChannelFlow
    | ChannelFlowOk
    | ChannelClose
    | ChannelCloseOk
    | AccessRequest
    | AccessRequestOk
    | ExchangeDeclare
    | ExchangeDeclareOk
    | ExchangeDelete
    | ExchangeDeleteOk
    | ExchangeBind
    | ExchangeBindOk
    | ExchangeUnbind
    | ExchangeUnbindOk
    | QueueDeclare
    | QueueDeclareOk
    | QueueBind
    | QueueBindOk
    | QueuePurge
    | QueuePurgeOk
    | QueueDelete
    | QueueDeleteOk
    | QueueUnbind
    | QueueUnbindOk
    | BasicQos
    | BasicQosOk
    | BasicConsume
    | BasicConsumeOk
    | BasicCancel
    | BasicCancelOk
    | BasicPublish
    | BasicReturn
    | BasicDeliver
    | BasicGet
    | BasicGetOk
    | BasicGetEmpty
    | BasicAck
    | BasicReject
    | BasicRecoverAsync
    | BasicRecover
    | BasicRecoverOk
    | BasicNack
    | ConfirmSelect
    | ConfirmSelectOk
    | TxSelect
    | TxSelectOk
    | TxCommit
    | TxCommitOk
    | TxRollback
    | TxRollbackOk
)

ALL: Final[tuple[type[Method], ...]] = (
    ConnectionStart,
    ConnectionStartOk,
    ConnectionSecure,
    ConnectionSecureOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionBlocked,
    ConnectionUnblocked,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    ChannelOpen,
    ChannelOpenOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelClose,
    ChannelCloseOk,
    AccessRequest,
    AccessRequestOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueBind,
    QueueBindOk,
    QueuePurge,
    QueuePurgeOk,
    QueueDelete,
    QueueDeleteOk,
    QueueUnbind,
    QueueUnbindOk,
    BasicQos,
    BasicQosOk,
    BasicConsume,
    BasicConsumeOk,
    BasicCancel,
    BasicCancelOk,
    BasicPublish,
    BasicReturn,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicGetEmpty,
    BasicAck,
    BasicReject,
    BasicRecoverAsync,
    BasicRecover,
    BasicRecoverOk,
    BasicNack,
    ConfirmSelect,
    ConfirmSelectOk,
    TxSelect,
    TxSelectOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
)

BY_ID: Final[dict[int, type[Method]]] = {each.METHOD: each for each in ALL}

FROM_CLIENT: Final[frozenset[type[Method]]] = frozenset(
    {
        ConnectionStartOk,
        ConnectionSecureOk,
        ConnectionTuneOk,
        ConnectionOpen,
        ConnectionClose,
        ConnectionCloseOk,
        ConnectionUpdateSecret,
        ChannelOpen,
        ChannelFlow,
        ChannelFlowOk,
        ChannelClose,
        ChannelCloseOk,
        AccessRequest,
        ExchangeDeclare,
        ExchangeDelete,
        ExchangeBind,
        ExchangeUnbind,
        QueueDeclare,
        QueueBind,
        QueuePurge,
        QueueDelete,
        QueueUnbind,
        BasicQos,
        BasicConsume,
        BasicCancel,
        BasicCancelOk,
        BasicPublish,
        BasicGet,
        BasicAck,
        BasicReject,
        BasicRecoverAsync,
        BasicRecover,
        BasicNack,
        ConfirmSelect,
        TxSelect,
        TxCommit,
        TxRollback,
    }
)
"""What a client may send; the rest is for servers, but for what both send."""

FROM_BOTH: Final[frozenset[type[Method]]] = frozenset(
    {
        ConnectionClose,
        ConnectionCloseOk,
        ChannelFlow,
        ChannelFlowOk,
        ChannelClose,
        ChannelCloseOk,
        BasicAck,
        BasicNack,
        BasicCancel,
        BasicCancelOk,
    }
)
"""What a server may send as well."""

WITH_CONTENT: Final[frozenset[type[Method]]] = frozenset({BasicPublish, BasicReturn, BasicDeliver, BasicGetOk})
"""What a header and a body follow."""

REPLY_NAMES: Final[dict[int, str]] = {
    200: "REPLY_SUCCESS",
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}
"""Codes of `ConnectionClose`, `ChannelClose` and `BasicReturn` by the names that begin their texts."""

SOFT_CODES: Final = frozenset({311, 312, 313, 403, 404, 405, 406})
"""Codes that end a channel; the others end the connection."""
