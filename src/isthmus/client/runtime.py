"""One run of an app: what was declared, brought to life on an engine, and taken down again.

It starts things in the order in which they need each other and stops them in reverse. What goes wrong in the machinery
while it runs ends up in `failure`, and with whoever runs the app.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus.client.bus import Bus
from isthmus.client.core import Core
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.dispatch import Consumer
from isthmus.client.duration import start_at
from isthmus.client.enrich import Enricher, Question, Questions
from isthmus.client.handler import Call, Handler
from isthmus.client.metrics import ConsumerCounts, EnrichCounts, Metrics
from isthmus.client.provide import Function, Provided, Providers
from isthmus.client.running import Terms
from isthmus.client.signature import Signature
from isthmus.client.subscription import Subscription
from isthmus.client.table import Follower, Table
from isthmus.client.threads import HandlerThreads
from isthmus.engines.base import Capability, Source
from isthmus.limits import THREADS_HANDLERS

logger: Final = logging.getLogger("isthmus")


@dataclass
class Declared:
    """What an app declares, by its decorators."""

    providers: Providers = field(default_factory=lambda: Providers([Bus]))
    questions: Questions = field(init=False)
    subscriptions: dict[tuple[Destination[Any], str | None], Subscription] = field(default_factory=dict)
    tables: dict[Stream[Any], Table[Any]] = field(default_factory=dict)
    on_start: list[tuple[Function, Signature]] = field(default_factory=list)
    on_stop: list[tuple[Function, Signature]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.questions = Questions(self.providers)

    def handlers(self) -> list[Handler]:
        """All handlers, each once."""
        every = [handler for each in self.subscriptions.values() for handler in each.handlers.values()]
        return list(dict.fromkeys(every))

    def destinations(self) -> list[Destination[Any]]:
        """All that it takes events from or publishes what handlers return to, each once."""
        found: list[Destination[Any]] = [*self.tables, *(each.destination for each in self.subscriptions.values())]
        found += [handler.to for handler in self.handlers() if handler.to is not None]
        return list(dict.fromkeys(found))

    def questions_asked(self) -> list[Question]:
        """The questions that handlers ask, each once."""
        slots = [slot for handler in self.handlers() for slot in handler.slots]
        return list(dict.fromkeys(question for slot in slots for question in slot.questions.values()))

    def wanted(self) -> list[object]:
        """The types that handlers and their questions need to be provided."""
        slots = [slot for handler in self.handlers() for slot in handler.slots if slot.wants == "provided"]
        needs = [need for question in self.questions_asked() for need in question.needs]
        return [*(slot.parameter.annotation for slot in slots), *needs]


class Runtime:
    """See the module text. Belongs to the event loop that starts it."""

    def __init__(self, declared: Declared, core: Core) -> None:
        self.core = core
        self.bus = Bus(core)
        self.metrics = Metrics(consumers={}, enrich={})
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.consumers: list[Consumer] = []
        self._declared = declared
        self._provided = Provided(declared.providers, {Bus: self.bus})
        self._enrichers: dict[Question, Enricher] = {}
        self._followers: list[Follower[Any]] = []
        self._following: list[asyncio.Task[None]] = []
        self._threads = HandlerThreads(THREADS_HANDLERS)
        self._started = False

    def fail(self, error: BaseException) -> None:
        """Something of the machinery broke: the run is over, and says so."""
        if self.failure.done():
            logger.error("another failure while the app ends", exc_info=error)
        else:
            logger.error("the app failed and ends", exc_info=error)
            self.failure.set_exception(error)
            # Whoever runs the app looks; when the run ends in another error before that, this must not be a warning.
            self.failure.exception()
        self.core.engine.clock.stir()

    def check(self) -> None:
        """Raise what broke, if something did."""
        if self.failure.done():
            self.failure.result()

    # ---- start ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up; when something fails, what is up already is taken down again.

        Raises:
            DeclarationError: what was declared does not make a whole.
            Exception: whatever the engine, a provider or a hook raises.
        """
        for subscription in self._declared.subscriptions.values():
            subscription.check()
        await self.core.start()
        try:
            await self._start()
        except BaseException as error:
            try:
                await self.stop(0)
            except Exception as other:  # noqa: BLE001 - the first error is the one to be told
                error.add_note(f"stopping failed as well: {other!r}")
            raise

    async def _start(self) -> None:
        await self._declare()
        self._announce()
        await self._provided.make(self._declared.wanted())
        for question in self._declared.questions_asked():
            self._enrichers[question] = self._enricher(question)
        await self._fill_tables()
        for function, signature in self._declared.on_start:
            await self._provided.call(function, signature)
        for subscription in self._declared.subscriptions.values():
            self.consumers.append(await self._consumer(subscription))
        for consumer in self.consumers:
            consumer.start()
        self._started = True

    async def _declare(self) -> None:
        for destination in self._declared.destinations():
            await self.core.ensure(destination)
        for subscription in self._declared.subscriptions.values():
            if isinstance(subscription.destination, Stream) and subscription.group is not None:
                dead = subscription.destination.dead_definition(subscription.group)
                if dead is not None:
                    await self.core.declare(dead)

    def _announce(self) -> None:
        asked = [promise for each in self._declared.destinations() for promise in each.promises()]
        for line in emulations(self.core.engine.capabilities, ["unit", "extend", *asked]):
            logger.warning("%s: %s", self.core.engine.url, line)

    def _enricher(self, question: Question) -> Enricher:
        counts = self.metrics.enrich.setdefault(question.name, EnrichCounts())
        return Enricher(question, question.bind(self._provided, self._in_thread), self.core.engine.clock, counts)

    def _in_thread(self, function: Function, arguments: dict[str, Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(**arguments))

    async def _fill_tables(self) -> None:
        self._followers = [Follower(table, self.core.engine) for table in self._declared.tables.values()]
        await asyncio.gather(*(follower.bootstrap() for follower in self._followers))
        self._following = [self.supervise(follower.follow()) for follower in self._followers]

    def supervise(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something beside; when it fails, the run is over."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    async def _consumer(self, subscription: Subscription) -> Consumer:
        engine = self.core.engine
        terms = self._terms(subscription)
        counts = self.metrics.consumers[subscription.name] = ConsumerCounts()
        return Consumer(terms, engine, await self._source(subscription), counts, self._threads, self.fail)

    async def _source(self, subscription: Subscription) -> Source:
        engine, destination, group = self.core.engine, subscription.destination, subscription.group
        if isinstance(destination, Stream) and group is not None:
            start = start_at(subscription.start, engine.clock.now_ms())
            return await engine.stream_source(destination.name, group, start, destination.dead_name(group))
        return await engine.queue_source(destination.name, f"{self.core.settings.name or 'app'}-{os.getpid()}")

    def _terms(self, subscription: Subscription) -> Terms:
        handlers = dict.fromkeys(subscription.handlers.values())
        calls = {handler: Call(handler, self._provided, self._enrichers) for handler in handlers}
        tombstones = subscription.tombstones()
        destination = subscription.destination
        return Terms(
            name=subscription.name,
            calls={event: calls[handler] for event, handler in subscription.handlers.items()},
            tombstones=None if tombstones is None else calls[tombstones],
            decode=destination.reader().events,
            ordered=subscription.ordered,
            workers=subscription.workers,
            batch=subscription.batch,
            wait_ms=subscription.wait_ms,
            retry=subscription.retry,
            lease_ms=destination.lease_ms if isinstance(destination, Queue) else None,
            compression=self.core.settings.compression,
            source=self.core.settings.name,
        )

    # ---- stop -----------------------------------------------------------------------------------------------------

    async def stop(self, grace_ms: int) -> None:
        """Take everything down; running handlers get `grace_ms` to finish, the rest is handed back.

        Raises:
            Exception: what a hook, a provider or the engine raised; all the others are taken down all the same.
        """
        until_ms = self.core.engine.clock.monotonic_ms() + grace_ms
        errors: list[BaseException] = []
        await collect(errors, *(consumer.stop(until_ms) for consumer in self.consumers))
        for function, signature in self._declared.on_stop if self._started else ():
            await collect(errors, self._provided.call(function, signature))
        for enricher in self._enrichers.values():
            enricher.close()
        for task in self._following:
            task.cancel()
        await collect(errors, *(follower.close() for follower in self._followers))
        await collect(errors, self._provided.close())
        self._threads.shutdown(wait=False)
        await collect(errors, self.core.close())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("several things failed while the app stopped", errors)


def emulations(capabilities: Mapping[str, Capability], promises: Iterable[str]) -> list[str]:
    """One line for each promise that an engine does not keep natively: how it is kept."""
    found = {promise: capabilities[promise] for promise in promises if promise in capabilities}
    return [f"{promise} is emulated: {each.how}" for promise, each in found.items() if each.support == "emulated"]


async def collect(errors: list[BaseException], *work: Awaitable[object]) -> None:
    """Run all to their ends, side by side, and add what they raise to `errors`."""
    found = await asyncio.gather(*work, return_exceptions=True)
    errors += [each for each in found if isinstance(each, BaseException)]
