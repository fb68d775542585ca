"""Running handlers: a slice one by one, on the loop or in a thread, or a list at once.

What they give goes to the outbox. It takes slices as the lanes cut them and keeps the order within them; it receives
nothing and settles nothing.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from msgspec import Struct

from isthmus.client.delivery import Message, Settler, message_of
from isthmus.client.event import AnyEvent
from isthmus.client.handler import Call
from isthmus.client.held import Held, Raised
from isthmus.client.lanes import Lanes
from isthmus.client.outbox import Outbox, logger
from isthmus.client.retry import Backoff
from isthmus.client.signature import Value
from isthmus.client.verdict import Back, Verdict, verdict
from isthmus.clock import Clock
from isthmus.errors import InvariantError
from isthmus.limits import HANDLER_BATCH_DELIVERIES, HANDLER_BATCH_MS
from isthmus.record import Record

FAILURES_IN_A_ROW: Final = 3
"""When so many events of a list fail in a row, one by one, the fault is not theirs: the rest of the list goes back."""


class Terms(Struct, frozen=True, kw_only=True):
    """What a consumer is to do; see `Subscription` for the options.

    `decode` turns stored records into events. `lease_ms` None: the source has no leases. `compression` and `source`
    (the app's name) are for what handlers give.
    """

    name: str
    calls: Mapping[type[AnyEvent], Call]
    tombstones: Call | None
    decode: Callable[[Sequence[Any]], list[Any]]
    ordered: bool
    workers: int
    batch: int | None
    wait_ms: int
    retry: Backoff
    lease_ms: int | None
    compression: str = "none"
    source: str | None = None


class NotRun:
    """Stands for the result of a delivery whose key failed before it in the same hop."""


Given = Sequence[Record] | Raised
"""What a handler run gave: records for its `to` (often none), or what it raised."""


class Runner:
    """Runs what the workers of one consumer take. Belongs to one event loop."""

    def __init__(
        self, terms: Terms, clock: Clock, lanes: Lanes[Held], outbox: Outbox, settler: Settler, threads: Executor
    ) -> None:
        self._terms = terms
        self._clock = clock
        self._lanes = lanes
        self._outbox = outbox
        self._settler = settler
        self._threads = threads
        self._label = f"handler {terms.name}"
        self._asks = any(call.asks for call in terms.calls.values())
        self.stopping = False

    def verdict(self, held: Held, error: BaseException) -> Verdict:
        """What becomes of a delivery whose handler raised."""
        return verdict(error, held.received.failed, self._terms.retry, random.random())

    # ---- one by one -----------------------------------------------------------------------------------------------

    async def run(self, taken: Sequence[Held]) -> list[Held]:
        """Run a slice in order; gives back what of it did not run."""
        if self._asks:
            await self._ask(taken)
        left = deque(taken)
        with self._clock.busy(self._label):
            while left and not self.stopping and not self._outbox.full:
                if call_of(left[0]).handler.is_async:
                    left = await self._run_first(left)
                else:
                    left = await self._run_hop(left)
        return list(left)

    async def _run_first(self, left: deque[Held]) -> deque[Held]:
        held = left.popleft()
        call = call_of(held)
        given: Given
        try:
            message = self._message(held) if call.wants_message else None
            given = self._records(call, await call.run(held.outcome, message, answers_of(held)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is for the verdict to judge
            given = Raised(error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            given = Raised(error)
        found = self._conclude(held, given)
        return left if found is None else self._give_up(held, found, left)

    def _records(self, call: Call, result: object) -> Sequence[Record]:
        """What a handler returned, as records for its `to`; may be called in a thread."""
        to = call.handler.to
        events = () if result is None else call.handler.outputs(result)
        return to.writer(self._terms.source).records(events) if to is not None and events else ()

    def _conclude(self, held: Held, given: Given) -> Verdict | None:
        """Hand on what a handler gave; or what becomes of the delivery when it is not done."""
        if held.settled:
            if isinstance(given, Raised):
                # The event is done with and cannot come again: this is all that anybody will hear of it.
                logger.error("%s: failed after it was acknowledged", self._terms.name, exc_info=given.error)
            elif given:
                self._hand_on([], call_of(held), given)
            return None
        if held.verdict is not None:
            return held.verdict
        if isinstance(given, Raised):
            return self.verdict(held, given.error)
        self._hand_on([held], call_of(held), given)
        return None

    def _hand_on(self, done: Sequence[Held], call: Call, records: Sequence[Record]) -> None:
        to = call.handler.to
        self._outbox.done(done, to.name if to is not None else None, records)

    def _give_up(self, held: Held, found: Verdict, left: deque[Held]) -> deque[Held]:
        """Give a delivery up. Those behind it with the same key wait until that is on record; gives the others."""
        key = held.key
        if key is not None:
            self._lanes.block(key, [other for other in left if other.key == key])
            left = deque(other for other in left if other.key != key)
        self._outbox.give_up(held, found)
        return left

    def _message(self, held: Held) -> Message[Any]:
        return message_of(held.outcome, held.origin, self._settler)

    # ---- in a thread ----------------------------------------------------------------------------------------------

    async def _run_hop(self, left: deque[Held]) -> deque[Held]:
        """Run plain functions in a thread: those at the front, as many as a hop may take or has time for."""
        hop: list[Held] = []
        while left and len(hop) < HANDLER_BATCH_DELIVERIES and not call_of(left[0]).handler.is_async:
            hop.append(left.popleft())
        messages = [self._message(held) if call_of(held).wants_message else None for held in hop]
        results = await self._in_thread(self._hop, hop, messages)
        left.extendleft(reversed(hop[len(results) :]))
        for at, given in enumerate(results):
            if isinstance(given, NotRun):
                continue
            found = self._conclude(hop[at], given)
            if found is not None:
                skipped = [
                    other for other, late in zip(hop[at:], results[at:], strict=False) if isinstance(late, NotRun)
                ]
                left.extendleft(other for other in reversed(skipped) if other.key == hop[at].key)
                left = self._give_up(hop[at], found, left)
        return left

    def _hop(self, hop: Sequence[Held], messages: Sequence[Any]) -> "list[Given | NotRun]":
        """Call plain functions one after the other, until the hop has taken long enough. Runs in a thread."""
        until_ms = self._clock.monotonic_ms() + HANDLER_BATCH_MS
        failed: set[bytes] = set()
        results: list[Given | NotRun] = []
        for held, message in zip(hop, messages, strict=True):
            if held.key is not None and held.key in failed:
                results.append(NotRun())
                continue
            given = self._call_plain(held, message)
            results.append(given)
            if held.key is not None and (isinstance(given, Raised) or held.verdict is not None):
                failed.add(held.key)
            if self._clock.monotonic_ms() >= until_ms:
                break
        return results

    def _call_plain(self, held: Held, message: Message[Any] | None) -> Given:
        call = call_of(held)
        try:
            return self._records(call, call.run(held.outcome, message, answers_of(held)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is for the verdict to judge
            return Raised(error)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    # ---- lists ----------------------------------------------------------------------------------------------------

    async def run_list(self, taken: Sequence[Held]) -> list[Held]:
        """Run a list handler; when it raises, with each event by itself. Gives back what did not run."""
        if self._asks:
            await self._ask(taken)
        with self._clock.busy(self._label):
            given = await self._call_list(taken)
            if not isinstance(given, Raised):
                self._conclude_list(taken, given)
                return []
            if len(taken) == 1:
                found = self._conclude(taken[0], given)
                if found is not None:
                    self._give_up(taken[0], found, deque())
                return []
            logger.warning(
                "%s: a list of %d failed, now one by one", self._terms.name, len(taken), exc_info=given.error
            )
            return await self._run_apart(taken)

    async def _call_list(self, taken: Sequence[Held]) -> Given:
        call = call_of(taken[0])
        messages = [self._message(held) for held in taken] if call.wants_message else None
        events = [held.outcome for held in taken]
        try:
            answers = [list(each) for each in zip(*map(answers_of, taken), strict=True)]
            if call.handler.is_async:
                return self._records(call, await call.run(events, messages, answers))
            return self._records(call, await self._in_thread(call.run, events, messages, answers))
        except Exception as error:  # noqa: BLE001 - see _run_first
            return Raised(error)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            return Raised(error)

    def _conclude_list(self, taken: Sequence[Held], records: Sequence[Record]) -> None:
        """Hand on what a list gave; those of it that the handler refused one by one do not go along."""
        refused = [held for held in taken if held.verdict is not None and not held.settled]
        self._hand_on([held for held in taken if held.verdict is None and not held.settled], call_of(taken[0]), records)
        for held in refused:
            if self._lanes.is_blocked(held.key):
                # An earlier event of its key was refused too: this one goes back uncounted with those behind it.
                held.verdict, held.key = Back(0, "an earlier event of its key was refused"), None
            self._give_up(held, held.verdict or Back(0, ""), deque())

    async def _run_apart(self, taken: Sequence[Held]) -> list[Held]:
        left, in_a_row = deque(taken), 0
        while left and not self.stopping and in_a_row < FAILURES_IN_A_ROW:
            held = left.popleft()
            found = self._conclude(held, await self._call_list([held]))
            in_a_row = 0 if found is None else in_a_row + 1
            if found is not None:
                left = self._give_up(held, found, left)
        if in_a_row < FAILURES_IN_A_ROW:
            return list(left)
        later = Back(self._terms.retry.delay_ms(1, random.random()), f"{in_a_row} events of its list failed in a row")
        while left:
            left = self._give_up(left.popleft(), later, left)
        return []

    # ---- questions ------------------------------------------------------------------------------------------------

    async def _ask(self, taken: Sequence[Held]) -> None:
        """Get the answers that the handlers of a slice ask for, side by side."""
        asking = [held for held in taken if call_of(held).asks]
        found = await asyncio.gather(*map(ask_for, asking), return_exceptions=True)
        for held, answers in zip(asking, found, strict=True):
            if isinstance(answers, BaseException) and not isinstance(answers, Exception):
                raise answers
            held.answers = Raised(answers) if isinstance(answers, Exception) else answers


async def ask_for(held: Held) -> list[Any]:
    """The answers about one event, in the order of its handler's questions."""
    return [await asks[type(held.outcome)].answer(held.outcome, held.origin) for asks in call_of(held).asks]


def answers_of(held: Held) -> Sequence[Any]:
    """The answers that were asked for. Raises what asking for them raised."""
    if isinstance(held.answers, Raised):
        raise held.answers.error
    return held.answers


def call_of(held: Held) -> Call:
    """The handler of a delivery."""
    if held.call is None:
        raise InvariantError("a delivery that no handler takes is about to be run")
    return held.call


def is_cancelled() -> bool:
    """Whether the running task is being cancelled, and not something in it that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
