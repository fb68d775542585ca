"""Delayed exchanges: what has a due time waits on the disk, and is routed when it comes, once."""

import pytest

from isthmus.broker import delays
from isthmus.broker.broker import Broker
from isthmus.broker.delays import KEYS, hold_name
from isthmus.broker.publishing import DUE, Options
from isthmus.definition import Binding, ExchangeDefinition, HeaderMatch, QueueConfig, QueueDefinition
from isthmus.errors import AlreadyExists, InUse, InvalidName, QueueFull, UnknownQueue
from isthmus.log.headers import decode_headers, encode_headers
from isthmus.record import Record
from support.brokers import World, world


async def delayed(w: World, kind: str = "direct", match: HeaderMatch | None = None) -> None:
    """An exchange that delays, with a queue behind it."""
    await w.broker.create_exchange(w.session, ExchangeDefinition(name="later", kind=kind, delayed=True))  # type: ignore[arg-type]
    await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))
    await w.broker.bind(w.session, Binding(exchange="later", topic="jobs", key="k", match=match))


async def send(w: World, value: str, delay_ms: int, *keys: str, headers: dict[str, bytes] | None = None) -> None:
    block = encode_headers(list((headers or {}).items()))
    options = Options(due_ms=w.clock.now_ms() + delay_ms) if delay_ms else Options()
    exchange = w.broker.catalog.exchange("default", "later")
    await w.broker.route(w.session, exchange, keys or ("k",), [Record(value.encode(), b"k", block)], options).pending


def ready(broker: Broker, name: str = "jobs") -> int:
    return broker.queue("default", name).counts().ready


async def test_what_is_due_later_waits_and_what_is_not_does_not() -> None:
    async with world() as w:
        await delayed(w)
        await send(w, "later", 1_000)
        await send(w, "now", 0)
        assert ready(w.broker) == 1

        await w.clock.advance(999)
        assert ready(w.broker) == 1
        await w.clock.advance(2)

        assert ready(w.broker) == 2
        assert [text for _, text in await w.read("jobs")] == ["now", "later"]


async def test_what_comes_out_has_the_headers_with_which_it_was_sent() -> None:
    async with world() as w:
        await delayed(w)
        await send(w, "later", 10, headers={"colour": b"red"})

        await w.clock.advance(11)

        record = await w.broker.record_at(w.find("jobs").partitions[0], 0)
        assert record is not None
        assert decode_headers(record.headers) == (("colour", b"red"),)


async def test_it_goes_by_the_keys_that_it_was_sent_with() -> None:
    async with world() as w:
        await delayed(w)
        await w.broker.create_queue(w.session, QueueDefinition(name="copies"))
        await w.broker.bind(w.session, Binding(exchange="later", topic="copies", key="copy"))
        await send(w, "later", 10, "nowhere", "copy")

        await w.clock.advance(11)

        assert (ready(w.broker), ready(w.broker, "copies")) == (0, 1)


async def test_an_exchange_by_headers_looks_at_those_of_each_event() -> None:
    async with world() as w:
        await delayed(w, "headers", HeaderMatch(rows=(("colour", b"red"),)))
        await send(w, "red", 10, headers={"colour": b"red"})
        await send(w, "blue", 10, headers={"colour": b"blue"})

        await w.clock.advance(11)

        assert [text for _, text in await w.read("jobs")] == ["red"]


async def test_what_waits_is_there_after_a_crash_and_comes_once() -> None:
    async with world() as w:
        await delayed(w)
        await send(w, "later", 1_000)

        await w.crash()
        assert ready(w.broker) == 0
        await w.clock.advance(1_001)
        await w.crash()
        await w.clock.advance(5_000)

        assert [text for _, text in await w.read("jobs")] == ["later"]
        assert ready(w.broker, hold_name("later")) == 0


async def test_where_it_goes_is_decided_when_it_is_due() -> None:
    async with world() as w:
        await delayed(w)
        await send(w, "later", 1_000)
        await w.broker.bind(w.session, Binding(exchange="later", topic="jobs", key="k"), unbind=True)

        await w.clock.advance(1_001)

        assert ready(w.broker) == 0
        assert ready(w.broker, hold_name("later")) == 0


async def test_many_that_are_due_together_all_come_in_order() -> None:
    async with world() as w:
        await delayed(w)
        for number in range(600):
            await send(w, str(number), 1_000)

        await w.clock.advance(2_000)

        assert [int(text) for _, text in await w.read("jobs")] == list(range(600))


async def test_a_full_queue_that_wants_letters_gets_them_also_when_it_is_late() -> None:
    async with world() as w:
        await delayed(w)
        config = QueueConfig(max_events=0, overflow="refuse_dead", dead="dead")
        await w.broker.create_queue(w.session, QueueDefinition(name="dead"))
        await w.broker.create_queue(w.session, QueueDefinition(name="full", config=config))
        await w.broker.bind(w.session, Binding(exchange="later", topic="full", key="k"))
        await send(w, "later", 10)

        await w.clock.advance(11)

        assert (ready(w.broker), ready(w.broker, "full"), ready(w.broker, "dead")) == (1, 0, 1)


class TestItsQueue:
    async def test_it_is_made_and_goes_with_the_exchange(self) -> None:
        async with world() as w:
            await delayed(w)
            with pytest.raises(InUse, match="whose delayed events wait in it"):
                await w.broker.remove_topic(w.session, "default", "later.delayed")

            await w.broker.remove_exchange(w.session, "default", "later")

            with pytest.raises(UnknownQueue):
                w.broker.queue("default", "later.delayed")
            await delayed_again(w)

    async def test_its_name_has_to_be_free_and_to_fit(self) -> None:
        async with world() as w:
            await w.topic("later.delayed")

            with pytest.raises(AlreadyExists, match="needs a queue of that name"):
                await delayed_again(w)
            with pytest.raises(InvalidName):
                await w.broker.create_exchange(w.session, ExchangeDefinition(name="x" * 250, delayed=True))

    async def test_what_somebody_puts_there_by_hand_is_routed_by_its_key(self) -> None:
        async with world() as w:
            await delayed(w)
            damaged = encode_headers([(KEYS, b"\xc1"), (DUE, b"1")])

            for headers in (damaged, b"\xff\xff", encode_headers([])):
                record = Record(b"by hand", b"k", headers)
                await w.broker.publish(w.session, w.find("later.delayed"), [record])
            await w.clock.advance(10)

            assert ready(w.broker, "jobs") == 3


async def delayed_again(w: World) -> None:
    await w.broker.create_exchange(w.session, ExchangeDefinition(name="later", delayed=True))


async def test_only_so_many_events_can_wait_because_a_queue_knows_no_more_due_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delays, "QUEUE_DELAYED_MAX", 2)
    async with world() as w:
        await delayed(w)
        exchange = w.broker.catalog.exchange("default", "later")
        options = Options(due_ms=w.clock.now_ms() + 100)

        tried = [w.broker.route(w.session, exchange, ["k"], [Record(b"x", b"k")], options) for _ in range(3)]
        for each in tried:
            await each.pending
        await w.clock.advance(200)
        after = w.broker.route(w.session, exchange, ["k"], [Record(b"x", b"k")], options)

        assert [len(each.refused) for each in (*tried, after)] == [0, 0, 1, 0]
        assert isinstance(tried[2].refused[0].error, QueueFull)
        assert ready(w.broker) == 2
        await after.pending
