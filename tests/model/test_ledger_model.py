"""The ledger of a queue against a naive model: one dictionary entry per offset, and the rules in the plainest words.

Changes are in flight until a rule lets them land, openings replay the journal from any checkpoint on, and after each
step everything that can be seen is compared.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.admission import Seen
from isthmus.lenses.queue.changes import DUE_NEVER, UNTIL_NEVER, Change, Held, Slice, Why
from support.ledger import Desk, Taken

FAILED_MAX: Final = 3
ACQUIRED_MAX: Final = 5
STEP_MS_MAX: Final = 5_000
HOLDERS: Final[tuple[Why, ...]] = ("acked", "rejected")
KEYS: Final = (b"a", b"b", b"c", None)

UNTOUCHED, LEASED, RETURNED, DYING, DONE = "untouched", "leased", "returned", "dying", "done"


@dataclass
class Entry:
    """One record, or a gap. Applied state, but for `claims` (changes in flight) and `out` (handed out, in flight)."""

    seen: Seen | None
    appended_ms: int
    state: str = UNTOUCHED
    acquired: int = 0
    failed: int = 0
    due_ms: int = 0
    until_ms: int = 0
    session: int = 0
    claims: int = 0
    out: bool = False
    dead_lease: int = 0


class Model:
    """The rules once more."""

    def __init__(self, config: QueueConfig) -> None:
        self.config = config
        self.entries: dict[int, Entry] = {}
        self.counts: Counter[str] = Counter()
        self.now_ms = 0
        self.gone_below = 0

    def is_asleep(self, entry: Entry) -> bool:
        if entry.state == RETURNED:
            return entry.due_ms > self.now_ms
        return entry.state == UNTOUCHED and entry.seen is not None and entry.seen.due_ms > self.now_ms

    def may_go(self, offset: int) -> bool:
        entry = self.entries[offset]
        if entry.seen is None or entry.claims or offset < self.gone_below:
            return False
        return entry.state in {UNTOUCHED, RETURNED} and not self.is_asleep(entry) and self.key_is_free(offset, entry)

    def key_is_free(self, offset: int, entry: Entry) -> bool:
        """Nothing of the key is out, and nothing below is unsettled but what its producer delayed."""
        if not self.config.ordered or entry.seen is None or entry.seen.key is None:
            return True
        for other_offset, other in self.entries.items():
            if other_offset == offset or other.seen is None or other.seen.key != entry.seen.key:
                continue
            if other.out or other.state == LEASED:
                return False
            delayed = other.state == UNTOUCHED and self.is_asleep(other)
            if other_offset < offset and other.state != DONE and not delayed:
                return False
        return True

    def take(self, count: int) -> list[Taken]:
        taken: list[Taken] = []
        for offset in sorted(self.entries):
            if len(taken) < count and self.may_go(offset):
                entry = self.entries[offset]
                entry.out = True
                taken.append((offset, entry.acquired + 1, entry.failed))
        return taken

    def dies(self, acquired: int, failed: int) -> bool:
        return failed >= FAILED_MAX or acquired >= ACQUIRED_MAX

    def reserve(self, change: Change) -> None:
        for entry in self.of(change):
            entry.claims += 1

    def of(self, change: Change) -> list[Entry]:
        return [
            self.entries[offset]
            for start, end in change.ranges
            for offset in range(start, end)
            if offset in self.entries
        ]

    def apply(self, change: Change, until_ms: int, session: int) -> None:
        for entry in self.of(change):
            entry.claims -= 1
            if change.kind == "settled":
                self.settle(entry, change.why)
            elif entry.state == DONE:
                entry.out = False
            elif change.kind == "leased":
                entry.state, entry.acquired, entry.failed = LEASED, change.acquired, change.failed
                entry.until_ms, entry.session, entry.out = until_ms, session, False
            elif change.due_ms == DUE_NEVER:
                entry.state, entry.failed = DYING, change.failed
            else:
                entry.state, entry.failed, entry.due_ms = RETURNED, change.failed, change.due_ms

    def settle(self, entry: Entry, why: str) -> None:
        if entry.state != DONE:
            if entry.state == LEASED and why == "trimmed":
                entry.dead_lease = entry.acquired
            self.counts[why] += 1
            entry.state = DONE

    def recover(self) -> None:
        for entry in self.entries.values():
            entry.claims, entry.out, entry.dead_lease = 0, False, 0
            if entry.state == LEASED:
                entry.failed += 1
                entry.state = DYING if self.dies(entry.acquired, entry.failed) else RETURNED
                entry.due_ms = 0

    def summary(self) -> dict[str, int]:
        """What `counts` must say; what is asleep counts as delayed, a gap that nobody met yet as ready."""
        states = Counter(
            "delayed" if self.is_asleep(entry) else "ready" if entry.state in {UNTOUCHED, RETURNED} else entry.state
            for entry in self.entries.values()
        )
        found = {name: states[name] for name in ("ready", "delayed", LEASED, DYING)}
        found |= {why: self.counts[why] for why in ("acked", "rejected", "dead", "expired", "purged", "trimmed")}
        return found


class LedgerMachine(RuleBasedStateMachine):
    """See the module text."""

    desk: Desk
    model: Model

    @initialize(ordered=st.booleans(), ttl=st.sampled_from([None, None, 6_400]))
    def open_first(self, ordered: bool, ttl: int | None) -> None:
        config = QueueConfig(failed_max=FAILED_MAX, acquired_max=ACQUIRED_MAX, ordered=ordered, ttl_ms=ttl)
        self.desk = Desk(config, now_ms=1)
        self.model = Model(config)
        self.model.now_ms = 1
        self.checkpoints: list[tuple[int, list[Slice]]] = []
        self.lease_of: dict[int, tuple[int, int]] = {}
        self.mono_ms = 0

    # ---- driving both -------------------------------------------------------------------------------------------

    def reserved(self, *changes: Change | None, until_ms: int = 0, session: int = 0) -> None:
        for change in changes:
            if change is not None:
                self.model.reserve(change)
                self.lease_of[id(change)] = (until_ms, session)
                self.desk.send(change)

    def picked_up(self, until_ms: int, session: int, before: int) -> None:
        """Changes that the desk has sent by itself."""
        for change in list(self.desk.flying)[before:]:
            self.model.reserve(change)
            self.lease_of[id(change)] = (until_ms, session)

    @rule(count=st.integers(1, 6), data=st.data())
    def publish(self, count: int, data: st.DataObject) -> None:
        records = data.draw(st.lists(records_of(self.model.now_ms), min_size=count, max_size=count))
        for at, record in enumerate(records):
            seen = record._replace(offset=self.desk.end + at) if record is not None else None
            self.model.entries[self.desk.end + at] = Entry(seen, self.model.now_ms)
        self.desk.publish(*records)

    @rule(count=st.integers(1, 12), timed=st.booleans(), session=st.integers(1, 3))
    def lease(self, count: int, timed: bool, session: int) -> None:
        until_ms = self.mono_ms + 1_000 if timed else None
        self.land_what_goes_anyway()
        before = len(self.desk.flying)
        self.desk.now_ms = self.model.now_ms

        taken = self.desk.take(count, until_ms=until_ms, session=session)

        assert taken == self.model.take(count)
        self.picked_up(UNTIL_NEVER if until_ms is None else until_ms, session, before)

    @precondition(lambda self: self.model.config.ordered)
    @rule(count=st.integers(1, 4))
    def lease_a_run_of_a_key(self, count: int) -> None:
        self.land_what_goes_anyway()
        before = len(self.desk.flying)

        taken = self.desk.take(count, session=2, run_of_key=True)

        keys = {self.desk.log[offset].key for offset, _, _ in taken}
        assert len(keys) <= 1
        assert not taken or taken[0][0] == min(self.possible())
        for offset, _, _ in taken:
            entry = self.model.entries[offset]
            assert entry.state in {UNTOUCHED, RETURNED}
            assert not self.model.is_asleep(entry)
            entry.out = True
        self.picked_up(UNTIL_NEVER, 2, before)

    def land_what_goes_anyway(self) -> None:
        """What is being settled blocks its key until then if it was read before, else not: both are right."""
        if self.model.config.ordered and any(change.kind == "settled" for change in self.desk.flying):
            self.land(len(self.desk.flying))

    def possible(self) -> list[int]:
        return [offset for offset in self.model.entries if self.model.may_go(offset)]

    @rule(count=st.integers(1, 5))
    def some_land(self, count: int) -> None:
        self.land(count)

    def land(self, count: int) -> None:
        for change in list(self.desk.flying)[:count]:
            self.model.apply(change, *self.lease_of.pop(id(change)))
        self.desk.land(count)

    @rule(ms=st.sampled_from([1, 90, 500, 1_000, STEP_MS_MAX]))
    def pass_time(self, ms: int) -> None:
        self.model.now_ms += ms
        self.mono_ms += ms
        self.desk.now_ms = self.model.now_ms
        self.desk.ledger.admission.wake(self.model.now_ms)
        self.desk.ledger.grow(self.desk.end, self.model.now_ms)

    # ---- what becomes of leases ---------------------------------------------------------------------------------

    def held(self) -> list[int]:
        return [o for o, entry in self.model.entries.items() if entry.state == LEASED and not entry.claims]

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.model.entries) or [0]))
        acquired = data.draw(st.integers(1, 3))
        entry = self.model.entries.get(offset)
        may = entry is not None and (
            (entry.state == LEASED and entry.acquired == acquired and not entry.claims)
            or (entry.state == DONE and entry.dead_lease == acquired)
        )
        trimming = entry is not None and entry.state == LEASED and offset < self.model.gone_below

        lost = self.desk.ledger.lost(offset, offset + 1, acquired)

        if not trimming:
            assert (lost is None) == may
        if lost is None and entry is not None:
            entry.dead_lease = 0
            self.reserved(self.desk.ledger.settle([(offset, offset + 1)], "acked"))

    @rule(count=st.integers(1, 6), why=st.sampled_from(HOLDERS))
    def settle_ranges(self, count: int, why: Why) -> None:
        offsets = self.held()[:count]
        if offsets:
            assert all(self.desk.ledger.lost(offset, offset + 1) is None for offset in offsets)
            self.reserved(self.desk.ledger.settle([(offset, offset + 1) for offset in offsets], why))

    @rule(data=st.data(), failures=st.integers(0, 1), delay_ms=st.sampled_from([0, 0, 800, 100_000]))
    def hand_back(self, data: st.DataObject, failures: int, delay_ms: int) -> None:
        offsets = data.draw(st.lists(st.sampled_from(self.held() or [-1]), unique=True, max_size=5))
        held = [piece for offset in offsets if offset >= 0 for piece in self.desk.ledger.held(offset, offset + 1)]
        due_ms = self.model.now_ms + delay_ms if delay_ms else 0
        self.ended(held, failures, due_ms)

    def ended(self, held: list[Held], failures: int, due_ms: int) -> None:
        for change in self.desk.ledger.release(held, failures=failures, due_ms=due_ms):
            dies = self.model.dies(change.acquired, change.failed)
            assert change.due_ms == (DUE_NEVER if dies else due_ms)
            self.reserved(change)

    @rule()
    def expire_leases(self) -> None:
        held = self.desk.ledger.expired(self.mono_ms)

        offsets = {offset for piece in held for offset in range(piece.start, piece.end)}
        due = {offset for offset in self.held() if self.model.entries[offset].until_ms <= self.mono_ms}
        assert offsets == due
        for entry in self.model.entries.values():
            if entry.until_ms <= self.mono_ms:
                entry.dead_lease = 0
        self.ended(held, 1, 0)

    @rule(session=st.integers(1, 3))
    def end_session(self, session: int) -> None:
        held = self.desk.ledger.held_by(session)

        offsets = {offset for piece in held for offset in range(piece.start, piece.end)}
        for offset in self.held():
            entry = self.model.entries[offset]
            assert (offset in offsets) == (entry.session == session and entry.until_ms == UNTIL_NEVER)
        for entry in self.model.entries.values():
            if entry.session == session and entry.until_ms == UNTIL_NEVER:
                entry.dead_lease = 0
        self.ended(held, 1, 0)

    @rule(ms=st.sampled_from([500, 3_000]))
    def extend(self, ms: int) -> None:
        for offset in self.held():
            entry = self.model.entries[offset]
            self.desk.ledger.extend(offset, offset + 1, self.mono_ms + ms)
            if entry.until_ms != UNTIL_NEVER:
                entry.until_ms = self.mono_ms + ms

    # ---- what goes without a lease ------------------------------------------------------------------------------

    @rule()
    def bury(self) -> None:
        held = self.desk.ledger.dying(100)

        offsets = {offset for piece in held for offset in range(piece.start, piece.end)}
        assert offsets == {o for o, e in self.model.entries.items() if e.state == DYING and not e.claims}
        if held:
            self.reserved(self.desk.ledger.settle([(piece.start, piece.end) for piece in held], "dead"))

    @rule()
    def purge(self) -> None:
        loose = self.desk.ledger.loose()

        offsets = {offset for start, end in loose for offset in range(start, end)}
        entries = self.model.entries.items()
        assert offsets == {o for o, e in entries if e.state in {UNTOUCHED, RETURNED} and not e.claims}
        if loose:
            self.reserved(self.desk.ledger.settle(loose, "purged"))

    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(0, self.desk.end))
        self.model.gone_below = max(self.model.gone_below, to)
        self.reserved(self.desk.ledger.trim(to))

    @rule()
    def expire_records(self) -> None:
        lapsed = self.desk.ledger.lapsed(self.model.now_ms)

        for start, end in lapsed:
            for offset in range(start, end):
                entry = self.model.entries[offset]
                own = entry.seen is not None and 0 < entry.seen.expire_ms <= self.model.now_ms
                aged = self.model.config.ttl_ms is not None and (
                    entry.appended_ms + self.model.config.ttl_ms <= self.model.now_ms
                )
                assert own or aged or offset < self.model.gone_below
                assert entry.state in {UNTOUCHED, RETURNED}
                assert not entry.claims
        if self.model.config.ttl_ms is not None:
            late_ms = self.model.now_ms - self.model.config.ttl_ms - self.model.config.ttl_ms // 64 - STEP_MS_MAX
            old = [o for o, entry in self.model.entries.items() if entry.appended_ms <= late_ms]
            self.model.gone_below = max([self.model.gone_below, self.desk.ledger.base, *(o + 1 for o in old)])
            assert not self.opened_since or self.desk.ledger.base >= max([0, *(o + 1 for o in old)])
        if lapsed:
            self.reserved(self.desk.ledger.settle(lapsed, "expired"))

    # ---- openings -----------------------------------------------------------------------------------------------

    @rule()
    def checkpoint(self) -> None:
        self.checkpoints.append((len(self.desk.journal), list(self.desk.ledger.export())))

    opened_since = True

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """Whatever was in flight is lost; a checkpoint and the journal from that point, or from earlier, come back."""
        lost = len(self.desk.flying)
        for change in list(self.desk.flying):
            self.lease_of.pop(id(change))
        self.desk.flying.clear()
        at, slices = data.draw(st.sampled_from([(0, []), *self.checkpoints]))
        since = data.draw(st.integers(0, at))

        self.desk.ledger = self.desk.opened(slices, self.desk.journal[since:])

        self.model.recover()
        self.model.gone_below = self.desk.ledger.base
        self.opened_since = False
        assert lost >= 0

    # ---- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def counts_agree(self) -> None:
        ledger = self.desk.ledger
        counts, expected = ledger.counts(), self.model.summary()
        for name in (LEASED, DYING, "acked", "rejected", "dead", "expired", "purged", "trimmed"):
            assert getattr(counts, name) == expected[name], name
        # A delay is known once the record was read.
        assert counts.delayed <= expected["delayed"]
        assert counts.ready + counts.delayed == expected["ready"] + expected["delayed"]
        total = counts.ready + counts.leased + counts.delayed + counts.dying + counts.acked + counts.rejected
        assert counts.enqueued == total + counts.dead + counts.expired + counts.purged + counts.trimmed
        assert counts.enqueued == self.desk.end - self.model.counts["gap"]

    @invariant()
    def floor_is_where_all_below_is_settled(self) -> None:
        unsettled = [offset for offset, entry in self.model.entries.items() if entry.state != DONE]
        assert self.desk.ledger.floor == min(unsettled, default=self.desk.end)

    @invariant()
    def rows_agree(self) -> None:
        pieces = self.desk.ledger.unsettled(0, self.desk.end)
        offsets = {offset: row for start, end, row in pieces for offset in range(start, end)}
        for offset, entry in self.model.entries.items():
            assert (offset in offsets) == (entry.state != DONE)
            row = offsets.get(offset)
            if row is not None:
                assert (row.acquired, row.failed) == (entry.acquired, entry.failed)


def records_of(now_ms: int) -> st.SearchStrategy[Seen | None]:
    """Mostly plain records; some delayed, some with a time to live, a few gaps."""
    times = st.sampled_from([0, 0, 0, now_ms + 700, now_ms + 4_000])
    records = st.builds(Seen, st.just(0), times, times, st.sampled_from(KEYS))
    return st.one_of(records, records, records, records, st.none())


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=200, stateful_step_count=60)
