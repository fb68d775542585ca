"""`isthmus run --workers`: real processes that share an app's work, die, and are followed by others."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isthmus.cli.workers import ending
from support.cli import PATIENCE_S, PROGRAM, Cli, finished, started

APP = """
import os, time
from isthmus import App, Notification, Queue, Stream

class Job(Notification):
    name: str

class Seen(Notification):
    key: str

jobs = Queue[Job]("jobs")
seen = Stream[Seen]("seen", key="key", partitions=4)
app = App("data")

def say(what: str) -> None:
    with open("said", "a") as file:
        file.write(f"{os.getpid()} {what}\\n")

@app.on(jobs)
def work(job: Job) -> None:
    say(f"begins {job.name}")
    while job.name == "slow" and not os.path.exists("go"):
        time.sleep(0.01)
    say(f"did {job.name}")

@app.on(seen, group="readers")
def read(event: Seen) -> None:
    say(f"read {event.key}")

@app.on_start
def begun() -> None:
    say("ready")
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[int, str]]]:
    """What the workers have said, with their process ids."""
    monkeypatch.chdir(tmp_path)
    Path("work.py").write_text(APP, encoding="utf-8")

    def look() -> list[tuple[int, str]]:
        lines = Path("said").read_text(encoding="utf-8").splitlines() if Path("said").exists() else []
        return [(int(pid), what) for pid, _, what in (line.partition(" ") for line in lines)]

    return look


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def pids(said: Callable[[], list[tuple[int, str]]], what: str) -> list[int]:
    return [pid for pid, each in said() if each == what]


@contextmanager
def overseen(*more: str) -> Iterator[subprocess.Popen[str]]:
    """Two workers and who keeps them; gone afterwards, whatever happened."""
    with started([*PROGRAM, "run", "work:app", "--workers", "2", *more]) as parent:
        try:
            yield parent
        finally:
            parent.kill()


@pytest.mark.process
class TestWorkers:
    def test_what_a_killed_worker_had_is_done_by_another_and_a_new_one_starts(
        self, said: Callable[[], list[tuple[int, str]]], tmp_path: Path
    ) -> None:
        cli = Cli(tmp_path / "data")
        with overseen() as parent:
            until(lambda: len(pids(said, "ready")) == 2)
            cli("pub", "jobs", stdin='{"name": "slow"}\n')
            until(lambda: pids(said, "begins slow"))
            (victim,) = pids(said, "begins slow")

            os.kill(victim, signal.SIGKILL)
            until(lambda: len(pids(said, "begins slow")) == 2)
            Path("go").touch()
            until(lambda: pids(said, "did slow"))
            until(lambda: len(pids(said, "ready")) == 3)
            parent.terminate()
            _, errors = parent.communicate(timeout=PATIENCE_S)

        assert parent.returncode == 0
        assert victim not in pids(said, "did slow")
        assert re.search(r"worker \d was ended by SIGKILL; another one starts in 100 ms", errors)
        assert cli.json("show", "jobs")["queue"]["acked"] == 1

    def test_a_group_is_shared_by_all_of_them(self, said: Callable[[], list[tuple[int, str]]], tmp_path: Path) -> None:
        cli = Cli(tmp_path / "data")
        lines = "".join(f'{{"key": "k{number}"}}\n' for number in range(40))
        with overseen("--quiet") as parent:
            until(lambda: len(pids(said, "ready")) == 2)
            until(lambda: len(cli.json("group", "ls")["groups"][0]["members"]) == 2)
            cli("pub", "seen", "--key", "key", stdin=lines)
            until(lambda: len([what for _, what in said() if what.startswith("read ")]) >= 40)
            parent.send_signal(signal.SIGINT)
            parent.communicate(timeout=PATIENCE_S)

        read = [(pid, what) for pid, what in said() if what.startswith("read ")]
        assert len({what for _, what in read}) == len(read) == 40
        assert len({pid for pid, _ in read}) == 2

    def test_workers_do_not_outlive_their_parent(self, said: Callable[[], list[tuple[int, str]]]) -> None:
        with overseen() as parent:
            until(lambda: len(pids(said, "ready")) == 2)
            parent.kill()
            parent.communicate(timeout=PATIENCE_S)

            until(lambda: not any(map(alive, pids(said, "ready"))))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.process
def test_memory_cannot_be_shared(said: object) -> None:
    done = finished([*PROGRAM, "run", "work:app", "--workers", "2", "--url", "memory://"])

    assert done.returncode == 2
    assert "other processes" in done.stderr


def test_an_end_is_told_in_words() -> None:
    assert ending(3) == "ended with exit code 3"
    assert ending(-9) == "was ended by SIGKILL"
