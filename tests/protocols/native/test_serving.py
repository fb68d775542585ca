"""What a client holds on the server: counted, bounded, and forgotten."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.errors import InvalidArgument, Overloaded
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.errors import NativeError, StaleDelivery
from isthmus.protocols.native.serving import HANDLERS, Serving
from isthmus.server.services import Kept
from support.engines import declare_all, publish


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(clock: ManualClock) -> AsyncGenerator[EmbeddedEngine]:
    broker = Broker(MemoryStorage(), clock)
    await broker.open()
    made = EmbeddedEngine("memory://", broker, Kept(), broker.session())
    await declare_all(made)
    yield made
    await made.close()
    await broker.close()


@pytest.fixture
def serving(engine: EmbeddedEngine) -> Serving:
    return Serving(engine, engine.broker.access, engine.session)


async def receive(serving: Serving, handle: int, count: int = 10) -> list[int]:
    """The tokens of what comes."""
    answer = await serving.answer(wire.Receive(handle, count, 1_000_000, 0))
    assert isinstance(answer, wire.Delivered)
    return [row.token for row in codec.unpack_rows(answer.rows)]


async def test_what_is_settled_is_forgotten(serving: Serving, engine: EmbeddedEngine) -> None:
    await publish(engine, "jobs", "a", "b", "c")
    await serving.answer(wire.OpenQueue("jobs", "c"))
    one, two, three = await receive(serving, 1)

    await serving.answer(wire.Submit((), (wire.Settle(1, codec.pack_tokens([one])),)))
    await serving.answer(wire.Dead(1, codec.pack_tokens([two]), "", ""))
    await serving.answer(wire.Release(1, codec.pack_tokens([one, two, three])))

    for token in (one, two, three):
        with pytest.raises(StaleDelivery) as stale:
            await serving.answer(wire.Fail(1, codec.pack_tokens([token]), 0, ""))
        assert stale.value.token == token


async def test_who_holds_too_much_gets_no_more_until_leases_run_out(
    serving: Serving, engine: EmbeddedEngine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.protocols.native.serving.NATIVE_HELD_MAX", 2)
    await publish(engine, "jobs", "a", "b", "c")
    await serving.answer(wire.OpenQueue("jobs", "c"))
    await receive(serving, 1, 2)

    with pytest.raises(Overloaded):
        await receive(serving, 1)
    await clock.advance(31_000)

    assert len(await receive(serving, 1)) == 3


async def test_requests_that_wait_together_get_less_each(
    serving: Serving, engine: EmbeddedEngine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.protocols.native.serving.NATIVE_CREDIT_BYTES_MAX", 150_000)
    for _ in range(3):
        await serving.answer(wire.OpenQueue("jobs", "c"))
    waiting = [asyncio.ensure_future(serving.answer(wire.Receive(n, 10, 150_000, 60_000))) for n in (1, 2, 3)]
    await clock.drain()

    await publish(engine, "jobs", *("x" * 60_000 for _ in range(6)))
    answers = [
        codec.unpack_rows(each.rows) for each in await asyncio.gather(*waiting) if isinstance(each, wire.Delivered)
    ]

    assert sorted(map(len, answers)) == [1, 1, 2]


async def test_too_many_readers_are_refused(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.protocols.native.serving.NATIVE_HANDLES_MAX", 1)
    await serving.answer(wire.OpenReader("orders", "earliest"))

    with pytest.raises(Overloaded):
        await serving.answer(wire.OpenReader("orders", "earliest"))
    await serving.answer(wire.Close(1))

    assert isinstance(await serving.answer(wire.OpenReader("orders", "earliest")), wire.Opened)


@pytest.mark.parametrize(
    "request_",
    [
        wire.Define("declare"),
        wire.OpenReader("orders", "earliest", offsets=(0, 0)),
        wire.OpenReader("orders", "earliest", offsets=()),
        wire.OpenReader("orders", "earliest", offsets=(0,), ends=(0, 0)),
        wire.Peek("jobs", 0),
        wire.Publish("orders", b""),
    ],
)
async def test_what_makes_no_sense_is_refused(serving: Serving, request_: wire.Request) -> None:
    with pytest.raises(InvalidArgument):
        await serving.answer(request_)


async def test_a_handle_that_is_not_there_gives_nothing(serving: Serving) -> None:
    assert await serving.answer(wire.Read(7, 1, 1)) == wire.Batches(ended=True)
    assert await serving.answer(wire.Receive(7, 1, 1, 1)) == wire.Delivered()
    assert await serving.answer(wire.Release(7, codec.pack_tokens([1]))) == wire.Done()
    with pytest.raises(StaleDelivery):
        await serving.answer(wire.Fail(7, b"", 0, ""))
    with pytest.raises(NativeError):
        await serving.answer(wire.Hello())


async def test_the_lost_count_as_failed_and_what_somebody_else_has_is_passed_over(
    serving: Serving, engine: EmbeddedEngine
) -> None:
    await publish(engine, "jobs", "a", "b")
    await serving.answer(wire.OpenQueue("jobs", "c"))
    await receive(serving, 1)
    await engine.admin.remove("kept")
    other = await engine.queue_source("jobs", "other")
    opened = serving._sources[1]  # what it holds is nobody else's business
    await opened.source.release([next(iter(opened.held.values()))])

    await serving.fail_all()
    found = await other.receive(10, 1_000_000, 0)

    assert sorted(one.failed for one in found) == [0, 1]


async def test_who_waits_is_woken(serving: Serving, clock: ManualClock) -> None:
    await serving.answer(wire.OpenQueue("jobs", "c"))
    await serving.answer(wire.OpenReader("orders", "earliest"))
    waiting = [
        asyncio.ensure_future(serving.answer(each))
        for each in (wire.Receive(1, 1, 1_000, 60_000), wire.Read(2, 1_000, 60_000))
    ]
    await clock.drain()

    await serving.wake_all()

    assert await asyncio.gather(*waiting) == [wire.Delivered(), wire.Batches(ended=True)]


def test_every_request_of_a_known_client_has_a_handler() -> None:
    greeting = {wire.Hello, wire.Login, wire.Proof, wire.Cancel, wire.Ping, wire.Bye}

    assert set(HANDLERS) == set(wire.Request.__args__) - greeting
