"""The demo's parent as a witness: what the child said was durable, held against what is there in the end.

It only remembers and compares; it starts, kills and reads nothing.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from isthmus.demo.lines import Acknowledged, Settled, is_flight


class Place(NamedTuple):
    """Where an event is."""

    partition: int
    offset: int


class Account(NamedTuple):
    """What the child had told when it was killed."""

    acknowledged: dict[Place, int]
    settled: frozenset[int]


class Verdict(NamedTuple):
    """What became of what the child had told.

    `acknowledged` events are all, from before the kill and after it; `lost_before` and `lost_after` are those that are
    not where they were said to be. `twice` are events that the log has more than once. `came_back` are jobs that were
    settled before the kill and done again after it.
    """

    acknowledged: int
    acknowledged_before: int
    lost_before: int
    lost_after: int
    twice: int
    settled_before: int
    came_back: int


class Witness:
    """Remembers every acknowledgement and settlement. `kill` marks the moment of the kill."""

    def __init__(self) -> None:
        self._acknowledged: dict[Place, int] = {}
        self._settled: set[int] = set()
        self._at_kill: Account | None = None
        self.flights = 0

    @property
    def acknowledged(self) -> int:
        """Events acknowledged so far."""
        return len(self._acknowledged)

    @property
    def settled(self) -> int:
        """Jobs settled so far."""
        return len(self._settled)

    @property
    def before(self) -> Account:
        """What was known at the kill; nothing when there was none."""
        return self._at_kill or Account({}, frozenset())

    def hear(self, line: Acknowledged | Settled) -> None:
        """Take in what the child says."""
        if isinstance(line, Settled):
            self._settled.update(line.rows)
            return
        for run in line.runs:
            for offset, marked in enumerate(run.marks, run.base_offset):
                self._acknowledged[Place(run.partition, offset)] = marked
            self.flights += sum(map(is_flight, run.marks))

    def kill(self) -> None:
        """Everything heard so far was said before the kill."""
        self._at_kill = Account(dict(self._acknowledged), frozenset(self._settled))

    def judge(self, found: dict[Place, int], rebooked: Iterable[int]) -> Verdict:
        """Compare with what is there.

        Args:
            found: the events of the log by place, as marks.
            rebooked: the rows of the jobs that were done, one for each time.
        """
        times = Counter(rebooked)
        before = self.before
        lost = {place for place, marked in self._acknowledged.items() if found.get(place) != marked}
        return Verdict(
            acknowledged=len(self._acknowledged),
            acknowledged_before=len(before.acknowledged),
            lost_before=len(lost & before.acknowledged.keys()),
            lost_after=len(lost - before.acknowledged.keys()),
            twice=len(found) - len(set(found.values())),
            settled_before=len(before.settled),
            came_back=sum(times[row] != 1 for row in before.settled),
        )
