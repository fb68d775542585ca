"""Committed positions of consumer groups, as Kafka's clients set, read and drop them.

A commit sets the floor of a group's position and clears the rest; it is answered when it is durable.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from isthmus.broker import positions
from isthmus.broker.catalog import Topic
from isthmus.broker.positions import Author, Mark
from isthmus.errors import InvalidArgument, OffsetOutOfRange, RequestError, UnknownGroup
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.log import facts
from isthmus.log.partition import Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.groups import code_for, group_of
from isthmus.protocols.kafka.handlers.subscription import PROTOCOL_TYPE, subscribed

NO_OFFSET: Final = -1
BY_ID: Final = 10
"""From this version on topics are named by id, in OffsetCommit and OffsetFetch."""


def find(call: Call, name: str, topic_id: bytes, *, by_id: bool) -> Topic | Code:
    """A topic by name or id; or why it cannot be had."""
    if not by_id and not call.allows("read", name):
        return Code.TOPIC_AUTHORIZATION_FAILED
    topic = call.topic_by_id(topic_id) if by_id else call.topic(name)
    if topic is None or not call.allows("read", topic.name):
        return Code.UNKNOWN_TOPIC_ID if by_id else Code.UNKNOWN_TOPIC_OR_PARTITION
    return topic


def place(topic: Topic | Code, index: int) -> Partition | Code:
    """A partition of a topic; or why it cannot be had."""
    if isinstance(topic, Code):
        return topic
    return topic.partitions[index] if 0 <= index < len(topic.partitions) else Code.UNKNOWN_TOPIC_OR_PARTITION


# ---- setting ---------------------------------------------------------------------------------------------------------


async def offset_commit(call: Call) -> m.OffsetCommitResponse:
    """Set positions of a group; each partition is judged by itself, what passes is durable as a whole.

    Spec: OffsetCommit (8). Deviations: an offset beyond the end is refused (OFFSET_OUT_OF_RANGE); the retention time
    of a request is not looked at.
    """
    asked: m.OffsetCommitRequest = call.request
    author = Author(asked.member_id, asked.generation_id_or_member_epoch, asked.group_instance_id)
    try:
        group = await _committing(call, asked.group_id, author)
        codes, rows = _judge(call, group, asked, author)
        await positions.commit(call.broker, call.session, group, rows, author)
    except RequestError as error:
        refused = Code.ILLEGAL_GENERATION if isinstance(error, UnknownGroup) else code_for(error)
        return _committed(asked, lambda _: refused)
    return _committed(asked, codes.__getitem__)


async def _committing(call: Call, name: str, author: Author) -> ConsumerGroup:
    """The group of a commit; a reader without membership may be the first that it hears of.

    Raises:
        RequestError: there can be none.
    """
    if not author.member and author.generation < 0 and name:
        return await call.broker.group(call.session, call.namespace, name, expires=True)
    return group_of(call, name)


Codes = dict[int, Code]
"""By the number of a partition in its request, over all topics."""


def _judge(
    call: Call, group: ConsumerGroup, asked: m.OffsetCommitRequest, author: Author
) -> tuple[Codes, list[facts.Committed]]:
    codes: Codes = {}
    rows: list[facts.Committed] = []
    now_ms = call.broker.clock.now_ms()
    for named in asked.topics:
        topic = find(call, named.name, named.topic_id, by_id=call.version >= BY_ID)
        for row in named.partitions:
            found = _fact(group, place(topic, row.partition_index), row, author, now_ms)
            codes[len(codes)] = found if isinstance(found, Code) else Code.NONE
            if not isinstance(found, Code):
                rows.append(found)
    return codes, rows


def _fact(
    group: ConsumerGroup,
    found: Partition | Code,
    row: m.OffsetCommitRequestTopicPartition,
    author: Author,
    now_ms: int,
) -> facts.Committed | Code:
    if isinstance(found, Code):
        return found
    mark = Mark(found, row.committed_offset, row.committed_metadata or "", row.committed_leader_epoch)
    try:
        return positions.fact_of(group, mark, author, now_ms)
    except OffsetOutOfRange:
        return Code.OFFSET_OUT_OF_RANGE
    except InvalidArgument:
        return Code.OFFSET_METADATA_TOO_LARGE


def _committed(asked: m.OffsetCommitRequest, code: Callable[[int], Code]) -> m.OffsetCommitResponse:
    number, topics = 0, []
    for named in asked.topics:
        rows = []
        for row in named.partitions:
            rows.append(
                m.OffsetCommitResponseTopicPartition(partition_index=row.partition_index, error_code=code(number))
            )
            number += 1
        topics.append(m.OffsetCommitResponseTopic(name=named.name, topic_id=named.topic_id, partitions=tuple(rows)))
    return m.OffsetCommitResponse(topics=tuple(topics))


# ---- reading ---------------------------------------------------------------------------------------------------------


def offset_fetch(call: Call) -> m.OffsetFetchResponse:
    """Where groups stand, as far as it is durable; nothing is unstable here, since there are no transactions.

    Spec: OffsetFetch (9). A group of the library is seen by its floor: all below it is done.
    """
    asked: m.OffsetFetchRequest = call.request
    if call.version >= 8:
        return m.OffsetFetchResponse(groups=tuple(_fetch_group(call, row) for row in asked.groups))
    found = _readable(call, asked.group_id)
    if isinstance(found, Code):
        return _refuse_fetch(call, asked, found)
    topics = [
        m.OffsetFetchResponseTopic(
            name=name,
            partitions=tuple(
                m.OffsetFetchResponseTopicPartition(
                    partition_index=index,
                    committed_offset=offset,
                    committed_leader_epoch=epoch,
                    metadata=metadata,
                    error_code=code,
                )
                for index, offset, epoch, metadata, code in rows
            ),
        )
        for name, _, rows in _wanted(call, found, asked.topics)
    ]
    return m.OffsetFetchResponse(topics=tuple(topics), error_code=0)


Row = tuple[int, int, int, str, Code]
"""Partition, offset, leader epoch, metadata, error."""


def _fetch_group(call: Call, asked: m.OffsetFetchRequestGroup) -> m.OffsetFetchResponseGroup:
    found = _readable(call, asked.group_id)
    if isinstance(found, Code):
        return m.OffsetFetchResponseGroup(group_id=asked.group_id, topics=(), error_code=found)
    topics = [
        m.OffsetFetchResponseGroupTopic(
            name=name,
            topic_id=topic_id,
            partitions=tuple(
                m.OffsetFetchResponseGroupTopicPartition(
                    partition_index=index,
                    committed_offset=offset,
                    committed_leader_epoch=epoch,
                    metadata=metadata,
                    error_code=code,
                )
                for index, offset, epoch, metadata, code in rows
            ),
        )
        for name, topic_id, rows in _wanted(call, found, asked.topics)
    ]
    return m.OffsetFetchResponseGroup(group_id=asked.group_id, topics=tuple(topics), error_code=0)


def _refuse_fetch(call: Call, asked: m.OffsetFetchRequest, code: Code) -> m.OffsetFetchResponse:
    """Version 1 has no place for an error of the whole, so that every partition carries it."""
    topics = [
        m.OffsetFetchResponseTopic(
            name=named.name,
            partitions=tuple(
                m.OffsetFetchResponseTopicPartition(
                    partition_index=index, committed_offset=NO_OFFSET, metadata="", error_code=code
                )
                for index in named.partition_indexes
            ),
        )
        for named in asked.topics or ()
    ]
    return m.OffsetFetchResponse(topics=tuple(topics) if call.version < 2 else (), error_code=code)


def _readable(call: Call, name: str) -> ConsumerGroup | Code | None:
    """The group; None when it is not there, which reads as a group that has not committed."""
    if not call.allows("describe", name):
        return Code.GROUP_AUTHORIZATION_FAILED
    known = call.broker.catalog.group_names.get((call.namespace, name))
    return None if known is None else call.broker.catalog.groups[known]


Named = m.OffsetFetchRequestTopic | m.OffsetFetchRequestGroupTopic
T = TypeVar("T")


def _wanted(
    call: Call, group: ConsumerGroup | None, topics: Iterable[Named] | None
) -> Iterable[tuple[str, bytes, list[Row]]]:
    """The positions that are asked for, by topic; without topics all that there are."""
    if topics is None:
        yield from _all(call, group)
        return
    for named in topics:
        by_id = call.version >= BY_ID
        topic = find(call, getattr(named, "name", ""), getattr(named, "topic_id", b""), by_id=by_id)
        if topic is Code.UNKNOWN_TOPIC_OR_PARTITION:
            topic = Code.NONE  # a topic that is not there has no position, and that is no error
        rows = [_row(group, place(topic, index), index) for index in named.partition_indexes]
        yield getattr(named, "name", ""), getattr(named, "topic_id", b"\0" * 16), rows


def _all(call: Call, group: ConsumerGroup | None) -> Iterable[tuple[str, bytes, list[Row]]]:
    if group is None:
        return
    by_topic: dict[int, tuple[Topic, list[Row]]] = {}
    for partition_id in sorted(group.positions):
        topic = call.broker.catalog.topic_of(partition_id)
        if topic is not None and call.allows("read", topic.name):
            index = partition_id - topic.partitions[0].id
            by_topic.setdefault(topic.id, (topic, []))[1].append(_row(group, topic.partitions[index], index))
    for topic, rows in by_topic.values():
        yield topic.name, topic.set.uuid, rows


def _row(group: ConsumerGroup | None, found: Partition | Code, index: int) -> Row:
    if isinstance(found, Code):
        code = Code.NONE if found is Code.UNKNOWN_TOPIC_OR_PARTITION else found
        return index, NO_OFFSET, -1, "", code
    fact = None if group is None else group.positions.get(found.id)
    if fact is None:
        return index, NO_OFFSET, -1, "", Code.NONE
    return index, fact.floor, fact.leader_epoch, fact.metadata, Code.NONE


# ---- dropping --------------------------------------------------------------------------------------------------------


async def offset_delete(call: Call) -> m.OffsetDeleteResponse:
    """Drop a group's positions in partitions that none of its members subscribes to.

    Spec: OffsetDelete (47).
    """
    asked: m.OffsetDeleteRequest = call.request
    try:
        call.broker.access.check(call.session, "administer", asked.group_id)
        group = call.broker.catalog.group(call.namespace, asked.group_id)
    except UnknownGroup:
        return m.OffsetDeleteResponse(error_code=Code.GROUP_ID_NOT_FOUND, topics=())
    except RequestError as error:
        return m.OffsetDeleteResponse(error_code=code_for(error), topics=())
    view = group.members.describe()
    if view.members and view.protocol_type != PROTOCOL_TYPE:
        return m.OffsetDeleteResponse(error_code=Code.NON_EMPTY_GROUP, topics=())
    held = subscribed(view)
    gone: list[Partition] = []
    topics = []
    for named in asked.topics:
        topic = find(call, named.name, b"", by_id=False)
        if held is None or named.name in held:
            topic = Code.GROUP_SUBSCRIBED_TO_TOPIC
        rows = []
        for row in named.partitions:
            found = place(topic, row.partition_index)
            if not isinstance(found, Code):
                gone.append(found)
            rows.append(
                m.OffsetDeleteResponseTopicPartition(
                    partition_index=row.partition_index,
                    error_code=found if isinstance(found, Code) else Code.NONE,
                )
            )
        topics.append(m.OffsetDeleteResponseTopic(name=named.name, partitions=tuple(rows)))
    await positions.forget(call.broker, call.session, group, gone)
    return m.OffsetDeleteResponse(error_code=0, topics=tuple(topics))
