"""`isthmus run`: finding an app, saying what is in the way, running it and stopping it gracefully."""

import signal
import sys
from pathlib import Path

import click
import pytest

from isthmus import App
from isthmus.cli import run
from isthmus.cli.base import ProgramFailed
from isthmus.errors import DeclarationError
from support.cli import PATIENCE_S, PROGRAM, Cli, finished, started

SHOP = """
from isthmus import App, Notification, Queue, Stream

class Placed(Notification):
    order_id: str

class Job(Notification):
    order_id: str

orders = Stream[Placed]("orders", key="order_id")
jobs = Queue[Job]("jobs")
app = App({url})
inner = type("Inner", (), {{"app": app}})
number = 7

@app.on(orders, group="billing", to=jobs)
async def bill(event: Placed) -> Job:
    return Job(order_id=event.order_id)

@app.on(jobs)
def work(job: Job) -> None:
    print("did", job.order_id, flush=True)

@app.on_start
def begun() -> None:
    print("ready", flush=True)
"""


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The modules and the module path as they were, after each test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("shop", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def write(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


class TestLoad:
    @pytest.mark.parametrize("target", ["shop:app", "shop:inner.app"])
    def test_an_app_is_found_in_the_working_directory(self, target: str) -> None:
        write("shop.py", SHOP.format(url=""))

        assert isinstance(run.load(target), App)

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("shop", "write MODULE:APP"),
            (":app", "write MODULE:APP"),
            ("shop:", "write MODULE:APP"),
            ("shop:nothing", "has no 'nothing'; it holds app"),
            ("shop:number", "of type int and no isthmus.App; it holds app"),
            ("nowhere:app", "no module 'nowhere'"),
            ("shop.inner:app", "no module 'shop.inner'"),
        ],
    )
    def test_what_names_no_app_is_wrong_usage_that_says_what_there_is(self, target: str, said: str) -> None:
        write("shop.py", SHOP.format(url=""))

        with pytest.raises(click.UsageError, match=said):
            run.load(target)

    def test_a_module_without_an_app_says_how_to_make_one(self) -> None:
        write("shop.py", "x = 1\n")

        with pytest.raises(click.UsageError, match="make one with"):
            run.load("shop:app")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
            ("def f(:\n", "SyntaxError"),
            ("1 / 0\n", "ZeroDivisionError"),
        ],
    )
    def test_what_fails_inside_a_module_is_shown_from_where_it_begins(
        self, text: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("broken.py", text)

        with pytest.raises(ProgramFailed, match="module 'broken' cannot be imported"):
            run.load("broken:app")

        shown = capsys.readouterr().err
        assert said in shown
        assert "broken.py" in shown
        assert "isthmus/cli" not in shown

    def test_a_declaration_that_cannot_work_is_ours_to_say(self) -> None:
        write(
            "broken.py",
            SHOP.format(url="") + "\n@app.on(orders, group='x')\ndef wrong(event: Job) -> None:\n    pass\n",
        )

        with pytest.raises(DeclarationError):
            run.load("broken:app")


class TestProcess:
    def test_an_app_runs_on_what_the_command_names_and_stops_when_told(self, tmp_path: Path) -> None:
        write("shop.py", SHOP.format(url="'./elsewhere'"))
        cli = Cli(tmp_path / "data")
        cli("create", "orders")
        cli("pub", "orders", "--key", "order_id", stdin='{"order_id": "o-1"}\n')

        with started(cli.command("run", "shop:app"), cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert process.stdout.readline() == "did o-1\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0

        assert not (tmp_path / "elsewhere").exists()
        assert cli.json("group", "lag", "billing")["groups"][0]["lag"] == 0
        assert cli.json("log", "verify")["ok"]

    def test_ctrl_c_stops_it_as_gracefully(self, tmp_path: Path) -> None:
        write("shop.py", SHOP.format(url=f"{str(tmp_path / 'data')!r}"))

        with started([*PROGRAM, "run", "shop:app"], cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0

    def test_an_app_without_an_address_takes_that_of_the_environment(self, tmp_path: Path) -> None:
        write("shop.py", SHOP.format(url=""))
        place = str(tmp_path / "data")

        with started([*PROGRAM, "run", "shop:app", "--quiet"], cwd=tmp_path, ISTHMUS_URL=place) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.wait(PATIENCE_S) == 0

        assert Path(place, "FORMAT").exists()

    def test_an_app_that_nobody_gave_an_address_is_wrong_usage(self, tmp_path: Path) -> None:
        write("shop.py", SHOP.format(url=""))

        done = finished([*PROGRAM, "run", "shop:app"], cwd=tmp_path)

        assert done.returncode == 2
        assert "which broker?" in done.stderr

    def test_a_second_run_on_a_directory_works_through_the_first(self, tmp_path: Path) -> None:
        write("shop.py", SHOP.format(url=f"{str(tmp_path / 'data')!r}"))

        with started([*PROGRAM, "run", "shop:app"], cwd=tmp_path) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "ready\n"
            with started([*PROGRAM, "run", "shop:app"], cwd=tmp_path) as second:
                assert second.stdout is not None
                assert second.stdout.readline() == "ready\n"
                second.terminate()
                assert second.wait(PATIENCE_S) == 0
            first.terminate()
            assert first.wait(PATIENCE_S) == 0

    def test_what_the_app_itself_fails_with_is_shown_as_its_own(self, tmp_path: Path) -> None:
        write(
            "shop.py",
            SHOP.format(url="'memory://'") + "\n@app.on_start\ndef fail() -> None:\n    raise ValueError('no luck')\n",
        )

        done = finished([*PROGRAM, "run", "shop:app"], cwd=tmp_path)

        assert done.returncode == 70
        assert "isthmus: the app failed: ValueError: no luck" in done.stderr
        assert "bug in Isthmus" not in done.stderr


def test_uvloop_is_used_where_it_is_installed(tmp_path: Path) -> None:
    write("uvloop.py", "def new_event_loop():\n    raise SystemExit('uvloop was asked')\n")
    write("shop.py", SHOP.format(url="'memory://'"))

    done = finished([*PROGRAM, "run", "shop:app"], cwd=tmp_path)

    assert "uvloop was asked" in done.stderr
