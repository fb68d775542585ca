"""From deliveries to handler runs: one consumer of an app, from `receive` to the outbox.

It says who runs when: `Runner` runs, `Lanes` keep the order of keys, the `Outbox` settles, `Holding` renews leases.

Theory of operation
-------------------
One task receives. `workers` tasks take slices from the lanes and run them one after the other, so no task is made for
an event. What a handler finished goes to the outbox, which sends when the loop gets round to it: a burst of quick
handlers becomes one unit. Plain functions run in a thread, many deliveries a hop. Stopping ends the receiving first,
lets running handlers finish, and hands back whatever did not run.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from isthmus.client.event import event_type, type_of_block
from isthmus.client.handler import Call
from isthmus.client.held import Held, Holding
from isthmus.client.lanes import Lanes
from isthmus.client.metrics import ConsumerCounts
from isthmus.client.outbox import Outbox, logger
from isthmus.client.running import Runner, Terms
from isthmus.client.verdict import Dead, Verdict, refused, undecodable
from isthmus.client.window import Window
from isthmus.clock import Clock, wait_own
from isthmus.engines.base import Engine, Received, Source
from isthmus.errors import EngineError, LeaseLost, RequestError
from isthmus.limits import (
    ENRICH_CONCURRENCY,
    HANDLER_BATCH_DELIVERIES,
    HELD_BYTES_MAX,
    HELD_EVENTS_MAX,
    READ_BYTES_TARGET,
    READ_WAIT_MS,
)

STOCK: Final = 16
"""Deliveries that a consumer keeps at hand before it knows how fast its handlers are."""

PAUSE_MS: Final = 1_000
"""Pause before receiving again when the engine's connection failed."""


