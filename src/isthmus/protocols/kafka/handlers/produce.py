"""Producers' batches into the log: Produce and InitProducerId.

A batch is checked and goes in as it came, undecoded, unless its topic asks for something else. The answer waits for the
disk; whoever sent it does not: the next request is begun meanwhile.
"""

from collections.abc import Sequence
from typing import Final

from isthmus.broker.catalog import Topic
from isthmus.errors import InvalidBatch, ProtocolError, RequestError, StorageError
from isthmus.log import batch as batches
from isthmus.log.pending import Pending
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.record import Appended

ACKS: Final = (0, 1, -1)
BY_ID: Final = 13
"""From this version on topics are named by id."""

ZSTD: Final = "zstd"
ZSTD_FROM: Final = 7
EPOCH_MAX: Final = 32_767

Row = m.ProduceResponseResponsePartitionResponse


class Refused(ProtocolError):
    """Something was refused of a request that has no answer: closing is all that the producer can notice."""


class _Gathering:
    """The partitions of one request: their answers, until the last is there."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.rows: list[list[Row | None]] = []
        self.left = 1
        self.failed = False
        self.pending: Pending[m.ProduceResponse | None] = Pending()

    def put(self, at: int, index: int, row: Row) -> None:
        """This is the answer of one partition."""
        self.rows[at][index] = row
        self.failed = self.failed or row.error_code != Code.NONE
        self.done()

    def done(self) -> None:
        """One thing less to wait for."""
        self.left -= 1
        if not self.left:
            acks: int = self._call.request.acks
            if acks:
                self.pending.settle(self._answer())
            else:
                self.pending.settle(None, Refused("a batch with acks 0 was refused") if self.failed else None)

    def _answer(self) -> m.ProduceResponse:
        asked: m.ProduceRequest = self._call.request
        topics = [
            m.ProduceResponseResponse(named.name, named.topic_id, tuple([row for row in rows if row is not None]))
            for named, rows in zip(asked.topic_data, self.rows, strict=True)
        ]
        return m.ProduceResponse(responses=tuple(topics))


def produce(call: Call) -> Pending[m.ProduceResponse | None]:
    """Append batches to partitions; every partition succeeds or fails by itself.

    With acks 0 there is no answer: the result is None, or `Refused` when something was, which closes the connection.

    Spec: Produce (0).
    """
    asked: m.ProduceRequest = call.request
    gathering = _Gathering(call)
    if asked.acks not in ACKS:
        _refuse_all(asked, gathering, Code.INVALID_REQUIRED_ACKS, f"acks {asked.acks} is none of 0, 1 and -1")
        return gathering.pending
    for at, named in enumerate(asked.topic_data):
        gathering.rows.append([None] * len(named.partition_data))
        topic = call.topic(named.name) if call.version < BY_ID else call.topic_by_id(named.topic_id)
        refusal = _unavailable(call, named.name, topic)
        for index, data in enumerate(named.partition_data):
            gathering.left += 1
            if topic is None or refusal is not None:
                gathering.put(at, index, _refusal(data.index, *(refusal or MISSING)))
            else:
                _append(call, gathering, (at, index), topic, data)
    gathering.done()
    return gathering.pending


MISSING: Final = Code.UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic"


def _unavailable(call: Call, name: str, topic: Topic | None) -> tuple[Code, str] | None:
    """Why nothing can be published to a topic. Who may not is not told whether it is there."""
    if topic is None and call.version >= BY_ID:
        return Code.UNKNOWN_TOPIC_ID, MISSING[1]
    name = name if topic is None else topic.name
    if not call.allows("publish", name):
        return Code.TOPIC_AUTHORIZATION_FAILED, f"{call.session.principal!r} may not publish to {name!r}"
    return MISSING if topic is None else None


def _refuse_all(asked: m.ProduceRequest, gathering: _Gathering, code: Code, text: str) -> None:
    for at, named in enumerate(asked.topic_data):
        gathering.rows.append([None] * len(named.partition_data))
        for index, data in enumerate(named.partition_data):
            gathering.left += 1
            gathering.put(at, index, _refusal(data.index, code, text))
    gathering.done()


def _refusal(partition: int, code: Code, text: str) -> Row:
    return Row(index=partition, error_code=code, base_offset=-1, error_message=text)


def _append(
    call: Call,
    gathering: _Gathering,
    place: tuple[int, int],
    topic: Topic,
    data: m.ProduceRequestTopicDataPartitionData,
) -> None:
    records = data.records
    try:
        if not isinstance(records, bytes) or not records:
            raise InvalidBatch("there are no bytes")
        parts = [records] if batches.header(records).size_bytes == len(records) else batches.split(records)
        if call.version < ZSTD_FROM and any(batches.header(each).compression == ZSTD for each in parts):
            row = _refusal(data.index, Code.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce 7 or newer")
            gathering.put(*place, row)
            return
        if len(parts) > 1:
            # They have one answer, so none is to be stored when another cannot be.
            for each in parts:
                call.broker.check_batch(call.session, topic, data.index, each)
        waiting = [call.broker.append_batch(call.session, topic, data.index, each) for each in parts]
    except (RequestError, StorageError) as error:
        gathering.put(*place, _refusal(data.index, code_of(error, "topic"), str(error)))
        return
    # The last is durable last: a unit never overtakes the one before.
    waiting[-1].add_done_callback(lambda _: gathering.put(*place, _row(topic, data.index, waiting)))


def _row(topic: Topic, index: int, done: Sequence[Pending[list[Appended]]]) -> Row:
    """The answer for a partition whose batches are durable, or are not."""
    for each in done:
        if each.error is not None:
            return _refusal(index, code_of(each.error, "topic"), str(each.error))
    first = done[0].result()[0]
    stamped = topic.set.config.timestamps == "append" and not first.duplicate
    return Row(
        index=index,
        base_offset=first.base_offset,
        log_append_time_ms=first.timestamp_ms if stamped else -1,
        log_start_offset=topic.partitions[index].log_start,
    )


async def init_producer_id(call: Call) -> m.InitProducerIdResponse:
    """An id for an idempotent producer; with one that it has, the next epoch of it.

    Spec: InitProducerId (22). Deviation: transactional ids are refused; they come in a later version.
    """
    asked: m.InitProducerIdRequest = call.request
    if asked.transactional_id is not None:
        return m.InitProducerIdResponse(
            error_code=Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, producer_id=-1, producer_epoch=-1
        )
    if not call.broker.access.allows_some(call.session, "publish"):
        return m.InitProducerIdResponse(error_code=Code.CLUSTER_AUTHORIZATION_FAILED, producer_id=-1, producer_epoch=-1)
    if asked.producer_id >= 0 and 0 <= asked.producer_epoch < EPOCH_MAX - 1:
        return m.InitProducerIdResponse(producer_id=asked.producer_id, producer_epoch=asked.producer_epoch + 1)
    try:
        producer = await call.broker.producer_ids.take()
    except (RequestError, StorageError) as error:
        return m.InitProducerIdResponse(error_code=code_of(error, "cluster"), producer_id=-1, producer_epoch=-1)
    return m.InitProducerIdResponse(producer_id=producer, producer_epoch=0)
