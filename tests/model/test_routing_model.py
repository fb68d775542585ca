"""Routing against a naive model of RabbitMQ's rules, on topologies at random, also after bindings were taken back."""

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.broker.bindings import Bound, Table, table_of
from isthmus.broker.routing import walk
from isthmus.definition import HeaderMatch
from support.topologies import VALUES, Exchange, Message, Topology, Way, routed, some


class Place:
    """An exchange of a topology, as the walk asks for it."""

    def __init__(self, declared: Exchange) -> None:
        self.table: Table = table_of(declared.kind)
        self.alternate = declared.alternate


def bound(way: Way, order: int) -> Bound:
    """A binding; queues have the ids from 1 on, exchanges those from 101 on."""
    rows = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in way.rows.items())
    mode, _, rest = way.match.partition("-")
    match = HeaderMatch(mode="any" if mode == "any" else "all", with_x=bool(rest), rows=rows)
    topic, exchange = (way.target + 1, 0) if way.to == "queue" else (0, way.target + 101)
    return Bound(topic, exchange, way.key, match, b"", order)


def places_of(topology: Topology) -> tuple[list[Place], list[tuple[Place, Bound]]]:
    places = [Place(each) for each in topology.exchanges]
    rows = [(places[way.exchange], bound(way, order)) for order, way in enumerate(topology.ways)]
    for place, row in rows:
        place.table.add(row)
    return places, rows


def walked(places: list[Place], message: Message) -> list[int]:
    found = walk(
        places[message.exchange],
        message.keys,
        lambda: message.headers,
        lambda number: places[number - 101],
        lambda place: None if place.alternate is None else places[place.alternate],
    )
    return [topic - 1 for topic in found.topics]


@given(data=st.data())
@settings(max_examples=300)
def test_every_message_gets_where_the_rules_bring_it_and_once(data: st.DataObject) -> None:
    topology = some(lambda among: data.draw(st.sampled_from(among)), values=(*VALUES, 1.0, 2.5))
    places, _ = places_of(topology)

    for message in topology.messages:
        found = walked(places, message)
        assert set(found) == routed(topology, message)
        assert len(found) == len(set(found))


@given(data=st.data())
@settings(max_examples=100)
def test_what_is_left_when_bindings_are_taken_back_routes_as_if_they_had_never_been(data: st.DataObject) -> None:
    topology = some(lambda among: data.draw(st.sampled_from(among)))
    places, rows = places_of(topology)
    gone = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    for number in gone:
        place, row = rows[number]
        place.table.remove(row)

    left = topology._replace(ways=tuple(way for number, way in enumerate(topology.ways) if number not in gone))

    for message in topology.messages:
        assert set(walked(places, message)) == routed(left, message)
