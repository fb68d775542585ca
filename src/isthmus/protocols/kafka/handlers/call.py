"""One request under way, as every handler gets it: what was asked, by whom, and what it may be asked of.

Data and look-ups; no operation is here.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Topic
from isthmus.definition import DEFAULT_NAMESPACE, Operation
from isthmus.log.pending import Pending
from isthmus.protocols.door import Peer
from isthmus.protocols.kafka.handlers.topic_ids import TopicIds

NODE_ID = 1


class Node(NamedTuple):
    """The one node of the cluster, and where this client finds it."""

    id: int
    host: str
    port: int


class KafkaOptions(Struct, frozen=True, kw_only=True):
    """How the door behaves.

    `advertised` is where clients are told to come, None: where they came. `create_topics` makes topics that are asked
    for and are not there, with `partitions` partitions. `clamp_replication` takes topics that want several replicas.
    `group_initial_delay_ms` is how long the first rebalance of an empty group waits for more members.
    """

    advertised: tuple[str, int] | None = None
    create_topics: bool = True
    partitions: int = 1
    clamp_replication: bool = True
    group_initial_delay_ms: int = 100


class Shared(Struct, frozen=True, kw_only=True):
    """What all calls of a listener share."""

    broker: Broker
    options: KafkaOptions
    topic_ids: TopicIds
    cluster_id: str


class Call:
    """One request. `request` is the struct of its message; `session` is whose it is."""

    __slots__ = ("client_id", "peer", "request", "session", "shared", "version")

    def __init__(  # what a request is
        self, shared: Shared, session: Session, peer: Peer, client_id: str | None, version: int, request: object
    ) -> None:
        self.shared = shared
        self.session = session
        self.peer = peer
        self.client_id = client_id
        self.version = version
        self.request: Any = request

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self.shared.broker

    @property
    def options(self) -> KafkaOptions:
        """How the door behaves."""
        return self.shared.options

    @property
    def cluster_id(self) -> str:
        """The cluster's name, the same for the life of a store."""
        return self.shared.cluster_id

    @property
    def namespace(self) -> str:
        """Where Kafka's names live."""
        return DEFAULT_NAMESPACE

    def node(self) -> Node:
        """The node, at the address where this client can reach it."""
        host, port = self.options.advertised or (self.peer.local_host, self.peer.local_port)
        return Node(NODE_ID, host, port)

    def allows(self, operation: Operation, resource: str) -> bool:
        """Whether the caller may do that."""
        return self.broker.access.allows(self.session, operation, resource)

    def topic(self, name: str) -> Topic | None:
        """A topic by name."""
        catalog = self.broker.catalog
        return catalog.topics.get(catalog.topic_names.get((self.namespace, name), 0))

    def topic_by_id(self, topic_id: bytes) -> Topic | None:
        """A topic by its id."""
        return self.shared.topic_ids.find(topic_id)


Answer = Struct | Pending[Any] | Coroutine[Any, Any, Struct | None] | None
"""The response; or what gives it later; or None, when the request has none."""

Handler = Callable[[Call], Answer]