class Consumer:
    """See the module text. Belongs to one event loop; it settles the messages that its handlers get.

    `failed` is called with any error that is not a handler's.
    """

    def __init__(
        self,
        terms: Terms,
        engine: Engine,
        source: Source,
        counts: ConsumerCounts,
        threads: Executor,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._terms = terms
        self._clock: Clock = engine.clock
        self._source = source
        self._failed = failed
        self._lanes: Lanes[Held] = Lanes(lambda held: held.key, parallel=terms.ordered and terms.workers > 1)
        self._holding = Holding(source, engine.clock, terms.lease_ms, self._drop_lost, failed)
        self._outbox = Outbox(
            terms.name,
            engine,
            source,
            self._lanes,
            self._holding,
            counts,
            compression=terms.compression,
            refused=self._verdict,
            wake=self._wake,
            failed=failed,
        )
        self._runner = Runner(terms, engine.clock, self._lanes, self._outbox, self, threads)
        self._window = window_of(terms)
        self._slice = slice_of(terms)
        self._idle: deque[asyncio.Future[object]] = deque()
        self._resting: set[asyncio.Task[Any] | None] = set()
        self._hurried = False
        self._oldest_ms = 0
        self._receiver: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []

    # ---- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Receive and handle from now on."""
        self._receiver = self._supervised(self._receive(), "receive")
        work = self._work if self._terms.batch is None else self._work_lists
        self._workers = [self._supervised(work(), f"worker {number}") for number in range(self._terms.workers)]

    async def stop(self, until_ms: int) -> None:
        """Receive no more, let running handlers finish until then (monotonic), and hand back the rest."""
        self._runner.stopping = True
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.wait({self._receiver})
        await self._release_waiting()
        await self._stop_workers(until_ms)
        await self._release_waiting()
        if self._outbox.busy:
            await self._within(until_ms, [self.loop.create_task(self._outbox.flush())])
        await self._outbox.close()
        await self._holding.close()
        if left := self._holding.all():
            await self._outbox.release(left)
        await self._source.close()

    async def _stop_workers(self, until_ms: int) -> None:
        """End those that have nothing to do, and wait for those that run something."""
        resting = [task for task in self._resting if task is not None]
        for worker in resting:
            worker.cancel()
        if resting:
            await asyncio.wait(resting)
        running = [worker for worker in self._workers if not worker.done()]
        if running and not await self._within(until_ms, running):
            logger.warning("%s: handlers were cancelled, the time to stop was over", self._terms.name)

    async def _within(self, until_ms: int, tasks: "Sequence[asyncio.Task[None]]") -> bool:
        """Wait for tasks until then, and cancel those that are left; whether there were none."""
        ended: asyncio.Future[Any] = asyncio.gather(*tasks, return_exceptions=True)
        in_time = await self._clock.wait(ended, until_ms)
        if not in_time:
            ended.cancel()
            await asyncio.wait(tasks)
        return in_time

    def hurry(self) -> bool:
        """Let a list that waits for company run now; says whether there was one."""
        waits = self._terms.batch is not None and bool(self._lanes) and bool(self._idle)
        if waits:
            self._hurried = True
            self._wake_all()
        return waits

    def _supervised(self, work: Coroutine[Any, Any, None], what: str) -> "asyncio.Task[None]":
        task = self.loop.create_task(work, name=f"isthmus {self._terms.name} {what}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed(error)

    async def _release_waiting(self) -> None:
        waiting = self._lanes.clear()
        if waiting:
            await self._outbox.release(waiting)

    # ---- receiving ------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            wanted = await self._room()
            try:
                received = await self._source.receive(wanted, READ_BYTES_TARGET, READ_WAIT_MS)
            except EngineError as error:
                if not error.retryable:
                    raise
                logger.warning("%s: receiving waits: %s", self._terms.name, error)
                await self._clock.sleep_until(self._clock.monotonic_ms() + PAUSE_MS)
            else:
                if received:
                    self._arrived(received)

    async def _room(self) -> int:
        """Wait until there is room for more; for how many."""
        holding, window = self._holding, self._window
        if len(holding) >= window.size:
            since_ms = self._clock.monotonic_ms()
            while not window.ask(len(holding)):
                await self._outbox.next_round()
            window.used_up(self._clock.monotonic_ms() - since_ms)
        while holding.size_bytes > HELD_BYTES_MAX or not window.ask(len(holding)):
            await self._outbox.next_round()
        return window.ask(len(holding))

    def _arrived(self, received: Sequence[Received]) -> None:
        calls, ordered = self._terms.calls, self._terms.ordered
        outcomes = self._terms.decode([each.stored for each in received])
        arrived: list[Held] = []
        passed: list[Held] = []
        for each, outcome in zip(received, outcomes, strict=True):
            call = calls.get(type(outcome)) or self._call_for_tombstone(outcome, each)
            if call is not None:
                arrived.append(Held(each, each, outcome, call, each.stored.key if ordered else None))
            else:
                passed.append(Held(each, each, outcome, None, None))
        self._holding.add(arrived)
        self._pass_over(passed)
        if not self._lanes:
            self._oldest_ms = self._clock.monotonic_ms()
        self._lanes.add(arrived)
        self._clock.stir()
        self._wake()

    def _call_for_tombstone(self, outcome: object, received: Received) -> Call | None:
        """The handler of its type when a header names that, else the first that takes tombstones at all."""
        if outcome is not None:
            return None
        named = type_of_block(received.stored.headers)
        if named is None:
            return self._terms.tombstones
        call = next((call for event, call in self._terms.calls.items() if event_type(event) == named), None)
        return call if call is not None and call.handler.takes_tombstones else None

    def _pass_over(self, passed: Sequence[Held]) -> None:
        """What no handler takes is settled and counted; what is no event goes to the dead letters."""
        if not passed:
            return
        self._holding.add(passed)
        skipped: list[Held] = []
        for held in passed:
            if isinstance(held.outcome, RequestError):
                self._outbox.give_up(held, undecodable(held.outcome))
            else:
                skipped.append(held)
        if skipped:
            self._outbox.skip(skipped)

    def _drop_lost(self) -> None:
        """Some leases are lost: what of them did not run yet is forgotten, what runs is refused when it is settled."""
        lost = self._lanes.discard(lambda held: held.lost)
        self._outbox.stale(lost)

    # ---- workers --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        in_a_row = 0
        while not self._runner.stopping:
            await self._outbox.room()
            taken = self._lanes.take(self._share())
            if not taken:
                await self._rest(None)
                continue
            rest = await self._runner.run(taken)
            self._lanes.finish(taken, rest)
            self._wake()
            in_a_row += len(taken)
            if in_a_row >= HANDLER_BATCH_DELIVERIES:
                # Handlers that never wait must not keep everybody else from running.
                await asyncio.sleep(0)
                in_a_row = 0

    def _share(self) -> int:
        """How many to take: all workers should have something to do."""
        workers = self._terms.workers
        return self._slice if workers == 1 else max(1, min(self._slice, len(self._lanes) // workers))

    async def _work_lists(self) -> None:
        batch = self._terms.batch or 1
        while not self._runner.stopping:
            await self._outbox.room()
            now_ms, due_ms = self._clock.monotonic_ms(), self._oldest_ms + self._terms.wait_ms
            if len(self._lanes) < batch and not self._hurried and (not self._lanes or now_ms < due_ms):
                await self._rest(due_ms if self._lanes else None)
                continue
            taken = self._lanes.take(batch)
            self._hurried, self._oldest_ms = False, now_ms
            if taken:
                rest = await self._runner.run_list(taken)
                self._lanes.finish(taken, rest)
                self._wake()
            await asyncio.sleep(0)

    async def _rest(self, until_ms: int | None) -> None:
        """Wait to be woken, or until then."""
        waiter: asyncio.Future[object] = self.loop.create_future()
        task = asyncio.current_task()
        self._idle.append(waiter)
        self._resting.add(task)
        try:
            await wait_own(self._clock, waiter, until_ms)
        finally:
            self._resting.discard(task)
            if waiter in self._idle:
                self._idle.remove(waiter)

    def _wake(self) -> None:
        """Wake as many workers as there may be work for."""
        for _ in range(min(len(self._lanes), len(self._idle))):
            self._wake_first()

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_first()

    def _wake_first(self) -> None:
        waiter = self._idle.popleft()
        if not waiter.done():  # else its time is up in this very turn, and it looks for work by itself
            waiter.set_result(None)

    def _verdict(self, held: Held, error: BaseException) -> Verdict:
        return self._runner.verdict(held, error)

    # ---- settling one, see `Settler` ------------------------------------------------------------------------------

    async def ack(self, received: Received) -> None:
        """Settle one now. Raises LeaseLost, StaleGeneration."""
        await self._outbox.acknowledge(self._found(received))

    async def nack(self, received: Received, delay_ms: int | None) -> None:
        """Count a failure of it once its handler has returned."""
        held = self._found(received)
        held.verdict = refused(held.received.failed, self._terms.retry, random.random(), delay_ms)

    async def reject(self, received: Received, why: str) -> None:
        """Move it to the dead letters once its handler has returned."""
        self._found(received).verdict = Dead(why)

    async def extend(self, received: Received, lease_ms: int) -> None:
        """Renew its lease. Raises LeaseLost."""
        await self._holding.extend(self._found(received), lease_ms)

    def _found(self, received: Received) -> Held:
        held = self._holding.find(received)
        if held is None or held.settled:
            raise LeaseLost(self._terms.name, received.partition, received.stored.offset)
        return held


def window_of(terms: Terms) -> Window:
    """How much a consumer keeps at hand: two lists, or what its handlers get through in a fraction of a second."""
    if terms.batch is not None:
        stock = 2 * terms.batch * terms.workers
        return Window(stock, stock, stock)
    return Window(STOCK, 2 * terms.workers, HELD_EVENTS_MAX)


def slice_of(terms: Terms) -> int:
    """How many deliveries a worker takes at a time.

    A plain function's hop carries many. On the loop a single worker takes many too, but of those whose handlers ask
    questions only as many as can be asked side by side; with several workers each takes one, so that none waits behind
    a slow one while another worker is idle.
    """
    handlers = {call.handler for call in terms.calls.values()}
    if terms.workers > 1 and any(handler.is_async for handler in handlers):
        return 1
    if any(call.asks for call in terms.calls.values()):
        return ENRICH_CONCURRENCY
    return HANDLER_BATCH_DELIVERIES
