"""Produce and InitProducerId over a real socket: what is stored, what is refused with which code, who is answered."""

from typing import Any

import pytest

from isthmus.clock import ManualClock
from isthmus.log import batch as batches
from isthmus.log.compression import CODECS
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.record import Record
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_requests import (
    FETCH,
    INIT_PRODUCER,
    METADATA,
    PRODUCE,
    a_batch,
    fetch,
    fill,
    make_topic,
    produce,
    row_of,
    values,
    wanted,
    with_topic,
)

NOW_MS = 1_357_000_000_000
GAP_AT = 23
"""Where the last offset delta of a batch is."""


async def code_of(peer: KafkaPeer, *data: bytes | None, version: int = 9, **given: Any) -> Code:
    row = row_of(await peer.ask(PRODUCE, version, produce(*data, **given)))
    if row.error_code:
        assert row.base_offset == -1
        assert row.error_message or version < 8
    return Code(row.error_code)


def stored(server: KafkaServer, name: str = "t") -> int:
    return server.broker.topic("default", name).partitions[0].high_watermark


def sealed(batch: bytes) -> bytes:
    """With the checksum of what it has become."""
    data = batches.header(batch)
    return batches._joined(data, batch[batches.HEADER_BYTES :])


# ---- what is stored ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3, 13))
async def test_a_batch_is_stored_as_it_came_in_every_version(version: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"before"))

        row = row_of(await peer.ask(PRODUCE, version, produce(a_batch(b"one", b"two"))))
        found = row_of(await peer.ask(FETCH, 12, fetch(wanted(offset=1))))

        assert (row.error_code, row.base_offset, row.log_append_time_ms) == (Code.NONE, 1, -1)
        assert row.log_start_offset == (0 if version >= 5 else -1)
        assert values(found) == [b"one", b"two"]
        assert found.records[16:] == a_batch(b"one", b"two")[16:]


async def test_from_version_13_topics_are_named_by_id() -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server)
        peer = await server.connect()

        known = row_of(await peer.ask(PRODUCE, 13, produce(a_batch(b"a"), name="", uuid=uuid)))

        assert (known.error_code, known.base_offset) == (Code.NONE, 0)
        assert await code_of(peer, a_batch(b"a"), version=13, uuid=b"x" * 16) is Code.UNKNOWN_TOPIC_ID
        assert await code_of(peer, a_batch(b"a"), version=13) is Code.UNKNOWN_TOPIC_ID


async def test_several_batches_in_one_entry_are_stored_in_order() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        (base,) = await fill(peer, a_batch(b"a", b"b") + a_batch(b"c"))

        found = row_of(await peer.ask(FETCH, 12, fetch()))
        assert (base, values(found), stored(server)) == (0, [b"a", b"b", b"c"], 3)


async def test_every_partition_succeeds_or_fails_by_itself_in_the_order_of_the_request() -> None:
    async with kafka_server() as server:
        await make_topic(server, "a", 2)
        peer = await server.connect()
        part = m.ProduceRequestTopicDataPartitionData
        asked = m.ProduceRequest(
            None,
            -1,
            1_000,
            (
                m.ProduceRequestTopicData("a", partition_data=(part(1, a_batch(b"x")), part(7, a_batch(b"x")))),
                m.ProduceRequestTopicData("nothing", partition_data=(part(0, a_batch(b"x")),)),
                m.ProduceRequestTopicData("a", partition_data=(part(0, b"junk"), part(0, a_batch(b"y")))),
                m.ProduceRequestTopicData("a"),
            ),
        )

        answer = await peer.ask(PRODUCE, 9, asked)

        told = [
            (topic.name, [(row.index, row.error_code) for row in topic.partition_responses])
            for topic in answer.responses
        ]
        missing = Code.UNKNOWN_TOPIC_OR_PARTITION
        assert told == [
            ("a", [(1, Code.NONE), (7, missing)]),
            ("nothing", [(0, missing)]),
            ("a", [(0, Code.CORRUPT_MESSAGE), (0, Code.NONE)]),
            ("a", []),
        ]


