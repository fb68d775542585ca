"""The store's space comes back when what is consumed and what was replaced may go."""

from pathlib import Path

from isthmus.demo import events, store
from isthmus.demo.child import handled, until
from isthmus.demo.late import late_app
from isthmus.demo.replay import event_of
from isthmus.demo.sources import FLIGHTS
from support.flights import file_of


async def test_consumed_events_go_and_newer_ones_stay(tmp_path: Path) -> None:
    days = file_of(FLIGHTS).days()
    async with store.open_store(str(tmp_path)) as bus:
        for _ in range(4):
            await bus.publish(events.flights, *map(event_of, next(days)))
        for stream in (events.carriers, events.boards, events.keys, events.rebooked):
            await bus.declare(stream)
        early = (await bus.admin.topic("flights")).partitions
        after_ms = bus.engine.clock.now_ms() + 1
        await bus.engine.clock.sleep_until(bus.engine.clock.monotonic_ms() + 2)
        await bus.publish(events.flights, *map(event_of, next(days)))
        async with late_app(str(tmp_path), {}):
            await until(lambda: handled(bus, "flights", "late"))
        before_bytes = store.size_bytes(tmp_path)

        freed_bytes = await store.reclaim(bus, after_ms)

        assert await store.removed(bus) == sum(partition.high_watermark for partition in early)
        assert freed_bytes > 0
        assert (await bus.admin.topic("flights")).config == events.flights.definition().config
    assert store.size_bytes(tmp_path) < before_bytes
