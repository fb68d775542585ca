"""The report is green on what is right, and red on each single thing that is wrong."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from isthmus.demo import reference, sources
from isthmus.demo.checks import Burst, Disk, Evidence, judge
from isthmus.demo.events import Rebooked
from isthmus.demo.facts import LATE_MIN, Arrived, Cancelled, Departed, Fact
from isthmus.demo.figures import Board, BoardLine, CarrierFigures, KeyAudit
from isthmus.demo.findings import Findings, Rebooking
from isthmus.demo.lines import Stage, mark
from isthmus.demo.witness import Place, Verdict
from support.flights import facts_of, first_rows


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_rows(tmp_path_factory.mktemp("flights"), 2_000)


@pytest.fixture(scope="module")
def expected(file: Path) -> reference.Figures:
    return reference.compute([file])


@pytest.fixture
def evidence(file: Path, expected: reference.Figures) -> Evidence:
    """What a demo without fault would have seen of that file."""
    facts = facts_of(file)
    changes = expected["weather"]["changes"]
    return Evidence(
        findings=findings_of(facts, expected),
        verdict=Verdict(len(facts), 100, 0, 0, 0, 30, 0),
        stages=[
            Stage("weather changes", changes, 1.0, {"wanted": 3 * changes, "calls": changes, "saved": 2 * changes})
        ],
        late=audited(facts),
        late_s=0.5,
        burst=Burst(published=10_000, done=10_000, calls=10_000, busiest_second=50, replayed_s=200.0, seconds=1.0),
        disk=Disk(before_bytes=20_000_000, after_bytes=9_000_000, removed=30_000),
    )


def audited(facts: list[Fact]) -> dict[str, KeyAudit]:
    keys: dict[str, KeyAudit] = defaultdict(KeyAudit)
    for fact in facts:
        keys[fact.key].follow(fact, None if isinstance(fact, Cancelled) else fact.delay_min)
    return dict(keys)


def findings_of(facts: list[Fact], expected: reference.Figures) -> Findings:
    planes = {plane.tailnum: plane for plane in sources.planes()}
    airports = {airport.faa: airport for airport in sources.airports()}
    carriers: dict[str, CarrierFigures] = defaultdict(CarrierFigures)
    boards: dict[str, Board] = defaultdict(Board)
    done = []
    for fact in facts:
        carrier, board = carriers[fact.carrier], boards[fact.origin]
        plane, airport = planes.get(fact.tailnum or ""), airports.get(fact.dest)
        if isinstance(fact, Arrived):
            carrier.arrive(fact.delay_min)
            continue
        board.count(fact.tailnum, plane, airport)
        if isinstance(fact, Departed):
            carrier.depart(fact.delay_min)
            line = BoardLine(fact.at_ms, fact.carrier, fact.flight, fact.dest, fact.delay_min)
            board.depart(line, plane, airport)
        else:
            carrier.cancel()
        if isinstance(fact, Cancelled) or fact.delay_min > LATE_MIN:
            reason = "cancelled" if isinstance(fact, Cancelled) else "late"
            job = Rebooked(
                row=fact.row,
                carrier=fact.carrier,
                flight=fact.flight,
                dest=fact.dest,
                reason=reason,
                attempt=2 if fact.flight % 10 == 0 else 1,
            )
            done.append(job)
    poison, changes = expected["rebooking"]["poison"], expected["weather_changes"]
    return Findings(
        places={Place(0, offset): mark(fact.row, fact.kind) for offset, fact in enumerate(facts)},
        carriers=dict(carriers),
        boards=dict(boards),
        keys=audited(facts),
        planes=len(planes),
        airports=len(airports) + 4,
        weather={"crews": changes, "ramp": changes, "tower": changes},
        rebooking=Rebooking(done, enqueued=len(done) + poison, acked=len(done), died=poison, dead_left=0),
    )


def test_a_demo_without_fault_agrees_with_the_raw_files(evidence: Evidence, expected: reference.Figures) -> None:
    report = judge(evidence, expected)

    assert [line for line in report.lines if not line.ok] == []
    assert report.exit_code == 0


def test_the_report_says_what_was_shortened(evidence: Evidence, expected: reference.Figures) -> None:
    assert "200 s of it passed in 1.0 s" in judge(evidence, expected).notes[-1]


def test_in_a_small_store_retention_has_nothing_to_show(evidence: Evidence, expected: reference.Figures) -> None:
    evidence.disk = Disk(before_bytes=5_000_000, after_bytes=5_000_000, removed=0)

    report = judge(evidence, expected)

    assert report.ok
    assert any("too small" in note for note in report.notes)


def lose_a_job(evidence: Evidence) -> None:
    evidence.findings.rebooking.done.pop()


def do_a_job_twice(evidence: Evidence) -> None:
    evidence.findings.rebooking.done.append(evidence.findings.rebooking.done[0])


def forget_the_retries(evidence: Evidence) -> None:
    done = evidence.findings.rebooking.done
    done[:] = [msgspec.structs.replace(job, attempt=1) for job in done]


def keep_a_dead_letter(evidence: Evidence) -> None:
    evidence.findings.rebooking.dead_left = 1


def miscount_a_carrier(evidence: Evidence) -> None:
    evidence.findings.carriers["UA"].on_time += 1


def miscount_a_board(evidence: Evidence) -> None:
    evidence.findings.boards["JFK"].seats += 1


def show_another_departure(evidence: Evidence) -> None:
    evidence.findings.boards["JFK"].last.pop(0)


def alter_a_key(evidence: Evidence) -> None:
    next(iter(evidence.findings.keys.values())).crc += 1


def let_the_fourth_group_miss_a_key(evidence: Evidence) -> None:
    evidence.late.popitem()


def lose_an_airport(evidence: Evidence) -> None:
    evidence.findings.airports -= 1


def brief_one_desk_less(evidence: Evidence) -> None:
    del evidence.findings.weather["ramp"]


def ask_once_too_often(evidence: Evidence) -> None:
    evidence.stages[0].figures["calls"] += 1


def overrun_the_service(evidence: Evidence) -> None:
    evidence.burst.busiest_second = 51


def lose_a_call(evidence: Evidence) -> None:
    evidence.burst.done -= 1


def keep_the_disk_full(evidence: Evidence) -> None:
    evidence.disk.after_bytes = evidence.disk.before_bytes


def lose_what_was_acknowledged(evidence: Evidence) -> None:
    evidence.verdict = evidence.verdict._replace(lost_before=1)


def kill_too_early(evidence: Evidence) -> None:
    evidence.verdict = evidence.verdict._replace(acknowledged_before=0)


@pytest.mark.parametrize(
    "break_it",
    [
        lose_a_job,
        do_a_job_twice,
        forget_the_retries,
        keep_a_dead_letter,
        miscount_a_carrier,
        miscount_a_board,
        show_another_departure,
        alter_a_key,
        let_the_fourth_group_miss_a_key,
        lose_an_airport,
        brief_one_desk_less,
        ask_once_too_often,
        overrun_the_service,
        lose_a_call,
        keep_the_disk_full,
        lose_what_was_acknowledged,
        kill_too_early,
    ],
)
def test_one_wrong_figure_is_enough(
    break_it: Callable[[Evidence], None], evidence: Evidence, expected: reference.Figures
) -> None:
    break_it(evidence)

    assert judge(evidence, expected).exit_code == 1
