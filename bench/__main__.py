"""Benchmarks: `python -m bench`, or `make bench`; see docs/benchmarks.md.

Every subject runs in a process of its own, one after the other. It prints figures and never fails for one that is
slow: only for one that could not be measured.
"""

import argparse
import datetime as dt
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.harness import RESULTS, Outcome, Row, Settings, Skip, child, machine, revision

SUBJECTS: Final = {
    "batch": "record batches: encode and decode",
    "events": "what typing costs",
    "throughput": "publish, read, lease and acknowledge, handlers",
    "native": "the same through a server in another process",
    "latency": "publish to handler, one event at a time",
    "tests": "the engine for tests, in memory",
    "catchup": "a cold partition among a thousand",
    "opening": "opening a store",
    "ledger": "memory of queues",
    "growth": "cost per event as the store grows",
    "routing": "where an exchange leads",
    "importing": "what `import isthmus` costs",
    "memory": "publishing unread events within a budget",
    "peers": "others, in the same run",
    "serving": "a server: start, memory, and fairness between clients",
    "amqp": "a lean client of AMQP against Isthmus and RabbitMQ",
    "kafka": "librdkafka's client against Isthmus and Apache Kafka",
}
KINDS: Final = {"Row": Row, "Skip": Skip}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Figures, with the durability beside each.")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS) + "; all when none is named")
    parser.add_argument("--full", action="store_true", help="also what takes minutes: ten million events")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each figure (5)")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where the stores are made; a real disk")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of a table")
    parser.add_argument("--save", action="store_true", help="keep the result as bench/results/<date>-<revision>.json")
    asked = parser.parse_args()
    unknown = sorted(set(asked.subjects) - set(SUBJECTS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    if asked.rounds < 1:
        parser.error("--rounds: at least 1")
    sys.exit(run(asked))


def run(asked: argparse.Namespace) -> int:
    settings = Settings(asked.dir, asked.rounds, asked.full)
    on = {"machine": machine(), "revision": revision(), "date": dt.datetime.now(dt.UTC).date().isoformat()}
    if not asked.json:
        print(f"{on['machine']}; revision {on['revision']}; medians of {settings.rounds} rounds")
    found: list[Outcome] = []
    broken: list[str] = []
    for subject in asked.subjects or SUBJECTS:
        if not asked.json:
            print(f"\n{subject}: {SUBJECTS[subject]}", flush=True)
        try:
            for outcome in measure(subject, settings):
                found.append(outcome)
                if not asked.json:
                    print(line(outcome), flush=True)
        except ChildProcessError as error:
            broken.append(str(error))
            print(f"  BROKEN: {error}", file=sys.stderr)
    result = on | {"rounds": settings.rounds, "full": settings.full} | as_lists(found)
    if asked.json:
        print(msgspec.json.encode(result).decode())
    else:
        print(f"\n{verdict(found)}")
    if asked.save:
        path = save(result)
        print(f"kept as {path}", file=sys.stderr)
    return 1 if broken else 0


def measure(subject: str, settings: Settings) -> Iterator[Outcome]:
    """The rows of a subject, as its process finds them.

    Raises:
        ChildProcessError: it failed; what it had to say is on the error output.
    """
    process = child("one", subject, msgspec.json.encode(settings).decode())
    with process:
        for text in process.stdout or ():
            kind, _, rest = text.partition(" ")
            if kind in KINDS:
                yield msgspec.json.decode(rest, type=KINDS[kind])
    if process.returncode:
        raise ChildProcessError(f"{subject} ended with exit code {process.returncode}")


def line(outcome: Outcome) -> str:
    """A row as it is printed."""
    if isinstance(outcome, Skip):
        return f"  {outcome.name:<52} skipped: {outcome.reason}"
    spread = f"{amount(outcome.low)}-{amount(outcome.high)}"
    text = f"  {outcome.name:<52} {outcome.level:<8} {amount(outcome.value):>10} {outcome.unit:<4} {spread:<22}"
    return f"{text} {against_bar(outcome)} {outcome.note}".rstrip()


def against_bar(found: Row) -> str:
    """The bar and by how much it is missed."""
    if found.bar is None:
        return ""
    sign = "≥" if found.at_least else "≤"
    if found.held:
        return f"{sign} {amount(found.bar)} held"
    missed = abs(found.value - found.bar) / found.bar * 100 if found.bar else 100.0
    return f"{sign} {amount(found.bar)} MISSED by {missed:.0f} %"


def amount(value: float) -> str:
    """Three figures, or whole thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def verdict(found: Sequence[Outcome]) -> str:
    rows = [each for each in found if isinstance(each, Row)]
    missed = [each.name for each in rows if each.held is False]
    held = sum(each.held is True for each in rows)
    skipped = len(found) - len(rows)
    text = f"{held} bars held, {len(missed)} missed, {skipped} rows skipped"
    return text + "".join(f"\n  missed: {name}" for name in missed)


def as_lists(found: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "rows": [msgspec.structs.asdict(each) | {"held": each.held} for each in found if isinstance(each, Row)],
        "skipped": [msgspec.structs.asdict(each) for each in found if isinstance(each, Skip)],
    }


def save(result: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result['date']}-{result['revision'].rstrip('+')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


if __name__ == "__main__":
    main()
