"""Asking the owner about a `Notification`: once per change, however many handlers and groups want the answer.

A `Question` is what an app declares, checked at import. An `Enricher` is one question during one run: it shares calls
and answers, bounds and retries calls, and leaves a failing service alone. It does not know who asks.

What counts as the same change: an event of the same content (or of the same `subject` fields) on the same partition of
the same topic. The offset is its version: an answer that was asked for at some offset serves every event of that
subject up to that offset, and a later event asks anew. So two groups that read the same event share one call, and a
group that lags behind is served by what was answered since.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from isthmus.client.duration import Duration, duration_ms
from isthmus.client.event import AnyEvent, Event, field_names, is_model
from isthmus.client.metrics import EnrichCounts
from isthmus.client.provide import Provided, Providers
from isthmus.client.retry import Backoff, Reject, Retry
from isthmus.client.signature import MISSING, Parameter, Signature, Value, shown, signature_of
from isthmus.clock import Clock
from isthmus.engines.base import Received
from isthmus.errors import CircuitOpen, DeclarationError
from isthmus.limits import (
    ENRICH_CACHE_MAX,
    ENRICH_CONCURRENCY,
    ENRICH_FAILURES_OPEN,
    ENRICH_OPEN_MS,
    ENRICH_TTL_MS,
)

RETRY: Final = Backoff(3, "200ms", "5s", jitter=0.5)
"""How an upstream call is tried again, unless told otherwise, before the event itself counts as failed."""

Ask = Callable[[AnyEvent], Awaitable[Any]]


class Question:
    """How to ask the owner about events of one type.

    Raises:
        DeclarationError: the function does not take the event or does not say what it answers.
    """

    def __init__(
        self,
        event: type[AnyEvent],
        function: Callable[..., Any],
        *,
        subject: str | Sequence[str] | None = None,
        retry: Backoff = RETRY,
        ttl: Duration | None = None,
        concurrency: int = ENRICH_CONCURRENCY,
    ) -> None:
        self.event = event
        self.function = function
        self.signature = signature_of(function, "enrich function")
        self.name = function.__qualname__
        self.retry = retry
        self.ttl_ms = ENRICH_TTL_MS if ttl is None else duration_ms(ttl, "ttl")
        self.concurrency = concurrency
        self.subject = _subject(self.signature, event, (subject,) if isinstance(subject, str) else tuple(subject or ()))
        self._check()

    @property
    def answer(self) -> object:
        """The type of the answer: what a handler names as a parameter to get it."""
        return self.signature.returns

    @property
    def needs(self) -> tuple[object, ...]:
        """The types that it needs beside the event."""
        return tuple(p.annotation for p in self.signature.parameters if not p.optional and not self._is_event(p))

    def _is_event(self, parameter: Parameter) -> bool:
        annotation = parameter.annotation
        if not isinstance(annotation, type) or not (issubclass(annotation, Event) or is_model(annotation)):
            return False
        return issubclass(self.event, annotation)

    def _check(self) -> None:
        whose = f"enrich function {self.signature.name}"
        if self.signature.is_generator:
            raise DeclarationError(f"{whose} yields; return the answer")
        if sum(map(self._is_event, self.signature.parameters)) != 1:
            raise DeclarationError(f"{whose}: give it exactly one parameter of type {self.event.__name__}")
        if self.answer in (MISSING, type(None)):
            raise DeclarationError(f"{whose}: annotate what it returns; handlers ask for the answer by that type")
        if self.concurrency < 1:
            raise DeclarationError(f"{whose}: concurrency {self.concurrency} is less than one")

    def bind(self, provided: Provided, run: Callable[..., Awaitable[Any]]) -> Ask:
        """A function of the event alone; `run` runs a plain function in a thread."""
        fixed = {p.name: provided[p.annotation] for p in self.signature.parameters if p.annotation in self.needs}
        name = next(p.name for p in self.signature.parameters if self._is_event(p))
        function = self.function

        def ask(event: AnyEvent) -> Awaitable[Any]:
            arguments = {**fixed, name: event}
            found: Awaitable[Any] = function(**arguments) if self.signature.is_async else run(function, arguments)
            return found

        return ask


def _subject(
    signature: Signature, event: type[AnyEvent], fields: tuple[str, ...]
) -> Callable[[AnyEvent], Hashable] | None:
    unknown = [field for field in fields if field not in field_names(event)]
    if unknown:
        raise DeclarationError(f"enrich function {signature.name}: {unknown[0]!r} is no field of {event.__name__}")
    return attrgetter(*fields) if fields else None


class Questions:
    """All questions of an app: at most one for each event type and type of answer."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._by_answer: dict[object, dict[type[AnyEvent], Question]] = {}

    def add(self, question: Question) -> None:
        """Declare one.

        Raises:
            DeclarationError: there is one already, or its answer or what it needs does not go with the providers.
        """
        whose = f"enrich function {question.signature.name}"
        known = self._by_answer.get(question.answer, {})
        if question.event in known:
            raise DeclarationError(
                f"{whose}: {known[question.event].signature.name} answers {question.event.__name__} with"
                f" {shown(question.answer)} already"
            )
        if question.answer in self._providers:
            raise DeclarationError(f"{whose}: {shown(question.answer)} is provided already; answer with another type")
        for need in question.needs:
            self._providers.check(need, whose)
        self._by_answer[question.answer] = {**known, question.event: question}

    def __contains__(self, answer: object) -> bool:
        return answer in self._by_answer

    def find(self, answer: object, events: Sequence[type[AnyEvent]], whose: str) -> dict[type[AnyEvent], Question]:
        """The questions that give that answer for each of these event types.

        Raises:
            DeclarationError: one of the types has no such question.
        """
        known = self._by_answer.get(answer, {})
        for each in events:
            if each not in known:
                raise DeclarationError(
                    f"{whose}: {shown(answer)} is an answer about {', '.join(k.__name__ for k in known)}, but not about"
                    f" {each.__name__}; declare an @app.enrich({each.__name__}) that returns it"
                )
        return {each: known[each] for each in events}


