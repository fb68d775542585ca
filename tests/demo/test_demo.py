"""The whole demo as its users run it: a month of flights, killed in the middle, every figure right."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isthmus.broker.broker import Broker
from isthmus.clock import SystemClock
from isthmus.log.storage import RealStorage

pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def report(place: Path) -> dict[str, Any]:
    done = isthmus("--json", "--dir", str(place), "demo")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def isthmus(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isthmus.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def figure(report: dict[str, Any], section: str, name: str) -> object:
    lines = next(each["lines"] for each in report["sections"] if each["title"].startswith(section))
    return next(line["got"] for line in lines if line["name"] == name)


def test_every_figure_agrees_with_the_raw_files(report: dict[str, Any]) -> None:
    assert (report["ok"], report["mismatches"]) == (True, 0)
    assert report["checked"] > 200


def test_the_month_has_its_known_figures(report: dict[str, Any]) -> None:
    names = ("flights", "departures", "cancellations", "diverted", "departures_without_arrival")

    assert [figure(report, "flights", name) for name in names] == [27_004, 26_483, 521, 70, 15]
    assert figure(report, "queue rebooking", "jobs") == 1_114
    assert figure(report, "queue rebooking", "dead letters") == 11
    assert figure(report, "enrich", "calls made") == 196
    assert figure(report, "enrich", "calls saved") == 392
    assert figure(report, "burst", "calls done") == 10_000


def test_it_was_killed_in_the_middle(report: dict[str, Any]) -> None:
    before = figure(report, "killed", "events acknowledged before the kill")
    settled = figure(report, "killed", "jobs settled before the kill")

    assert isinstance(before, int)
    assert 0 < before < 53_472
    assert isinstance(settled, int)
    assert settled > 0


@pytest.mark.usefixtures("report")
def test_what_it_leaves_can_be_looked_at(place: Path) -> None:
    listed = isthmus("--dir", str(place), "--json", "ls")
    tailed = isthmus("--dir", str(place), "--json", "tail", "flights", "-n", "3")

    assert (listed.returncode, tailed.returncode) == (0, 0)
    assert "flights" in listed.stdout
    assert len(tailed.stdout.splitlines()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_whoever_ends_it_ends_its_server_as_well(tmp_path: Path, number: signal.Signals) -> None:
    place = tmp_path / "data"
    command = [sys.executable, "-m", "isthmus.cli.main", "--dir", str(place), "demo", "--server"]
    demo = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert demo.stderr is not None
    while b"handlers run" not in (line := await demo.stderr.readline()):
        assert line, "it ended by itself"

    demo.send_signal(number)
    await demo.communicate()

    assert demo.returncode not in (None, 0)
    broker = Broker(RealStorage(place), SystemClock())  # would raise DirectoryInUse
    await broker.open()
    await broker.close()
