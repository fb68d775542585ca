"""A position against a model that keeps a status for every offset and looks through all of them."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.lenses.stream.position import START, Position
from isthmus.record import NO_HEADERS, StoredRecord

LENGTH = 30
WINDOW = 8
KEYS = [None, b"a", b"b", b"c"]
ALL = 1_000


class PositionMachine(RuleBasedStateMachine):
    """The log is a list of keys by offset, with gaps. Statuses: done, taken, failed, or held (scanned and waiting)."""

    @initialize(
        keys=st.lists(st.sampled_from(KEYS), min_size=LENGTH, max_size=LENGTH),
        gaps=st.sets(st.integers(0, LENGTH - 1), max_size=LENGTH // 2),
    )
    def begin(self, keys: list[bytes | None], gaps: set[int]) -> None:
        self.log = {offset: record(offset, key) for offset, key in enumerate(keys) if offset not in gaps}
        self.gaps = gaps
        self.log_start = 0
        self.now_ms = 1_000
        self.status: dict[int, str] = {}
        self.failed: dict[int, tuple[int, int]] = {}
        self.position = Position(START, WINDOW)
        self.floor = 0

    # ---- the model ------------------------------------------------------------------------------------------------

    def scanned(self, status: str) -> list[int]:
        return [offset for offset in range(self.position.scan) if self.status.get(offset) == status]

    def blocked(self, offset: int) -> bool:
        """I3, by looking at everything."""
        key = self.log[offset].key
        return key is not None and any(
            self.status.get(other) in {"failed", "failed and taken"} and other < offset and self.log[other].key == key
            for other in self.log
        )

    def waiting(self) -> set[int]:
        """What a claim may take now."""
        due = {offset for offset in self.scanned("failed") if self.failed[offset][1] <= self.now_ms}
        return {offset for offset in {*due, *self.scanned("held")} if not self.blocked(offset)}

    def taken(self) -> list[int]:
        return [offset for offset, status in self.status.items() if status in {"taken", "failed and taken"}]

    def finish(self, offset: int) -> None:
        self.status[offset] = "done"
        self.failed.pop(offset, None)

    # ---- what happens ---------------------------------------------------------------------------------------------

    @rule(size=st.integers(1, 20), count=st.integers(1, 8))
    def read_on(self, size: int, count: int) -> None:
        scan, floor = self.position.scan, self.position.floor
        end = min(scan + size, LENGTH)
        records = [self.log[offset] for offset in range(scan, end) if offset in self.log]

        cut = self.position.cut(records, end, count)
        expected = self.expect(scan, cut.end_offset)
        handed_out = self.position.take_new(cut.records, cut.end_offset)

        assert [one.offset for one in handed_out] == expected
        assert len(cut.records) <= count
        assert cut.end_offset <= max(scan, floor + WINDOW)
        assert [*cut.records, *cut.rest] == records
        for offset in expected:
            self.status[offset] = "taken"

    def expect(self, start: int, end: int) -> list[int]:
        found = []
        for offset in range(start, end):
            if offset not in self.log:
                self.finish(offset)
            elif offset not in self.status:
                key = self.log[offset].key
                behind = key is not None and any(
                    self.status.get(other) in {"failed", "failed and taken", "held"} and self.log[other].key == key
                    for other in range(offset)
                    if other in self.log
                )
                if behind:
                    self.status[offset] = "held"
                else:
                    found.append(offset)
        return found

    @rule(count=st.sampled_from([1, 2, ALL]))
    def claim(self, count: int) -> None:
        waiting = self.waiting()

        claimed = [claim.offset for claim in self.position.claim(self.now_ms, count)]

        assert set(claimed) <= waiting
        assert len(claimed) == min(count, len(waiting))
        assert claimed == sorted(claimed)
        for offset in claimed:
            self.status[offset] = "failed and taken" if offset in self.failed else "taken"

    @rule()
    def claim_and_fail_to_read(self) -> None:
        claims = self.position.claim(self.now_ms, ALL)

        self.position.unclaim(claims)

        assert {claim.offset for claim in claims} == self.waiting()

    @precondition(lambda self: self.taken())
    @rule(data=st.data())
    def claim_and_see_another_fail_meanwhile(self, data: st.DataObject) -> None:
        other = data.draw(st.sampled_from(self.taken()))
        claims = self.position.claim(self.now_ms, ALL)

        self.position.fail(self.log[other], self.now_ms)
        self.postpone(other, self.failed.get(other, (0, 0))[0] + 1, self.now_ms)
        standing = [claim.offset for claim in claims if self.position.stands(claim)]
        self.position.unclaim(claims)

        assert standing == [claim.offset for claim in claims if not self.blocked(claim.offset)]

    @rule()
    def find_a_claimed_record_gone(self) -> None:
        claims = self.position.claim(self.now_ms, 1)
        for claim in claims:
            self.position.skip(claim.offset)
            self.finish(claim.offset)

    @precondition(lambda self: self.taken())
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.taken()), min_size=1, unique=True))

        self.position.settle([self.log[offset] for offset in chosen])

        for offset in chosen:
            self.finish(offset)

    @precondition(lambda self: self.taken())
    @rule(data=st.data(), delay_ms=st.sampled_from([0, 10, 100]))
    def fail(self, data: st.DataObject, delay_ms: int) -> None:
        offset = data.draw(st.sampled_from(self.taken()))

        self.position.fail(self.log[offset], self.now_ms + delay_ms)

        failures, _ = self.failed.get(offset, (0, 0))
        self.postpone(offset, failures + 1, self.now_ms + delay_ms)

    def postpone(self, offset: int, failures: int, due_ms: int) -> None:
        if offset < self.log_start:
            self.finish(offset)
        else:
            self.status[offset] = "failed"
            self.failed[offset] = failures, due_ms

    @precondition(lambda self: self.taken())
    @rule(data=st.data(), delay_ms=st.sampled_from([0, 0, 50]))
    def release(self, data: st.DataObject, delay_ms: int) -> None:
        offset = data.draw(st.sampled_from(self.taken()))

        self.position.release(self.log[offset], self.now_ms + delay_ms if delay_ms else 0)

        if delay_ms:
            self.postpone(offset, self.failed.get(offset, (0, 0))[0], self.now_ms + delay_ms)
        elif offset < self.log_start:
            self.finish(offset)
        else:
            self.status[offset] = "failed" if offset in self.failed else "held"

    @rule(ms=st.sampled_from([1, 10, 100]))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms

    @rule(offsets=st.integers(1, 10))
    def trim(self, offsets: int) -> None:
        self.log_start = min(max(self.log_start, self.floor) + offsets, LENGTH)

        self.position.trimmed(self.log_start)

        for offset in range(self.log_start):
            if offset in self.taken():
                self.status[offset] = "taken"
                self.failed.pop(offset, None)
            else:
                self.finish(offset)

    @rule(compacted=st.sets(st.integers(0, LENGTH - 1), max_size=3))
    def restart(self, compacted: set[int]) -> None:
        for offset in compacted:
            self.log.pop(offset, None)
        progress = self.position.progress()

        self.position = Position(progress, WINDOW)

        assert self.position.progress() == progress
        for offset in list(self.status):
            if self.status[offset] != "done":
                del self.status[offset]
        for offset in self.failed:
            self.status[offset] = "failed"
        for offset in range(self.log_start):
            self.finish(offset)

    # ---- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def the_floor_is_where_the_first_offset_is_that_is_not_done(self) -> None:
        floor = 0
        while floor < LENGTH and (self.status.get(floor) == "done" or floor < self.log_start):
            floor += 1
        assert self.position.floor == floor
        assert floor >= self.floor, "I2"
        self.floor = floor

    @invariant()
    def what_it_says_of_each_offset_is_what_the_model_says(self) -> None:
        position = self.position
        assert [offset for offset in range(LENGTH) if position.holds(offset)] == sorted(self.taken())
        assert position.busy == bool(self.taken())
        assert {offset: tuple(attempt) for offset, attempt in position.attempts.items()} == self.failed
        done = {offset for offset, status in self.status.items() if status == "done" and offset >= self.floor}
        assert {offset for offset in range(LENGTH) if offset in position.done} == done

    @invariant()
    def offsets_lie_where_the_invariants_allow(self) -> None:
        position = self.position
        held = [offset for lane in position._lanes.values() for offset in lane.held]
        held += [offset for offset, key in position._ready if key is None]
        assert sorted(held) == self.scanned("held"), "I1"
        assert not {*held} & position._taken, "I1"
        assert all(offset >= position.floor for offset in [*held, *position.attempts]), "I1"
        assert position.scan <= max(position.floor + WINDOW, self.log_start), "I4"

    @invariant()
    def the_next_due_time_is_that_of_the_first_that_leads_its_key(self) -> None:
        dues = [self.failed[offset][1] for offset in self.scanned("failed") if not self.blocked(offset)]
        assert self.position.next_due_ms() == min(dues, default=None)
        assert self.position.has_ready == any(not self.blocked(offset) for offset in self.scanned("held"))

    def teardown(self) -> None:
        """Whatever happened: whoever goes on settling gets everything exactly to the end."""
        if not hasattr(self, "position"):
            return
        self.now_ms += 1_000
        for _ in range(2 * LENGTH):
            if self.position.floor == LENGTH:
                break
            self.read_on(LENGTH, ALL)
            self.claim(ALL)
            rest = self.taken()
            self.position.settle([self.log[offset] for offset in rest])
            for offset in rest:
                self.finish(offset)
        assert self.position.progress() == (LENGTH, (), ())


def record(offset: int, key: bytes | None) -> StoredRecord:
    return StoredRecord(offset, 0, key, b"", NO_HEADERS)


PositionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50)
TestPosition = PositionMachine.TestCase
