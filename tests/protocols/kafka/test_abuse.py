"""Peers that send nonsense, too much, or nothing, over real sockets: they are refused in words and nobody else notices.

How much memory they may take is asked of what the server counts.
"""

import asyncio
import contextlib
import logging
import os
import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import scram
from isthmus.broker import accounts
from isthmus.clock import ManualClock
from isthmus.definition import UserDefinition
from isthmus.errors import ProtocolError
from isthmus.limits import (
    EGRESS_BYTES_MAX,
    FETCH_BYTES_MAX,
    FIRST_BYTE_MS,
    INGRESS_BYTES_MAX,
    KAFKA_FRAME_BYTES_MAX,
    KAFKA_OWED_BYTES_MAX,
    KAFKA_SMALL_FRAME_BYTES_MAX,
    KIB,
    MIB,
    STRANGER_BYTES_MAX,
    STRANGERS_BYTES_MAX,
)
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.schema import requests
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_corpus import SESSIONS, FuzzedDoor, framed, request
from support.kafka_requests import (
    API_VERSIONS,
    FETCH,
    LIST_OFFSETS,
    METADATA,
    PRODUCE,
    a_batch,
    fetch,
    fill,
    produce,
    row_of,
    until,
    wanted,
    with_topic,
)

LENGTHS = [-1, -(2**31), 2**31 - 1, KAFKA_FRAME_BYTES_MAX + 1]
CREATE_TOPICS = 19
HELLO = m.ApiVersionsRequest("abuse", "1")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server logs of those that it closes."""
    with caplog.at_level(logging.WARNING, "isthmus.server"):
        yield caplog


@asynccontextmanager
async def beside(server: KafkaServer) -> AsyncGenerator[KafkaPeer]:
    """Somebody else, who is served before, afterwards, and whose connection stays."""
    other = await server.connect()
    await other.ask(API_VERSIONS, 3, HELLO)
    yield other
    assert (await other.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1


# ---- bytes that are no request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_length_that_cannot_be_closes_at_once_and_says_so(length: int, said: pytest.LogCaptureFixture) -> None:
    async with kafka_server() as server, beside(server):
        peer = await server.connect()

        peer.writer.write(length.to_bytes(4, "big", signed=True) + b"x" * 100)

        assert await peer.is_closed()
        assert f"a request of {length} bytes; {KAFKA_FRAME_BYTES_MAX} is the most here" in said.text
        assert server.server.driver.ingress.total_bytes == 0


async def test_a_large_request_without_batches_is_refused_by_its_size(said: pytest.LogCaptureFixture) -> None:
    async with kafka_server() as server, beside(server):
        peer = await server.connect()
        header = request(METADATA, 9, m.MetadataRequest(()))

        peer.send(header + bytes(KAFKA_SMALL_FRAME_BYTES_MAX))

        assert await peer.is_closed()
        assert f"{KAFKA_SMALL_FRAME_BYTES_MAX} is the most here" in said.text


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"GET /topics HTTP/1.1\r\nHost: isthmus\r\n\r\n", "HTTP"),
        (b"POST / HTTP/1.1\r\n\r\n", "HTTP"),
        (bytes.fromhex("16030100c6010000c20303") + bytes(64), "TLS"),
    ],
)
async def test_who_speaks_something_else_is_told_in_the_log_what_it_spoke(
    data: bytes, named: str, said: pytest.LogCaptureFixture
) -> None:
    async with kafka_server() as server, beside(server):
        peer = await server.connect()

        peer.writer.write(data)

        assert await peer.is_closed()
        assert f"it speaks {named}" in said.text


async def test_a_request_that_is_cut_anywhere_leaves_nothing_behind() -> None:
    whole = framed(request(METADATA, 9, m.MetadataRequest(None)))
    async with kafka_server() as server, beside(server):
        for size in range(len(whole)):
            peer = await server.connect()
            peer.writer.write(whole[:size])
            peer.writer.write_eof()

            assert await peer.is_closed()
        await until(lambda: server.server.driver.ingress.total_bytes == 0)
        await until(lambda: len(server.server.driver.connections) == 1)


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\xff" * 9, b""])
async def test_a_count_that_cannot_be_closes_and_names_the_request(body: bytes, said: pytest.LogCaptureFixture) -> None:
    async with kafka_server() as server, beside(server):
        peer = await server.connect()
        head = request(METADATA, 9, m.MetadataRequest(()))

        peer.send(head[: -len(b"\x01\x01\x00\x00\x00")] + body)

        assert await peer.is_closed()
        assert "MetadataRequest version 9" in said.text


@pytest.mark.parametrize("key", [-1, 4, 999, 32_767])
async def test_an_api_that_is_not_served_closes_and_is_named(key: int, said: pytest.LogCaptureFixture) -> None:
    async with kafka_server() as server, beside(server):
        peer = await server.connect()

        peer.send(key.to_bytes(2, "big", signed=True) + bytes(20))

        assert await peer.is_closed()
        assert f"API {key}, which is not served here" in said.text


async def test_versions_that_are_not_served_close_and_are_named(said: pytest.LogCaptureFixture) -> None:
    async with kafka_server() as server, beside(server):
        for key, layout in requests().items():
            if key == API_VERSIONS:
                continue
            peer = await server.connect()

            peer.send(key.to_bytes(2, "big") + (layout.versions[1] + 1).to_bytes(2, "big") + bytes(20))

            assert await peer.is_closed()
    assert "are served" in said.text


@pytest.fixture(scope="module")
def door() -> Iterator[FuzzedDoor]:
    """One broker for all that is made up."""
    made = FuzzedDoor()
    yield made
    made.close()


@settings(max_examples=300, deadline=None)
@given(data=st.sampled_from(SESSIONS), at=st.integers(0, 400), cut=st.integers(0, 8), piece=st.binary(max_size=8))
def test_whatever_is_changed_in_what_clients_send_the_door_answers_or_closes(
    door: FuzzedDoor, data: bytes, at: int, cut: int, piece: bytes
) -> None:
    with contextlib.suppress(ProtocolError):
        door.meet(data[:at] + piece + data[at + cut :])


@settings(max_examples=150, deadline=None)
@given(seed=st.binary(min_size=4, max_size=8))
def test_whatever_clients_ask_about_a_few_topics_and_groups_every_request_is_answered(
    door: FuzzedDoor, seed: bytes
) -> None:
    door.meet_likely(seed)


async def test_a_name_as_long_as_can_be_is_refused_in_every_version() -> None:
    name = "x" * 32_767
    async with kafka_server() as server, beside(server) as other:
        for version in range(2, 8):
            topic = m.CreateTopicsRequestTopic(name, 1, 1)

            answer = await other.ask(CREATE_TOPICS, version, m.CreateTopicsRequest((topic,), timeout_ms=1_000))

            assert answer.topics[0].error_code == Code.INVALID_TOPIC_EXCEPTION


# ---- requests for what is not there ------------------------------------------------------------------------------


async def test_what_is_asked_of_topics_that_are_not_there_is_refused_topic_by_topic() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        offsets = m.ListOffsetsRequestTopic("none", (m.ListOffsetsRequestTopicPartition(0, timestamp=-1),))

        produced = await peer.ask(PRODUCE, 9, produce(a_batch(b"x"), name="none"))
        fetched = await peer.ask(FETCH, 11, fetch(name="none"))
        listed = await peer.ask(LIST_OFFSETS, 7, m.ListOffsetsRequest(topics=(offsets,)))

        codes = [row_of(produced).error_code, row_of(fetched).error_code, listed.topics[0].partitions[0].error_code]
        assert codes == [Code.UNKNOWN_TOPIC_OR_PARTITION] * 3
        assert row_of(await peer.ask(PRODUCE, 9, produce(a_batch(b"x")))).error_code == Code.NONE


@pytest.mark.parametrize("partition", [-1, 1, 2**31 - 1, -(2**31)])
async def test_partitions_that_cannot_be_are_not_there(partition: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        produced = await peer.ask(PRODUCE, 9, produce(a_batch(b"x"), partition=partition))
        fetched = await peer.ask(FETCH, 11, fetch(wanted(partition)))

        codes = [row_of(produced).error_code, row_of(fetched).error_code]
        assert codes == [Code.UNKNOWN_TOPIC_OR_PARTITION] * 2


@pytest.mark.parametrize("number", [-1, -(2**31), 2**31 - 1])
async def test_limits_of_a_fetch_that_make_no_sense_are_taken_for_the_nearest_that_do(number: int) -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"x"))

        row = row_of(await peer.ask(FETCH, 11, fetch(wanted(max_bytes=number), max_bytes=number, min_bytes=number)))

        assert (row.error_code, len(row.records) > 0) == (Code.NONE, True)


async def test_the_same_partition_a_thousand_times_is_answered_within_the_limit() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, *[a_batch(b"x" * 100 * KIB)] * 10)

        answer = await peer.ask(FETCH, 11, fetch(*[wanted(max_bytes=2**31 - 1)] * 1_000, max_bytes=2**31 - 1))

        (topic,) = answer.responses
        assert len(topic.partitions) == 1_000
        assert 0 < sum(len(row.records) for row in topic.partitions) <= FETCH_BYTES_MAX


# ---- peers that send nothing, too much, or do not read -----------------------------------------------------------


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2_500, reason="needs 2,500 open files")
async def test_a_thousand_peers_that_say_nothing_keep_nobody_out_and_are_closed() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        kept = scram.credentials("pencil", lambda: b"salt" * 4)
        await accounts.create(server.broker, server.broker.session(), UserDefinition(name="ada", scrams=kept))
        admission = server.server.driver.admission
        silent = [await server.connect() for _ in range(1_000)]
        await until(lambda: admission.strangers == 1_000)

        other = await server.connect()
        answer = await other.ask(API_VERSIONS, 3, HELLO)
        await clock.advance(FIRST_BYTE_MS + 500)
        closed = await asyncio.gather(*(peer.is_closed() for peer in silent))

        assert answer.error_code == Code.NONE
        assert all(closed)
        await until(lambda: admission.strangers == 1)
        assert (await other.ask(API_VERSIONS, 3, HELLO)).error_code == Code.NONE


async def test_strangers_may_keep_only_a_little_waiting_together() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        kept = scram.credentials("pencil", lambda: b"salt" * 4)
        await accounts.create(server.broker, server.broker.session(), UserDefinition(name="ada", scrams=kept))
        peers = [await server.connect() for _ in range(50)]

        for peer in peers:
            peer.writer.write((STRANGER_BYTES_MAX - 4).to_bytes(4, "big") + bytes(STRANGER_BYTES_MAX - 100))
        ingress = server.server.driver.ingress
        await until(lambda: ingress.total_bytes == 50 * (STRANGER_BYTES_MAX - 96))
        greedy = await server.connect()
        greedy.writer.write((MIB).to_bytes(4, "big") + bytes(MIB))

        assert await greedy.is_closed()
        assert ingress.total_bytes <= min(50 * STRANGER_BYTES_MAX, STRANGERS_BYTES_MAX)


async def test_a_consumer_that_never_reads_holds_little_and_nobody_up() -> None:
    async with kafka_server() as server, beside(server) as other:
        peer = await with_topic(server)
        await fill(peer, *[a_batch(os.urandom(900 * KIB))] * 8)
        deaf = await server.connect()
        driver = server.server.driver

        for _ in range(200):
            deaf.say(FETCH, 11, fetch(wanted(max_bytes=FETCH_BYTES_MAX)))
        await until(lambda: any(each.congested for each in driver.connections))
        for _ in range(20):
            assert (await other.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1
            assert row_of(await peer.ask(FETCH, 11, fetch())).error_code == Code.NONE

        unsent = sum(each.unsent() for each in driver.connections)
        assert unsent <= FETCH_BYTES_MAX + KAFKA_OWED_BYTES_MAX < EGRESS_BYTES_MAX


async def test_a_producer_that_floods_and_never_reads_is_held_and_its_records_are_all_there() -> None:
    count, data = 3_000, a_batch(b"x" * 20 * KIB)
    async with kafka_server() as server, beside(server) as other:
        peer = await with_topic(server)
        flood = await server.connect()
        journal, ingress = server.broker.journal, server.server.driver.ingress
        partition = server.broker.topic("default", "t").partitions[0]
        most = [0, 0]

        for number in range(count):
            flood.say(PRODUCE, 9, produce(data))
            if number % 50 == 0:
                await flood.writer.drain()
                assert (await other.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1
            most = [max(most[0], journal.pending_bytes), max(most[1], ingress.total_bytes)]
        await until(lambda: partition.high_watermark == count)

        assert most[0] <= journal.options.pending_bytes_max
        assert most[1] <= INGRESS_BYTES_MAX
        assert row_of((await flood.hear(PRODUCE, 9))[1]).base_offset == 0
        assert row_of(await peer.ask(PRODUCE, 9, produce(data))).base_offset == count


async def test_a_peer_that_comes_and_goes_in_the_middle_of_everything_leaves_nothing() -> None:
    async with kafka_server() as server, beside(server):
        peer = await with_topic(server)
        await fill(peer, a_batch(b"x"))
        driver = server.server.driver

        for number in range(100):
            gone = await server.connect()
            gone.say(PRODUCE, 9, produce(a_batch(b"y")))
            gone.say(FETCH, 11, fetch(wanted(offset=1 << 20 if number % 2 else 0), wait_ms=60_000, min_bytes=1 << 20))
            if number % 3:
                await gone.writer.drain()
            gone.writer.transport.abort()
        await until(lambda: len(driver.connections) == 2)

        await until(lambda: server.broker.polls.waiting == 0)
        assert driver.ingress.total_bytes == 0
