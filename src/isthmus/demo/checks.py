"""The demo's report put together: what was found, line by line against what was expected.

It compares and words; it reads no store and computes no figure of its own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from isthmus.demo import figures, sources
from isthmus.demo.events import Rebooked
from isthmus.demo.figures import FAIL_ONCE_EVERY, KeyAudit
from isthmus.demo.findings import Findings, Rebooking
from isthmus.demo.lines import Stage
from isthmus.demo.report import Report, Section
from isthmus.demo.services import UPSTREAM_CALLS_PER_SECOND
from isthmus.demo.witness import Verdict
from isthmus.limits import MIB

LEVEL = "fsync"
"""Durability of all that the demo publishes; only the burst runs in memory."""

RETENTION_BYTES_MIN = 12 * MIB
"""A store of this size has whole segments from before the kill."""

Expected = Mapping[str, Any]
"""The figures of `reference.compute`, by section."""


class Burst(msgspec.Struct):
    """What became of the burst: calls handed in, distinct calls made, calls in all, calls in the busiest second."""

    published: int
    done: int
    calls: int
    busiest_second: int
    replayed_s: float
    seconds: float


class Disk(msgspec.Struct):
    """Bytes of the store's directory before and after retention, and the events that it removed."""

    before_bytes: int
    after_bytes: int
    removed: int


class Evidence(msgspec.Struct):
    """Everything that the demo has seen."""

    findings: Findings
    verdict: Verdict
    stages: list[Stage]
    late: dict[str, KeyAudit]
    late_s: float
    burst: Burst
    disk: Disk


def judge(evidence: Evidence, expected: Expected) -> Report:
    """The report: every figure against the independent one."""
    report = Report("Isthmus demo: flights that left New York")
    found = evidence.findings
    report.section("flights").check_all(flights(found), expected["flights"])
    check_crash(report.section("killed in the middle, and started again"), evidence.verdict)
    names = sources.airlines()
    got = {names[code]: found.carriers[code].summary() for code in found.carriers}
    report.section("group carriers: on-time statistics").check_all(got, expected["carriers"])
    summaries = {origin: board.summary() for origin, board in found.boards.items()}
    report.section("group boards: counts by airport").check_all(summaries, expected["boards"])
    last = figures.last_departures(found.boards)
    report.section("group boards: last departures").check_all(last, expected["last_departures"])
    zones = figures.departures_by_zone(found.boards.values())
    report.section("group boards: departures by time zone").check_all(zones, expected["departures_by_zone"])
    check_audit(report.section("group audit: order and content of every key"), found.keys, expected)
    check_rebooking(report.section("queue rebooking"), found.rebooking, expected["rebooking"])
    check_states(report.section("tables"), found, expected["states"])
    check_weather(report, evidence, expected)
    check_burst(report.section("burst: a queue levels the load"), evidence.burst)
    check_audit(report.section("a fourth group, added afterwards"), evidence.late, expected)
    check_disk(report, evidence.disk)
    tell_times(report, evidence)
    return report


def flights(found: Findings) -> dict[str, int]:
    """The counts over all flights, from what the three groups counted."""
    carriers, boards = found.carriers.values(), found.boards.values()
    departed = sum(each.departed for each in carriers)
    arrived = sum(each.arrived for each in carriers)
    return {
        "flights": departed + sum(each.cancelled for each in carriers),
        "departures": departed,
        "cancellations": sum(each.cancelled for each in carriers),
        "arrivals": arrived,
        "diverted": sum(each.diverted for each in carriers),
        "departures_without_arrival": departed - arrived,
        "without_tailnum": sum(each.without_tailnum for each in boards),
        "without_plane_row": sum(each.without_plane_row for each in boards),
        "without_airport_row": sum(each.without_airport_row for each in boards),
        "events": sum(each.events for each in found.keys.values()),
    }


def check_crash(section: Section, verdict: Verdict) -> None:
    """Nothing acknowledged was lost, nothing settled came back."""
    before = verdict.acknowledged_before
    section.check_rule("events acknowledged before the kill", before, "more than none", ok=before > 0)
    section.check("of these lost", verdict.lost_before, 0)
    section.check("of those acknowledged afterwards lost", verdict.lost_after, 0)
    section.check("events in the log twice", verdict.twice, 0)
    section.check_rule("jobs settled before the kill", verdict.settled_before, "any", ok=True)
    section.check("of these done again", verdict.came_back, 0)


