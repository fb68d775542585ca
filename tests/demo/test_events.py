"""The demo's events carry what the facts say, and its destinations are what the report relies on."""

from isthmus.client.event import field_names
from isthmus.demo import events
from isthmus.demo.figures import KeyAudit
from isthmus.demo.replay import event_of
from isthmus.demo.sources import FLIGHTS
from support.flights import file_of


def test_the_audit_reads_events_as_it_reads_facts() -> None:
    day = next(file_of(FLIGHTS).days())
    by_fact, by_event = KeyAudit(), KeyAudit()

    for fact in day:
        event = event_of(fact)
        by_fact.follow(fact, getattr(fact, "delay_min", None))
        by_event.follow(event, events.delay_of(event))

    assert by_event == by_fact


def test_flights_stay_until_told_otherwise_even_when_all_have_read_them() -> None:
    config = events.flights.definition().config

    assert (config.consumed, config.age_ms) == (True, None)
    assert config.floor_ms is not None
    assert config.floor_ms > 86_400_000


def test_states_are_compacted_and_their_keys_are_fields_of_theirs() -> None:
    states = (events.planes, events.airports, events.carriers, events.boards, events.keys)

    assert all(stream.definition().config.compact for stream in states)
    assert all(set(stream.key_fields) <= set(field_names(stream.types[0])) for stream in states)
