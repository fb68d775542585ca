"""The child's questions: has everything been handled, is the queue idle."""

from isthmus import App, connect
from isthmus.demo import events
from isthmus.demo.child import handled, idle, until
from isthmus.demo.events import RebookingDue


async def test_a_group_that_does_not_exist_yet_has_not_handled_anything() -> None:
    async with connect("memory://") as bus:
        await bus.declare(events.weather)

        assert not await handled(bus, "weather", "ramp")


async def test_a_queue_is_idle_when_its_last_job_is_settled() -> None:
    async with connect("memory://") as bus:
        await bus.publish(
            events.rebooking, RebookingDue(row=1, carrier="UA", flight=1, dest="IAH", reason="late"), delay="1h"
        )
        assert not await idle(bus, "rebooking")

        await bus.admin.purge("rebooking")

        assert await idle(bus, "rebooking")


async def test_it_waits_until_every_group_is_at_the_end() -> None:
    seen: list[int] = []
    app = App("memory://until")

    @app.on(events.weather, group="ramp")
    async def note(event: events.WeatherChanged) -> None:
        seen.append(event.at_ms)

    async with connect("memory://until") as bus, app:
        await bus.publish(events.weather, *(events.WeatherChanged(airport="JFK", at_ms=at_ms) for at_ms in range(300)))
        await until(lambda: handled(bus, "weather", "ramp"))

    assert seen == list(range(300))
