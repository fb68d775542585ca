"""What AMQP clients were told by a server that is killed again and again, and the judge of what it does then.

The numbers in messages: A1 what was confirmed comes; A2 what was settled before a later answer does not come again; A3
a message that comes again says so, and how often it came and failed before is not forgotten; A4 nothing comes that was
not published as it is; A5 a message that goes to several queues is in all of them or in none; A6 messages come for the
first time in the order in which they were published; A7 what was rejected is in the queue of dead letters, and only
there. Thread-safe: clients talk from threads.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

DEAD: Final = "dead"
"""The queue of dead letters."""

SHOWN: Final = 5


class Delivery(NamedTuple):
    """A message as it came: how often it was handed out and failed before, None where the queue does not say."""

    number: int
    redelivered: bool
    acquired: int | None = None
    failed: int | None = None


class History:
    """All that clients were told. `failures` is what no client may ever be told."""

    def __init__(self, queues: Sequence[str], buries: str) -> None:
        """`queues` each get every message; of what dies in `buries` the queue of dead letters is told."""
        self.queues = queues
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        self._buries = buries
        self._lock = threading.Lock()
        self._published = 0
        self._confirmed: set[int] = set()
        self._seen: dict[str, dict[int, Delivery]] = defaultdict(dict)
        self._newest: dict[str, int] = defaultdict(lambda: -1)
        self._settled: dict[str, set[int]] = defaultdict(set)
        self._rejected: set[int] = set()

    # ---- what clients tell ------------------------------------------------------------------------------------------

    def fail(self, why: str) -> None:
        """A client was told what it may not be."""
        with self._lock:
            self.failures.append(why)

    def publish(self, count: int) -> range:
        """Numbers for messages that are about to be published."""
        with self._lock:
            self._published += count
            return range(self._published - count, self._published)

    def confirm(self, numbers: Iterable[int]) -> None:
        """The server has them."""
        with self._lock:
            before = len(self._confirmed)
            self._confirmed.update(numbers)
            self.counts["confirmed"] += len(self._confirmed) - before

    def deliver(self, queue: str, delivery: Delivery) -> None:
        """A message came from a queue."""
        with self._lock:
            self.counts[f"delivered from {queue}"] += 1
            number, before = delivery.number, self._seen[queue].get(delivery.number)
            if not 0 <= number < self._published:
                self.failures.append(f"A4: {queue} gives {number}, and {self._published} were published")
            if number in self._settled[queue]:
                self.failures.append(f"A2: {number} of {queue} was settled, and comes again")
            if queue == self._buries and number in self._seen[DEAD]:
                self.failures.append(f"A7: {number} of {queue} is among the dead, and comes again")
            if before is not None:
                self._check_counts(queue, before, delivery)
            elif queue != DEAD:
                if number < self._newest[queue]:
                    self.failures.append(f"A6: {number} of {queue} comes after {self._newest[queue]}")
                self._newest[queue] = number
            self._seen[queue][number] = delivery

    def _check_counts(self, queue: str, before: Delivery, now: Delivery) -> None:
        self.counts["delivered again"] += 1
        if not now.redelivered:
            self.failures.append(f"A3: {now.number} of {queue} comes again and does not say so")
        if now.acquired is not None and now.acquired <= (before.acquired or 0):
            self.failures.append(f"A3: {now.number} of {queue} had been handed out {before.acquired} times, now {now}")
        if (now.failed or 0) < (before.failed or 0):
            self.failures.append(f"A3: {now.number} of {queue} had failed {before.failed} times, now {now}")

    def settle(self, queue: str, numbers: Iterable[int]) -> None:
        """These were acknowledged, and something later was answered."""
        with self._lock:
            self._settled[queue].update(numbers)
            self.counts["settled"] = sum(map(len, self._settled.values()))

    def reject(self, queue: str, numbers: Iterable[int]) -> None:
        """These were rejected for good, and something later was answered."""
        numbers = list(numbers)
        self.settle(queue, numbers)
        with self._lock:
            self._rejected.update(numbers)
            self.counts["rejected"] = len(self._rejected)

    # ---- judging ----------------------------------------------------------------------------------------------------

    @property
    def delivered(self) -> int:
        """How many messages have come."""
        with self._lock:
            return sum(count for what, count in self.counts.items() if what.startswith("delivered from"))

    @property
    def missing(self) -> int:
        """How many confirmed messages have not come, over all queues."""
        with self._lock:
            lost = sum(len(self._confirmed - self._seen[queue].keys()) for queue in self.queues)
            return lost + len(self._rejected - self._seen[DEAD].keys())

    def judge(self) -> None:
        """Hold what was told so far against the rules. Raises AssertionError: what is wrong, by number."""
        with self._lock:
            assert not self.failures, "\n".join(self.failures[:20])

    def judge_whole(self) -> None:
        """The same when every queue was emptied: nothing is missing anywhere."""
        with self._lock:
            seen = {queue: self._seen[queue].keys() for queue in self.queues}
            for queue, numbers in seen.items():
                self._miss(f"A1: confirmed, and never came from {queue}", self._confirmed - numbers)
                for other in self.queues:
                    self._miss(f"A5: came from {queue} and not from {other}", numbers - seen[other])
            self._miss("A7: rejected, and not among the dead", self._rejected - self._seen[DEAD].keys())
        self.judge()

    def _miss(self, what: str, numbers: "set[int]") -> None:
        if numbers:
            self.failures.append(f"{what}: {len(numbers)}, such as {sorted(numbers)[:SHOWN]}")
