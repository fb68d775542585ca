"""What handlers are done with, on its way to the engine: outputs and settlements together, in few units.

Whatever is finished when a unit can be sent goes into it, and one unit is under way at a time: so batches form by
themselves while the disk works, and a lone delivery does not wait. It runs no handler and decides no verdict.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec import Struct

from isthmus.client.held import STALE, Held, Holding
from isthmus.client.lanes import Lanes
from isthmus.client.metrics import ConsumerCounts
from isthmus.client.verdict import Again, Back, Dead, Verdict
from isthmus.engines.base import Engine, Source
from isthmus.errors import EngineError, Overloaded, RequestError, StorageFull
from isthmus.limits import OUTPUT_BYTES_MAX
from isthmus.record import Record

PAUSE_FIRST_MS: Final = 50
PAUSE_MAX_MS: Final = 5_000
"""Pauses between attempts to send when the engine has no room."""

logger: Final = logging.getLogger("isthmus")


class Finished(Struct, gc=False):
    """One handler run that is done: what it was about, and what it gave for which destination."""

    deliveries: Sequence[Held]
    to: str | None = None
    records: Sequence[Record] = ()
    skipped: bool = False


class Outbox:
    """The outbox of one consumer. Belongs to one event loop.

    `refused` decides what becomes of a delivery whose outputs the engine refuses; `wake` is called when something may
    run again; `failed` when sending ended in an error that nobody here can deal with.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        source: Source,
        lanes: Lanes[Held],
        holding: Holding,
        counts: ConsumerCounts,
        *,
        compression: str,
        refused: Callable[[Held, RequestError], Verdict],
        wake: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._name = name
        self._engine = engine
        self._clock = engine.clock
        self._source = source
        self._lanes = lanes
        self._holding = holding
        self._counts = counts
        self._compression = compression
        self._refused = refused
        self._wake = wake
        self._failed = failed
        self._finished: list[Finished] = []
        self._given_up: list[tuple[Held, Verdict]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._output_bytes = 0

    # ---- what comes in ------------------------------------------------------------------------------------------

    def done(self, deliveries: Sequence[Held], to: str | None = None, records: Sequence[Record] = ()) -> None:
        """Deliveries that a handler finished, with what it gave; they are settled and published together."""
        self._finished.append(Finished(deliveries, to, records))
        if records:
            self._output_bytes += bytes_of(records)
        self._kick()

    def skip(self, deliveries: Sequence[Held]) -> None:
        """Deliveries that no handler takes."""
        self._finished.append(Finished(deliveries, skipped=True))
        self._kick()

    def give_up(self, held: Held, verdict: Verdict) -> None:
        """A delivery that was not finished. Its key, if it has one, is blocked in the lanes and freed by this."""
        self._given_up.append((held, verdict))
        self._kick()

    @property
    def full(self) -> bool:
        """Whether outputs pile up, so that handlers should wait."""
        return self._output_bytes > OUTPUT_BYTES_MAX

    @property
    def busy(self) -> bool:
        """Whether something is not with the engine yet."""
        return self._task is not None

    async def room(self) -> None:
        """Wait until outputs do not pile up."""
        while self.full:
            await self.next_round()

    async def flush(self) -> None:
        """Wait until all that came in is with the engine."""
        while self._task is not None:
            await self.next_round()

    async def acknowledge(self, held: Held) -> None:
        """Settle one delivery by itself, now. Raises LeaseLost, StaleGeneration."""
        finished = Finished([held])
        held.settled = True
        try:
            await self._submit([finished])
        except STALE as error:
            self.stale([held], error)
            raise
        self._settled([finished])
        self._wake_waiting()

    async def close(self) -> None:
        """Stop sending, whatever is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    # ---- rounds -------------------------------------------------------------------------------------------------

    def _kick(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._finished or self._given_up:
            finished, self._finished = self._finished, []
            given_up, self._given_up = self._given_up, []
            work = [self._carry_out(held, verdict) for held, verdict in given_up]
            if finished:
                work.append(self._settle(finished))
                self._output_bytes -= sum(bytes_of(each.records) for each in finished if each.records)
            await all_of(work)
            self._clock.stir()
            self._wake_waiting()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)
        elif self._finished or self._given_up:
            self._kick()
        if self._task is None:
            self._wake_waiting()

    async def next_round(self) -> None:
        """Wait until something more is settled."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # ---- what was finished --------------------------------------------------------------------------------------

    async def _settle(self, finished: list[Finished]) -> None:
        """One unit for all; when that is refused, one for each, so that only those go that are to blame."""
        try:
            await self._submit(finished)
        except RequestError:
            for each in finished:
                await self._settle_alone(each)
        else:
            self._settled(finished)

    async def _settle_alone(self, each: Finished) -> None:
        try:
            await self._submit([each])
        except STALE as error:
            self.stale(each.deliveries, error)
        except RequestError as error:
            self._refuse(each, error)
        else:
            self._settled([each])

    async def _submit(self, finished: Sequence[Finished]) -> None:
        """Send one unit; tries again for as long as the engine just has no room.

        Raises:
            RequestError: it was refused, and nothing of it took place.
        """
        await self._patiently(lambda: self._submit_once(finished))

    async def _patiently(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it, and again after a pause for as long as the engine just has no room or no connection."""
        pause_ms = PAUSE_FIRST_MS
        while True:
            try:
                with self._clock.busy(f"settle {self._name}"):
                    await work()
                return
            except (Overloaded, StorageFull, EngineError) as error:
                if isinstance(error, EngineError) and not error.retryable:
                    raise
                logger.warning("%s: settling waits: %s", self._name, error)
            await self._clock.sleep_until(self._clock.monotonic_ms() + pause_ms)
            pause_ms = min(PAUSE_MAX_MS, pause_ms * 2)

    async def _submit_once(self, finished: Sequence[Finished]) -> None:
        unit = self._engine.unit()
        outputs: dict[str, list[Record]] = {}
        for each in finished:
            if each.to is not None and each.records:
                outputs.setdefault(each.to, []).extend(each.records)
        for name, records in outputs.items():
            unit.publish(name, records, None, self._compression)
        deliveries = [held.received for each in finished for held in each.deliveries]
        if deliveries:
            unit.settle(self._source, deliveries)
        await unit.submit()

    def _settled(self, finished: Sequence[Finished]) -> None:
        for each in finished:
            self._holding.forget(each.deliveries)
            if each.skipped:
                self._counts.skipped_types += len(each.deliveries)
            else:
                self._counts.handled += len(each.deliveries)

    def stale(self, deliveries: Sequence[Held], error: Exception | None = None) -> None:
        """Let go of deliveries that are somebody else's by now."""
        if not deliveries:
            return
        self._counts.stale += len(deliveries)
        self._holding.forget(deliveries)
        logger.warning("%s: %d deliveries went to another consumer meanwhile (%s)", self._name, len(deliveries), error)

    def _refuse(self, each: Finished, error: RequestError) -> None:
        """The engine does not take what the handler gave: that is a failure of its deliveries."""
        if not each.deliveries:
            raise error
        for held in each.deliveries:
            # Those behind it may run already, so its key is not held up by this.
            held.key = None
            self.give_up(held, self._refused(held, error))

    # ---- what was given up --------------------------------------------------------------------------------------

    async def _carry_out(self, held: Held, verdict: Verdict) -> None:
        goes_on = isinstance(verdict, Dead)
        try:
            await self._patiently(lambda: self._tell(held, verdict))
        except STALE as error:
            self.stale([held], error)
            goes_on = False
        self._holding.forget([held])
        if held.key is None:
            self._wake()
        elif goes_on:
            self._lanes.resume(held.key)
            self._wake()
        else:
            await self._hand_back(held.key)

    async def _tell(self, held: Held, verdict: Verdict) -> None:
        where = f"{held.received.topic}/{held.received.partition}/{held.received.stored.offset}"
        match verdict:
            case Again(delay_ms, reason):
                await self._source.fail([held.received], delay_ms, reason)
                self._counts.failed += 1
                logger.warning("%s: %s failed, again in %d ms: %s", self._name, where, delay_ms, reason)
            case Dead(reason, trace):
                await self._source.dead([held.received], reason, trace)
                self._counts.dead += 1
                logger.error("%s: %s is a dead letter: %s\n%s", self._name, where, reason, trace)
            case Back(delay_ms, reason):
                await self._source.release([held.received], delay_ms)
                self._counts.released += 1
                logger.info("%s: %s handed back for %d ms: %s", self._name, where, delay_ms, reason)

    async def _hand_back(self, key: bytes) -> None:
        """The source holds the key now: what waits behind goes back there, also what arrives while it does."""
        while behind := self._lanes.withheld(key):
            await self.release(behind)
        self._lanes.unblock(key)

    async def release(self, deliveries: Sequence[Held]) -> None:
        """Hand back what did not run, uncounted."""
        try:
            await self._patiently(lambda: self._source.release([held.received for held in deliveries]))
            self._counts.released += len(deliveries)
        except STALE as error:
            self.stale(deliveries, error)
        self._holding.forget(deliveries)


def bytes_of(records: Sequence[Record]) -> int:
    """Bytes of keys and values."""
    return sum(len(record.value or b"") + len(record.key or b"") for record in records)


async def all_of(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all to their ends, side by side, and then raise the first error there was."""
    if len(work) == 1:
        await work[0]
        return
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
