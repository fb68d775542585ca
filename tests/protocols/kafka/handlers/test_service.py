"""The door of one connection: the order of answers, what makes it wait, who is let in, and how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.definition import Grant, TopicConfig, TopicDefinition, UserDefinition
from isthmus.limits import EGRESS_BYTES_HIGH, FETCH_BYTES_MAX, KAFKA_OWED_BYTES_MAX, KAFKA_OWED_MAX
from isthmus.log.storage import MemoryStorage, RealStorage, Storage
from isthmus.protocols.door import Step
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.handlers.table import HANDLERS
from isthmus.protocols.kafka.schema import requests
from support.kafka import SMALL, kafka_server
from support.kafka_door import framed, numbers, opened, stepped
from support.kafka_requests import (
    API_VERSIONS,
    FETCH,
    METADATA,
    PRODUCE,
    a_batch,
    fetch,
    fill,
    produce,
    row_of,
    until,
    until_waiting,
    values,
    wanted,
    with_topic,
)

LONG_MS = 60_000
NOTHING = m.MetadataRequest(())


@asynccontextmanager
async def a_broker(storage: Storage | None = None) -> AsyncGenerator[Broker]:
    broker = Broker(storage or MemoryStorage(), ManualClock(), SMALL)
    await broker.open()
    await broker.create_topic(broker.session(), TopicDefinition(name="t", config=TopicConfig()))
    try:
        yield broker
    finally:
        await broker.close()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def asked(count: int, api_key: int = METADATA, version: int = 9, request: Any = NOTHING) -> bytes:  # noqa: ANN401 - any
    return b"".join(framed(api_key, version, request, number) for number in range(count))


# ---- the order of answers ----------------------------------------------------------------------------------------


async def test_behind_a_fetch_that_waits_requests_are_done_and_answered_later() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        peer = await with_topic(server)
        first = peer.say(FETCH, 12, fetch(wait_ms=LONG_MS))
        second = peer.say(METADATA, 9, NOTHING)

        third = peer.say(PRODUCE, 9, produce(a_batch(b"a")))

        heard = [await peer.hear(key, version) for key, version in ((FETCH, 12), (METADATA, 9), (PRODUCE, 9))]
        assert [number for number, _ in heard] == [first, second, third]
        assert values(row_of(heard[0][1])) == [b"a"]


async def test_requests_that_come_in_one_piece_are_all_answered_in_order() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        step = stepped(door, asked(50))

        assert (step, line.closed) == (Step.IDLE, None)
        assert numbers(door.data_to_send()) == list(range(50))
        assert line.flushed > 0
        door.lost()


# ---- what makes it wait ------------------------------------------------------------------------------------------


async def test_when_too_many_answers_are_owed_the_next_request_waits_until_they_have_left() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        held = stepped(door, asked(KAFKA_OWED_MAX + 5))
        door.data_to_send()
        woken, after = line.woken, stepped(door)

        assert (held, woken, after) == (Step.HELD, 1, Step.IDLE)
        assert numbers(door.data_to_send()) == list(range(KAFKA_OWED_MAX, KAFKA_OWED_MAX + 5))
        door.lost()


async def test_fetches_count_with_what_they_may_bring() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        most = KAFKA_OWED_BYTES_MAX // FETCH_BYTES_MAX
        await broker.append_batch(broker.session(), broker.topic("default", "t"), 0, a_batch(b"v" * 100))
        large = fetch(wanted(), max_bytes=2**31 - 1)

        held = stepped(door, asked(most + 3, FETCH, 12, large))
        first = numbers(door.data_to_send())
        after = stepped(door)

        assert (held, first, line.woken, after) == (Step.HELD, list(range(most)), 1, Step.IDLE)
        assert numbers(door.data_to_send()) == list(range(most, most + 3))
        door.lost()


async def test_one_request_larger_than_what_may_be_owed_passes() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        step = stepped(door, asked(1, FETCH, 12, fetch(max_bytes=2**31 - 1, wait_ms=LONG_MS)))

        assert (step, line.closed) == (Step.IDLE, None)
        door.lost()


async def test_who_does_not_read_gets_no_more_at_once_than_makes_it_congested() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        await broker.append_batch(broker.session(), broker.topic("default", "t"), 0, a_batch(b"v" * 200_000))
        stepped(door, asked(10, FETCH, 12, fetch(max_bytes=1_000)))
        flushed = line.flushed

        first = door.data_to_send()

        assert numbers(first) == [0, 1]
        assert sum(map(len, first)) < EGRESS_BYTES_HIGH + 210_000
        assert line.flushed == flushed + 1
        door.lost()


async def test_while_the_disk_is_behind_nothing_is_published_and_then_it_goes_on() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        assert door._session is not None
        credit = door._session.credit
        credit.take(credit.limit_bytes)

        held = stepped(door, asked(3, PRODUCE, 9, produce(a_batch(b"a"))))
        await turns()
        woken = line.woken
        credit.give(credit.limit_bytes)
        await turns()

        assert (held, woken, line.woken) == (Step.HELD, 0, 1)
        assert (stepped(door), numbers(door.data_to_send())) == (Step.IDLE, [0, 1, 2])
        door.lost()


async def test_who_does_not_publish_waits_for_nobody_who_does() -> None:
    async with a_broker() as broker:
        door, _ = opened(broker)
        assert door._session is not None
        credit = door._session.credit
        credit.take(credit.limit_bytes)

        step = stepped(door, asked(2) + asked(1, PRODUCE, 9, produce(a_batch(b"a"))))

        assert (step, numbers(door.data_to_send())) == (Step.HELD, [0, 1])
        credit.give(credit.limit_bytes)
        door.lost()


async def test_a_door_that_is_lost_while_it_waits_for_room_waits_no_longer() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        assert door._session is not None
        credit = door._session.credit
        credit.take(credit.limit_bytes)
        stepped(door, asked(1, PRODUCE, 9, produce(a_batch(b"a"))))

        door.lost()
        credit.give(credit.limit_bytes)
        await turns()

        assert line.woken == 0


# ---- what ends a connection --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "speaks HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "speaks TLS"),
        (b"\xff\xff\xff\xff", "-1 bytes"),
        (b"\x7f\xff\xff\xff", "2147483647 bytes"),
        (b"\x00\x00\x00\x00", "too short"),
        (b"\x00\x00\x00\x0a\x00\x03\x00\x09\x00\x00\x00\x01\x7f\xff", "client id of 32767 bytes"),
        (b"\x00\x00\x00\x0a\x12\x67\x00\x00\x00\x00\x00\x01\xff\xff", "API 4711, which is not served"),
        (b"\x00\x00\x00\x0a\x00\x03\x00\x63\x00\x00\x00\x01\xff\xff", "version 99 of Metadata; 0 to 13 are served"),
        (b"\x00\x00\x00\x0a\x00\x03\xff\xff\x00\x00\x00\x01\xff\xff", "version -1 of Metadata"),
        (b"\x00\x00\x00\x0a\x00\x00\x00\x02\x00\x00\x00\x01\xff\xff", "version 2 of Produce; 3 to 13 are served"),
        (b"\x00\x00\x00\x0b\x00\x16\x00\x06\x00\x00\x00\x01\xff\xff\x00", "version 6 of InitProducerId; 0 to 5"),
        (b"\x00\x00\x00\x0b\x00\x03\x00\x08\x00\x00\x00\x01\xff\xff\x7f", "Metadata"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_closes_with_a_reason_that_says_what_it_was(data: bytes, reason: str) -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        step = stepped(door, data)

        assert step is Step.IDLE
        assert reason in (line.closed or "")
        assert stepped(door, asked(1)) is Step.IDLE
        assert door.data_to_send() == []
        door.lost()


async def test_only_produce_may_be_large() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        names = tuple(m.MetadataRequestTopic(name="x" * 249) for _ in range(10_000))

        stepped(door, framed(METADATA, 9, m.MetadataRequest(names)))

        assert "2097152 is the most here" in (line.closed or "")
        door.lost()


async def test_answers_before_what_cannot_be_read_still_leave() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        stepped(door, asked(2) + b"\xff\xff\xff\xff")

        assert line.closed
        assert numbers(door.data_to_send()) == [0, 1]
        door.lost()


async def test_a_request_that_fails_in_its_own_time_closes_its_connection_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> None:
        raise LookupError("planted")

    async with kafka_server() as server:
        peer, other = await server.connect(), await server.connect()
        monkeypatch.setitem(HANDLERS, 16, broken)

        peer.say(16, 4, m.ListGroupsRequest())

        assert await peer.is_closed()
        assert (await other.ask(METADATA, 9, NOTHING)).controller_id == 1
        assert "ListGroups failed in an unforeseen way" in caplog.text


async def test_an_answer_that_cannot_be_written_closes_instead_of_being_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: object) -> m.ListGroupsResponse:
        return m.ListGroupsResponse(error_code=1 << 20)

    async with kafka_server() as server:
        peer, other = await server.connect(), await server.connect()
        monkeypatch.setitem(HANDLERS, 16, broken)

        peer.say(16, 4, m.ListGroupsRequest())

        assert await peer.is_closed()
        assert (await other.ask(METADATA, 9, NOTHING)).controller_id == 1
        assert "an answer of ListGroups cannot be written in version 4" in caplog.text


async def test_a_handler_that_refuses_at_once_in_an_unforeseen_way_closes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise LookupError("planted")

    async with kafka_server() as server:
        peer, other = await server.connect(), await server.connect()
        monkeypatch.setitem(HANDLERS, 16, broken)

        peer.say(16, 4, m.ListGroupsRequest())

        assert await peer.is_closed()
        assert (await other.ask(METADATA, 9, NOTHING)).controller_id == 1


# ---- who is there ------------------------------------------------------------------------------------------------


async def add_user(broker: Broker, name: str = "ada") -> None:
    kept = scram.credentials("pencil", lambda: b"salt" * 4)
    grants = (Grant(operations=("publish",), pattern="*"),)
    await accounts.create(broker, broker.session(), UserDefinition(name=name, scrams=kept, grants=grants))


async def test_a_stranger_may_ask_for_versions_and_nothing_else() -> None:
    async with a_broker() as broker:
        await add_user(broker)
        door, line = opened(broker)

        stepped(door, framed(API_VERSIONS, 0, m.ApiVersionsRequest(), 5))
        answered = numbers(door.data_to_send())
        stepped(door, asked(1))

        assert (line.principal, answered) == (None, [5])
        assert "Metadata before the client has proven who it is" in (line.closed or "")
        door.lost()


@pytest.mark.parametrize("size", [8 * 1024 + 1, 1 << 20])
async def test_a_stranger_may_not_send_much(size: int) -> None:
    async with a_broker() as broker:
        await add_user(broker)
        door, line = opened(broker)

        stepped(door, size.to_bytes(4, "big"))

        assert line.closed
        assert door.wanted_bytes <= 8 * 1024 + 4
        door.lost()


async def test_where_nobody_is_a_user_a_peer_from_elsewhere_is_nobody() -> None:
    async with a_broker() as broker:
        near, far = opened(broker)[1], opened(broker, host="192.0.2.7")[1]

        assert (near.principal is not None, far.principal) == (True, None)


async def test_a_session_that_is_ended_by_others_closes_the_connection() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        assert door._session is not None

        broker.end_session(door._session)

        assert line.closed == "its session was ended"
        door.lost()


async def test_a_connection_that_goes_ends_its_session() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        session = door._session
        assert session is not None

        door.lost()
        door.lost()

        assert (session.ended, line.closed) == (True, None)


# ---- the end -----------------------------------------------------------------------------------------------------


async def test_a_server_that_stops_answers_what_runs_and_lets_nobody_wait() -> None:
    async with kafka_server(clock=ManualClock()) as server:
        writer, reader = await with_topic(server), await server.connect()
        reader.say(FETCH, 12, fetch(wait_ms=LONG_MS))
        await until_waiting(server)
        writer.say(PRODUCE, 9, produce(a_batch(b"a"), acks=-1))
        place = server.broker.topic("default", "t").partitions[0]
        await until(lambda: place.next_offset > 0)

        await server.server.stop()

        assert row_of((await writer.hear(PRODUCE, 9))[1]).base_offset == 0
        assert await writer.is_closed()
        await reader.reader.read()


async def test_drained_without_anything_to_do_it_leaves_at_once() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)

        door.drain()
        door.drain()

        assert line.closed == ""
        assert stepped(door, asked(1)) is Step.IDLE
        door.lost()


async def test_drained_it_answers_what_the_disk_still_does_and_then_leaves(tmp_path: Path) -> None:
    async with a_broker(RealStorage(tmp_path)) as broker:
        door, line = opened(broker)
        stepped(door, framed(PRODUCE, 9, produce(a_batch(b"a")), 3))
        door.drain()
        before = line.closed

        await until(lambda: line.closed is not None)

        assert before is None
        assert (line.closed, numbers(door.data_to_send())) == ("", [3])
        door.lost()


async def test_drained_it_gives_what_stands_before_a_fetch_that_waits() -> None:
    async with a_broker() as broker:
        door, line = opened(broker)
        stepped(door, asked(2) + framed(FETCH, 12, fetch(wait_ms=LONG_MS), 2) + framed(METADATA, 9, NOTHING, 3))
        await turns()

        door.drain()
        await turns()

        assert line.closed == ""
        assert numbers(door.data_to_send()) == [0, 1]
        door.lost()


async def test_every_api_that_is_served_survives_an_empty_request() -> None:
    async with kafka_server() as server:
        for key in HANDLERS:
            version, _ = requests()[key].versions
            peer = await server.connect()
            peer.send(key.to_bytes(2) + version.to_bytes(2) + b"\x00\x00\x00\x01\xff\xff")
            peer.writer.write_eof()
            await peer.reader.read()
        peer = await with_topic(server)

        assert await fill(peer, a_batch(b"a")) == [0]
