"""The demo's app: what is done about the flights that left New York.

This and `events` are what a program on Isthmus looks like; whatever makes a show of it (replay, crash, report) is
elsewhere. It must not know that it is being watched, nor that it will be killed.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass

from isthmus import App, Message, Retry
from isthmus.demo import sources
from isthmus.demo.events import (
    BoardState,
    Briefing,
    CarrierState,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    KeyState,
    Rebooked,
    RebookingDue,
    UpstreamAnswered,
    UpstreamCall,
    WeatherChanged,
    airports,
    answers,
    boards,
    briefings,
    burst,
    carriers,
    flights,
    keys,
    planes,
    rebooked,
    rebooking,
    weather,
)
from isthmus.demo.facts import LATE_MIN
from isthmus.demo.figures import FAIL_ONCE_EVERY, Board, BoardLine, CarrierFigures, KeyAudit
from isthmus.demo.services import Pace, RebookingDesk, Upstream, WeatherService
from isthmus.demo.sources import Observation
from isthmus.types import Bus

# ---- the app, and what its handlers are given ----------------------------------------------------------------------

app = App(name="flights")
plane_of = app.table(planes)
airport_of = app.table(airports)
counted_carriers = app.table(carriers)
counted_boards = app.table(boards)
counted_keys = app.table(keys)


@dataclass
class Counted:
    """The newest figures of each partition. After a crash they are read back, just as they were when it happened."""

    carriers: dict[int, Mapping[str, CarrierFigures]]
    boards: dict[int, Mapping[str, Board]]
    keys: dict[int, Mapping[str, KeyAudit]]


@app.provide
async def counted() -> Counted:
    """What the groups go on counting with."""
    return Counted({}, {}, {})


@app.on_start
async def remember(counted: Counted) -> None:
    """Take up counting where the last unit left it: figures and offsets became durable together."""
    counted.carriers.update((partition, state.carriers) for partition, state in counted_carriers.items())
    counted.boards.update((partition, state.boards) for partition, state in counted_boards.items())
    counted.keys.update((partition, state.keys) for partition, state in counted_keys.items())


@app.provide
async def weather_service() -> WeatherService:
    """The weather service."""
    return WeatherService(sources.observations())


@app.provide
async def rebooking_desk() -> RebookingDesk:
    """The rebooking desk."""
    return RebookingDesk()


@app.provide
async def upstream(bus: Bus) -> Upstream:
    """The service that the burst is for."""
    return Upstream(bus.engine.clock)


@app.provide
async def pace(bus: Bus) -> Pace:
    """The rate at which all workers together call it."""
    return Pace(bus.engine.clock)


def by_partition(messages: Iterable[Message[FlightEvent]]) -> dict[int, list[FlightEvent]]:
    """The events of a list by the partition they come from, each in order."""
    found: dict[int, list[FlightEvent]] = {}
    for message in messages:
        found.setdefault(message.partition, []).append(message.event)
    return found


# ---- a stream: three groups, each of which sees every flight --------------------------------------------------------


@app.on(flights, group="carriers", start="earliest", batch=500, wait="50ms", to=carriers)
async def count_by_carrier(messages: list[Message[FlightEvent]], counted: Counted) -> list[CarrierState]:
    """On-time statistics per carrier."""
    states = []
    for partition, events in by_partition(messages).items():
        figures = {code: copy(known) for code, known in counted.carriers.get(partition, {}).items()}
        for event in events:
            carrier = figures.setdefault(event.carrier, CarrierFigures())
            match event:
                case FlightDeparted():
                    carrier.depart(event.delay_min)
                case FlightArrived():
                    carrier.arrive(event.delay_min)
                case FlightCancelled():
                    carrier.cancel()
        counted.carriers[partition] = figures
        states.append(CarrierState(partition=partition, carriers=figures))
    return states


@app.on(flights, group="boards", start="earliest", batch=500, wait="50ms", to=boards)
async def show_on_boards(
    messages: list[Message[FlightDeparted | FlightCancelled]], counted: Counted
) -> list[BoardState]:
    """A live departure board per airport; aircraft and destinations are looked up in tables."""
    states = []
    for partition, events in by_partition(messages).items():
        shown = {origin: board.copy() for origin, board in counted.boards.get(partition, {}).items()}
        for event in events:
            board = shown.setdefault(event.origin, Board())
            plane, airport = plane_of.get(event.tailnum or ""), airport_of.get(event.dest)
            board.count(event.tailnum, plane, airport)
            if isinstance(event, FlightDeparted):
                line = BoardLine(event.at_ms, event.carrier, event.flight, event.dest, event.delay_min)
                board.depart(line, plane, airport)
        counted.boards[partition] = shown
        states.append(BoardState(partition=partition, boards=shown))
    return states


@app.on(flights, group="audit", start="earliest", batch=500, wait="50ms", to=keys)
async def audit_keys(messages: list[Message[FlightEvent]], counted: Counted) -> list[KeyState]:
    """Order and content of the events of every key."""
    states = []
    for partition, events in by_partition(messages).items():
        audits = {key: copy(known) for key, known in counted.keys.get(partition, {}).items()}
        follow(events, audits)
        counted.keys[partition] = audits
        states.append(KeyState(partition=partition, keys=audits))
    return states


def follow(events: Iterable[FlightEvent], audits: dict[str, KeyAudit]) -> None:
    """Audit events in the order of each key."""
    for event in events:
        delay_min = None if isinstance(event, FlightCancelled) else event.delay_min
        audits.setdefault(event.key, KeyAudit()).follow(event, delay_min)


# ---- a queue: each job for one worker -------------------------------------------------------------------------------


@app.on(flights, group="rebooking", start="earliest", to=rebooking)
async def ask_for_rebooking(event: FlightDeparted | FlightCancelled) -> RebookingDue | None:
    """Cancelled flights, and those over two hours late, are work."""
    if isinstance(event, FlightCancelled):
        reason = "cancelled"
    elif event.delay_min > LATE_MIN:
        reason = "late"
    else:
        return None
    return RebookingDue(row=event.row, carrier=event.carrier, flight=event.flight, dest=event.dest, reason=reason)


@app.on(rebooking, workers=8, to=rebooked)
async def rebook(job: RebookingDue, message: Message[RebookingDue], desk: RebookingDesk) -> Rebooked:
    """Do one job. Raising means: again later, and to the dead letters after the last attempt."""
    if job.dest not in airport_of:
        raise LookupError(f"no airport {job.dest} in the tables")
    if job.flight % FAIL_ONCE_EVERY == 0 and message.attempt == 1:
        raise Retry("the carrier's line is busy")
    await desk.rebook(job.flight)
    return Rebooked(
        row=job.row,
        carrier=job.carrier,
        flight=job.flight,
        dest=job.dest,
        reason=job.reason,
        attempt=message.attempt,
    )


# ---- notifications: three groups want the weather, which is asked for once per change ------------------------------


@app.enrich(WeatherChanged)
async def observe(event: WeatherChanged, service: WeatherService) -> Observation:
    """How to ask the owner about a change."""
    return await service.observation(event.airport, event.at_ms)


@app.on(weather, group="tower", start="earliest", to=briefings)
async def brief_tower(event: WeatherChanged, seen: Observation) -> Briefing:
    """Tell the tower."""
    return Briefing(desk="tower", airport=event.airport, at_ms=event.at_ms, conditions=seen.conditions)


@app.on(weather, group="ramp", start="earliest", to=briefings)
async def brief_ramp(event: WeatherChanged, seen: Observation) -> Briefing:
    """Tell the ramp."""
    return Briefing(desk="ramp", airport=event.airport, at_ms=event.at_ms, conditions=seen.conditions)


@app.on(weather, group="crews", start="earliest", to=briefings)
async def brief_crews(event: WeatherChanged, seen: Observation) -> Briefing:
    """Tell the crews."""
    return Briefing(desk="crews", airport=event.airport, at_ms=event.at_ms, conditions=seen.conditions)


# ---- a burst: the queue holds what the upstream service cannot take at once ----------------------------------------


@app.on(burst, workers=8, to=answers)
async def call_upstream(call: UpstreamCall, service: Upstream, pace: Pace) -> UpstreamAnswered:
    """Make one call, when it is its turn."""
    await pace.turn()
    return UpstreamAnswered(number=call.number, at_ms=await service.call())
