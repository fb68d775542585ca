"""Fetch over a real socket: what it gives, how long it waits, and what always gets through."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.broker import accounts
from isthmus.clock import ManualClock
from isthmus.definition import UserDefinition
from isthmus.limits import FETCH_WAIT_MS_MAX
from isthmus.log import batch as batches
from isthmus.log.storage import RealStorage
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from support.kafka import KafkaPeer, kafka_server
from support.kafka_requests import (
    FETCH,
    PRODUCE,
    a_batch,
    fetch,
    fill,
    make_topic,
    produce,
    row_of,
    until,
    until_waiting,
    values,
    wanted,
    with_topic,
)

LONG_MS = 60_000
V = b"v" * 1_000
BATCH_BYTES = len(a_batch(V))


async def got(peer: KafkaPeer, *rows: Any, version: int = 12, **given: Any) -> Any:  # noqa: ANN401 - of `fetch`
    """The row of one partition."""
    return row_of(await peer.ask(FETCH, version, fetch(*rows, **given)))


# ---- what there is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(4, 13))
async def test_every_version_gives_what_there_is_from_an_offset_on(version: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"), a_batch(b"b"), a_batch(b"c"))

        row = await got(peer, wanted(offset=1), version=version)

        assert (row.error_code, values(row), row.high_watermark) == (Code.NONE, [b"b", b"c"], 3)
        assert (row.last_stable_offset, row.log_start_offset) == (3, 0 if version >= 5 else -1)
        assert batches.header(row.records).base_offset == 1


@pytest.mark.parametrize("version", range(13, 18))
async def test_from_version_13_topics_are_named_by_id(version: int) -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server)
        peer = await server.connect()
        await fill(peer, a_batch(b"a"))

        known = await peer.ask(FETCH, version, fetch(name="", uuid=uuid))
        unknown = await got(peer, name="", uuid=b"x" * 16, version=version)

        assert known.responses[0].topic_id == uuid
        assert values(row_of(known)) == [b"a"]
        assert unknown.error_code == Code.UNKNOWN_TOPIC_ID


async def test_an_offset_inside_of_a_batch_gives_the_whole_batch() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a", b"b", b"c"))

        assert values(await got(peer, wanted(offset=2))) == [b"a", b"b", b"c"]


async def test_the_end_is_empty_and_never_null() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"))

        row = await got(peer, wanted(offset=1))

        assert (row.error_code, row.records, row.high_watermark) == (Code.NONE, b"", 1)


@pytest.mark.parametrize("offset", [2, -1, 2**62, -(2**63)])
async def test_an_offset_that_does_not_exist_is_out_of_range_at_once(offset: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"))

        row = await got(peer, wanted(offset=offset), wait_ms=LONG_MS)

        assert (row.error_code, row.high_watermark, row.log_start_offset) == (Code.OFFSET_OUT_OF_RANGE, 1, 0)


async def test_what_was_trimmed_is_out_of_range() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"), a_batch(b"b"))
        broker = server.broker
        await broker.trim(broker.session(), broker.topic("default", "t"), 0, 1)

        assert (await got(peer)).error_code == Code.OFFSET_OUT_OF_RANGE
        assert values(await got(peer, wanted(offset=1))) == [b"b"]


async def test_other_topics_and_partitions_are_not_there() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        for name in ("nothing", ""):
            assert (await got(peer, name=name)).error_code == Code.UNKNOWN_TOPIC_OR_PARTITION
        for partition in (1, -1, 2**31 - 1):
            assert (await got(peer, wanted(partition))).error_code == Code.UNKNOWN_TOPIC_OR_PARTITION


async def test_what_is_on_the_disk_alone_comes_too(tmp_path: Path) -> None:
    async with kafka_server(RealStorage(tmp_path)) as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"first"))
    async with kafka_server(RealStorage(tmp_path)) as server:
        peer = await server.connect()

        assert values(await got(peer, wait_ms=LONG_MS)) == [b"first"]


# ---- leader epochs and sessions ----------------------------------------------------------------------------------


async def test_a_client_that_knows_another_leader_is_told() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        epoch = server.broker.topic("default", "t").partitions[0].leader_epoch

        codes = [(await got(peer, wanted(current_leader_epoch=each))).error_code for each in (-1, epoch, epoch + 1)]

        assert codes == [Code.NONE, Code.NONE, Code.UNKNOWN_LEADER_EPOCH]


@pytest.mark.parametrize("version", [7, 12, 13])
async def test_no_session_is_ever_made_and_one_that_is_claimed_is_not_found(version: int) -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server)
        peer = await server.connect()

        for epoch in (0, -1):
            answer = await peer.ask(FETCH, version, fetch(uuid=uuid, session_epoch=epoch))
            assert (answer.error_code, answer.session_id, len(answer.responses)) == (Code.NONE, 0, 1)
        answer = await peer.ask(FETCH, version, fetch(uuid=uuid, session_id=7, session_epoch=1, wait_ms=LONG_MS))

        assert (answer.error_code, answer.responses) == (Code.FETCH_SESSION_ID_NOT_FOUND, ())


# ---- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [(1, 1), (0, 1 << 20), (1 << 20, 0), (-1, -1)])
async def test_the_first_batch_gets_through_whatever_the_limits_are(limits: tuple[int, int]) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(V), a_batch(b"w"))

        row = await got(peer, wanted(max_bytes=limits[0]), max_bytes=limits[1], wait_ms=LONG_MS)

        assert values(row) == [V]


async def test_no_more_than_what_fits_comes_of_a_partition_and_of_all() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, partitions=3)
        for partition in range(3):
            await fill(peer, *[a_batch(V)] * 4, partition=partition)
        rows = [wanted(at, max_bytes=3 * BATCH_BYTES - 1) for at in range(3)]

        answer = await peer.ask(FETCH, 12, fetch(*rows, max_bytes=4 * BATCH_BYTES - 1))

        found = [len(values(row)) for row in answer.responses[0].partitions]
        assert found == [2, 1, 0]
        assert [row.error_code for row in answer.responses[0].partitions] == [Code.NONE] * 3


async def test_a_batch_that_does_not_fit_behind_another_partition_waits_for_its_turn() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, partitions=2)
        await fill(peer, a_batch(b"small"))
        await fill(peer, a_batch(b"large" * 1_000), partition=1)
        rows = [wanted(0), wanted(1)]

        both = await peer.ask(FETCH, 12, fetch(*rows, max_bytes=1_000, min_bytes=10_000, wait_ms=LONG_MS))
        other = await got(peer, wanted(1), max_bytes=1_000)

        assert [len(values(row)) for row in both.responses[0].partitions] == [1, 0]
        assert values(other) == [b"large" * 1_000]


async def test_partitions_and_topics_are_answered_in_the_order_of_the_request() -> None:
    async with kafka_server() as server:
        await make_topic(server, "a", 2)
        peer = await with_topic(server, "b")
        await fill(peer, a_batch(b"a1"), name="a", partition=1)
        await fill(peer, a_batch(b"b0"), name="b")
        topics = (
            m.FetchRequestTopic("b", partitions=(wanted(0),)),
            m.FetchRequestTopic("a", partitions=(wanted(1), wanted(0))),
            m.FetchRequestTopic("c", partitions=(wanted(0),)),
        )

        answer = await peer.ask(FETCH, 12, m.FetchRequest(max_wait_ms=0, min_bytes=1, max_bytes=1 << 20, topics=topics))

        told = [
            (topic.topic, [(row.partition_index, values(row)) for row in topic.partitions])
            for topic in answer.responses
        ]
        assert told == [("b", [(0, [b"b0"])]), ("a", [(1, [b"a1"]), (0, [])]), ("c", [(0, [])])]


# ---- waiting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"wait_ms": 0}, {"wait_ms": LONG_MS, "min_bytes": 0}, {"wait_ms": -1}])
async def test_who_does_not_want_to_wait_does_not(given: dict[str, int]) -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer = await with_topic(server)

        assert values(await got(peer, **given)) == []


async def test_what_comes_is_given_to_who_waits() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer, writer = await with_topic(server, partitions=2), await server.connect()
        peer.say(FETCH, 12, fetch(wanted(0), wanted(1), wait_ms=LONG_MS))
        await until_waiting(server)

        await fill(writer, a_batch(b"a"), partition=1)

        _, answer = await peer.hear(FETCH, 12)
        assert [values(row) for row in answer.responses[0].partitions] == [[], [b"a"]]
        assert server.broker.polls.waiting == 0


async def test_it_waits_until_there_is_enough_over_all_partitions() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer, writer = await with_topic(server, partitions=2), await server.connect()
        await fill(writer, a_batch(V))
        peer.say(FETCH, 12, fetch(wanted(0), wanted(1), wait_ms=LONG_MS, min_bytes=2 * BATCH_BYTES + 1))
        await until_waiting(server)
        await fill(writer, a_batch(V), partition=1)
        await until_waiting(server)

        await fill(writer, a_batch(b"w"))

        _, answer = await peer.hear(FETCH, 12)
        assert [len(values(row)) for row in answer.responses[0].partitions] == [2, 1]


async def test_when_the_time_is_over_there_is_what_there_is() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"))
        peer.say(FETCH, 12, fetch(wait_ms=500, min_bytes=100_000))
        await until_waiting(server)

        await clock.advance(500)

        _, answer = await peer.hear(FETCH, 12)
        assert values(row_of(answer)) == [b"a"]


async def test_nobody_waits_longer_than_the_server_lets() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        peer = await with_topic(server)
        peer.say(FETCH, 12, fetch(wait_ms=2**31 - 1))
        await until_waiting(server)

        await clock.advance(FETCH_WAIT_MS_MAX)

        _, answer = await peer.hear(FETCH, 12)
        assert values(row_of(answer)) == []


async def test_an_error_of_one_partition_is_told_at_once_with_what_the_others_have() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a"))

        answer = await peer.ask(FETCH, 12, fetch(wanted(0), wanted(9), wait_ms=LONG_MS, min_bytes=100_000))

        rows = answer.responses[0].partitions
        assert [(row.error_code, values(row)) for row in rows] == [
            (Code.NONE, [b"a"]), (Code.UNKNOWN_TOPIC_OR_PARTITION, []),
        ]  # fmt: skip


async def test_who_asks_for_more_than_fits_is_answered_at_once() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer = await with_topic(server)
        await fill(peer, *[a_batch(V)] * 3)

        row = await got(peer, wanted(max_bytes=BATCH_BYTES), wait_ms=LONG_MS, min_bytes=100_000)

        assert len(values(row)) == 1


async def test_a_reader_whose_records_are_trimmed_while_it_waits_is_told() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer, writer = await with_topic(server), await server.connect()
        await fill(writer, a_batch(b"a"))
        peer.say(FETCH, 12, fetch(wait_ms=LONG_MS, min_bytes=100_000))
        await until_waiting(server)

        broker = server.broker
        await broker.trim(broker.session(), broker.topic("default", "t"), 0, 1)
        await fill(writer, a_batch(b"b"))

        _, answer = await peer.hear(FETCH, 12)
        assert row_of(answer).error_code == Code.OFFSET_OUT_OF_RANGE


async def test_a_reader_that_goes_away_waits_no_longer() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer = await with_topic(server)
        peer.say(FETCH, 12, fetch(wait_ms=LONG_MS))
        await until_waiting(server)

        peer.writer.transport.abort()

        await until(lambda: not server.broker.polls.waiting)


async def test_many_readers_of_one_partition_get_the_same() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        writer = await with_topic(server)
        peers = [await server.connect() for _ in range(20)]
        for each in peers:
            each.say(FETCH, 12, fetch(wait_ms=LONG_MS))
        await until_waiting(server, 20)

        await fill(writer, a_batch(b"a"))

        assert [values(row_of((await each.hear(FETCH, 12))[1])) for each in peers] == [[b"a"]] * 20


async def test_a_store_that_has_users_gives_nothing_to_who_may_not_read() -> None:
    async with kafka_server() as server:
        await make_topic(server)
        await accounts.create(server.broker, server.broker.session(), UserDefinition(name="ada"))
        peer = await server.connect()

        peer.say(FETCH, 12, fetch())

        assert await peer.is_closed()


async def test_what_is_produced_by_one_connection_is_read_at_once_by_another() -> None:
    async with kafka_server() as server:
        writer, reader = await with_topic(server), await server.connect()

        for at in range(20):
            assert row_of(await writer.ask(PRODUCE, 9, produce(a_batch(b"%d" % at)))).base_offset == at
            assert values(await got(reader, wanted(offset=at))) == [b"%d" % at]
