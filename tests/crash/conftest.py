"""Says at the end of a run how much was tried, and with which seeds."""

from collections import Counter

import pytest

SEED = "seed"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    seeds: set[object] = set()
    for report in terminalreporter.getreports(""):
        for what, count in getattr(report, "user_properties", ()):
            if what == SEED:
                seeds.add(count)
            elif isinstance(count, int) and report.when == "call":
                counts[what] += count
    if counts:
        terminalreporter.section("crash suite")
        terminalreporter.write_line(", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())))
        terminalreporter.write_line(f"seeds {', '.join(map(str, sorted(seeds, key=str)))}")
