"""What is known of a store whose processes were killed, and the judge of what is found in it.

`History` is what the processes reported before they died; `look` is what an opened store holds; `History.judge` holds
one against the other. The numbers in messages: I1 nothing acknowledged is lost, I2 nothing
appears that nobody sent, I3 an offset keeps its content, I4 nothing settled comes back, I5 counts are conserved, I6
floors and delivery counts never go back, I7 what belongs together appears together, I8 opening again changes nothing.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import msgspec

from isthmus.broker.broker import BrokerOptions
from isthmus.engines.connect import open_engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.limits import MIB
from isthmus.log.headers import header_value
from isthmus.record import StoredRecord
from isthmus.views import QueueView
from support.kill_lines import (
    DEAD,
    GROUP,
    IDS_PER_LIFE,
    JOBS,
    ORDERS,
    OUTPUT,
    PARTITIONS,
    Died,
    Failed,
    Line,
    Output,
    Payload,
    Place,
    Published,
    Redriven,
    Settled,
    Taken,
    pad_of,
)

HOUR_MS: Final = 3_600_000
SOURCES: Final = (ORDERS, JOBS)

payload_of: Final = msgspec.json.Decoder(Payload).decode
output_of: Final = msgspec.json.Decoder(Output).decode


def _every_partition() -> list[tuple[str, int]]:
    return [(topic, at) for topic, count in PARTITIONS.items() for at in range(count)]


@dataclass
class Found:
    """What a store holds; by topic, and by partition and offset in it. A topic that is not there yet has nothing."""

    records: dict[str, dict[Place, StoredRecord]] = field(default_factory=lambda: {name: {} for name in PARTITIONS})
    starts: dict[tuple[str, int], int] = field(default_factory=lambda: dict.fromkeys(_every_partition(), 0))
    ends: dict[tuple[str, int], int] = field(default_factory=lambda: dict.fromkeys(_every_partition(), 0))
    unsettled: dict[str, dict[Place, tuple[int, int, int]]] = field(
        default_factory=lambda: {name: {} for name in PARTITIONS}
    )
    """Of queues: id, hand-overs, failures."""
    queues: dict[str, QueueView] = field(default_factory=dict)
    floors: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of the group, by partition: floor, and how many are done above it."""
    attempts: dict[Place, int] = field(default_factory=dict)

    def all_of(self, topic: str) -> set[Place]:
        """Every place that was ever given out."""
        return {(at, offset) for at in range(PARTITIONS[topic]) for offset in range(self.ends[topic, at])}

    def difference(self, other: "Found") -> list[str]:
        """What the other holds differently; what is due may have become ready meanwhile."""
        found = [f"records of {name}" for name in PARTITIONS if self.records[name] != other.records[name]]
        for name in ("starts", "ends", "unsettled", "floors", "attempts"):
            mine, others = getattr(self, name), getattr(other, name)
            keys = [key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key)]
            found += [f"{name} {key}: {mine.get(key)} and {others.get(key)}" for key in keys]
        return found


async def look(directory: Path) -> Found:
    """Open a store that nobody holds, as the next process would, and read all of it."""
    looking = BrokerOptions(housekeeping_ms=HOUR_MS, punctual=False)
    engine = cast("EmbeddedEngine", await open_engine(str(directory), options=looking))
    try:
        found = Found()
        for view in await engine.admin.topics():
            found.records[view.name] = await _read(engine, view.name)
            for partition in view.partitions:
                found.starts[view.name, partition.index] = partition.log_start
                found.ends[view.name, partition.index] = partition.high_watermark
        for queue in await engine.admin.queues():
            found.queues[queue.name] = queue
            for one in await engine.admin.peek(queue.name, 1_000_000):
                place = one.partition, one.record.offset
                found.unsettled[queue.name][place] = payload_of(one.record.value or b"").id, one.acquired, one.failed
        _look_at_group(engine, found)
        return found
    finally:
        await engine.close()


async def _read(engine: EmbeddedEngine, topic: str) -> dict[Place, StoredRecord]:
    reader = await engine.reader(topic, "earliest", stop="end")
    found: dict[Place, StoredRecord] = {}
    while (chunk := await reader.read(MIB, 0)) is not None or not reader.ended:
        if chunk is not None:
            found.update({(chunk.partition, record.offset): record for record in chunk.records})
    await reader.close()
    return found


def _look_at_group(engine: EmbeddedEngine, found: Found) -> None:
    catalog = engine.broker.catalog
    if (engine.namespace, GROUP) not in catalog.group_names:
        return
    group = catalog.group(engine.namespace, GROUP)
    for partition in engine.broker.topic(engine.namespace, ORDERS).partitions:
        progress = group.progress(partition)
        if progress is not None:
            done = sum(end - start for start, end in progress.done)
            found.floors[partition.index] = progress.floor, done
            found.attempts.update({(partition.index, row[0]): row[1] for row in progress.attempts})


