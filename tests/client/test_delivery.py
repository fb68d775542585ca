"""What a reader or handler gets for one event."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.client.delivery import Message, message_of, on_loop
from isthmus.client.event import Notification
from isthmus.client.loop_thread import LoopThread
from isthmus.engines.base import Received
from isthmus.errors import InvalidArgument, LeaseLost, UnknownType, Unsupported
from isthmus.log.batch import encode_headers
from isthmus.record import NO_HEADERS, StoredRecord


class Placed(Notification, type="shop.placed"):
    order_id: str


class Notebook:
    """A settler that writes down what it is asked, on the loop it was made on; not a stand-in for an engine."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.notes: list[tuple[Any, ...]] = []

    def _note(self, *what: object) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.notes.append(what)

    async def ack(self, received: Received) -> None:
        self._note("ack", received.stored.offset)

    async def nack(self, received: Received, delay_ms: int | None) -> None:
        self._note("nack", received.stored.offset, delay_ms)

    async def reject(self, received: Received, why: str) -> None:
        self._note("reject", received.stored.offset, why)

    async def extend(self, received: Received, lease_ms: int) -> None:
        self._note("extend", received.stored.offset, lease_ms)
        if lease_ms == 1:
            raise LeaseLost("work", 0, received.stored.offset)


def stored(headers: bytes = NO_HEADERS, value: bytes | None = b"{}") -> StoredRecord:
    return StoredRecord(17, 1_500, b"k", value, headers)


def taken(notebook: Notebook) -> Message[Placed]:
    return message_of(Placed(order_id="o-1"), Received(stored(), object(), "work", 2, 3, 1), notebook)


class TestWhatItTells:
    def test_where_and_when_it_is_stored(self) -> None:
        message: Message[Placed] = Message(Placed(order_id="o-1"), stored(), "orders", 2)

        assert (message.topic, message.partition, message.offset, message.key) == ("orders", 2, 17, b"k")
        assert message.timestamp_ms == 1_500
        assert message.timestamp == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
        assert (message.attempt, message.failed) == (1, 0)
        assert message.event == Placed(order_id="o-1")
        assert message.type == "shop.placed"

    def test_headers_are_read_when_asked_for(self) -> None:
        block = encode_headers([("a", b"1"), ("a", b"2"), ("none", None)])
        message: Message[Placed] = Message(None, stored(block), "orders", 0)

        assert dict(message.headers) == {"a": b"2", "none": None}
        with pytest.raises(TypeError):
            message.headers["a"] = b"3"  # type: ignore[index]

    def test_its_id_is_its_place_or_what_the_producer_gave(self) -> None:
        given: Message[Placed] = Message(None, stored(encode_headers([("ce_id", b"abc")])), "orders", 2)

        assert Message(None, stored(), "orders", 2).id == "orders/2/17"
        assert given.id == "abc"

    def test_a_tombstone_has_no_event(self) -> None:
        block = encode_headers([("ce_type", b"shop.placed")])
        message: Message[Placed] = Message(None, stored(block, value=None), "orders", 0)
        event: object = message.event

        assert message.deleted
        assert event is None
        assert message.error is None
        assert message.type == "shop.placed"

    def test_what_could_not_be_decoded_raises_when_its_event_is_asked_for(self) -> None:
        message: Message[Placed] = Message(UnknownType("orders", "x"), stored(), "orders", 0)

        assert isinstance(message.error, UnknownType)
        for _ in range(2):
            with pytest.raises(UnknownType):
                message.event  # noqa: B018 - asking is what raises

    def test_it_counts_hand_overs_and_failures(self) -> None:
        message = message_of(Placed(order_id="o-1"), Received(stored(), None, "work", 2, 3, 1), None)

        assert (message.attempt, message.failed) == (3, 1)

    def test_it_is_frozen(self) -> None:
        message: Message[Placed] = Message(None, stored(), "orders", 0)

        with pytest.raises(AttributeError):
            message.partition = 3  # type: ignore[misc]


class TestSettling:
    async def test_on_the_loop_it_is_awaited(self) -> None:
        notebook = Notebook(asyncio.get_running_loop())
        message = taken(notebook)

        await message.ack()
        await message.nack()
        await message.nack(after="10s")
        await message.reject("no")
        await message.extend("60s")

        assert notebook.notes == [
            ("ack", 17),
            ("nack", 17, None),
            ("nack", 17, 10_000),
            ("reject", 17, "no"),
            ("extend", 17, 60_000),
        ]

    async def test_in_a_thread_calling_is_enough(self) -> None:
        notebook = Notebook(asyncio.get_running_loop())
        message = taken(notebook)

        def work() -> None:
            message.ack()
            message.reject()

        await asyncio.to_thread(work)

        assert notebook.notes == [("ack", 17), ("reject", 17, "rejected")]

    async def test_in_a_thread_an_error_is_raised_by_the_call(self) -> None:
        message = taken(Notebook(asyncio.get_running_loop()))

        with pytest.raises(LeaseLost):
            await asyncio.to_thread(message.extend, "1ms")

    async def test_from_another_loop_it_is_awaited_too(self) -> None:
        thread = LoopThread()
        try:
            notebook = await asyncio.wrap_future(thread.submit(_notebook_here()))
            message = taken(notebook)

            await message.ack()
            with pytest.raises(LeaseLost):
                await message.extend("1ms")
        finally:
            thread.stop()

        assert notebook.notes == [("ack", 17), ("extend", 17, 1)]

    async def test_what_was_only_read_cannot_be_settled(self) -> None:
        message: Message[Placed] = Message(Placed(order_id="o-1"), stored(), "orders", 0)

        for settle in (message.ack, message.nack, message.reject):
            with pytest.raises(Unsupported, match="was read, not taken"):
                settle()

    async def test_a_duration_is_checked_before_anything_happens(self) -> None:
        notebook = Notebook(asyncio.get_running_loop())

        with pytest.raises(InvalidArgument, match="extend: "):
            taken(notebook).extend("soon")
        with pytest.raises(InvalidArgument, match="after: "):
            taken(notebook).nack(after="soon")

        assert notebook.notes == []


async def _notebook_here() -> Notebook:
    return Notebook(asyncio.get_running_loop())


async def test_what_was_done_in_a_thread_can_be_awaited_afterwards() -> None:
    home = asyncio.get_running_loop()

    async def nothing() -> None:
        return None

    done = await asyncio.to_thread(on_loop, home, nothing())

    assert await done is None
