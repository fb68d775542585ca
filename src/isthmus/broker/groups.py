"""Consumer groups as callers meet them: joins and syncs wait here until the group's state machine answers.

The machine (`lenses/stream/group.py`) decides; this file keeps who waits, calls it when a deadline passes, and tells
members of this process that a rebalance has begun.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable

from isthmus.clock import Clock, Timer
from isthmus.errors import Closed, InvariantError
from isthmus.lenses.stream.membership import Failed, Join, Joined, Reply, State, Sync, Synced
from isthmus.lenses.stream.offsets import ConsumerGroup


class Coordinator:
    """The waiting side of all groups of one broker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Joined | Synced]] = {}
        self._timers: dict[int, Timer] = {}
        self._watchers: dict[int, list[Callable[[], None]]] = {}
        self._closed = False

    async def join(self, group: ConsumerGroup, ask: Join) -> Joined:
        """Be part of the next generation; waits for the others.

        Raises:
            RequestError: the group refused, now or later.
            Closed: the broker was closed.
        """
        request = next(self._requests)
        reply = await self._wait(group, request, lambda now: group.members.join(request, ask, now))
        if not isinstance(reply, Joined):
            raise InvariantError(f"a join was answered with {type(reply).__name__}")
        return reply

    async def sync(self, group: ConsumerGroup, ask: Sync) -> Synced:
        """Fetch the member's assignment; waits for the leader's.

        Raises:
            RequestError: the group refused, now or later.
            Closed: the broker was closed.
        """
        request = next(self._requests)
        reply = await self._wait(group, request, lambda now: group.members.sync(request, ask, now))
        if not isinstance(reply, Synced):
            raise InvariantError(f"a sync was answered with {type(reply).__name__}")
        return reply

    def heartbeat(self, group: ConsumerGroup, member: str, generation: int, instance: str | None = None) -> None:
        """Say that a member lives.

        Raises:
            RebalanceInProgress: it must join again.
            UnknownMember, StaleGeneration, FencedInstance, UnknownGroup: see `Group.heartbeat`.
            Closed: the broker was closed.
        """
        self._check_open()
        group.members.heartbeat(member, generation, self._clock.monotonic_ms(), instance)
        self._touch(group)

    def leave(self, group: ConsumerGroup, member: str, instance: str | None = None) -> None:
        """A member goes; the others share its partitions. Nobody is left when the broker was closed.

        Raises:
            UnknownMember, FencedInstance, UnknownGroup: see `Group.leave`.
        """
        if not self._closed:
            self._after(group, group.members.leave(member, self._clock.monotonic_ms(), instance))

    def watch(self, group: ConsumerGroup, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when a rebalance of the group is under way; returns how to stop that."""
        self._watchers.setdefault(group.id, []).append(callback)

        def unwatch() -> None:
            watchers = self._watchers.get(group.id, [])
            if callback in watchers:
                watchers.remove(callback)
            if not watchers:
                self._watchers.pop(group.id, None)

        return unwatch

    def close(self) -> None:
        """Refuse all that wait, and all that come."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Closed("the broker"))
        self._waiting.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the broker")

    async def _wait(self, group: ConsumerGroup, request: int, ask: Callable[[int], list[Reply]]) -> Joined | Synced:
        self._check_open()
        future: asyncio.Future[Joined | Synced] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        try:
            self._after(group, ask(self._clock.monotonic_ms()))
            return await future
        finally:
            self._waiting.pop(request, None)

    def _after(self, group: ConsumerGroup, replies: Iterable[Reply]) -> None:
        for reply in replies:
            future = self._waiting.get(reply.request)
            if future is None or future.done():
                continue
            if isinstance(reply, Failed):
                future.set_exception(reply.error)
            else:
                future.set_result(reply)
        self._clock.stir()
        if group.members.state is State.PREPARING:
            for callback in tuple(self._watchers.get(group.id, ())):
                callback()
        self._touch(group)

    def _touch(self, group: ConsumerGroup) -> None:
        """Set the timer for the group's next deadline."""
        timer = self._timers.pop(group.id, None)
        if timer is not None:
            timer.cancel()
        group.active_ms = self._clock.now_ms()
        deadline_ms = group.members.next_deadline_ms()
        if deadline_ms is not None:
            self._timers[group.id] = self._clock.timer(deadline_ms, lambda: self._expire(group))

    def _expire(self, group: ConsumerGroup) -> None:
        self._timers.pop(group.id, None)
        self._after(group, group.members.expire(self._clock.monotonic_ms()))
