"""An app: handlers declared by decorators, and everything that runs them.

Declaring checks and remembers, nothing more; importing a module with an app opens no engine. A run is a `Runtime`.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from isthmus.client.attributes import PublishOptions
from isthmus.client.bus import Bus, core_of
from isthmus.client.core import Core
from isthmus.client.destination import Destination, Stream
from isthmus.client.duration import Duration, Size, StartAt
from isthmus.client.enrich import RETRY, Question
from isthmus.client.event import AnyEvent, State
from isthmus.client.handler import Handler
from isthmus.client.metrics import Metrics
from isthmus.client.outbox import logger
from isthmus.client.producer import Receipt
from isthmus.client.provide import needed
from isthmus.client.retry import Backoff
from isthmus.client.runtime import Declared, Runtime
from isthmus.client.signature import Signature, signature_of
from isthmus.client.subscription import Subscription
from isthmus.client.table import Table
from isthmus.errors import Closed, DeclarationError, InvalidArgument
from isthmus.limits import ENRICH_CONCURRENCY, SHUTDOWN_MS

if TYPE_CHECKING:
    from isthmus.client.testing import TestApp

E = TypeVar("E", bound=AnyEvent)
S = TypeVar("S", bound=State)
F = TypeVar("F", bound=Callable[..., Any])

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class App:
    """Handlers and what they need, on an engine that a URL names.

    Declare handlers with `@app.on(...)`, dependencies with `@app.provide`, questions to owners with `@app.enrich(...)`
    and local copies of state with `app.table(...)`; then `app.run()`, or `async with app:` inside a program of your
    own, or `async with app.test() as t:` in a test. Declarations are checked where they stand, so a mistake shows at
    import; only what needs the whole (a queue with a type that nobody takes) is checked at the start.

    Args:
        url: memory://, isthmus:///absolute/path or a path; from the environment variable ISTHMUS_URL when not given.
            May be changed until the app starts.
        name: travels with each published event as `ce_source`.
        linger, batch, compression: how `publish` sends; see `connect`.
        options: handed to the engine.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str | None = None,
        linger: Duration | None = None,
        batch: Size | None = None,
        compression: str = "none",
        **options: Any,
    ) -> None:
        self.url = url
        self.name = name
        self.compression = compression
        self._linger = linger
        self._batch = batch
        self._options = options
        self._declared = Declared()
        self._runtime: Runtime | None = None
        self._ended: asyncio.Future[None] | None = None
        self._core("memory://" if url is None else url)  # refuses figures that cannot be; opens nothing

    # ---- declaring ------------------------------------------------------------------------------------------------

    def on(
        self,
        dest: Destination[Any],
        *,
        group: str | None = None,
        to: Destination[Any] | None = None,
        start: StartAt | None = None,
        batch: int | None = None,
        wait: Duration = "1s",
        workers: int | None = None,
        retry: Backoff | None = None,
    ) -> Callable[[F], F]:
        """Declare a handler: a function that gets the events of a destination, by the annotation of its parameters.

        A parameter of an event type (or a union of them) gets the event, one of `Message[...]` the message, one of a
        provided type that, one of an enrich function's return type the owner's answer. Returning is done: the event is
        acknowledged (queue) or its offset committed (stream), in one unit with what was returned for `to`. An
        exception is a failure: the event comes again by the retry policy and in the end goes to the dead letters;
        `Retry` and `Reject` steer that. `async def` runs on the event loop, plain `def` in a thread.

        Args:
            dest: the stream or queue. Several handlers may share a queue or a group, each with types of its own.
            group: for streams, where every group sees every event; each group keeps a position of its own.
            to: where the events that the handler returns are published.
            start: for streams, where a *new* group begins: "earliest" (when not given), "latest", an offset, a time,
                or an age such as "-1h". A known group goes on where it was. Not "latest" by default, because then
                what is published before a group's first start would silently be missed.
            batch: take lists of up to so many events; the parameter is a `list[...]`. The list is settled as a whole;
                when the handler raises, it gets the events of the list one by one.
            wait: how long a list may wait to fill up.
            workers: how many events are handled side by side (1 when not given). Events of one key of a stream, or of
                a queue with a key, are handled one after the other all the same.
            retry: for streams, how often and how soon a failed event comes again; queues have that in their definition.

        Raises:
            DeclarationError, InvalidArgument: it cannot work; says why and what to write.
        """
        subscription = self._subscription(dest, group)

        def declare(function: F) -> F:
            declared = self._declared
            handler = Handler(
                function, dest, to=to, batch=batch, providers=declared.providers, questions=declared.questions
            )
            subscription.add(handler, start=start, wait=wait, workers=workers, retry=retry)
            self._declared.subscriptions[dest, subscription.group] = subscription
            return function

        return declare

    def _subscription(self, dest: Destination[Any], group: str | None) -> Subscription:
        known = self._declared.subscriptions.get((dest, group))
        return Subscription(dest, group) if known is None else known

    def provide(self, function: F) -> F:
        """Declare a dependency: whoever asks for the type that the function returns gets what it returned.

        It is called once, before handlers start, and only when somebody asks. It may be `async def`, ask for other
        provided types or the `Bus`, and `yield` instead of returning: what follows is run at the end.

        Raises:
            DeclarationError: no return annotation, a type that is provided already, or a circle.
        """
        self._declared.providers.add(function)
        return function

    def enrich(
        self,
        event: type[AnyEvent],
        *,
        subject: str | Sequence[str] | None = None,
        retry: Backoff = RETRY,
        ttl: Duration | None = None,
        concurrency: int = ENRICH_CONCURRENCY,
    ) -> Callable[[F], F]:
        """Declare how to ask the owner about events of a type; handlers get the answer by its type.

        However many handlers and groups want it, the owner is asked once per change. An answer serves all events of
        the same subject up to the one it was asked for; a later event of the subject asks anew. Calls are bounded,
        tried again with jitter, and given up for a while when several in a row fail: events that need an answer are
        then handed back uncounted. `Reject` and `Retry` raised here act as if the handler had raised them.

        Args:
            event: the event class.
            subject: the fields that say what the event is about; all fields when not given.
            retry: how often and how soon a call is tried again before the event counts as failed.
            ttl: how long an answer is kept for those who read the same change later; an hour when not given.
            concurrency: upstream calls at a time.

        Raises:
            DeclarationError: the function does not take the event, or does not say what it answers.
        """

        def declare(function: F) -> F:
            question = Question(event, function, subject=subject, retry=retry, ttl=ttl, concurrency=concurrency)
            self._declared.questions.add(question)
            return function

        return declare

    def table(self, stream: Stream[S]) -> Table[S]:
        """The local copy of a stream of `State`, filled before handlers start and kept fresh; see `Table`.

        Raises:
            DeclarationError: a stream that does not keep the newest event per key.
        """
        return self._declared.tables.setdefault(stream, Table(stream))

    def on_start(self, function: F) -> F:
        """Declare a function to be called when all is ready but the handlers; it may ask for provided types."""
        self._declared.on_start.append((function, self._hook(function, "on_start function")))
        return function

    def on_stop(self, function: F) -> F:
        """Declare a function to be called when the last handler has ended; it may ask for provided types."""
        self._declared.on_stop.append((function, self._hook(function, "on_stop function")))
        return function

    def _hook(self, function: F, role: str) -> Signature:
        signature = signature_of(function, role)
        if signature.is_generator:
            raise DeclarationError(
                f"{role} {signature.name} yields; for what has a beginning and an end use app.provide"
            )
        for each in needed(signature):
            self._declared.providers.check(each, f"{role} {signature.name}")
        return signature

    @property
    def declared(self) -> Declared:
        """What has been declared, for tools."""
        return self._declared

    # ---- running --------------------------------------------------------------------------------------------------

    def run(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        """Run until SIGTERM or SIGINT, then stop gracefully; a second signal ends the process at once.

        Raises:
            Exception: what failed at the start, or in the machinery while it ran; never what handlers raise.
        """
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.get_running_loop().create_future()
        self._listen()
        async with self:
            await self.wait()

    def _listen(self) -> None:
        """Stop on the first signal, also while it starts; after it the signals do what they do by default."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def caught(number: int) -> None:
            for each in SIGNALS:
                loop.remove_signal_handler(each)
            logger.warning("%s: stopping", signal.Signals(number).name)
            self.end()

        for each in SIGNALS:
            loop.add_signal_handler(each, caught, each)

    async def start(self) -> None:
        """Open the engine, make what is provided, fill the tables, start the handlers. `async with app` does it.

        Raises:
            DeclarationError: what was declared does not make a whole.
            InvalidArgument: the app runs already.
        """
        await self.start_on(self._core(self.url))

    async def start_on(self, core: Core) -> Runtime:
        """Start on a core that somebody else has made, such as a test."""
        if self._runtime is not None:
            raise InvalidArgument("app", "it runs already")
        runtime = self._runtime = Runtime(self._declared, core)
        if self._ended is None or self._ended.done():
            self._ended = asyncio.get_running_loop().create_future()
        try:
            await runtime.start()
        except BaseException:
            self._runtime = None
            raise
        return runtime

    async def stop(self, *, grace_ms: int = SHUTDOWN_MS) -> None:
        """Stop: receive no more, let running handlers finish, hand back the rest, close everything; idempotent.

        Args:
            grace_ms: how long running handlers may take; then they are cancelled and their events handed back.

        Raises:
            Exception: what broke in the machinery while it ran, or what failed while it stopped.
        """
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        self.end()
        await runtime.stop(grace_ms)
        runtime.check()

    def end(self) -> None:
        """Let `wait` return, so that whoever runs the app stops it."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def wait(self) -> None:
        """Wait until the app is to end.

        Raises:
            Exception: what broke in the machinery; handlers' own exceptions never do.
        """
        runtime, ended = self._running(), self._ended
        if ended is not None:
            await asyncio.wait({ended, runtime.failure}, return_when=asyncio.FIRST_COMPLETED)
        runtime.check()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # ---- while it runs --------------------------------------------------------------------------------------------

    @property
    def bus(self) -> Bus:
        """The bus of the running app. Raises Closed: it does not run."""
        return self._running().bus

    @property
    def metrics(self) -> Metrics:
        """What is counted since the start. Raises Closed: it does not run."""
        return self._running().metrics

    async def publish(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> Receipt:
        """Publish from anywhere in the running app; see `Bus.publish`.

        What a handler publishes this way is not in one unit with its acknowledgement; return it and name `to=` for
        that.
        """
        return await self.bus.publish(dest, *events, **options)

    def test(self) -> "TestApp":
        """The app on an engine in memory, with a clock that the test moves; see `TestApp`."""
        from isthmus.client.testing import TestApp  # noqa: PLC0415 - only tests need it

        return TestApp(self)

    def _running(self) -> Runtime:
        if self._runtime is None:
            raise Closed("the app")
        return self._runtime

    def _core(self, url: str | None) -> Core:
        return core_of(
            url,
            name=self.name,
            linger=self._linger,
            batch=self._batch,
            compression=self.compression,
            **self._options,
        )
