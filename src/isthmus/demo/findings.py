"""What the demo left behind, read from its store as anybody could read it: streams, queues and groups.

It adds up and compares nothing with anything; `checks` does. It reads only, so it may run on a store that is kept.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from isthmus import Message, State, Stream
from isthmus.demo import events
from isthmus.demo.figures import Board, CarrierFigures, KeyAudit
from isthmus.demo.lines import mark
from isthmus.demo.witness import Place
from isthmus.types import Bus

S = TypeVar("S", bound=State)


class Rebooking(msgspec.Struct):
    """The jobs that were done, one for each time, and what the queue and its dead letters count."""

    done: list[events.Rebooked]
    enqueued: int
    acked: int
    died: int
    dead_left: int


class Findings(msgspec.Struct):
    """The store's content, added up over partitions."""

    places: dict[Place, int]
    carriers: dict[str, CarrierFigures]
    boards: dict[str, Board]
    keys: dict[str, KeyAudit]
    planes: int
    airports: int
    weather: dict[str, dict[str, dict[str, int]]]
    rebooking: Rebooking


async def find(bus: Bus) -> Findings:
    """Read everything."""
    return Findings(
        places=await places(bus),
        carriers=carriers(state.event for state in await newest(bus, events.carriers)),
        boards=boards(state.event for state in await newest(bus, events.boards)),
        keys={state.event.key: state.event.audit for state in await newest(bus, events.keys)},
        planes=len(await newest(bus, events.planes)),
        airports=len(await newest(bus, events.airports)),
        weather=await weather(bus),
        rebooking=await rebooking(bus),
    )


async def newest(bus: Bus, stream: Stream[S]) -> list[Message[S]]:
    """The newest state of each key, which is what a table of the stream would hold."""
    states: dict[bytes | None, Message[S]] = {}
    async for message in bus.read(stream, stop="end"):
        states[message.key] = message
    return list(states.values())


async def places(bus: Bus) -> dict[Place, int]:
    """Which event is where, of all flight events."""
    found: dict[Place, int] = {}
    async for chunk in bus.read(events.flights, stop="end").chunks():
        for message in chunk:
            event = message.event
            found[Place(message.partition, message.offset)] = mark(event.row, event.kind)
    return found


def carriers(states: Iterable[events.CarrierState]) -> dict[str, CarrierFigures]:
    """The figures of each carrier, those of all partitions added up."""
    whole: dict[str, CarrierFigures] = {}
    for state in states:
        whole.setdefault(state.carrier, CarrierFigures()).add(state.figures)
    return whole


def boards(states: Iterable[events.BoardState]) -> dict[str, Board]:
    """The board of each airport of origin, those of all partitions added up."""
    whole: dict[str, Board] = {}
    for state in states:
        whole.setdefault(state.origin, Board()).add(state.board)
    return whole


async def weather(bus: Bus) -> dict[str, dict[str, dict[str, int]]]:
    """By desk, then airport: how often it was told of each kind of conditions."""
    told: dict[str, dict[str, Counter[str]]] = {}
    async for message in bus.read(events.briefings, stop="end"):
        brief = message.event
        told.setdefault(brief.desk, {}).setdefault(brief.airport, Counter())[brief.conditions] += 1
    return {desk: {faa: dict(kinds) for faa, kinds in airports.items()} for desk, airports in told.items()}


async def rebooking(bus: Bus) -> Rebooking:
    """What became of the rebooking jobs."""
    queue = await bus.admin.queue(events.rebooking.name)
    dead = await bus.admin.queue(events.rebooking.dead or "")
    return Rebooking(
        done=[message.event async for message in bus.read(events.rebooked, stop="end")],
        enqueued=queue.enqueued,
        acked=queue.acked,
        died=dead.enqueued,
        dead_left=dead.ready + dead.leased + dead.delayed + dead.dying,
    )
