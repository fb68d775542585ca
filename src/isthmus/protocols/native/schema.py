"""The messages of the native protocol, as data: what a client asks and what a server answers.

Each is an array whose first element is its number; docs/formats/native.md has the table, which a test holds to this
file. New fields go to the end with a default, and numbers are never used again. No behaviour.
"""

from typing import Final, Literal

from msgspec import Struct

from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Kept,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.views import (
    BindingView,
    DeadLetter,
    ExchangeView,
    GroupView,
    LifeStep,
    NamespaceView,
    PeekedRecord,
    PolicyView,
    QueueView,
    TopicView,
    UserView,
)

MAGIC: Final = "isthmus"
VERSION: Final = 1
"""The newest version that this code speaks, and the only one."""

Start = int | Literal["earliest", "latest"] | tuple[Literal["time"], int]
"""Where reading starts: an offset, an end of the log, or ("time", milliseconds since 1970 UTC)."""

# ---- requests: the connection ------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The first message: which versions the client speaks, and what it calls itself, for people."""

    magic: str = MAGIC
    least: int = VERSION
    most: int = VERSION
    client: str = ""


class Login(Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The first message of a SASL exchange; `data` is what the mechanism says."""

    mechanism: str
    data: bytes


class Proof(Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A further message of it."""

    data: bytes


class Cancel(Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Stop the request that has this message's id, if it still runs; that request is answered all the same."""


class Ping(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Say something, so that the connection is known to be alive."""


class Bye(Struct, frozen=True, array_like=True, gc=False, tag=6):
    """An orderly end: what the client holds is handed back uncounted. Answered, then the connection closes."""


# ---- requests: publishing ----------------------------------------------------------------------------------------


class Define(Struct, frozen=True, array_like=True, gc=False, tag=16):
    """Declare, create or alter the one of the two that is not None."""

    how: Literal["declare", "create", "alter"]
    topic: TopicDefinition | None = None
    queue: QueueDefinition | None = None


class Partitions(Struct, frozen=True, array_like=True, gc=False, tag=17):
    """How many partitions a topic has."""

    topic: str


class Publish(Struct, frozen=True, array_like=True, gc=False, tag=18):
    """Records for a topic or queue, as record batches one behind the other; times are ms since 1970 UTC.

    A record of timestamp -1 gets the time of append. `compression` is the codec to store them in.
    """

    name: str
    batches: bytes
    compression: str = "none"
    due_ms: int | None = None
    expire_ms: int | None = None
    priority: int = 0
    dedup: str | None = None


class Settle(Struct, frozen=True, array_like=True, gc=False):
    """Deliveries of one source that are done; `tokens` are unsigned 64-bit numbers, big-endian."""

    handle: int
    tokens: bytes


class Submit(Struct, frozen=True, array_like=True, gc=False, tag=19):
    """A unit: all of it becomes durable, or nothing."""

    publishes: tuple[Publish, ...] = ()
    settles: tuple[Settle, ...] = ()


# ---- requests: reading and consuming -----------------------------------------------------------------------------


class OpenReader(Struct, frozen=True, array_like=True, gc=False, tag=20):
    """Read all partitions of a topic; `stop` at the ends of this moment if asked.

    With `offsets`, one a partition, it goes on where a lost connection's reader was; `ends` are that one's.
    """

    topic: str
    start: Start
    stop: bool = False
    offsets: tuple[int, ...] | None = None
    ends: tuple[int, ...] | None = None


class Read(Struct, frozen=True, array_like=True, gc=False, tag=21):
    """Credit for the next batches of a reader: up to `max_bytes`, within `wait_ms`."""

    handle: int
    max_bytes: int
    wait_ms: int


class OpenStream(Struct, frozen=True, array_like=True, gc=False, tag=22):
    """Join a group; `dead` is its dead-letter queue."""

    topic: str
    group: str
    start: Start
    dead: str | None = None


class OpenQueue(Struct, frozen=True, array_like=True, gc=False, tag=23):
    """Consume a queue."""

    queue: str
    consumer: str


class Receive(Struct, frozen=True, array_like=True, gc=False, tag=24):
    """Credit for deliveries of a source: up to `max_events` of `max_bytes`, the first of them within `wait_ms`."""

    handle: int
    max_events: int
    max_bytes: int
    wait_ms: int


class Fail(Struct, frozen=True, array_like=True, gc=False, tag=25):
    """Count a failure of each, and offer it again after `delay_ms`."""

    handle: int
    tokens: bytes
    delay_ms: int
    reason: str


class Dead(Struct, frozen=True, array_like=True, gc=False, tag=26):
    """Move each to the dead letters."""

    handle: int
    tokens: bytes
    reason: str
    traceback: str


class Release(Struct, frozen=True, array_like=True, gc=False, tag=27):
    """Hand each back without counting a failure."""

    handle: int
    tokens: bytes
    delay_ms: int = 0


class Extend(Struct, frozen=True, array_like=True, gc=False, tag=28):
    """Renew the leases to end `lease_ms` from now."""

    handle: int
    tokens: bytes
    lease_ms: int


class Close(Struct, frozen=True, array_like=True, gc=False, tag=29):
    """Close a reader or leave a source; what waits there is answered."""

    handle: int


# ---- requests: administration ------------------------------------------------------------------------------------


class Topics(Struct, frozen=True, array_like=True, gc=False, tag=40):
    """All topics."""


class Queues(Struct, frozen=True, array_like=True, gc=False, tag=41):
    """All queues."""


class Topic(Struct, frozen=True, array_like=True, gc=False, tag=42):
    """One topic."""

    name: str


class Queue(Struct, frozen=True, array_like=True, gc=False, tag=43):
    """One queue."""

    name: str


class Remove(Struct, frozen=True, array_like=True, gc=False, tag=44):
    """Remove a topic, or a queue with the topic that it owns."""

    name: str


class Groups(Struct, frozen=True, array_like=True, gc=False, tag=45):
    """All groups, or those with a position in a topic."""

    topic: str | None = None


class Seek(Struct, frozen=True, array_like=True, gc=False, tag=46):
    """Move a group without members."""

    group: str
    topic: str
    to: Start


class RemoveGroup(Struct, frozen=True, array_like=True, gc=False, tag=47):
    """Forget a group without members."""

    group: str


class Peek(Struct, frozen=True, array_like=True, gc=False, tag=48):
    """The next records of a queue."""

    queue: str
    count: int


class Purge(Struct, frozen=True, array_like=True, gc=False, tag=49):
    """Settle all of a queue that is not leased."""

    queue: str


class DeadLetters(Struct, frozen=True, array_like=True, gc=False, tag=50):
    """Unsettled dead letters of a dead-letter queue."""

    queue: str
    count: int


class Redrive(Struct, frozen=True, array_like=True, gc=False, tag=51):
    """Move dead letters home."""

    queue: str
    count: int | None = None


class Explain(Struct, frozen=True, array_like=True, gc=False, tag=52):
    """The life of one event."""

    topic: str
    partition: int
    offset: int


class Reclaim(Struct, frozen=True, array_like=True, gc=False, tag=53):
    """Remove now what retention lets go."""


class Users(Struct, frozen=True, array_like=True, gc=False, tag=54):
    """All users."""


class DefineUser(Struct, frozen=True, array_like=True, gc=False, tag=55):
    """Make or change a user."""

    how: Literal["create", "alter"]
    user: UserDefinition


class RemoveUser(Struct, frozen=True, array_like=True, gc=False, tag=56):
    """Remove a user."""

    name: str


class Policies(Struct, frozen=True, array_like=True, gc=False, tag=57):
    """All policies."""


class SetPolicy(Struct, frozen=True, array_like=True, gc=False, tag=58):
    """Make a policy, or put it in the place of that of its name."""

    policy: PolicyDefinition


class RemovePolicy(Struct, frozen=True, array_like=True, gc=False, tag=59):
    """Remove a policy."""

    name: str


class Namespaces(Struct, frozen=True, array_like=True, gc=False, tag=60):
    """All namespaces."""


class CreateNamespace(Struct, frozen=True, array_like=True, gc=False, tag=61):
    """Make a namespace."""

    name: str
    kept: Kept = ()


class RemoveNamespace(Struct, frozen=True, array_like=True, gc=False, tag=62):
    """Remove a namespace with everything in it."""

    name: str


class Exchanges(Struct, frozen=True, array_like=True, gc=False, tag=63):
    """All exchanges."""


class CreateExchange(Struct, frozen=True, array_like=True, gc=False, tag=64):
    """Make an exchange."""

    exchange: ExchangeDefinition


class RemoveExchange(Struct, frozen=True, array_like=True, gc=False, tag=65):
    """Remove an exchange, also when there are bindings from it unless it has to be unused."""

    name: str
    if_unused: bool = False


class Bindings(Struct, frozen=True, array_like=True, gc=False, tag=66):
    """All bindings, those from an exchange, or those to a topic or exchange."""

    exchange: str | None = None
    target: str | None = None


class Bind(Struct, frozen=True, array_like=True, gc=False, tag=67):
    """Make a binding, or take it back."""

    binding: Binding
    unbind: bool


Request = (
    Hello
    | Login
    | Proof
    | Cancel
    | Ping
    | Bye
    | Define
    | Partitions
    | Publish
    | Submit
    | OpenReader
    | Read
    | OpenStream
    | OpenQueue
    | Receive
    | Fail
    | Dead
    | Release
    | Extend
    | Close
    | Topics
    | Queues
    | Topic
    | Queue
    | Remove
    | Groups
    | Seek
    | RemoveGroup
    | Peek
    | Purge
    | DeadLetters
    | Redrive
    | Explain
    | Reclaim
    | Users
    | DefineUser
    | RemoveUser
    | Policies
    | SetPolicy
    | RemovePolicy
    | Namespaces
    | CreateNamespace
    | RemoveNamespace
    | Exchanges
    | CreateExchange
    | RemoveExchange
    | Bindings
    | Bind
)

# ---- answers -----------------------------------------------------------------------------------------------------


class Promise(Struct, frozen=True, array_like=True, gc=False):
    """How the server keeps one promise of the engine port."""

    name: str
    support: Literal["native", "emulated", "refused"]
    how: str = ""


class Welcome(Struct, frozen=True, array_like=True, gc=False, tag=128):
    """The client is known as `principal`; `data` is the last word of the login, if there was one."""

    version: int
    principal: str
    promises: tuple[Promise, ...] = ()
    data: bytes = b""


class Challenge(Struct, frozen=True, array_like=True, gc=False, tag=129):
    """Say who you are: by one of these mechanisms, or by an answer to `data`."""

    mechanisms: tuple[str, ...] = ()
    data: bytes = b""


class Refused(Struct, frozen=True, array_like=True, gc=False, tag=130):
    """The request failed: the error's class, its sentence, and its fields."""

    error: str
    message: str
    fields: dict[str, str | int | float | bool | tuple[str, ...] | None] = {}


class Done(Struct, frozen=True, array_like=True, gc=False, tag=131):
    """It is done, and there is nothing more to say."""


class Count(Struct, frozen=True, array_like=True, gc=False, tag=132):
    """A number: partitions, records, bytes."""

    value: int


class Opened(Struct, frozen=True, array_like=True, gc=False, tag=133):
    """A reader or source is there under this number; a reader says from where to where it goes."""

    handle: int
    offsets: tuple[int, ...] = ()
    ends: tuple[int, ...] | None = None


class Place(Struct, frozen=True, array_like=True, gc=False):
    """Where records went; `indexes`, unless None, are unsigned 32-bit numbers, big-endian."""

    topic: str
    partition: int
    base_offset: int
    count: int
    timestamp_ms: int
    duplicate: bool = False
    indexes: bytes | None = None


class Placed(Struct, frozen=True, array_like=True, gc=False, tag=134):
    """What was published is durable, at these places."""

    places: tuple[Place, ...] = ()


class Batches(Struct, frozen=True, array_like=True, gc=False, tag=135):
    """What a reader gets: stored batches of one partition, of which it takes the records from `start` up to `stop`.

    No batches mean that nothing came in time. `ended` says that there will be no more.
    """

    topic: str = ""
    partition: int = 0
    start: int = 0
    stop: int | None = None
    batches: bytes = b""
    ended: bool = False


class Delivery(Struct, frozen=True, array_like=True, gc=False):
    """One delivery. `source` is an index in the sources of its answer; `left_ms` is what is left of the lease."""

    token: int
    source: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes
    attempt: int
    failed: int
    left_ms: int | None


class Delivered(Struct, frozen=True, array_like=True, gc=False, tag=136):
    """Deliveries: topic and partition of where they come from, and the rows, which are an array of `Delivery`."""

    sources: tuple[tuple[str, int], ...] = ()
    rows: bytes = b"\x90"


class Renewed(Struct, frozen=True, array_like=True, gc=False, tag=137):
    """What is now left of each lease, in the order asked."""

    left_ms: tuple[int | None, ...]


class TopicViews(Struct, frozen=True, array_like=True, gc=False, tag=138):
    """Topics."""

    views: tuple[TopicView, ...]


class QueueViews(Struct, frozen=True, array_like=True, gc=False, tag=139):
    """Queues."""

    views: tuple[QueueView, ...]


class GroupViews(Struct, frozen=True, array_like=True, gc=False, tag=140):
    """Groups."""

    views: tuple[GroupView, ...]


class Moved(Struct, frozen=True, array_like=True, gc=False, tag=141):
    """Partitions with their new floors."""

    rows: tuple[tuple[int, int], ...]


class Peeked(Struct, frozen=True, array_like=True, gc=False, tag=142):
    """Records of a queue."""

    records: tuple[PeekedRecord, ...]


class Letters(Struct, frozen=True, array_like=True, gc=False, tag=143):
    """Dead letters."""

    letters: tuple[DeadLetter, ...]


class Steps(Struct, frozen=True, array_like=True, gc=False, tag=144):
    """What happened to an event."""

    steps: tuple[LifeStep, ...]


class UserViews(Struct, frozen=True, array_like=True, gc=False, tag=145):
    """Users."""

    views: tuple[UserView, ...]


class PolicyViews(Struct, frozen=True, array_like=True, gc=False, tag=146):
    """Policies."""

    views: tuple[PolicyView, ...]


class NamespaceViews(Struct, frozen=True, array_like=True, gc=False, tag=147):
    """Namespaces."""

    views: tuple[NamespaceView, ...]


class ExchangeViews(Struct, frozen=True, array_like=True, gc=False, tag=148):
    """Exchanges."""

    views: tuple[ExchangeView, ...]


class BindingViews(Struct, frozen=True, array_like=True, gc=False, tag=149):
    """Bindings."""

    views: tuple[BindingView, ...]


Answer = (
    Welcome
    | Challenge
    | Refused
    | Done
    | Count
    | Opened
    | Placed
    | Batches
    | Delivered
    | Renewed
    | TopicViews
    | QueueViews
    | GroupViews
    | Moved
    | Peeked
    | Letters
    | Steps
    | UserViews
    | PolicyViews
    | NamespaceViews
    | ExchangeViews
    | BindingViews
)
