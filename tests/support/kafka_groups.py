"""A member of a consumer group that speaks Kafka's classic protocol, one request at a time, over a real socket."""

from collections.abc import Mapping
from typing import Any

from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from support.kafka import KafkaPeer

SESSION_MS = 10_000
REBALANCE_MS = 20_000


def subscription(*topics: str) -> bytes:
    """What a consumer says of itself: version 0, topics, no data of its own."""
    names = b"".join(len(name.encode()).to_bytes(2) + name.encode() for name in topics)
    return bytes(2) + len(topics).to_bytes(4) + names + (-1).to_bytes(4, signed=True)


class Member:
    """Remembers what it was told: its id, generation and whether it leads."""

    def __init__(self, peer: KafkaPeer, group: str = "readers", instance: str | None = None) -> None:
        self.peer = peer
        self.group = group
        self.instance = instance
        self.id = ""
        self.generation = -1
        self.leads = False

    def asking(self, **options: Any) -> m.JoinGroupRequest:
        """A request to join, with some fields changed."""
        fields: dict[str, Any] = {
            "group_id": self.group,
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": REBALANCE_MS,
            "member_id": self.id,
            "group_instance_id": self.instance,
            "protocol_type": "consumer",
            "protocols": (m.JoinGroupRequestProtocol("range", subscription("orders")),),
        }
        return m.JoinGroupRequest(**{**fields, **options})

    async def join(self, version: int = 9, **options: Any) -> Any:  # noqa: ANN401 - an answer, and fields of a struct
        """Join, coming back with the id that it is given where it is asked to."""
        answer = await self.peer.ask(11, version, self.asking(**options))
        if answer.error_code == Code.MEMBER_ID_REQUIRED:
            self.id = answer.member_id
            answer = await self.peer.ask(11, version, self.asking(**options))
        if answer.error_code == Code.NONE:
            self.id, self.generation = answer.member_id, answer.generation_id
            self.leads = answer.leader == answer.member_id
        return answer

    async def sync(self, shares: Mapping[str, bytes] | None = None, version: int = 5, **options: Any) -> Any:  # noqa: ANN401 - as above
        """Ask for the assignment; the leader brings everybody's."""
        fields: dict[str, Any] = {
            "group_id": self.group,
            "generation_id": self.generation,
            "member_id": self.id,
            "group_instance_id": self.instance,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": tuple(m.SyncGroupRequestAssignment(*row) for row in (shares or {}).items()),
        }
        return await self.peer.ask(14, version, m.SyncGroupRequest(**{**fields, **options}))

    async def beat(self, version: int = 4, **options: Any) -> Code:
        """Say that it lives; the code of the answer."""
        fields: dict[str, Any] = {
            "group_id": self.group,
            "generation_id": self.generation,
            "member_id": self.id,
            "group_instance_id": self.instance,
        }
        return Code((await self.peer.ask(12, version, m.HeartbeatRequest(**{**fields, **options}))).error_code)

    async def leave(self, version: int = 5, **options: Any) -> Any:  # noqa: ANN401 - as above
        """Go; the answer."""
        row = m.LeaveGroupRequestMember(**{"member_id": self.id, "group_instance_id": self.instance, **options})
        asked = m.LeaveGroupRequest(self.group, row.member_id, (row,))
        return await self.peer.ask(13, version, asked)


async def stable(peer: KafkaPeer, group: str = "readers", instance: str | None = None) -> Member:
    """A group of one member that has its assignment."""
    member = Member(peer, group, instance)
    assert (await member.join()).error_code == Code.NONE
    assert (await member.sync({member.id: b"all of it"})).error_code == Code.NONE
    return member


def commit(group: str, *rows: tuple[int, int], topic: str = "orders", **options: Any) -> m.OffsetCommitRequest:
    """A request to commit (partition, offset) rows of a topic; `topic_id` and others as options."""
    topic_id, metadata = options.pop("topic_id", bytes(16)), options.pop("metadata", "")
    places = tuple(m.OffsetCommitRequestTopicPartition(index, at, -1, metadata) for index, at in rows)
    return m.OffsetCommitRequest(group, topics=(m.OffsetCommitRequestTopic(topic, topic_id, places),), **options)


def codes(answer: Any) -> list[Code]:  # noqa: ANN401 - any answer about partitions
    """The codes of all partitions of an answer."""
    return [Code(row.error_code) for topic in answer.topics for row in topic.partitions]