class History:
    """What the processes told before they died, and what was visible after each."""

    def __init__(self) -> None:
        self.life = 0
        self.heard: Counter[str] = Counter()
        self.acknowledged: dict[str, dict[Place, int]] = defaultdict(dict)
        self.settled: dict[str, set[Place]] = defaultdict(set)
        self.died: dict[str, set[Place]] = defaultdict(set)
        self.taken: dict[Place, int] = {}
        """Hand-overs of jobs."""
        self.failed: dict[Place, int] = {}
        """Failures of orders."""
        self.redriven: Counter[str] = Counter()
        self.before = Found()

    # ---- what the processes tell ------------------------------------------------------------------------------------

    def hear(self, line: Line) -> None:
        """Remember a line; a hand-over must fit to what was heard before.

        Raises:
            AssertionError: it does not.
        """
        self.heard[type(line).__name__] += 1
        match line:
            case Published(topic, rows):
                self._published(topic, rows)
            case Taken(topic, rows):
                for partition, offset, attempt, failed in rows:
                    self._taken(topic, (partition, offset), attempt, failed)
            case Settled(topic, rows):
                self.settled[topic].update(rows)
            case Failed(topic, rows) if topic == ORDERS:
                self.failed.update({(partition, offset): failed for partition, offset, failed in rows})
            case Died(topic, rows):
                self.died[topic].update(rows)
            case Redriven(topic, count):
                self.redriven[topic] += count
            case _:
                pass

    def _published(self, topic: str, rows: list[tuple[int, int, int]]) -> None:
        for partition, offset, number in rows:
            known = self.acknowledged[topic].setdefault((partition, offset), number)
            assert known == number, f"I3: {topic}/{partition}/{offset} was {known} and is {number}"

    def _taken(self, topic: str, place: Place, attempt: int, failed: int) -> None:
        assert place not in self.settled[topic], f"I4: {topic}/{place} was settled and is handed out again"
        assert place not in self.died[topic], f"I4: {topic}/{place} died and is handed out again"
        if topic == ORDERS:
            known = self.failed.get(place, 0)
            assert failed >= known, f"I6: {topic}/{place} failed {known} times and is handed out with {failed}"
            return
        before = self.taken.get(place, 0)
        assert attempt > before, f"I6: hand-over {before} of {topic}/{place} is followed by {attempt}"
        assert failed == attempt - 1, f"I6: {topic}/{place} was handed out {attempt} times and failed {failed} times"
        self.taken[place] = attempt

    # ---- what is found ----------------------------------------------------------------------------------------------

    def judge(self, found: Found) -> None:
        """Hold what an opened store has against what is known.

        Raises:
            AssertionError: names the invariant.
        """
        for topic in PARTITIONS:
            self._judge_offsets(topic, found)
        for topic in SOURCES:
            self._judge_content(topic, found)
            self._judge_fates(topic, found)
        for name, view in found.queues.items():
            judge_counts(view, sum(found.ends[name, at] for at in range(PARTITIONS[name])))
        self._judge_group(found)
        self._judge_deliveries(found)
        self.before = found

    def _judge_offsets(self, topic: str, found: Found) -> None:
        for at in range(PARTITIONS[topic]):
            key = topic, at
            assert found.ends[key] >= self.before.ends[key], f"I1: the end of {topic}/{at} went back"
            assert found.starts[key] >= self.before.starts[key], f"I6: the start of {topic}/{at} went back"
            offsets = {offset for part, offset in found.records[topic] if part == at}
            exist = set(range(found.starts[key], found.ends[key]))
            if topic == JOBS:
                exist -= {offset for part, offset in compacted(found) if part == at}
            assert offsets == exist, f"I1: {topic}/{at} lacks {exist - offsets} or has {offsets - exist} too many"
        for place, record in self.before.records[topic].items():
            now = found.records[topic].get(place)
            assert now in (None, record), f"I3: {topic}/{place} has other content than before"

    def _judge_content(self, topic: str, found: Found) -> None:
        records = found.records[topic]
        ids = {place: payload_of(record.value or b"") for place, record in records.items()}
        for place, payload in ids.items():
            assert payload.pad == pad_of(payload.id), f"I2: {topic}/{place} is not what was sent"
            assert 1 <= payload.id // IDS_PER_LIFE <= self.life, f"I2: nobody sent event {payload.id}"
        gone = compacted(found) if topic == JOBS else set()
        for place, number in self.acknowledged[topic].items():
            if place[1] >= found.starts[topic, place[0]] and place not in gone:
                assert place in ids, f"I1: {topic}/{place}, acknowledged as {number}, is lost"
                assert ids[place].id == number, f"I3: {topic}/{place} is {ids[place].id}, acknowledged as {number}"

    def _judge_fates(self, topic: str, found: Found) -> None:
        """Each place is settled once or not at all, and each event is in one place."""
        outputs, letters = outputs_of(topic, found), letters_of(topic, found)
        settled = outputs.keys() | letters.keys()
        assert not outputs.keys() & letters.keys(), (
            f"I7: of {topic} both done and dead: {outputs.keys() & letters.keys()}"
        )
        assert self.settled[topic] <= outputs.keys(), (
            f"I4: of {topic} settled, now not: {self.settled[topic] - settled}"
        )
        assert self.died[topic] <= letters.keys(), f"I7: of {topic} dead, now not: {self.died[topic] - letters.keys()}"
        left = found.all_of(topic) - settled
        if topic == JOBS:
            waiting = found.unsettled[JOBS]
            assert not waiting.keys() & settled, f"I4: settled jobs are back: {waiting.keys() & settled}"
            assert waiting.keys() == left, f"I5: jobs neither waiting nor settled: {left ^ waiting.keys()}"
        homes = [payload_of(found.records[topic][place].value or b"").id for place in left]
        homes += [one.id for one in outputs.values()]
        homes += [number for number, _, _ in found.unsettled[DEAD[topic]].values()]
        several = [number for number, count in Counter(homes).items() if count > 1]
        assert not several, f"I5: {topic}: in two places or done twice: {several[:5]}"
        missing = set(self.acknowledged[topic].values()) - set(homes)
        assert not missing, f"I5: {topic}: acknowledged and nowhere: {sorted(missing)[:5]}"
        dead = found.queues.get(DEAD[topic])
        if dead is not None:
            assert dead.acked >= self.redriven[topic], (
                f"I4: {self.redriven[topic]} redriven, {dead.acked} left {dead.name}"
            )
            assert dead.acked + len(found.unsettled[dead.name]) == len(letters), f"I5: letters of {topic}"
        if topic == JOBS and JOBS in found.queues:
            view = found.queues[JOBS]
            assert (view.acked, view.dead + view.rejected) == (len(outputs), len(letters)), f"I7: {view}"

    def _judge_group(self, found: Found) -> None:
        settled = outputs_of(ORDERS, found).keys() | letters_of(ORDERS, found).keys()
        for at, (floor, above) in found.floors.items():
            before = self.before.floors.get(at, (0, 0))[0]
            assert floor >= before, f"I6: the floor of the group in partition {at} went from {before} to {floor}"
            done = sum(part == at for part, _ in settled)
            assert floor + above == done, f"I7: {floor} + {above} done in partition {at}, with {done} outputs"
            assert all((at, offset) in settled for offset in range(floor)), f"I7: passed over in partition {at}"
        assert found.floors.keys() >= self.before.floors.keys(), "I6: the group lost a position"

    def _judge_deliveries(self, found: Found) -> None:
        for place, (_, acquired, failed) in found.unsettled[JOBS].items():
            known = self.taken.get(place, 0)
            assert acquired >= known, f"I6: job {place} was handed out {known} times and has {acquired}"
            assert failed == acquired, f"I6: nobody holds job {place}: {acquired} hand-overs are as many failures"
        settled = outputs_of(ORDERS, found).keys() | letters_of(ORDERS, found).keys()
        for place, failed in self.failed.items():
            now = found.attempts.get(place, 0)
            assert place in settled or now >= failed, f"I6: order {place} failed {failed} times and has {now}"