async def test_a_topic_that_stamps_tells_the_time_of_append() -> None:
    async with kafka_server(clock=ManualClock(NOW_MS)) as server:
        peer = await with_topic(server, timestamps="append")

        row = row_of(await peer.ask(PRODUCE, 9, produce(a_batch(b"a", time_ms=5))))
        found = row_of(await peer.ask(FETCH, 12, fetch()))

        assert (row.error_code, row.log_append_time_ms) == (Code.NONE, NOW_MS)
        head = batches.header(found.records)
        assert (head.log_append_time, head.max_timestamp_ms) == (True, NOW_MS)
        assert [each.timestamp_ms for each in batches.decode(found.records)] == [NOW_MS]


@pytest.mark.parametrize("codec", sorted(CODECS))
async def test_codecs_go_in_as_they_come(codec: str) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        sent = a_batch(b"a" * 1_000, b"b" * 1_000, compression=codec)

        await fill(peer, sent)

        found = row_of(await peer.ask(FETCH, 12, fetch()))
        assert found.records[16:] == sent[16:]


# ---- acks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acks", [1, -1])
async def test_an_answer_that_promises_comes_when_it_is_stored(acks: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        assert await code_of(peer, a_batch(b"a"), acks=acks) is Code.NONE
        assert stored(server) == 1


async def test_acks_0_has_no_answer_and_the_next_request_has_its_own() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        for _ in range(3):
            peer.say(PRODUCE, 9, produce(a_batch(b"a"), acks=0))
        row = row_of(await peer.ask(PRODUCE, 9, produce(a_batch(b"b"))))

        assert (row.base_offset, stored(server)) == (3, 4)


async def test_acks_0_learns_of_a_refusal_by_the_end_of_its_connection() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        peer.say(PRODUCE, 9, produce(a_batch(b"a"), name="nothing", acks=0))

        assert await peer.is_closed()


@pytest.mark.parametrize("acks", [2, -2, 32_767])
async def test_other_acks_are_refused_for_all_partitions(acks: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        answer = await peer.ask(PRODUCE, 9, produce(a_batch(b"a"), a_batch(b"b"), acks=acks))

        rows = answer.responses[0].partition_responses
        assert [row.error_code for row in rows] == [Code.INVALID_REQUIRED_ACKS] * 2
        assert stored(server) == 0


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x00" * 60,
        b"\x00" * 61,
        a_batch(b"a")[:-1],
        a_batch(b"a") + b"\x00",
        a_batch(b"a") + a_batch(b"b")[:40],
        a_batch(b"a")[:-1] + b"\x01",
        a_batch(b"a")[:16] + b"\x01" + a_batch(b"a")[17:],
        a_batch(b"a")[:22] + b"\x05" + a_batch(b"a")[23:],
        a_batch(b"a")[:57] + b"\xff" * 4 + a_batch(b"a")[61:],
        a_batch(b"a")[:8] + b"\x7f\xff\xff\xff" + a_batch(b"a")[12:],
    ],
    ids="null empty short zeros cut tail half crc magic codec count length".split(),
)
@pytest.mark.parametrize("version", [3, 9])
async def test_what_is_no_whole_batch_is_corrupt_and_the_connection_goes_on(data: bytes | None, version: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        assert await code_of(peer, data, version=version) is Code.CORRUPT_MESSAGE
        assert await code_of(peer, a_batch(b"a")) is Code.NONE
        assert stored(server) == 1


@pytest.mark.parametrize("last", [1, 5, 2**31 - 1])
async def test_a_batch_that_claims_more_offsets_than_records_is_refused(last: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        batch = a_batch(b"a")
        gap = sealed(batch[:GAP_AT] + last.to_bytes(4, "big") + batch[GAP_AT + 4 :])

        assert await code_of(peer, gap) is Code.CORRUPT_MESSAGE
        assert stored(server) == 0


async def test_a_batch_without_records_is_refused() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        batch = a_batch(b"a")[: batches.HEADER_BYTES]

        assert await code_of(peer, sealed(batch[:57] + bytes(4))) is Code.CORRUPT_MESSAGE
        assert stored(server) == 0


@pytest.mark.parametrize("attributes", [0x08, 0x40])
async def test_what_only_a_broker_sets_is_refused(attributes: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        batch = a_batch(b"a")

        assert await code_of(peer, sealed(batch[:22] + bytes([attributes]) + batch[23:])) is Code.CORRUPT_MESSAGE
        assert stored(server) == 0


@pytest.mark.parametrize("kind", ["control", "transactional"])
async def test_markers_and_transactions_are_not_taken(kind: str) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        sent = a_batch(
            b"a", control=kind == "control", transactional=True, producer_id=1, producer_epoch=0, base_sequence=0
        )

        assert await code_of(peer, sent) in {Code.INVALID_RECORD, Code.INVALID_REQUEST}
        assert stored(server) == 0


async def test_if_a_later_batch_of_an_entry_is_refused_nothing_of_it_is_stored() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        damaged = a_batch(b"b")[:-1] + b"\x01"

        assert await code_of(peer, a_batch(b"a") + damaged) is Code.CORRUPT_MESSAGE
        assert stored(server) == 0


@pytest.mark.parametrize("inside", [b"\xff" * 80, b"isthmus-dedup" * 6, b"isthmus-due" * 8])
@pytest.mark.parametrize("codec", range(5))
async def test_whatever_is_inside_of_a_batch_the_store_goes_on_also_after_a_restart(inside: bytes, codec: int) -> None:
    storage = MemoryStorage()
    async with kafka_server(storage) as server:
        peer = await with_topic(server)
        batch = a_batch(b"x" * 200)

        await peer.ask(PRODUCE, 9, produce(sealed(batch[:22] + bytes([codec]) + batch[23:61] + inside)))

        assert await code_of(peer, a_batch(b"fine")) is Code.NONE
    async with kafka_server(storage) as server:
        peer = await server.connect()
        assert await code_of(peer, a_batch(b"fine")) is Code.NONE


async def test_zstd_needs_a_client_that_can_know_it() -> None:
    if "zstd" not in CODECS:
        pytest.skip("zstd is not installed")
    async with kafka_server() as server:
        peer = await with_topic(server)
        sent = a_batch(b"a" * 100, compression="zstd")

        assert await code_of(peer, sent, version=6) is Code.UNSUPPORTED_COMPRESSION_TYPE
        assert await code_of(peer, sent, version=7) is Code.NONE
        assert row_of(await peer.ask(FETCH, 9, fetch())).error_code == Code.UNSUPPORTED_COMPRESSION_TYPE
        assert row_of(await peer.ask(FETCH, 10, fetch())).error_code == Code.NONE


async def test_a_batch_above_the_topics_limit_is_too_large() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, record_bytes_max=2_000)

        assert await code_of(peer, a_batch(b"a" * 2_000)) is Code.MESSAGE_TOO_LARGE
        assert await code_of(peer, a_batch(b"a" * 1_000) * 3) is Code.NONE
        assert stored(server) == 3


async def test_a_compacted_topic_wants_keys() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, compact=True)

        assert await code_of(peer, a_batch(b"a")) is Code.INVALID_RECORD
        assert await code_of(peer, a_batch(b"a", key=b"k")) is Code.NONE


async def test_timestamps_outside_the_topics_bounds_are_invalid() -> None:
    async with kafka_server(clock=ManualClock(NOW_MS)) as server:
        peer = await with_topic(server, timestamp_before_ms=1_000, timestamp_after_ms=1_000)

        assert await code_of(peer, a_batch(b"a", time_ms=NOW_MS - 1_001)) is Code.INVALID_TIMESTAMP
        assert await code_of(peer, a_batch(b"a", time_ms=NOW_MS + 1_001)) is Code.INVALID_TIMESTAMP
        assert await code_of(peer, a_batch(b"a", time_ms=NOW_MS)) is Code.NONE


# ---- idempotent producers ----------------------------------------------------------------------------------------


async def an_id(peer: KafkaPeer, version: int = 4, **given: Any) -> Any:  # noqa: ANN401 - an answer
    return await peer.ask(INIT_PRODUCER, version, m.InitProducerIdRequest(transaction_timeout_ms=60_000, **given))


def numbered(producer: int, sequence: int, *data: bytes, epoch: int = 0) -> bytes:
    return a_batch(*(data or (b"x",)), producer_id=producer, producer_epoch=epoch, base_sequence=sequence)


@pytest.mark.parametrize("version", range(6))
async def test_every_producer_gets_an_id_of_its_own(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answers = [await an_id(peer, version) for _ in range(3)]

        assert {(each.error_code, each.producer_epoch) for each in answers} == {(Code.NONE, 0)}
        assert len({each.producer_id for each in answers}) == 3


async def test_a_producer_that_names_its_id_gets_its_next_epoch_and_at_the_last_a_new_id() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        first = (await an_id(peer)).producer_id

        again = await an_id(peer, producer_id=first, producer_epoch=0)
        worn = await an_id(peer, producer_id=first, producer_epoch=32_766)

        assert (again.producer_id, again.producer_epoch) == (first, 1)
        assert (worn.producer_id != first, worn.producer_epoch) == (True, 0)


async def test_transactional_ids_are_refused() -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await an_id(peer, transactional_id="orders")

        assert (answer.error_code, answer.producer_id) == (Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1)


async def test_a_repeated_batch_is_answered_with_where_it_is() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        sent = [numbered(7, 0, b"a", b"b"), numbered(7, 2, b"c")]
        await fill(peer, *sent)

        again = await fill(peer, *sent)

        assert (again, stored(server)) == ([0, 2], 3)


async def test_a_batch_that_is_repeated_before_it_is_answered_is_stored_once() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        for _ in range(3):
            peer.say(PRODUCE, 9, produce(numbered(7, 0)))
        rows = [row_of((await peer.hear(PRODUCE, 9))[1]) for _ in range(3)]

        assert [(row.error_code, row.base_offset) for row in rows] == [(Code.NONE, 0)] * 3
        assert stored(server) == 1


async def test_a_sequence_that_is_missing_is_told_and_nothing_is_stored() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, numbered(7, 0))

        assert await code_of(peer, numbered(7, 2)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await code_of(peer, numbered(7, 1)) is Code.NONE
        assert stored(server) == 2


async def test_only_the_last_five_batches_are_known_again() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        sent = [numbered(7, at) for at in range(6)]
        await fill(peer, *sent)

        assert await code_of(peer, sent[0]) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await fill(peer, *sent[1:]) == [1, 2, 3, 4, 5]


async def test_an_older_epoch_is_fenced_and_a_newer_one_begins_at_0() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, numbered(7, 0), numbered(7, 1))

        assert await code_of(peer, numbered(7, 5, epoch=1)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await code_of(peer, numbered(7, 0, epoch=1)) is Code.NONE
        assert await code_of(peer, numbered(7, 2)) is Code.INVALID_PRODUCER_EPOCH
        assert stored(server) == 3


async def test_a_producer_that_nobody_knows_here_may_begin_anywhere_and_wraps_around() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        await fill(peer, numbered(7, 2**31 - 2, b"a", b"b"), numbered(7, 0, b"c"))

        assert stored(server) == 3


async def test_a_producer_without_a_sequence_is_refused() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        assert await code_of(peer, numbered(7, -1)) in {Code.CORRUPT_MESSAGE, Code.INVALID_RECORD}
        assert stored(server) == 0


async def test_sequences_go_on_by_partition() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, partitions=2)

        for partition in (0, 1):
            assert await fill(peer, numbered(7, 0), numbered(7, 1), partition=partition) == [0, 1]


# ---- order -------------------------------------------------------------------------------------------------------


async def test_requests_that_are_sent_together_are_stored_in_order() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        codes = ["none", "gzip"] * 10

        asked = [peer.say(PRODUCE, 9, produce(a_batch(b"%d" % at, compression=code))) for at, code in enumerate(codes)]
        heard = [await peer.hear(PRODUCE, 9) for _ in codes]

        assert [number for number, _ in heard] == asked
        assert [row_of(answer).base_offset for _, answer in heard] == list(range(20))


async def test_answers_of_several_connections_do_not_wait_for_each_other() -> None:
    async with kafka_server() as server:
        waiting, peer = await with_topic(server), await server.connect()
        waiting.say(FETCH, 12, fetch(wait_ms=60_000))
        waiting.say(METADATA, 9, m.MetadataRequest(()))

        assert await code_of(peer, a_batch(b"a")) is Code.NONE
        _, found = await waiting.hear(FETCH, 12)
        assert values(row_of(found)) == [b"a"]
        assert (await waiting.hear(METADATA, 9))[1].controller_id == 1


async def test_records_with_everything_come_back_as_they_were() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        block = batches.encode_headers([("ce_type", b"Placed"), ("none", None)])
        records = [
            Record(None, b"k", block, 5),
            Record(b"", None, timestamp_ms=7),
            Record(b"v" * 70_000, b"", block, 6),
        ]

        await fill(peer, batches.encode(records, now_ms=1))

        found = row_of(await peer.ask(FETCH, 12, fetch()))
        read = batches.decode(found.records)
        assert [(each.value, each.key, each.headers, each.timestamp_ms) for each in read] == [
            (each.value, each.key, each.headers, each.timestamp_ms) for each in records
        ]
