"""Declaring an app and running it."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import App, Backoff, Message, Notification, Queue, State, Stream, connect, sync
from isthmus.errors import Closed, DeclarationError, InvalidArgument
from isthmus.types import Bus


class Placed(Notification):
    order_id: str


class Customer(State):
    customer_id: str


orders = Stream[Placed]("orders", key="order_id")
jobs = Queue[Placed]("jobs")


@pytest.fixture
def app() -> App:
    return App("memory://", name="shop")


class TestDeclaring:
    def test_leaves_functions_as_they_are(self, app: App) -> None:
        def provider() -> Path:
            return Path()

        def handler(event: Placed) -> None: ...

        async def question(event: Placed) -> Customer:
            return Customer(customer_id="c")

        assert app.provide(provider) is provider
        assert app.on(orders, group="g")(handler) is handler
        assert app.enrich(Placed)(question) is question
        assert app.on_start(provider) is provider

    def test_of_a_second_handler_for_a_type_is_refused(self, app: App) -> None:
        @app.on(orders, group="g")
        def first(event: Placed) -> None: ...

        with pytest.raises(DeclarationError, match="is taken by"):

            @app.on(orders, group="g")
            def second(event: Placed) -> None: ...

        @app.on(orders, group="other")
        def third(event: Placed) -> None: ...

    def test_that_was_refused_leaves_nothing_behind(self, app: App) -> None:
        with pytest.raises(DeclarationError):

            @app.on(orders, group="g")
            def wrong(event: Customer) -> None: ...

        assert app.declared.subscriptions == {}

    def test_refuses_what_nobody_provides(self, app: App) -> None:
        with pytest.raises(DeclarationError, match="nobody provides Path"):

            @app.on(orders, group="g")
            def handler(event: Placed, path: Path) -> None: ...

        with pytest.raises(DeclarationError, match=r"on_stop function .*nobody provides Path"):

            @app.on_stop
            def hook(path: Path) -> None: ...

    def test_refuses_hooks_that_yield(self, app: App) -> None:
        with pytest.raises(DeclarationError, match=r"use app\.provide"):

            @app.on_start
            def hook() -> Iterator[int]:
                yield 1

    @pytest.mark.parametrize(("option", "value"), [("linger", "soon"), ("batch", "0B"), ("url", "")])
    def test_refuses_options_that_cannot_be(self, option: str, value: str) -> None:
        options = {"url": "memory://", option: value}

        with pytest.raises(InvalidArgument, match=option):
            App(**options)

    def test_opens_nothing(self, tmp_path: Path) -> None:
        App(f"isthmus://{tmp_path}/store")

        assert list(tmp_path.iterdir()) == []


class TestRunning:
    async def test_publishes_under_the_apps_name(self, app: App) -> None:
        async with app:
            await app.publish(orders, Placed(order_id="o-1"))
            messages = [message async for message in app.bus.read(orders, stop="end")]

        assert [message.headers["ce_source"] for message in messages] == [b"shop"]

    async def test_gives_handlers_the_bus(self, app: App) -> None:
        done = asyncio.Event()

        @app.on(orders, group="g")
        async def handle(event: Placed, bus: Bus) -> None:
            await bus.publish(jobs, event)
            done.set()

        async with app.test() as t:
            await t.publish(orders, Placed(order_id="o-1"))
            await t.drain()
            assert len(t.published(jobs)) == 1

    async def test_takes_a_start(self, app: App) -> None:
        for use in (lambda: app.bus, lambda: app.metrics):
            with pytest.raises(Closed):
                use()
        with pytest.raises(Closed):
            await app.publish(orders, Placed(order_id="o-1"))

    async def test_stops_once(self, app: App) -> None:
        await app.stop()
        await app.start()
        await app.stop()
        await app.stop()

    async def test_ends_when_it_is_told_to(self, app: App) -> None:
        async with app:
            waiting = asyncio.create_task(app.wait())
            await asyncio.sleep(0)
            assert not waiting.done()
            app.end()
            await waiting

    async def test_takes_the_address_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = App()
        monkeypatch.setenv("ISTHMUS_URL", "memory://")

        async with app:
            assert app.bus.engine.url == "memory://"

    async def test_without_an_address_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="url"):
            await App().start()


class TestNewGroups:
    async def test_see_everything_unless_they_say_otherwise(self) -> None:
        app = App("memory://new-groups")
        seen: dict[str, list[int]] = {"all": [], "new": [], "second": []}
        ends = {group: asyncio.Event() for group in seen}

        def note(group: str, offset: int) -> None:
            seen[group].append(offset)
            if offset == 3:
                ends[group].set()

        @app.on(orders, group="all")
        async def everything(msg: Message[Placed]) -> None:
            note("all", msg.offset)

        @app.on(orders, group="new", start="latest")
        async def latest(msg: Message[Placed]) -> None:
            note("new", msg.offset)

        @app.on(orders, group="second", start=1, retry=Backoff(1))
        async def from_offset(msg: Message[Placed]) -> None:
            note("second", msg.offset)

        async with connect("memory://new-groups") as bus:
            await bus.publish(orders, *(Placed(order_id=f"o-{number}") for number in range(3)))
            async with app:
                await app.publish(orders, Placed(order_id="o-3"))
                await asyncio.gather(*(end.wait() for end in ends.values()))

        assert seen == {"all": [0, 1, 2, 3], "new": [3], "second": [1, 2, 3]}


PROGRAM = """
import sys
from isthmus import App, Notification, Queue

class Placed(Notification):
    order_id: str

jobs = Queue[Placed]("jobs")
app = App(sys.argv[1])

@app.on_start
def started() -> None:
    print("started", flush=True)

@app.on_stop
def stopped() -> None:
    print("stopped", flush=True)

@app.on(jobs)
def handle(event: Placed) -> None:
    if sys.argv[2] == "hang":
        print("hangs", flush=True)
        import threading
        threading.Event().wait()

app.run()
"""


@pytest.mark.process
class TestAsAProgram:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_stops_it_gracefully(self, tmp_path: Path, number: signal.Signals) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), ""], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "started\n"

            program.send_signal(number)
            rest, _ = program.communicate(timeout=30)

        assert rest == "stopped\n"
        assert program.returncode == 0

    def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        with sync.connect(str(tmp_path / "store")) as bus:
            bus.publish(jobs, Placed(order_id="o-1"))
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), "hang"], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert [program.stdout.readline() for _ in range(2)] == ["started\n", "hangs\n"]

            program.terminate()
            while program.poll() is None:
                program.terminate()

        assert program.returncode == -signal.SIGTERM
