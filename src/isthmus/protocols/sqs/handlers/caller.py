"""One action of one caller: what it is done with, and the queue that it names.

It looks up; it decides nothing.
"""

import urllib.parse
from typing import Final

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Topic
from isthmus.definition import DEFAULT_NAMESPACE, QueueConfig, QueueDefinition
from isthmus.lenses.queue.queue import Queue
from isthmus.log import facts
from isthmus.protocols.sqs.attributes import ACCOUNT, REGION, Own, own_of
from isthmus.protocols.sqs.errors import invalid, missing, no_queue

NAMESPACE: Final = DEFAULT_NAMESPACE


class Found(Struct, frozen=True):
    """A queue with what SQS and the broker know of it."""

    queue: Queue
    declared: facts.QueueSet
    topic: Topic
    own: Own
    viewed: str | None = None

    @property
    def name(self) -> str:
        """Of the queue."""
        return self.declared.name

    @property
    def fifo(self) -> bool:
        """Whether it keeps the order of groups."""
        return self.declared.config.ordered

    def redefined(self, config: QueueConfig) -> QueueDefinition:
        """The same queue, as it hands out by another configuration."""
        declared, topic = self.declared, self.topic.set
        return QueueDefinition(
            name=declared.name,
            namespace=declared.namespace,
            config=config,
            topic=topic.config,
            partitions=topic.partitions,
            view_of=self.viewed,
            lifetime=declared.lifetime,
        )


class Caller:
    """Who asks, of which broker, over which address. `base` is what the URLs of queues begin with."""

    __slots__ = ("account", "base", "broker", "region", "session")

    def __init__(
        self, broker: Broker, session: Session, base: str, *, account: str = ACCOUNT, region: str = REGION
    ) -> None:
        self.broker = broker
        self.session = session
        self.base = base
        self.account = account
        self.region = region

    def url_of(self, name: str) -> str:
        """The URL of a queue."""
        return f"{self.base}/{self.account}/{urllib.parse.quote(name)}"

    def find(self, url: str | None) -> Found:
        """The queue that a URL, or a bare name, stands for: the last part of its path names it.

        Raises:
            AwsError: there is none, or none was named.
        """
        if not url:
            raise missing("QueueUrl")
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rstrip("/").rpartition("/")[2])
        if not name:
            raise invalid(f"The address {url} is not valid for this endpoint.")
        return self.named(name)

    def named(self, name: str) -> Found:
        """A queue by its name. Raises AwsError when there is none."""
        catalog = self.broker.catalog
        key = catalog.queue_names.get((NAMESPACE, name))
        queue = None if key is None else catalog.queues.get(key)
        if key is None or queue is None:
            raise no_queue()
        declared = catalog.queue_sets[key]
        viewed = None if declared.view_of is None else catalog.topics[declared.view_of].name
        return Found(queue, declared, catalog.topics[declared.topic], own_of(declared.config), viewed)

    def topic_named(self, name: str) -> Topic | None:
        """A topic by its name, None when there is none any more."""
        catalog = self.broker.catalog
        return catalog.topics.get(catalog.topic_names.get((NAMESPACE, name), 0))
