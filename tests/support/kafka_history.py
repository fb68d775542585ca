"""What Kafka clients were told by a server that is killed again and again, and the judge of what is found in it.

The numbers in messages: K1 what was acknowledged is there, where it was said to be; K2 nothing is there twice; K3 the
records of a key stand in the order in which they were produced, without a gap; K4 a committed offset does not go back;
K5 what anybody has read stays as it was; K6 a group gets every record. Thread-safe: clients talk from threads.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

Partition: TypeAlias = tuple[str, int]
"""Topic and partition."""


class Name(NamedTuple):
    """Which record it is: its key, and how many of that key were produced before it."""

    key: bytes
    number: int


class History:
    """All that clients were told. `failures` is what no client may ever be told."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._acknowledged: dict[Partition, dict[int, Name]] = defaultdict(dict)
        self._read: dict[Partition, dict[int, Name]] = defaultdict(dict)
        self._delivered: dict[Partition, set[int]] = defaultdict(set)
        self._committed: dict[Partition, int] = {}

    # ---- what clients tell ------------------------------------------------------------------------------------------

    def fail(self, why: str) -> None:
        """A client was told what it may not be."""
        with self._lock:
            self.failures.append(why)

    def acknowledge(self, where: Partition, offset: int | None, name: Name) -> None:
        """A record was acknowledged; the offset is None where only the fact was."""
        with self._lock:
            self.counts["acknowledged"] += 1
            if offset is None:
                self.counts["acknowledged as a duplicate"] += 1
            else:
                self._acknowledged[where][offset] = name

    def read(self, where: Partition, offset: int, name: Name) -> None:
        """Somebody got this record from the log: now, or an earlier time."""
        with self._lock:
            before = self._read[where].setdefault(offset, name)
            if before != name:
                self.failures.append(f"K5: {where} had {before} at {offset}, and has {name}")

    def deliver(self, where: Partition, offset: int, name: Name) -> None:
        """The group got this record."""
        self.read(where, offset, name)
        with self._lock:
            self.counts["delivered"] += 1
            self._delivered[where].add(offset)

    def begin(self, where: Partition, offset: int) -> None:
        """A member of the group begins to read a partition there: not before what was committed."""
        with self._lock:
            self.counts["begun"] += 1
        self._check_position(where, offset, "a member begins at")

    def commit(self, where: Partition, offset: int) -> None:
        """A commit was acknowledged."""
        with self._lock:
            self.counts["commits"] += 1
            self._committed[where] = max(offset, self._committed.get(where, 0))

    def _check_position(self, where: Partition, offset: int, what: str) -> None:
        committed = self._committed.get(where, 0)
        if offset < committed:
            self.fail(f"K4: {committed} of {where} was committed, and {what} {offset}")

    # ---- judging ----------------------------------------------------------------------------------------------------

    @property
    def acknowledged(self) -> dict[Partition, dict[int, Name]]:
        """A copy of what was acknowledged, by place."""
        with self._lock:
            return {where: dict(rows) for where, rows in self._acknowledged.items()}

    @property
    def committed(self) -> dict[Partition, int]:
        """A copy of what was committed."""
        with self._lock:
            return dict(self._committed)

    def judge(
        self,
        acknowledged: Mapping[Partition, Mapping[int, Name]],
        committed: Mapping[Partition, int],
        positions: Mapping[Partition, int],
    ) -> None:
        """Hold what a living server says against what was told before it was asked.

        Args:
            acknowledged, committed: as they were then; the log has been read to its end since.
            positions: of the group, as the server has them.

        Raises:
            AssertionError: what is wrong, by number.
        """
        for where, offset in committed.items():
            found = positions.get(where, -1)
            if found < offset:
                self.fail(f"K4: {offset} of {where} was committed, and the server says {found}")
        with self._lock:
            read = {where: dict(rows) for where, rows in self._read.items()}
        for where, rows in acknowledged.items():
            lost = [(at, name, read.get(where, {}).get(at)) for at, name in rows.items()]
            lost = [row for row in lost if row[1] != row[2]]
            if lost:
                self.fail(f"K1: {len(lost)} of {len(rows)} acknowledged in {where} are lost, first {min(lost)}")
        self._judge_order(read)
        assert not self.failures, "\n".join(self.failures[:20])

    def _judge_order(self, read: Mapping[Partition, Mapping[int, Name]]) -> None:
        """By key the numbers 0, 1, 2, … in the order of offsets: anything else was lost, doubled or out of order."""
        for where, rows in read.items():
            seen: Counter[bytes] = Counter()
            for offset in sorted(rows):
                key, number = rows[offset]
                if number != seen[key]:
                    rule = "K2" if number < seen[key] else "K3"
                    self.fail(f"{rule}: {where} has {key!r} number {number} at {offset}, where {seen[key]} is due")
                    return
                seen[key] += 1

    def judge_whole(self, produced: Mapping[str, Iterable[Name]]) -> None:
        """When everything was produced, acknowledged, delivered and read: nothing is missing anywhere.

        Raises:
            AssertionError: what is wrong, by number.
        """
        for topic, names in produced.items():
            found = {name for where, rows in self._read.items() if where[0] == topic for name in rows.values()}
            missing = set(names) - found
            if missing:
                self.fail(f"K1: {len(missing)} records of {topic} are nowhere, first {min(missing)}")
        for where, rows in self._read.items():
            kept_back = rows.keys() - self._delivered[where]
            if kept_back:
                self.fail(f"K6: {len(kept_back)} records of {where} never came to the group, first {min(kept_back)}")
        assert not self.failures, "\n".join(self.failures[:20])
