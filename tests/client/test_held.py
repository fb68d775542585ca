"""What a consumer holds, and how its leases are renewed."""

from collections.abc import AsyncIterator

import pytest

from isthmus import Notification, Queue, connect
from isthmus.client.bus import Bus
from isthmus.client.held import Held, Holding, size_of
from isthmus.clock import ManualClock
from isthmus.engines.base import Received, Source
from isthmus.errors import LeaseLost
from isthmus.record import StoredRecord


class Placed(Notification):
    order_id: str


jobs = Queue[Placed]("jobs", lease="30s")


class Bench:
    """A holding on a real queue, and what it told."""

    def __init__(self, bus: Bus, clock: ManualClock, source: Source) -> None:
        self.bus = bus
        self.clock = clock
        self.source = source
        self.lost = 0
        self.failures: list[BaseException] = []
        self.holding = Holding(source, clock, jobs.lease_ms, self._lost, self.failures.append)

    def _lost(self) -> None:
        self.lost += 1

    async def hold(self, count: int) -> list[Held]:
        """Take that many new events and hold them."""
        await self.bus.publish(jobs, *(Placed(order_id=f"o-{number}") for number in range(count)))
        received = await self.source.receive(count, 1_000_000, 0)
        held = [Held(each, each, None, None, None) for each in received]
        self.holding.add(held)
        return held

    def ends(self) -> set[int]:
        """How long the leases last, in milliseconds from now."""
        return {(held.received.until_ms or 0) - self.clock.monotonic_ms() for held in self.holding.all()}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with connect("memory://", clock=clock) as bus:
        await bus.declare(jobs)
        source = await bus.engine.queue_source("jobs", "tester")
        bench = Bench(bus, clock, source)
        yield bench
        await bench.holding.close()
        await source.close()


async def test_leases_are_renewed_while_something_is_held(bench: Bench) -> None:
    await bench.hold(3)

    await bench.clock.advance(10 * 60_000)

    assert all(15_000 <= end <= 30_000 for end in bench.ends())
    assert len(bench.holding) == 3
    assert bench.failures == []


async def test_what_is_settled_is_renewed_no_more(bench: Bench) -> None:
    held = await bench.hold(2)
    bench.holding.forget(held[:1])

    await bench.clock.advance(31_000)

    assert len(bench.holding) == 1
    (again,) = await bench.source.receive(9, 1_000_000, 0)
    assert again.stored.offset == held[0].origin.stored.offset
    assert again.failed == 1


async def test_one_renewal_serves_leases_of_about_the_same_age(bench: Bench) -> None:
    await bench.hold(1)
    await bench.clock.advance(5_000)
    await bench.hold(1)
    await bench.clock.advance(10_000)

    assert len(bench.ends()) == 1


async def test_a_longer_lease_that_a_handler_asked_for_stays(bench: Bench) -> None:
    held = await bench.hold(2)
    await bench.holding.extend(held[0], 120_000)

    await bench.clock.advance(60_000)

    assert (held[0].received.until_ms or 0) - bench.clock.monotonic_ms() == 60_000


async def test_lost_leases_are_told_apart_from_the_others(bench: Bench) -> None:
    held = await bench.hold(3)
    await bench.source.release([held[1].received])

    await bench.clock.advance(60_000)

    assert [each.lost for each in held] == [False, True, False]
    assert bench.lost == 1
    assert bench.failures == []
    with pytest.raises(LeaseLost):
        await bench.holding.extend(held[1], 1_000)


async def test_deliveries_are_found_by_what_came_and_bytes_are_counted(bench: Bench) -> None:
    held = await bench.hold(2)

    assert bench.holding.find(held[0].origin) is held[0]
    assert bench.holding.size_bytes == sum(size_of(each.origin) for each in held)

    bench.holding.forget(held)
    bench.holding.forget(held)

    assert bench.holding.find(held[0].origin) is None
    assert bench.holding.size_bytes == 0


async def test_an_error_that_is_no_lost_lease_is_told(bench: Bench) -> None:
    await bench.hold(1)
    stranger = Received(StoredRecord(9, 0, None, b"", b""), object(), "jobs", 0, 1, 0, 30_000)
    bench.holding.add([Held(stranger, stranger, None, None, None)])

    await bench.clock.advance(30_000)

    assert len(bench.failures) == 1
