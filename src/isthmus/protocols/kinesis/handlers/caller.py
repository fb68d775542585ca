"""One action of one caller: what it is done with, and the stream that it names.

It looks up; it decides nothing.
"""

import re
from typing import Final, NamedTuple

import msgspec

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Topic
from isthmus.definition import DEFAULT_NAMESPACE, Operation, TopicDefinition
from isthmus.log.partition import Partition
from isthmus.protocols.kinesis import cursor, shapes
from isthmus.protocols.kinesis.errors import in_use, invalid, missing, no_stream, not_found, violated
from isthmus.protocols.kinesis.shards import DAY_HOURS, HOUR_MS, Layout, Own, Shard, kept, layout_of

NAMESPACE: Final = DEFAULT_NAMESPACE
ACCOUNT: Final = "000000000000"
REGION: Final = "us-east-1"
NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+")
NAME_CHARACTERS_MAX: Final = 128
FOREVER_HOURS: Final = 8_760
"""What is said of topics that keep their records without end: the longest time that there is."""


Subscription = tuple[int, str, int]
"""Topic id, name of the consumer, index of the shard."""


class Found(NamedTuple):
    """A stream: its topic, and its shards as they are now."""

    topic: Topic
    layout: Layout

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.topic.name

    @property
    def own(self) -> Own:
        """What Kinesis knows of it."""
        return self.layout.own

    @property
    def hours(self) -> int:
        """How long records stay."""
        age_ms = self.topic.set.config.age_ms
        return FOREVER_HOURS if age_ms is None else max(DAY_HOURS, age_ms // HOUR_MS)

    @property
    def encryption(self) -> str | None:
        """What is said of records; nothing where no encryption was asked for."""
        return None if self.own.key_id is None else "KMS"

    def partition(self, index: int) -> Partition:
        """The partition that a shard is."""
        return self.topic.partitions[index]

    def shard(self, index: int) -> Shard:
        """A shard by its index."""
        return self.own.shards[index]

    def sequence(self, index: int, offset: int) -> str:
        """The sequence number of an offset in a shard."""
        return cursor.sequence(index, self.shard(index).created_ms, offset)

    def redefined(self, own: Own, **changed: int) -> TopicDefinition:
        """The same stream in another state, with other settings of its topic."""
        declared = self.topic.set
        config = msgspec.structs.replace(kept(declared.config, own), **changed)
        return TopicDefinition(
            name=declared.name,
            namespace=declared.namespace,
            partitions=max(len(own.shards), declared.partitions),
            placement=declared.placement,
            config=config,
            lifetime=declared.lifetime,
        )


def is_name(name: str) -> bool:
    """Whether a stream can be called so."""
    return len(name) <= NAME_CHARACTERS_MAX and NAME.fullmatch(name) is not None


def check_name(name: str | None, member: str = "streamName") -> str:
    """The name of a stream. Raises AwsError when it can be none."""
    if name is None:
        raise missing(member)
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        shown = name[: NAME_CHARACTERS_MAX + 1]
        raise violated(shown, member, "Member must have length between 1 and 128, inclusive")
    if NAME.fullmatch(name) is None:
        raise violated(name, member, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    return name


class Caller:
    """Who asks, of which broker. `subscribed` is when each subscription began that lasts, by the monotonic clock."""

    __slots__ = ("account", "broker", "region", "session", "subscribed")

    def __init__(
        self,
        broker: Broker,
        session: Session,
        subscribed: dict[Subscription, int],
        *,
        account: str = ACCOUNT,
        region: str = REGION,
    ) -> None:
        self.subscribed = subscribed
        self.broker = broker
        self.session = session
        self.account = account
        self.region = region

    @property
    def now_ms(self) -> int:
        """The time, ms since 1970 UTC."""
        return self.broker.clock.now_ms()

    def arn_of(self, name: str) -> str:
        """The ARN of a stream."""
        return f"arn:aws:kinesis:{self.region}:{self.account}:stream/{name}"

    def check(self, operation: Operation, name: str) -> None:
        """Raises AccessDenied."""
        self.broker.access.check(self.session, operation, name)

    async def find(self, asked: shapes.OnStream) -> Found:
        """The stream that an input names, once nobody is changing it.

        Raises:
            AwsError: there is none, or none was named.
        """
        name = self.name_of(asked.stream_name, asked.stream_arn)
        await self.broker.quiet("topic", NAMESPACE, name)
        return self.named(name)

    def name_of(self, name: str | None, arn: str | None) -> str:
        """The name that a name, an ARN or both say. Raises AwsError when they say none, or two."""
        if name is None and arn is None:
            raise invalid("One of StreamName and StreamARN must be provided.")
        if arn is not None:
            said = arn.partition(":stream/")[2].partition("/")[0]
            check_name(said, "streamARN")
            if name not in (None, said):
                raise invalid(f"StreamARN {arn} and StreamName {name} name different streams.")
            name = said
        return check_name(name)

    def named(self, name: str) -> Found:
        """A stream by its name. Raises AwsError when there is none."""
        catalog = self.broker.catalog
        topic = catalog.topics.get(catalog.topic_names.get((NAMESPACE, name), 0))
        if topic is None or topic.set.queue is not None:
            raise no_stream(name, self.account)
        return found_of(topic)

    def identified(self, topic_id: int) -> Found:
        """A stream by the id of its topic. Raises AwsError when it is gone."""
        topic = self.broker.catalog.topics.get(topic_id)
        if topic is None or topic.set.queue is not None:
            raise not_found("The stream of this iterator is not there any more.")
        return found_of(topic)

    def shard_of(self, found: Found, name: str | None, member: str = "shardId") -> int:
        """The index of a shard. Raises AwsError when there is none."""
        if name is None:
            raise missing(member)
        index = cursor.shard_index(name)
        if index is None or index >= len(found.own.shards):
            shown = name[: NAME_CHARACTERS_MAX + 1]
            raise not_found(f"Could not find shard {shown} in stream {found.name} under account {self.account}.")
        return index

    async def keep(self, found: Found, own: Own, **changed: int) -> None:
        """Make another state of a stream durable, and settings of its topic. Raises AwsError while it is changing."""
        if ("topic", NAMESPACE, found.name) in self.broker.catalog.making:
            raise in_use(f"Stream {found.name} under account {self.account} not ACTIVE, instead in state UPDATING")
        await self.broker.alter_topic(self.session, found.redefined(own, **changed))


def found_of(topic: Topic) -> Found:
    """A topic as a stream."""
    declared = topic.set
    return Found(topic, layout_of(declared.config, declared.partitions, declared.created_ms))
