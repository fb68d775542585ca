"""The demo's app: what is done about the flights that left New York.

This and `events` are what a program on Isthmus looks like; whatever makes a show of it (replay, crash, report) is
elsewhere. It must not know that it is being watched, nor that it will be killed.
"""

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
    delay_of,
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
from isthmus.demo.tally import Tally
from isthmus.types import Bus

# ---- the app, and what its handlers are given ----------------------------------------------------------------------

app = App(name="flights")
plane_of = app.table(planes)
airport_of = app.table(airports)
known_carriers = app.table(carriers)
known_boards = app.table(boards)
known_keys = app.table(keys)


class Counted:
    """What the groups have counted so far, as long as this process is the only member of them."""

    def __init__(self) -> None:
        self.carriers: Tally[tuple[str, int], CarrierFigures] = Tally(CarrierFigures)
        self.boards: Tally[tuple[str, int], Board] = Tally(Board)
        self.keys: Tally[str, KeyAudit] = Tally(KeyAudit)


@app.provide
async def counted() -> Counted:
    """What the groups go on counting with."""
    return Counted()


@app.on_start
async def remember(counted: Counted) -> None:
    """Take up counting where the last unit left it: figures and offsets became durable together."""
    counted.carriers.update((place, state.figures) for place, state in known_carriers.items())
    counted.boards.update((place, state.board) for place, state in known_boards.items())
    counted.keys.update((key, state.audit) for key, state in known_keys.items())


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


# ---- a stream: three groups, each of which sees every flight --------------------------------------------------------


@app.on(flights, group="carriers", start="earliest", batch=1000, wait="50ms", to=carriers)
async def count_by_carrier(messages: list[Message[FlightEvent]], counted: Counted) -> list[CarrierState]:
    """On-time statistics per carrier."""
    draft = counted.carriers.draft()
    for message in messages:
        event = message.event
        figures = draft[event.carrier, message.partition]
        match event:
            case FlightDeparted():
                figures.depart(event.delay_min)
            case FlightArrived():
                figures.arrive(event.delay_min)
            case FlightCancelled():
                figures.cancel()
    return [CarrierState(carrier=code, partition=index, figures=each) for (code, index), each in draft.keep()]


@app.on(flights, group="boards", start="earliest", batch=1000, wait="50ms", to=boards)
async def show_on_boards(
    messages: list[Message[FlightDeparted | FlightCancelled]], counted: Counted
) -> list[BoardState]:
    """A live departure board per airport; aircraft and destinations are looked up in tables."""
    draft = counted.boards.draft()
    for message in messages:
        event = message.event
        board = draft[event.origin, message.partition]
        plane, airport = plane_of.get(event.tailnum or ""), airport_of.get(event.dest)
        board.count(event.tailnum, plane, airport)
        if isinstance(event, FlightDeparted):
            line = BoardLine(event.at_ms, event.carrier, event.flight, event.dest, event.delay_min)
            board.depart(line, plane, airport)
    return [BoardState(origin=origin, partition=index, board=each) for (origin, index), each in draft.keep()]


@app.on(flights, group="audit", start="earliest", batch=1000, wait="50ms", to=keys)
async def audit_keys(events: list[FlightEvent], counted: Counted) -> list[KeyState]:
    """Order and content of the events of every key."""
    draft = counted.keys.draft()
    for event in events:
        draft[event.key].follow(event, delay_of(event))
    return [KeyState(key=key, audit=audit) for key, audit in draft.keep()]


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
