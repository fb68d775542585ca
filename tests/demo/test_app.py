"""The demo's handlers, run by the demo's app on the engine in memory."""

from isthmus.demo import sources
from isthmus.demo.app import app
from isthmus.demo.events import (
    AirportState,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    PlaneState,
    RebookingDue,
    WeatherChanged,
    airports,
    boards,
    briefings,
    carriers,
    flights,
    keys,
    planes,
    rebooked,
    rebooking,
    weather,
)

HOUSTON = AirportState(faa="IAH", name="Houston", lat=29.98, lon=-95.34, alt_ft=97, zone="America/Chicago")
BOEING = PlaneState(
    tailnum="N1", year=1999, type="jet", manufacturer="BOEING", model="737", engines=2, seats=149, engine="Turbo-fan"
)


def departed(row: int, delay_min: int = 0, tailnum: str = "N1") -> FlightDeparted:
    return FlightDeparted(
        at_ms=row * 60_000,
        row=row,
        key=tailnum,
        carrier="UA",
        flight=1541 + row,
        tailnum=tailnum,
        origin="EWR",
        dest="IAH",
        scheduled_ms=0,
        delay_min=delay_min,
    )


def arrived(row: int) -> FlightArrived:
    return FlightArrived(
        at_ms=row * 60_000 + 1,
        row=row,
        key="N1",
        carrier="UA",
        flight=1541 + row,
        tailnum="N1",
        origin="EWR",
        dest="IAH",
        scheduled_ms=0,
        delay_min=11,
        diverted=False,
    )


def cancelled(row: int, dest: str = "IAH") -> FlightCancelled:
    return FlightCancelled(
        at_ms=0, row=row, key="UA-7", carrier="UA", flight=7, tailnum=None, origin="JFK", dest=dest, scheduled_ms=0
    )


async def test_three_groups_each_see_every_flight() -> None:
    async with app.test() as test:
        await test.publish(planes, BOEING)
        await test.publish(airports, HOUSTON)
        await test.drain()

        await test.publish(flights, departed(1, 2), arrived(1), departed(2, -2, "N2"))
        await test.drain()

        figures = [state.figures for state in test.published(carriers)]
        shown = [state.board for state in test.published(boards)]
        audits = {state.key: state.audit.events for state in test.published(keys)}
    assert (sum(each.departed for each in figures), sum(each.arrived for each in figures)) == (2, 1)
    assert (sum(board.seats for board in shown), sum(board.without_plane_row for board in shown)) == (149, 1)
    assert audits == {"N1": 2, "N2": 1}


async def test_figures_go_on_from_one_list_of_events_to_the_next() -> None:
    async with app.test() as test:
        await test.publish(flights, departed(1))
        await test.drain()

        await test.publish(flights, arrived(1))
        await test.drain()

        last = test.published(carriers)[-1].figures
    assert (last.departed, last.arrived) == (1, 1)


async def test_cancelled_and_very_late_flights_are_rebooked_and_others_are_not() -> None:
    async with app.test() as test:
        await test.publish(airports, HOUSTON)
        await test.publish(flights, departed(1, 120), departed(2, 121), cancelled(3))
        await test.advance("1s")

        jobs = test.published(rebooking)
        done = test.published(rebooked)
    assert sorted((job.row, job.reason) for job in jobs) == [(2, "late"), (3, "cancelled")]
    assert sorted(job.row for job in done) == [2, 3]


async def test_a_job_that_fails_is_tried_again_and_one_that_cannot_be_done_ends_in_the_dead_letters() -> None:
    async with app.test() as test:
        await test.publish(airports, HOUSTON)
        await test.publish(rebooking, job(1, flight=10), job(2, flight=11), job(3, dest="SJU"))
        await test.advance("10s")

        attempts = {done.row: done.attempt for done in test.published(rebooked)}
        dead = [(message.event.row, message.attempt) for message in test.dead(rebooking)]
    assert attempts == {1: 2, 2: 1}
    assert dead == [(3, 3)]


def job(row: int, flight: int = 1, dest: str = "IAH") -> RebookingDue:
    return RebookingDue(row=row, carrier="UA", flight=flight, dest=dest, reason="late")


async def test_three_groups_want_the_weather_and_the_service_is_asked_once() -> None:
    seen = sources.weather_changes(sources.observations())[:5]
    async with app.test() as test:
        await test.publish(weather, *(WeatherChanged(airport=each.airport, at_ms=each.at_ms) for each in seen))
        await test.drain()

        told = test.published(briefings)
        asked = app.metrics.enrich["observe"]
    assert sorted(brief.desk for brief in told) == ["crews"] * 5 + ["ramp"] * 5 + ["tower"] * 5
    assert {brief.conditions for brief in told} == {each.conditions for each in seen}
    assert (asked.wanted, asked.calls, asked.saved) == (15, 5, 10)
