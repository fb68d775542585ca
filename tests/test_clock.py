"""Time that a test owns: what advances it, what a drain waits for, and what waiting costs when it is cancelled."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from isthmus import clock as clock_module
from isthmus.clock import MANUAL_START_MS, Clock, ManualClock, SystemClock, wait_own
from isthmus.errors import InvalidArgument, InvariantError


def both() -> list[Clock]:
    return [ManualClock(), SystemClock()]


class TestManualTime:
    async def test_time_stands_still_until_it_is_advanced(self) -> None:
        clock = ManualClock()

        await clock.drain()
        before = clock.now_ms(), clock.monotonic_ms()
        await clock.advance(1_500)

        assert before == (MANUAL_START_MS, 0)
        assert (clock.now_ms(), clock.monotonic_ms()) == (MANUAL_START_MS + 1_500, 1_500)

    async def test_time_does_not_go_back(self) -> None:
        with pytest.raises(InvalidArgument, match="does not go back"):
            await ManualClock().advance(-1)

    async def test_timers_fire_in_the_order_of_their_times_and_then_of_their_making(self) -> None:
        clock = ManualClock()
        fired: list[tuple[str, int]] = []
        for name, at_ms in [("late", 30), ("first", 10), ("second", 10), ("early", 5)]:
            clock.timer(at_ms, lambda name=name: fired.append((name, clock.monotonic_ms())))  # type: ignore[misc]

        await clock.advance(30)

        assert fired == [("early", 5), ("first", 10), ("second", 10), ("late", 30)]

    async def test_a_timer_beyond_the_end_of_an_advance_waits(self) -> None:
        clock = ManualClock()
        fired: list[int] = []
        clock.timer(11, lambda: fired.append(clock.monotonic_ms()))

        await clock.advance(10)
        after_ten = list(fired)
        await clock.advance(1)

        assert (after_ten, fired) == ([], [11])

    async def test_what_a_timer_starts_has_finished_before_the_next_timer_fires(self) -> None:
        clock = ManualClock()
        seen: list[str] = []

        async def work() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append("work of the first")

        tasks: list[asyncio.Task[None]] = []
        clock.timer(1, lambda: tasks.append(asyncio.ensure_future(work())))
        clock.timer(2, lambda: seen.append("second"))
        await clock.advance(2)

        assert seen == ["work of the first", "second"]

    async def test_a_timer_that_sets_the_next_one_is_followed_within_one_advance(self) -> None:
        clock = ManualClock()
        beats: list[int] = []

        def beat() -> None:
            beats.append(clock.monotonic_ms())
            clock.timer(clock.monotonic_ms() + 10, beat)

        clock.timer(10, beat)
        await clock.advance(35)

        assert beats == [10, 20, 30]

    async def test_a_cancelled_timer_does_not_fire(self) -> None:
        clock = ManualClock()
        fired: list[int] = []
        timer = clock.timer(5, lambda: fired.append(5))

        timer.cancel()
        timer.cancel()
        await clock.advance(10)

        assert fired == []

    async def test_a_timer_that_is_due_already_fires_without_time_passing(self) -> None:
        clock = ManualClock()
        fired: list[int] = []
        clock.timer(0, lambda: fired.append(0))

        at_once = list(fired)
        await clock.drain()

        assert (at_once, fired) == ([], [0])

    async def test_cancelled_timers_do_not_pile_up(self) -> None:
        clock = ManualClock()
        kept = [clock.timer(1_000, lambda: None) for _ in range(10)]

        for _ in range(10_000):
            clock.timer(60_000, lambda: None).cancel()

        assert len(clock._timers) <= 10 + 2 * clock_module.CANCELLED_TIMERS_MIN
        assert len(kept) == 10

    async def test_advancing_over_many_cancelled_timers_does_not_drain_for_each(self) -> None:
        clock = ManualClock()
        for at_ms in range(1, 50):
            clock.timer(at_ms, lambda: None).cancel()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(count())
        await clock.advance(100)
        task.cancel()

        assert turns <= 3 * clock_module.QUIET_TURNS


class TestDrain:
    async def test_a_drain_follows_a_chain_of_tasks_that_stir(self) -> None:
        clock = ManualClock()
        done: list[int] = []

        async def chain(left: int) -> None:
            for _ in range(clock_module.QUIET_TURNS - 1):
                await asyncio.sleep(0)
            clock.stir()
            done.append(left)
            if left:
                await chain(left - 1)

        task = asyncio.ensure_future(chain(5))
        await clock.drain()

        assert done == [5, 4, 3, 2, 1, 0]
        await task

    async def test_a_drain_waits_for_busy_work_in_a_thread(self) -> None:
        clock = ManualClock()
        gate, finished = threading.Event(), threading.Event()

        def work() -> None:
            with clock.busy("a handler"):
                entered.set()
                gate.wait()
                finished.set()

        entered = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            entered.wait()
            opener = asyncio.ensure_future(after_turns(2 * clock_module.QUIET_TURNS, gate.set))
            await clock.drain()
            assert finished.is_set()
            future.result()
            await opener

    async def test_a_drain_that_does_not_end_names_what_is_busy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock_module, "DRAIN_BUSY_MS", 20)
        clock = ManualClock()

        with (
            clock.busy("handler send_mail"),
            clock.busy("handler bill"),
            clock.busy("handler bill"),
            pytest.raises(InvariantError, match=r"not quiet after 0\.02 s: handler bill, handler send_mail$"),
        ):
            await clock.drain()

        await clock.drain()

    async def test_a_loop_that_never_rests_is_named_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock_module, "DRAIN_BUSY_MS", 20)
        clock = ManualClock()

        async def restless() -> None:
            while True:
                clock.stir()
                await asyncio.sleep(0)

        task = asyncio.ensure_future(restless())
        with pytest.raises(InvariantError, match="the loop"):
            await clock.drain()
        task.cancel()

    async def test_busy_work_that_sleeps_lets_time_pass(self) -> None:
        clock = ManualClock()
        woken_at: list[int] = []

        async def handler() -> None:
            with clock.busy("handler"):
                await clock.sleep_until(1_000)
                woken_at.append(clock.monotonic_ms())

        task = asyncio.ensure_future(handler())
        await clock.advance(5_000)

        assert woken_at == [1_000]
        await task

    async def test_busy_work_goes_on_counting_after_its_sleep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock_module, "DRAIN_BUSY_MS", 20)
        clock = ManualClock()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def handler() -> None:
            with clock.busy("handler that hangs"):
                await clock.sleep_until(1_000)
                await never

        task = asyncio.ensure_future(handler())
        await asyncio.sleep(0)
        with pytest.raises(InvariantError, match="handler that hangs"):
            await clock.advance(1_000)
        never.set_result(None)
        await task

    async def test_a_task_that_outlives_the_busy_block_it_was_started_in_hides_nobody_elses_work(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock_module, "DRAIN_BUSY_MS", 20)
        clock = ManualClock()
        with clock.busy("starter"):
            sleeper = asyncio.ensure_future(clock.sleep_until(10))
            await asyncio.sleep(0)

        with clock.busy("other"), pytest.raises(InvariantError, match="other"):
            await clock.drain()
        await clock.advance(10)

        assert sleeper.done()

    def test_busy_blocks_of_many_threads_are_all_counted_and_all_end(self) -> None:
        clock = ManualClock()
        stop = threading.Event()

        def work(number: int) -> None:
            while not stop.is_set():
                with clock.busy(f"worker {number}"):
                    clock.stir()

        async def drain_often() -> None:
            for _ in range(2_000):
                clock._busy_names()
            stop.set()
            await clock.drain()

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work, number) for number in range(4)]
            asyncio.run(drain_often())
            for future in futures:
                future.result()

        assert clock._busy_names() == []


class TestWaiting:
    @pytest.mark.parametrize("clock", both(), ids=["manual", "system"])
    async def test_waiting_for_a_future_that_is_done_returns_at_once(self, clock: Clock) -> None:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_result(1)

        assert await clock.wait(future, None)

    @pytest.mark.parametrize("clock", both(), ids=["manual", "system"])
    async def test_waiting_does_not_raise_what_the_future_failed_with(self, clock: Clock) -> None:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, ValueError("its own"))

        assert await clock.wait(future, None)
        assert isinstance(future.exception(), ValueError)

    async def test_waiting_ends_when_time_is_up_and_leaves_the_future_alone(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        waiter = asyncio.ensure_future(clock.wait(future, 100))
        await clock.advance(99)
        early = waiter.done()
        await clock.advance(1)

        assert (early, await waiter, future.done()) == (False, False, False)

    async def test_a_future_that_comes_in_time_cancels_the_timer(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        waiter = asyncio.ensure_future(clock.wait(future, 100))
        await clock.drain()
        future.set_result(None)

        assert await waiter
        assert clock._next_ms() is None

    async def test_cancelling_a_waiter_cancels_neither_the_future_nor_leaves_a_timer(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        waiter = asyncio.ensure_future(clock.wait(future, 100))
        await clock.drain()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

        assert not future.cancelled()
        assert clock._next_ms() is None
        assert await waiting_again(clock, future)

    async def test_a_cancelled_future_counts_as_done(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        waiter = asyncio.ensure_future(clock.wait(future, None))
        await clock.drain()
        future.cancel()

        assert await waiter

    async def test_cancelling_a_sleeper_leaves_no_timer(self) -> None:
        clock = ManualClock()

        sleeper = asyncio.ensure_future(clock.sleep_until(100))
        await clock.drain()
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper

        assert clock._next_ms() is None

    async def test_sleeping_until_a_time_that_has_passed_gives_others_a_turn(self) -> None:
        clock = ManualClock()
        turns: list[str] = []
        asyncio.get_running_loop().call_soon(turns.append, "other")

        await clock.sleep_until(0)

        assert turns == ["other"]


class TestSystemTime:
    async def test_it_tells_the_time_of_the_machine(self) -> None:
        clock = SystemClock()

        assert abs(clock.now_ms() - time.time() * 1000) < 5_000
        assert clock.monotonic_ms() <= clock.monotonic_ms()

    async def test_sleeping_and_timers_take_the_time_they_are_asked_for(self) -> None:
        clock = SystemClock()
        fired: list[int] = []
        start_ms = clock.monotonic_ms()
        clock.timer(start_ms + 5, lambda: fired.append(clock.monotonic_ms()))

        await clock.sleep_until(start_ms + 10)

        assert fired
        assert clock.monotonic_ms() >= start_ms + 10

    async def test_busy_and_stir_ask_nothing_of_real_time(self) -> None:
        clock = SystemClock()

        with clock.busy("anything"):
            clock.stir()


async def after_turns(turns: int, call: Callable[[], None]) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    call()


async def waiting_again(clock: Clock, future: "asyncio.Future[object]") -> bool:
    future.set_result(None)
    return await clock.wait(future, None)


class TestAFutureOfOnesOwn:
    @pytest.mark.parametrize("clock", both())
    async def test_the_waiter_goes_on_in_the_turn_after_it_is_done(self, clock: Clock) -> None:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiter = asyncio.ensure_future(wait_own(clock, future, None))
        await asyncio.sleep(0)

        future.set_result(None)
        await asyncio.sleep(0)

        assert waiter.done()
        assert waiter.result()

    async def test_it_is_done_when_time_is_up(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiter = asyncio.ensure_future(wait_own(clock, future, 1_000))

        await clock.advance(1_000)

        assert future.done()
        assert not await waiter

    async def test_it_is_cancelled_with_its_waiter_and_leaves_no_timer(self) -> None:
        clock = ManualClock()
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiter = asyncio.ensure_future(wait_own(clock, future, 1_000))
        await asyncio.sleep(0)

        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await clock.advance(2_000)

        assert future.cancelled()

    async def test_one_that_is_done_is_not_waited_for(self) -> None:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_result(None)

        assert await wait_own(ManualClock(), future, 0)