# ---- one run -----------------------------------------------------------------------------------------------------


class Breaker:
    """Leaves a service alone for a while after several failures in a row, then lets one call try. Pure."""

    def __init__(self, service: str, failures: int = ENRICH_FAILURES_OPEN, open_ms: int = ENRICH_OPEN_MS) -> None:
        self._service = service
        self._failures_max = failures
        self._open_ms = open_ms
        self._failures = 0
        self._until_ms: int | None = None
        self._trying = False

    def admit(self, now_ms: int) -> None:
        """Whether a call may be made now; after the pause only one may.

        Raises:
            CircuitOpen: it may not; says when to ask again.
        """
        if self._until_ms is None:
            return
        if now_ms < self._until_ms:
            raise CircuitOpen(self._service, self._until_ms - now_ms)
        if self._trying:
            raise CircuitOpen(self._service, max(1, self._open_ms // 10))
        self._trying = True

    def succeeded(self) -> None:
        """A call came back: all is well."""
        self._failures, self._until_ms, self._trying = 0, None, False

    def failed(self, now_ms: int) -> None:
        """A call failed."""
        self._failures += 1
        if self._failures >= self._failures_max:
            self._until_ms, self._trying = now_ms + self._open_ms, False

    def unknown(self) -> None:
        """The call that was to try did not come to an end; the next one may."""
        self._trying = False


class _Kept(NamedTuple):
    answer: Any
    offset: int
    until_ms: int


class _Flight(NamedTuple):
    offset: int
    task: "asyncio.Task[Any]"


Place = tuple[str, int, Hashable]


class Enricher:
    """One question during one run. Belongs to one event loop."""

    def __init__(self, question: Question, ask: Ask, clock: Clock, counts: EnrichCounts) -> None:
        self._question = question
        self._ask = ask
        self._clock = clock
        self._counts = counts
        self._breaker = Breaker(question.name)
        self._places = asyncio.Semaphore(question.concurrency)
        self._kept: dict[Place, _Kept] = {}
        self._flights: dict[Place, _Flight] = {}

    async def answer(self, event: AnyEvent, received: Received) -> Value:
        """The owner's answer about an event, from memory, from a call that runs, or by a call.

        Raises:
            CircuitOpen: the service is left alone for a while.
            Exception: what the enrich function raised at the last try.
        """
        self._counts.wanted += 1
        subject = self._question.subject
        stored = received.stored
        place = (received.topic, received.partition, stored.value if subject is None else subject(event))
        kept = self._kept.get(place)
        if kept is not None and kept.offset >= stored.offset and self._clock.monotonic_ms() < kept.until_ms:
            self._counts.saved += 1
            return kept.answer
        flight = self._flights.get(place)
        if flight is not None and flight.offset >= stored.offset:
            self._counts.saved += 1
        else:
            flight = self._flights[place] = self._start(event, place, stored.offset)
        # Shielded: the others who wait for the same call must get their answer when this one gives up.
        return await asyncio.shield(flight.task)

    def close(self) -> None:
        """Give up the calls that run."""
        for flight in self._flights.values():
            flight.task.cancel()

    def _start(self, event: AnyEvent, place: Place, offset: int) -> _Flight:
        flight = _Flight(offset, asyncio.get_running_loop().create_task(self._fetch(event, place, offset)))
        flight.task.add_done_callback(lambda task: self._landed(place, task))
        return flight

    def _landed(self, place: Place, task: "asyncio.Task[Any]") -> None:
        flight = self._flights.get(place)
        if flight is not None and flight.task is task:
            del self._flights[place]
        if not task.cancelled():
            # Its failure is counted, and raised to all who wait; when nobody waits any more that is no error.
            task.exception()

    async def _fetch(self, event: AnyEvent, place: Place, offset: int) -> Value:
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._call(event)
            except (Reject, Retry, CircuitOpen):
                raise
            except Exception:
                if self._question.retry.exhausted(attempt):
                    raise
                delay_ms = self._question.retry.delay_ms(attempt, random.random())
                await self._clock.sleep_until(self._clock.monotonic_ms() + delay_ms)
            else:
                self._keep(place, offset, answer)
                return answer

    async def _call(self, event: AnyEvent) -> Value:
        async with self._places:
            self._breaker.admit(self._clock.monotonic_ms())
            self._counts.calls += 1
            with self._clock.busy(f"enrich {self._question.name}"):
                try:
                    answer = await self._ask(event)
                except (Reject, Retry):
                    # The service answered: what it said is not to be repeated as if it had not.
                    self._breaker.succeeded()
                    raise
                except Exception:
                    self._counts.failures += 1
                    self._breaker.failed(self._clock.monotonic_ms())
                    raise
                except BaseException:
                    self._breaker.unknown()
                    raise
            self._breaker.succeeded()
            return answer

    def _keep(self, place: Place, offset: int, answer: object) -> None:
        """Remember an answer; the oldest go when there are too many or their time is over."""
        now_ms = self._clock.monotonic_ms()
        known = self._kept.pop(place, None)
        if known is not None and known.offset > offset:
            self._kept[place] = known
            return
        self._kept[place] = _Kept(answer, offset, now_ms + self._question.ttl_ms)
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= ENRICH_CACHE_MAX and self._kept[oldest].until_ms > now_ms:
                break
            del self._kept[oldest]