def check_audit(section: Section, keys: Mapping[str, KeyAudit], expected: Expected) -> None:
    """Every key has its events, in order and whole."""
    section.check_all(figures.audit_summary(keys), expected["audit"])
    events = {key: audit.events for key, audit in keys.items()}
    section.check_agreement("keys_with_the_right_count", events, expected["events_by_key"])


def check_rebooking(section: Section, rebooking: Rebooking, expected: Expected) -> None:
    """Each job was done by one worker once; what failed was tried again, what could not be done was kept."""
    jobs = {job.row: job for job in rebooking.done}
    possible = [job for job in jobs.values() if job.dest not in sources.CARIBBEAN]
    retried = [job for job in possible if job.flight % FAIL_ONCE_EVERY == 0 and job.attempt > 1]
    section.check("jobs", len(jobs), expected["jobs"])
    section.check("cancelled", _count(jobs.values(), "cancelled"), expected["cancelled"])
    section.check("late", _count(jobs.values(), "late"), expected["late"])
    section.check("times done", len(rebooking.done), expected["jobs"])
    section.check("failed once and done later", len(retried), expected["failed_once"])
    section.check("dead letters", rebooking.died, expected["poison"])
    section.check("dead letters left after the redrive", rebooking.dead_left, 0)
    section.check("handed in, redriven ones twice", rebooking.enqueued, expected["jobs"] + expected["poison"])
    section.check("acknowledged", rebooking.acked, expected["jobs"])


def _count(jobs: Iterable[Rebooked], reason: str) -> int:
    return sum(job.reason == reason for job in jobs)


def check_states(section: Section, found: Findings, expected: Expected) -> None:
    """The compacted streams hold one state a key; four airports came later."""
    section.check("planes", found.planes, expected["planes"])
    section.check("airports and the four that were missing", found.airports, expected["airports"] + 4)


def check_weather(report: Report, evidence: Evidence, expected: Expected) -> None:
    """Three groups were told the same, and the weather service was asked once for each change."""
    changes = expected["weather"]["changes"]
    told = evidence.findings.weather
    for desk in sorted(told):
        report.section(f"group {desk}: changes of the weather").check_all(told[desk], expected["weather_changes"])
    figures_of = next((stage.figures for stage in evidence.stages if "wanted" in stage.figures), {})
    section = report.section("enrich: the slow weather service")
    section.check("groups", len(told), 3)
    section.check("answers wanted", figures_of.get("wanted"), 3 * changes)
    section.check("calls made", figures_of.get("calls"), changes)
    section.check("calls saved", figures_of.get("saved"), 2 * changes)


def check_burst(section: Section, burst: Burst) -> None:
    """All of the burst was worked off, no faster than the service stands."""
    section.check("calls published", burst.published, 10_000)
    section.check("calls done", burst.done, burst.published)
    section.check("calls lost", burst.published - burst.done, 0)
    section.check("calls made twice", burst.calls - burst.done, 0)
    most = UPSTREAM_CALLS_PER_SECOND
    section.check_rule(
        "calls in the busiest second", burst.busiest_second, f"at most {most}", ok=burst.busiest_second <= most
    )


def check_disk(report: Report, disk: Disk) -> None:
    """Consumed events were removed, and their space came back; in whole segments, of which a small file has too few."""
    section = report.section("retention")
    if disk.before_bytes < RETENTION_BYTES_MIN:
        section.check_rule("events removed", disk.removed, "any", ok=True)
        report.note("The file is too small for retention to show: space comes back in whole segments.")
        return
    section.check_rule("events removed", disk.removed, "more than none", ok=disk.removed > 0)
    section.check_rule("bytes before", disk.before_bytes, "any", ok=True)
    section.check_rule("bytes after", disk.after_bytes, "fewer", ok=disk.after_bytes < disk.before_bytes)


def tell_times(report: Report, evidence: Evidence) -> None:
    """What took how long, and what was shortened."""
    for stage in evidence.stages:
        report.time(stage.name, stage.count, stage.seconds, durability=LEVEL)
    late = sum(audit.events for audit in evidence.late.values())
    report.time("events replayed by the fourth group", late, evidence.late_s, durability=LEVEL)
    burst = evidence.burst
    report.time("calls of the burst", burst.calls, burst.seconds, durability="memory")
    report.note("Of the replay only what came after the kill is timed.")
    report.note(
        f"The burst ran on the engine in memory with the test clock: {burst.replayed_s:,.0f} s of it passed in"
        f" {burst.seconds:.1f} s."
    )
