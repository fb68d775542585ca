"""An app under test: the real engine in memory, the app's own handlers, and a clock that the test moves.

It replaces the URL and the clock and nothing else. What has been published and what is dead it reads from the engine.
"""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from isthmus.client.attributes import PublishOptions
from isthmus.client.bus import Bus, core_of
from isthmus.client.consumer import ReadLoop
from isthmus.client.core import Core
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.duration import Duration, duration_ms
from isthmus.client.event import AnyEvent, State
from isthmus.client.metrics import Metrics
from isthmus.client.producer import Receipt
from isthmus.client.runtime import Runtime
from isthmus.client.table import Table
from isthmus.clock import ManualClock
from isthmus.errors import Closed, InvalidArgument
from isthmus.views import DeadLetter

if TYPE_CHECKING:
    from isthmus.client.app import App

E = TypeVar("E", bound=AnyEvent)
S = TypeVar("S", bound=State)

DEAD_LETTERS_MAX: Final = 10_000
"""Dead letters of one queue that a test sees."""


class TestApp:
    """What `app.test()` gives: `async with app.test() as t`.

    Time stands still but for `advance`. `published` and `dead` say what there was after the last `publish`, `drain` or
    `advance`. Where the app lingers before it sends, a test does not; a list handler gets what there is when the test
    drains. An exception in the app's machinery (not of a handler) is raised by the next call.
    """

    __test__ = False  # pytest is not to collect it

    def __init__(self, app: "App") -> None:
        self.app = app
        self.clock = ManualClock()
        self._runtime: Runtime | None = None
        self._seen: dict[Destination[Any], list[Message[Any]]] = {}
        self._dead: dict[str, list[DeadLetter]] = {}
        self._watching: list[tuple[ReadLoop[Any], asyncio.Task[None]]] = []

    async def __aenter__(self) -> Self:
        core = core_of("memory://", name=self.app.name, compression=self.app.compression, clock=self.clock)
        self._runtime = await self.app.start_on(core)
        self._watch_new(self._runtime)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runtime = None
        for loop, task in self._watching:
            await loop.close()
            task.cancel()
        await asyncio.gather(*(task for _, task in self._watching), return_exceptions=True)
        await self.app.stop(grace_ms=0)

    @property
    def bus(self) -> Bus:
        """The app's bus: publish, read and take by hand."""
        return self._running().bus

    @property
    def metrics(self) -> Metrics:
        """What the app has counted."""
        return self._running().metrics

    def table(self, stream: Stream[S]) -> Table[S]:
        """The app's table of a stream.

        Raises:
            InvalidArgument: it has none.
        """
        table = self.app.declared.tables.get(stream)
        if table is None:
            raise InvalidArgument("stream", f"the app has no table of {stream!r}; declare it with app.table(...)")
        return table

    # ---- making things happen -------------------------------------------------------------------------------------

    async def publish(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> Receipt:
        """Publish, as `Bus.publish`. Handlers get to run at the next `drain` or `advance`, or whenever the test waits.

        Raises:
            Exception: what broke in the app's machinery.
        """
        runtime = self._running()
        runtime.check()
        receipt = await runtime.bus.publish(dest, *events, **options)
        self._watch_new(runtime)
        return receipt

    async def drain(self) -> None:
        """Let everything happen that happens without time passing.

        Raises:
            InvariantError: after 10 s of real time something is still busy; the message names it.
            Exception: what broke in the app's machinery.
        """
        runtime = self._running()
        while True:
            await self.clock.drain()
            runtime.check()
            hurried = [consumer.hurry() for consumer in runtime.consumers]
            if not self._watch_new(runtime) and not any(hurried):
                break
        await self._look_at_dead_letters(runtime)

    async def advance(self, duration: Duration) -> None:
        """Let time pass, from one thing that is due to the next: retries, leases, delays.

        Raises:
            Exception: see `drain`.
        """
        await self.drain()
        await self.clock.advance(duration_ms(duration, "advance"))
        await self.drain()

    # ---- looking --------------------------------------------------------------------------------------------------

    def published(self, dest: Destination[E]) -> list[E]:
        """All events that were published to a destination, by whomever, settled ones included; by partition in order.

        Deletions are left out.
        """
        self._running()
        return [message.event for message in self._seen.get(dest, ()) if not message.deleted]

    def dead(self, dest: Destination[E], group: str | None = None) -> list[Message[E]]:
        """The dead letters of a queue, or of a group of a stream, oldest first, as they were delivered last.

        `attempt` is how often each was tried; `headers` say where it came from and why it is dead.

        Raises:
            InvalidArgument: a stream without its group, or a destination that keeps no dead letters.
        """
        self._running()
        name = dead_name(dest, group)
        letters = self._dead.get(name, [])
        outcomes = dest.reader().events(letter.record for letter in letters)
        return [
            Message(outcome, letter.record, letter.topic, letter.partition, letter.failed, letter.failed)
            for outcome, letter in zip(outcomes, letters, strict=True)
        ]

    # ---- how it knows ---------------------------------------------------------------------------------------------

    def _running(self) -> Runtime:
        if self._runtime is None:
            raise Closed("the app under test (use `async with app.test() as t`), which")
        return self._runtime

    def _watch_new(self, runtime: Runtime) -> bool:
        """Follow destinations that have been declared since; says whether there were any."""
        new = [each for each in runtime.core.destinations if each not in self._seen]
        for each in new:
            self._seen[each] = []
            loop: ReadLoop[Any] = ReadLoop(runtime.core.engine, each, "earliest", None)
            self._watching.append((loop, runtime.supervise(self._watch(each, loop))))
        return bool(new)

    async def _watch(self, destination: Destination[Any], loop: ReadLoop[Any]) -> None:
        while (messages := await loop.chunk()) is not None:
            self._seen[destination] += messages
            self.clock.stir()

    async def _look_at_dead_letters(self, runtime: Runtime) -> None:
        for name in dead_names(runtime.core, self.app):
            self._dead[name] = await runtime.core.engine.admin.dead_letters(name, DEAD_LETTERS_MAX)


def dead_name(dest: Destination[Any], group: str | None) -> str:
    """The dead-letter queue of a queue, or of a group of a stream."""
    if isinstance(dest, Stream):
        if group is None:
            raise InvalidArgument("group", f"{dest!r} is a stream, whose groups have dead letters each; name one")
        name = dest.dead_name(group)
    else:
        name = dest.dead if isinstance(dest, Queue) else None
    if name is None:
        raise InvalidArgument("dest", f"{dest!r} was declared with dead=False, so it keeps no dead letters")
    return name


def dead_names(core: Core, app: "App") -> list[str]:
    """All dead-letter queues that there are."""
    queues = [each.dead for each in core.destinations if isinstance(each, Queue)]
    groups = [
        each.destination.dead_name(each.group)
        for each in app.declared.subscriptions.values()
        if isinstance(each.destination, Stream) and each.group is not None
    ]
    return list(dict.fromkeys(name for name in (*queues, *groups) if name is not None))
