"""What handlers count, fed with the month's facts and compared with the reference section by section."""

from collections import defaultdict
from copy import copy

import msgspec
import pytest

from isthmus.demo import figures, reference, sources
from isthmus.demo.facts import Arrived, Cancelled, Departed, Fact, FlightFile
from isthmus.demo.figures import Board, BoardLine, CarrierFigures, KeyAudit


@pytest.fixture(scope="module")
def january() -> list[Fact]:
    return list(FlightFile(zones=sources.destination_zones(sources.airports())).facts())


@pytest.fixture(scope="module")
def expected() -> reference.Figures:
    return reference.compute()


def test_carriers_come_out_as_the_reference_has_them(january: list[Fact], expected: reference.Figures) -> None:
    carriers: dict[str, CarrierFigures] = defaultdict(CarrierFigures)

    for fact in january:
        carrier = carriers[fact.carrier]
        match fact:
            case Departed():
                carrier.depart(fact.delay_min)
            case Arrived():
                carrier.arrive(fact.delay_min)
            case Cancelled():
                carrier.cancel()

    names = sources.airlines()
    assert {names[code]: carrier.summary() for code, carrier in carriers.items()} == expected["carriers"]


def test_boards_come_out_as_the_reference_has_them(january: list[Fact], expected: reference.Figures) -> None:
    planes = {plane.tailnum: plane for plane in sources.planes()}
    airports = {airport.faa: airport for airport in sources.airports()}
    boards: dict[str, Board] = defaultdict(Board)

    for fact in reversed(january):  # a board does not mind the order
        if isinstance(fact, Arrived):
            continue
        board, airport = boards[fact.origin], airports.get(fact.dest)
        plane = planes.get(fact.tailnum) if fact.tailnum else None
        board.count(fact.tailnum, plane, airport)
        if isinstance(fact, Departed):
            line = BoardLine(fact.at_ms, fact.carrier, fact.flight, fact.dest, fact.delay_min)
            board.depart(line, plane, airport)

    assert {origin: board.summary() for origin, board in boards.items()} == expected["boards"]
    assert figures.last_departures(boards) == expected["last_departures"]
    assert figures.departures_by_zone(boards.values()) == expected["departures_by_zone"]


def test_the_audit_comes_out_as_the_reference_has_it(january: list[Fact], expected: reference.Figures) -> None:
    keys = audited(january)

    assert figures.audit_summary(keys) == expected["audit"]
    assert {key: audit.events for key, audit in keys.items()} == expected["events_by_key"]


def test_the_audit_sees_a_lost_a_doubled_a_moved_and_an_altered_event(january: list[Fact]) -> None:
    few = [fact for fact in january if fact.key == january[0].key][:10]
    whole = figures.audit_summary(audited(few))["digest"]

    changed = [
        few[:4] + few[5:],
        few[:5] + few[4:],
        [*few[:4], few[5], few[4], *few[6:]],
        [*few[:4], msgspec.structs.replace(few[4], dest="QQQ"), *few[5:]],
    ]

    assert all(figures.audit_summary(audited(facts))["digest"] != whole for facts in changed)
    assert [figures.audit_summary(audited(facts))["out_of_order"] for facts in changed] == [0, 0, 1, 0]


def test_figures_survive_json_between_two_events(january: list[Fact]) -> None:
    before, after = KeyAudit(), KeyAudit()
    for fact in january[:20]:
        before.follow(fact, None)
        after = msgspec.json.decode(msgspec.json.encode(after), type=KeyAudit)
        after.follow(fact, None)

    assert after == before


def test_a_carrier_without_arrivals_has_no_mean_and_no_share() -> None:
    carrier = CarrierFigures()
    carrier.cancel()

    summary = carrier.summary()

    assert (summary["flights"], summary["mean_arrival_delay_min"], summary["on_time_share"]) == (1, None, None)


def test_a_board_keeps_the_newest_departures_only() -> None:
    board = Board()

    for minute in [3, 9, 1, 7, 5, 8, 2]:
        board.depart(BoardLine(minute * 60_000, "UA", minute, "IAH", -minute), None, None)

    assert [line.flight for line in board.last] == [3, 5, 7, 8, 9]
    assert board.last[-1].text() == "01-01 00:09Z UA 9 IAH -9"


def test_figures_of_two_halves_add_up_to_those_of_the_whole(january: list[Fact]) -> None:
    departures = [fact for fact in january if isinstance(fact, Departed) and fact.origin == "JFK"][:400]
    whole, halves = (CarrierFigures(), Board()), [(CarrierFigures(), Board()), (CarrierFigures(), Board())]

    for number, fact in enumerate(departures):
        for carrier, board in (whole, halves[number % 2]):
            carrier.depart(fact.delay_min)
            board.count(fact.tailnum, None, None)
            line = BoardLine(fact.at_ms, fact.carrier, fact.flight, fact.dest, fact.delay_min)
            board.depart(line, None, None)
    halves[0][0].add(halves[1][0])
    halves[0][1].add(halves[1][1])

    assert halves[0] == whole


def test_a_copy_of_a_board_goes_its_own_way() -> None:
    board = Board()
    board.depart(BoardLine(0, "UA", 1, "IAH", 0), None, None)

    copy(board).depart(BoardLine(60_000, "UA", 2, "IAH", 0), None, None)

    assert (len(board.last), board.departures_by_zone) == (1, {"unknown": 1})


def audited(facts: list[Fact]) -> dict[str, KeyAudit]:
    keys: dict[str, KeyAudit] = defaultdict(KeyAudit)
    for fact in facts:
        keys[fact.key].follow(fact, None if isinstance(fact, Cancelled) else fact.delay_min)
    return dict(keys)
