"""A group that comes late sees what was published before it, from the first event on."""

from isthmus import connect
from isthmus.demo import events
from isthmus.demo.child import handled, until
from isthmus.demo.figures import KeyAudit, audit_summary
from isthmus.demo.late import late_app
from isthmus.demo.replay import event_of
from isthmus.demo.sources import FLIGHTS
from support.flights import file_of


async def test_a_late_group_replays_from_the_start() -> None:
    day = next(file_of(FLIGHTS).days())
    audits: dict[str, KeyAudit] = {}
    async with connect("memory://late") as bus:
        await bus.publish(events.flights, *map(event_of, day))

        async with late_app("memory://late", audits):
            await until(lambda: handled(bus, "flights", "late"))

        groups = [view.name for view in await bus.admin.groups("flights")]
    assert audit_summary(audits)["events"] == len(day)
    assert groups == ["late"]
