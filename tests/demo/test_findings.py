"""What is read from the store adds up over partitions, the newest state of each counting."""

from isthmus import connect
from isthmus.demo import events
from isthmus.demo.events import BoardState, Briefing, CarrierState, KeyState, Rebooked
from isthmus.demo.figures import Board, CarrierFigures, KeyAudit
from isthmus.demo.findings import find
from isthmus.demo.replay import event_of, publish_states
from isthmus.demo.sources import FLIGHTS
from support.flights import file_of


async def test_the_newest_states_of_all_partitions_add_up() -> None:
    day = next(file_of(FLIGHTS).days())[:10]
    async with connect("memory://") as bus:
        await publish_states(bus)
        await bus.publish(events.flights, *map(event_of, day))
        for partition, departed in ((0, 1), (1, 10), (0, 2)):
            figures = CarrierFigures(departed=departed)
            await bus.publish(events.carriers, CarrierState(carrier="UA", partition=partition, figures=figures))
            board = Board(seats=departed)
            await bus.publish(events.boards, BoardState(origin="JFK", partition=partition, board=board))
            await bus.publish(events.keys, KeyState(key=f"N{partition}", audit=KeyAudit(events=departed)))
        await bus.publish(events.briefings, *(Briefing(desk="ramp", airport="JFK", at_ms=0, conditions="dry"),) * 2)
        await bus.publish(
            events.rebooked, Rebooked(row=1, carrier="UA", flight=1, dest="IAH", reason="late", attempt=1)
        )
        await bus.declare(events.rebooking)

        found = await find(bus)

    assert len(found.places) == 10
    assert found.carriers["UA"].departed == 12
    assert found.boards["JFK"].seats == 12
    assert {key: audit.events for key, audit in found.keys.items()} == {"N0": 2, "N1": 10}
    assert (found.planes, found.airports) == (3_322, 1_458)
    assert found.weather == {"ramp": {"JFK": {"dry": 2}}}
    assert [job.row for job in found.rebooking.done] == [1]
    assert (found.rebooking.enqueued, found.rebooking.died) == (0, 0)
