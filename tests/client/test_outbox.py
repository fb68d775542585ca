"""What handlers are done with, on its way to the engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from isthmus import Notification, Queue, Stream, connect
from isthmus.client.bus import Bus
from isthmus.client.held import Held, Holding
from isthmus.client.lanes import Lanes
from isthmus.client.metrics import ConsumerCounts
from isthmus.client.outbox import Outbox, all_of
from isthmus.client.verdict import Again, Back, Dead, Verdict
from isthmus.clock import ManualClock
from isthmus.engines.base import Source
from isthmus.errors import EngineError, LeaseLost, Overloaded, RequestError
from isthmus.limits import OUTPUT_BYTES_MAX
from isthmus.record import Record


class Placed(Notification):
    order_id: str


jobs = Queue[Placed]("jobs")
results = Stream[Placed]("results", key="order_id")


class Bench:
    """An outbox on a real queue; what it refuses becomes a dead letter."""

    def __init__(self, bus: Bus, clock: ManualClock, source: Source) -> None:
        self.bus = bus
        self.clock = clock
        self.source = source
        self.counts = ConsumerCounts()
        self.failures: list[BaseException] = []
        self.lanes: Lanes[Held] = Lanes(lambda held: held.key, parallel=False)
        self.holding = Holding(source, clock, None, lambda: None, self.failures.append)
        self.outbox = Outbox(
            "jobs",
            bus.engine,
            source,
            self.lanes,
            self.holding,
            self.counts,
            compression="none",
            refused=self._refused,
            wake=lambda: None,
            failed=self.failures.append,
        )

    def _refused(self, held: Held, error: RequestError) -> Verdict:
        assert self.holding.find(held.origin) is held
        return Dead(f"refused: {type(error).__name__}")

    async def hold(self, count: int, key: bytes | None = None) -> list[Held]:
        await self.bus.publish(jobs, *(Placed(order_id=f"o-{number}") for number in range(count)))
        received = await self.source.receive(count, 1_000_000, 0)
        held = [Held(each, each, None, None, key) for each in received]
        self.holding.add(held)
        return held

    async def given(self) -> list[str]:
        """The orders in what was published for `results`."""
        return [message.event.order_id async for message in self.bus.read(results, stop="end")]

    async def left(self) -> tuple[int, int]:
        """How many jobs are ready, and how many are leased."""
        view = await self.bus.admin.queue("jobs")
        return view.ready + view.delayed, view.leased


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with connect("memory://", clock=clock) as bus:
        await bus.declare(jobs, results)
        source = await bus.engine.queue_source("jobs", "tester")
        bench = Bench(bus, clock, source)
        yield bench
        await bench.outbox.close()
        await source.close()


def output(order_id: str) -> list[Record]:
    return results.writer().records([Placed(order_id=order_id)])


async def test_outputs_and_settlements_arrive_together(bench: Bench) -> None:
    held = await bench.hold(3)

    for number, each in enumerate(held):
        bench.outbox.done([each], "results", output(f"r-{number}"))
    await bench.outbox.flush()

    assert await bench.given() == ["r-0", "r-1", "r-2"]
    assert await bench.left() == (0, 0)
    assert bench.counts == ConsumerCounts(handled=3)
    assert len(bench.holding) == 0


async def test_what_is_finished_in_one_turn_is_one_unit(bench: Bench) -> None:
    held = await bench.hold(3)
    before = (await bench.bus.admin.topic("results")).partitions[0]

    for each in held:
        bench.outbox.done([each], "results", output("r"))
    await bench.outbox.flush()

    chunk = await (await bench.bus.engine.reader("results", "earliest", "end")).read(1_000_000, 0)
    assert chunk is not None
    assert [record.offset for record in chunk.records] == [0, 1, 2]
    assert before.high_watermark == 0


async def test_only_the_stale_ones_are_dropped_and_their_outputs_do_not_appear(bench: Bench) -> None:
    held = await bench.hold(4)
    await bench.source.release([held[1].received])

    for number, each in enumerate(held):
        bench.outbox.done([each], "results", output(f"r-{number}"))
    await bench.outbox.flush()

    assert await bench.given() == ["r-0", "r-2", "r-3"]
    assert bench.counts == ConsumerCounts(handled=3, stale=1)
    assert await bench.left() == (1, 0)
    assert len(bench.holding) == 0


async def test_an_output_that_is_refused_is_the_fault_of_its_delivery_alone(bench: Bench) -> None:
    held = await bench.hold(2)

    bench.outbox.done([held[0]], "results", output("x" * 2_000_000))
    bench.outbox.done([held[1]], "results", output("r-1"))
    await bench.outbox.flush()

    assert await bench.given() == ["r-1"]
    assert bench.counts == ConsumerCounts(handled=1, dead=1)
    (dead,) = await bench.bus.admin.dead_letters("jobs.dead", 9)
    assert dead.reason == "refused: RecordTooLarge"


async def test_what_is_given_up_is_counted_by_what_becomes_of_it(bench: Bench) -> None:
    held = await bench.hold(3)

    bench.outbox.give_up(held[0], Again(1_000, "no"))
    bench.outbox.give_up(held[1], Dead("never", "trace"))
    bench.outbox.give_up(held[2], Back(1_000, "busy"))
    await bench.outbox.flush()

    assert bench.counts == ConsumerCounts(failed=1, dead=1, released=1)
    assert await bench.left() == (2, 0)
    (dead,) = await bench.bus.admin.dead_letters("jobs.dead", 9)
    assert (dead.reason, dead.traceback) == ("never", "trace")


async def test_behind_a_failure_the_key_goes_back_also_when_more_comes_meanwhile(bench: Bench) -> None:
    held = await bench.hold(4, key=b"a")
    bench.lanes.block(b"a", held[1:3])
    bench.outbox.give_up(held[0], Again(1_000, "no"))
    bench.lanes.add(held[3:])

    await bench.outbox.flush()

    assert bench.counts == ConsumerCounts(failed=1, released=3)
    assert not bench.lanes.is_blocked(b"a")
    assert await bench.left() == (4, 0)


async def test_behind_a_dead_letter_the_key_goes_on(bench: Bench) -> None:
    held = await bench.hold(2, key=b"a")
    bench.lanes.block(b"a", held[1:])

    bench.outbox.give_up(held[0], Dead("never"))
    await bench.outbox.flush()

    assert bench.lanes.take(9) == held[1:]


async def test_a_failure_that_is_stale_is_dropped_and_those_behind_it_go_back(bench: Bench) -> None:
    held = await bench.hold(2, key=b"a")
    await bench.source.release([held[0].received])
    bench.lanes.block(b"a", held[1:])

    bench.outbox.give_up(held[0], Dead("never"))
    await bench.outbox.flush()

    assert bench.counts == ConsumerCounts(stale=1, released=1)
    assert await bench.left() == (2, 0)


async def test_acknowledging_one_happens_now_or_says_that_it_is_lost(bench: Bench) -> None:
    held = await bench.hold(2)
    await bench.source.release([held[1].received])

    await bench.outbox.acknowledge(held[0])
    with pytest.raises(LeaseLost):
        await bench.outbox.acknowledge(held[1])

    assert bench.counts == ConsumerCounts(handled=1, stale=1)
    assert len(bench.holding) == 0


async def test_handlers_wait_while_outputs_pile_up(bench: Bench) -> None:
    (held,) = await bench.hold(1)
    bench.outbox.done([held], "results", [Record(b"x" * 1_000_000, b"k")] * (OUTPUT_BYTES_MAX // 1_000_000 + 1))

    assert bench.outbox.full
    await bench.outbox.room()

    assert not bench.outbox.full


async def test_it_waits_while_the_engine_has_no_room(bench: Bench) -> None:
    tries: list[int] = []

    async def work() -> None:
        tries.append(bench.clock.monotonic_ms())
        if len(tries) == 1:
            raise Overloaded("journal", 1)
        if len(tries) == 2:
            raise EngineError("away", retryable=True)

    waiting = asyncio.ensure_future(bench.outbox._patiently(work))
    await bench.clock.advance(1_000)

    assert tries == [0, 50, 150]
    await waiting


async def test_what_nobody_can_deal_with_is_told(bench: Bench) -> None:
    (held,) = await bench.hold(1)
    await bench.bus.engine.close()

    bench.outbox.done([held], "results", output("r"))
    await bench.outbox.flush()

    assert len(bench.failures) == 1


async def test_all_run_to_their_ends_before_the_first_error_is_raised() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)
        if number == 1:
            raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        await all_of([work(number) for number in range(3)])

    assert ended == [0, 1, 2]