def compacted(found: Found) -> set[Place]:
    """Jobs that are done with and not there any more, though an older one is still wanted."""
    settled = outputs_of(JOBS, found).keys() | letters_of(JOBS, found).keys()
    return {place for place in settled if place not in found.records[JOBS]}


def outputs_of(topic: str, found: Found) -> dict[Place, Output]:
    """What was published in the units that settled something, by what they settled; each once."""
    outputs: dict[Place, Output] = {}
    for record in found.records[OUTPUT[topic]].values():
        output = output_of(record.value or b"")
        place = output.partition, output.offset
        assert place not in outputs, f"I7: {topic}/{place} has two outputs"
        outputs[place] = output
    return outputs


def letters_of(topic: str, found: Found) -> dict[Place, int]:
    """Ids of the dead letters that there ever were, by what died; each died once."""
    letters: dict[Place, int] = {}
    for record in found.records[DEAD[topic]].values():
        cause = (header_value(record.headers, "isthmus-cause") or b"").decode()
        home, partition, offset = cause.rsplit("/", 2)
        place = int(partition), int(offset)
        assert home == topic, f"I2: a dead letter of {cause}"
        assert place not in letters, f"I7: {topic}/{place} died twice"
        letters[place] = payload_of(record.value or b"").id
    return letters


def judge_counts(view: QueueView, enqueued: int) -> None:
    """The sum of `QueueView`, of a queue that nobody has touched since it was opened."""
    parts = (view.ready, view.leased, view.delayed, view.dying, view.acked, view.rejected, view.dead, view.expired)
    assert view.enqueued == sum(parts) + view.purged + view.trimmed, f"I5: {view}"
    assert view.enqueued == enqueued, f"I5: {enqueued} records in {view.name!r}, of which it counts {view.enqueued}"
    assert (view.leased, view.expired, view.purged, view.trimmed) == (0, 0, 0, 0), f"I5: {view}"
