"""Celery with workers of its own: results, retries, delays, groups, chords, remote control, events, and death.

The tasks and who calls them stand in python/celery_app.py and python/celery_tour.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from support.amqp_brokers import AmqpBroker
from support.client_programs import PROGRAMS, tour
from support.serve_process import free_ports

FOLDER: Final = PROGRAMS / "python"
SECONDS: Final = 30
EXPECTED: Final = {
    "called": 5,
    "retried": 2,
    "later": True,
    "together": list(range(0, 40, 2)),
    "chained": 10,
    "pinged": {"ok": "pong"},
    "inspected": True,
    "watched": ["task-received", "task-started", "task-succeeded"],
}

pytestmark = pytest.mark.process
pytest.importorskip("celery")


class Celery:
    """Names, files and settings of one application, for its workers and for who calls its tasks."""

    def __init__(self, broker: AmqpBroker, folder: Path) -> None:
        self.folder = folder
        self.name = f"celery-{uuid.uuid4().hex[:6]}"
        self._variables = {
            # Celery and kombu want the virtual host as it is.
            "AMQP_URL": broker.url.replace("%2F", "/"),
            "CELERY_NAME": self.name,
            "CELERY_FOLDER": str(folder),
        }

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **self._variables, **more}

    @contextmanager
    def worker(self, name: str, *arguments: str, **more: str) -> Generator["subprocess.Popen[bytes]"]:
        """A worker from when it answers until the end of the block; `more` are variables."""
        say = ("--loglevel", "INFO", "--hostname", f"{name}@{self.name}")
        process, log = self._start(name, ["worker", *say, *arguments], more)
        try:
            until(lambda: " ready." in log.read_text(), process, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise AssertionError(f"the worker does not end: {log.read_text()[-2_000:]}") from None

    @contextmanager
    def flower(self, broker: AmqpBroker) -> Generator[str]:
        """Flower, from when it answers until the end of the block; gives its address."""
        (port,) = free_ports(1)
        say = ("--address=127.0.0.1", f"--port={port}", f"--broker-api={broker.api_url}", "--logging=info")
        process, log = self._start("flower", ["flower", *say], {"FLOWER_UNAUTHENTICATED_API": "true"})
        try:
            until(lambda: "Connected to amqp" in log.read_text(), process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(SECONDS)

    def _start(
        self, name: str, words: Sequence[str], more: Mapping[str, str]
    ) -> tuple["subprocess.Popen[bytes]", Path]:
        """One of Celery's commands, and the file with what it says."""
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", "celery_app", *words]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=FOLDER, env=self.environment(more), stdout=out, stderr=out, start_new_session=True
            )
        return process, log

    def tour(self, *chapters: str, **more: str) -> dict[str, Any]:
        """Run these chapters of the tour; what each found."""
        return tour([sys.executable, str(FOLDER / "celery_tour.py"), *chapters], self.environment(more))

    def lines(self, name: str) -> list[str]:
        """What tasks left in a file."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def until(condition: Callable[[], object], process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for something that a living process does."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


@pytest.fixture
def celery(amqp_broker: AmqpBroker, tmp_path: Path) -> Celery:
    return Celery(amqp_broker, tmp_path)


def test_tasks_are_called_retried_delayed_grouped_watched_and_controlled(celery: Celery) -> None:
    with celery.worker("one", "--concurrency", "2", "--task-events"):
        found = celery.tour(*EXPECTED)

    found["pinged"] = found["pinged"][f"one@{celery.name}"]
    found["inspected"] = found["inspected"] == [celery.name]
    assert found == EXPECTED


def test_a_chord_ends_with_its_sum(celery: Celery, tmp_path: Path) -> None:
    backend = {"CELERY_BACKEND": f"file://{tmp_path}"}

    with celery.worker("one", "--concurrency", "2", **backend):
        assert celery.tour("chorded", **backend) == {"chorded": 90}


def test_quorum_queues_delay_tasks_in_the_broker(celery: Celery) -> None:
    quorum = {"CELERY_QUORUM": "1"}

    with celery.worker("one", "--pool", "solo", **quorum):
        found = celery.tour("called", "later", "delayed_by_the_broker", **quorum)

    assert found == {"called": 5, "later": True, "delayed_by_the_broker": ["there"]}


def test_the_task_of_a_killed_worker_runs_again_elsewhere(celery: Celery) -> None:
    with celery.worker("one", "--pool", "solo") as one:
        celery.tour("marked")
        until(lambda: celery.lines("mark"), one, celery.folder / "one.log")
        with celery.worker("two", "--pool", "solo") as two:
            one.kill()
            until(lambda: len(celery.lines("mark")) == 2, two, celery.folder / "two.log")
            (celery.folder / "mark.go").touch()
            assert celery.tour("called") == {"called": 5}

    assert celery.lines("mark") == [f"one@{celery.name} False", f"two@{celery.name} True"]


def test_flower_shows_the_worker_and_how_many_tasks_it_has(celery: Celery, amqp_broker: AmqpBroker) -> None:
    pytest.importorskip("flower")
    with celery.worker("one", "--concurrency", "1") as worker, celery.flower(amqp_broker) as flower:
        celery.tour("marked", "marked", "marked")
        try:
            until(lambda: celery.lines("mark"), worker, celery.folder / "one.log")
            until(lambda: (celery.name, 3) in lengths(flower), worker, celery.folder / "flower.log")
            workers = asked(f"{flower}/api/workers?refresh=1")
        finally:
            (celery.folder / "mark.go").touch()

    assert list(workers) == [f"one@{celery.name}"]


def lengths(flower: str) -> list[tuple[str, int | None]]:
    """Queues with how many tasks are in them, running or waiting."""
    return [(row["name"], row.get("messages")) for row in asked(f"{flower}/api/queues/length")["active_queues"]]


def asked(url: str) -> Any:  # noqa: ANN401 - JSON
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - our own server
        return json.load(answer)
