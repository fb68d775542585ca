"""The journal against dictionaries and lists: whatever happens to it, readers see what the model says."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.errors import OffsetOutOfRange
from isthmus.log import retention
from support.log_world import (
    Append,
    Commit,
    Drop,
    History,
    JournalWorld,
    Make,
    Model,
    Op,
    Trim,
    check_leader_epochs,
    check_outcome,
    pid,
)
from support.sim_storage import SimStorage, Variant

T = TypeVar("T")
TOPICS: Final = (1, 2, 3)
PARTITIONS: Final = st.sampled_from([pid(topic, index) for topic in TOPICS for index in range(2)])
SIZES: Final = st.sampled_from([10, 60, 400, 1500, 9000])
TIMES: Final = st.integers(0, 50)


class JournalMachine(RuleBasedStateMachine):
    """One store over many lives; topics 1 and 3 sync, topic 2 is of level `written`."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = JournalWorld(SimStorage())
        self.holding = False

    def run(self, work: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await work

        return self.runner.run(wrapped())

    @property
    def model(self) -> Model:
        """What must be there once nothing waits."""
        return self.world.history.model()

    def known(self, partitions: list[int]) -> tuple[int, ...]:
        """Those that exist."""
        return tuple(key for key in dict.fromkeys(partitions) if key in self.world.journal.partitions)

    def put(self, *ops: Op) -> None:
        async def submit() -> None:
            pending = self.world.put(*ops)
            if not self.holding:
                await pending

        self.run(submit())

    @initialize()
    def begin(self) -> None:
        self.run(self.world.open())
        self.put(Make(1, 2, "fsync"), Make(2, 2, "written"))

    def teardown(self) -> None:
        self.runner.close()

    # ---- what happens -------------------------------------------------------------------------------------------

    @rule(wanted=st.lists(PARTITIONS, min_size=1, max_size=3), count=st.integers(1, 3), size=SIZES, time_ms=TIMES)
    def append(self, wanted: list[int], count: int, size: int, time_ms: int) -> None:
        partitions = self.known(wanted)
        if partitions:
            values = self.world.append(*partitions, count=count, size=size).values
            self.put(Append(partitions, values, time_ms))

    @rule(wanted=PARTITIONS, key=st.integers(1, 3), number=st.integers(0, 99))
    def append_and_commit(self, wanted: int, key: int, number: int) -> None:
        partitions = self.known([wanted])
        if partitions:
            self.put(self.world.append(*partitions), Commit(key, number))

    @rule(key=st.integers(1, 3), number=st.integers(0, 99))
    def commit(self, key: int, number: int) -> None:
        self.put(Commit(key, number))

    @precondition(lambda self: not self.holding)
    @rule(wanted=PARTITIONS, units=st.integers(4, 12))
    def fill(self, wanted: int, units: int) -> None:
        for _ in range(units):
            self.append([wanted], 1, 1500, 7)

    @rule(wanted=PARTITIONS, share=st.sampled_from([0.0, 0.5, 1.0, 1.0]))
    def trim(self, wanted: int, share: float) -> None:
        partition = self.world.journal.partitions.get(wanted)
        if partition is not None:
            span = partition.high_watermark - partition.log_start
            self.put(Trim(wanted, partition.log_start + round(span * share)))

    @precondition(lambda self: not self.holding)
    @rule(topic=st.sampled_from(TOPICS))
    def make_or_drop(self, topic: int) -> None:
        # A number is never given out twice, so a dropped topic stays away.
        ever = {op.topic for ops in self.world.history.units for op in ops if isinstance(op, Make)}
        if topic in self.world.store.topics.sets:
            self.put(Drop(topic))
        elif topic not in ever:
            self.put(Make(topic, 2, "written" if topic == 2 else "fsync"))

    @precondition(lambda self: not self.holding)
    @rule()
    def hold(self) -> None:
        self.world.hold_commits()
        self.holding = True

    @precondition(lambda self: self.holding)
    @rule()
    def let_go(self) -> None:
        self.holding = False
        self.world.commit()

    @precondition(lambda self: not self.holding)
    @rule()
    def checkpoint(self) -> None:
        self.run(self.world.checkpoint())

    @precondition(lambda self: not self.holding)
    @rule(seal=st.booleans(), checkpoints=st.integers(0, 2))
    def remove_what_is_dead(self, seal: bool, checkpoints: int) -> None:
        async def remove() -> None:
            journal = self.world.journal
            if seal:
                await retention.seal_dead_active(journal)
            for _ in range(checkpoints):
                await self.world.checkpoint()
            await retention.remove(journal, retention.removable(journal))

        self.run(remove())

    @precondition(lambda self: not self.holding)
    @rule()
    def idle(self) -> None:
        self.run(self.world.idle())

    @precondition(lambda self: not self.holding)
    @rule()
    def reopen(self) -> None:
        self.run(self.world.reopen())

    @rule()
    def kill(self) -> None:
        self.holding = False
        self.world.kill()
        self.run(self.world.open())

    @rule(variant=st.sampled_from(Variant), seed=st.integers(0, 999))
    def power_cut(self, variant: Variant, seed: int) -> None:
        self.holding = False
        before = History.of(self.world.sim.marks_before(len(self.world.sim.trace)))
        self.world.power_cut(variant, seed)
        self.run(self.world.open())
        check_leader_epochs(self.world.store, before, len(self.world.history.units))

    # ---- what readers see -----------------------------------------------------------------------------------------

    @precondition(lambda self: not self.holding)
    @rule(wanted=PARTITIONS, share=st.floats(0, 1), max_bytes=st.sampled_from([1, 500, 100_000]))
    def read(self, wanted: int, share: float, max_bytes: int) -> None:
        partition = self.world.journal.partitions.get(wanted)
        if partition is None or partition.log_start == partition.high_watermark:
            return
        start, end = partition.log_start, partition.high_watermark
        offset = min(end - 1, start + int(share * (end - start)))

        got = self.run(partition.read(offset, max_bytes))

        rows = [row for batch in got for row in self.world.store.records(batch, offset)]
        values = self.model.values[wanted]
        assert rows == [(at, values[at]) for at in range(offset, got[-1].end_offset)]

    @precondition(lambda self: not self.holding)
    @rule(wanted=PARTITIONS, time_ms=TIMES)
    def look_up_a_time(self, wanted: int, time_ms: int) -> None:
        partition = self.world.journal.partitions.get(wanted)
        if partition is None:
            return

        got = self.run(partition.offset_for_time(time_ms))

        times = self.model.times[wanted]
        offsets = range(partition.log_start, partition.high_watermark)
        assert got == next((at for at in offsets if times[at] >= time_ms), None)

    @precondition(lambda self: not self.holding)
    @rule(wanted=PARTITIONS)
    def read_outside(self, wanted: int) -> None:
        partition = self.world.journal.partitions.get(wanted)
        if partition is None:
            return
        for offset in (partition.log_start - 1, partition.high_watermark + 1):
            try:
                self.run(partition.read(offset, 1))
            except OffsetOutOfRange:
                continue
            raise AssertionError(f"offset {offset} does not exist")

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        if not self.holding:
            assert self.world.store.state() == self.model.state()
            assert self.world.journal.pending_bytes == 0

    @invariant()
    def offsets_are_in_order(self) -> None:
        for partition in self.world.journal.partitions.values():
            assert partition.log_start <= partition.high_watermark <= partition.next_offset, "P1"

    @precondition(lambda self: not self.holding)
    @rule()
    def everything_can_be_read(self) -> None:
        self.run(check_outcome(self.world.store, self.world.history))


JournalMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestJournal = JournalMachine.TestCase
