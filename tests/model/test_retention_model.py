"""Retention against the plainest reading of its rules, on a journal that rolls, trims, removes and opens again."""

import asyncio
from collections.abc import Awaitable
from typing import Final, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from isthmus.definition import TopicConfig
from isthmus.log import format as form
from isthmus.log import retention
from isthmus.log.partition import Partition
from support.log_world import SMALL, JournalWorld, Make, Trim, batch_of, check_outcome, pid
from support.sim_storage import SimStorage

T = TypeVar("T")
P: Final = pid(1)
AGES: Final = st.none() | st.sampled_from([0, 2_000, 10_000, 60_000])


class Batch(NamedTuple):
    """A batch as the model remembers it."""

    base: int
    end: int
    append_ms: int
    size: int


def naive_log_start(
    config: TopicConfig, partition: Partition, batches: list[Batch], consumed_to: int | None, now_ms: int
) -> int:
    """Each rule by itself, then the bounds: the same as the text of the design says, without any economy."""
    held = [batch for batch in batches if batch.end > partition.log_start]

    def end_of_older_than(limit_ms: int | None) -> int:
        old = [batch.end for batch in held if limit_ms is not None and now_ms - batch.append_ms >= limit_ms]
        return max(old, default=partition.log_start)

    by_size = partition.log_start
    left = partition.bytes
    for batch in held:
        if config.size_bytes is not None and left > config.size_bytes:
            by_size = batch.end
        left -= batch.size
    consumed = consumed_to if config.consumed and consumed_to is not None else partition.log_start
    wanted = max(end_of_older_than(config.age_ms), by_size, consumed, end_of_older_than(config.ceiling_ms))
    if config.floor_ms is not None:
        wanted = min(wanted, end_of_older_than(config.floor_ms))
    return max(partition.log_start, min(wanted, partition.high_watermark))


class RetentionMachine(RuleBasedStateMachine):
    """One partition and the rules of its topic, which change from look to look."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = JournalWorld(SimStorage())
        self.batches: list[Batch] = []

    def run(self, work: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await work

        return self.runner.run(wrapped())

    @property
    def partition(self) -> Partition:
        """As it is in this life."""
        return self.world.journal.partitions[P]

    @initialize()
    def begin(self) -> None:
        self.run(self.world.open())
        self.run(self._put(Make(1, 1, "fsync")))

    def teardown(self) -> None:
        self.runner.close()

    async def _put(self, op: Make | Trim) -> None:
        await self.world.put(op)

    @rule(count=st.integers(1, 3), size=st.sampled_from([20, 500, 2500]), times=st.integers(1, 4))
    def append(self, count: int, size: int, times: int) -> None:
        for _ in range(times):
            op = self.world.append(P, count=count, size=size)
            base, now_ms = self.partition.high_watermark, self.world.clock.now_ms()

            async def put(op: object = op) -> None:
                await self.world.put(op)  # type: ignore[arg-type]  # bound now, not when it runs

            self.run(put())
            length = form.entry_length(1, len(batch_of(op.values)))
            self.batches.append(Batch(base, base + count, now_ms, length))

    @rule(ms=st.sampled_from([1_000, 5_000, 30_000, 200_000]))
    def pass_time(self, ms: int) -> None:
        # Never less than a second: that is how fine the journal remembers.
        self.run(self.world.clock.advance(ms))

    @rule(
        config=st.builds(
            TopicConfig,
            age_ms=AGES,
            size_bytes=st.none() | st.sampled_from([0, 700, 3_000, 20_000]),
            consumed=st.booleans(),
            floor_ms=st.none() | st.sampled_from([0, 1_000, 2_000]),
            ceiling_ms=st.none() | st.sampled_from([2_000, 10_000, 100_000]),
        ),
        share=st.none() | st.floats(0, 1),
    )
    def look(self, config: TopicConfig, share: float | None) -> None:
        partition, now_ms = self.partition, self.world.clock.now_ms()
        span = partition.high_watermark - partition.log_start
        consumed_to = None if share is None else partition.log_start + int(share * span)

        got = self.run(retention.new_log_start(partition, config, now_ms=now_ms, consumed_to=consumed_to))

        expected = naive_log_start(config, partition, self.batches, consumed_to, now_ms)
        assert (got.log_start if got else partition.log_start) == expected, got
        if got is not None:
            assert got.reason in ("age", "size", "consumed", "ceiling")
            self.run(self._put(Trim(P, got.log_start)))

    @rule(checkpoints=st.integers(0, 2), seal=st.booleans())
    def clean(self, checkpoints: int, seal: bool) -> None:
        async def clean() -> None:
            journal = self.world.journal
            if seal:
                await retention.seal_dead_active(journal)
            for _ in range(checkpoints):
                await self.world.checkpoint()
            await retention.remove(journal, retention.removable(journal))

        self.run(clean())
        if checkpoints == 2:
            # A checkpoint itself may have filled the segment that it began in: then only the next covers that.
            journal = self.world.journal
            assert [each for each in retention.dead_segments(journal) if each.end_lsn <= journal.covered_lsn] == []

    @rule(kill=st.booleans())
    def open_again(self, kill: bool) -> None:
        if kill:
            self.world.kill()
            self.run(self.world.open())
        else:
            self.run(self.world.reopen())

    @rule()
    def everything_that_is_kept_can_be_read(self) -> None:
        self.run(check_outcome(self.world.store, self.world.history))

    @invariant()
    def the_disk_holds_little_more_than_what_is_kept(self) -> None:
        segments = self.world.journal.segments
        live = [segment for segment in segments[:-1] if segment not in retention.dead_segments(self.world.journal)]
        for segment in live:
            bounds = segment.bounds(P)
            assert bounds is not None, "a segment without a record is not live"
            assert bounds[1] > self.partition.log_start, "nor is one whose records are trimmed"
        assert sum(segment.size_bytes for segment in live) <= self._kept_bytes() + 2 * SMALL.segment_bytes

    def _kept_bytes(self) -> int:
        kept = [batch for batch in self.batches if batch.end > self.partition.log_start]
        overhead = 200  # group header, the batch's share of facts and marks
        return sum(batch.size + overhead for batch in kept) + 400 * len(self.world.history.units)


RetentionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestRetention = RetentionMachine.TestCase
