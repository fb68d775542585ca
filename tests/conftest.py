"""Settings for the whole suite: what chance does, and nothing of the developer's own environment.

Fixtures live beside the tests that use them, or in tests/support/; one that is dear, and that several folders want, is
here: it starts when the first test asks for it, once a process.
"""

import os
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from support.rabbitmq import RabbitMQ, rabbitmq, unusable

# A shared machine may stall for seconds: slowness is not what these tests are about. With CI set hypothesis repeats the
# same examples, so that nobody is stopped by what another change did; without it, it looks for new ones.
settings.register_profile("isthmus", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isthmus")

# An address in the developer's shell must not lead a test to a real broker.
os.environ.pop("ISTHMUS_URL", None)


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Generator[RabbitMQ]:
    """A real RabbitMQ with its management API: take a `vhost` of your own on it."""
    why = unusable()
    if why is not None:
        pytest.skip(why)
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much the suites tried that count what they try (`record_property`), and with which seeds."""
    counts: Counter[str] = Counter()
    seeds: set[str] = set()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for what, count in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
            if what == "seed":
                seeds.add(str(count))
            elif isinstance(count, int):
                counts[what] += count
    if counts:
        terminalreporter.section("tried")
        terminalreporter.write_line(", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())))
        if seeds:
            terminalreporter.write_line(f"seeds {', '.join(sorted(seeds, key=lambda seed: (len(seed), seed)))}")
