"""A producer's ready batches: held against what their topic takes, and turned into what it stores.

Most go in as they come, undecoded. What must be looked into (keys, timestamps, another codec) is worked on off the
loop, one batch of a partition after the other, so that the order stays; nothing here appends.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from isthmus.broker.catalog import Topic
from isthmus.definition import TopicConfig
from isthmus.errors import InvalidBatch, InvalidTimestamp, KeyRequired, RecordTooLarge, UnknownPartition, Unsupported
from isthmus.log import batch as batches
from isthmus.log.pending import Pending
from isthmus.record import Appended

LATER: Final = "follows in a later version"
NO_TIMESTAMP: Final = -1

Work = Callable[[], bytes]
Append = Callable[[bytes], Pending[list[Appended]]]
Run = Callable[[Work], Awaitable[bytes]]


def check(topic: Topic, partition: int, header: batches.BatchHeader, size: int) -> None:
    """Hold a producer's batch against what its topic takes.

    Raises:
        UnknownPartition, RecordTooLarge, Unsupported, InvalidBatch: it cannot be appended.
    """
    if not 0 <= partition < len(topic.partitions):
        raise UnknownPartition(topic.name, partition, len(topic.partitions))
    _check_size(topic, size)
    if header.control or header.transactional:
        raise Unsupported("a transactional batch", LATER)
    _check_fresh(header)


def _check_fresh(header: batches.BatchHeader) -> None:
    """What a stored batch may have, and one that is new may not: gaps, and what only a broker sets."""
    if not header.count or header.count != header.last_offset_delta + 1:
        raise InvalidBatch(f"{header.count} records at {header.last_offset_delta + 1} offsets; send one at each")
    if header.log_append_time or header.delete_horizon_ms is not None:
        raise InvalidBatch(f"attributes {header.attributes:#x} have what a broker sets, not a producer")
    if header.producer_id >= 0 and (header.producer_epoch < 0 or header.base_sequence < 0):
        raise InvalidBatch(
            f"producer {header.producer_id} sends epoch {header.producer_epoch} and sequence {header.base_sequence}; "
            "neither is below 0"
        )


def _check_size(topic: Topic, size: int) -> None:
    if size > topic.set.config.record_bytes_max:
        raise RecordTooLarge(size, topic.set.config.record_bytes_max)


def must_be_opened(topic: Topic, header: batches.BatchHeader, *, queued: bool = False) -> bool:
    """Whether the batch cannot go in as it is: it has another codec, or its records have to be looked at.

    `queued` says that a queue takes from the topic: it would not get past a batch that cannot be read.
    """
    config = topic.set.config
    return queued or config.compression not in ("producer", header.compression) or _has_rules(config)


def _has_rules(config: TopicConfig) -> bool:
    return config.compact or _bounds_timestamps(config)


def _bounds_timestamps(config: TopicConfig) -> bool:
    bounded = config.timestamp_before_ms is not None or config.timestamp_after_ms is not None
    return bounded and config.timestamps == "create"


def opened(topic: Topic, batch: bytes, now_ms: int, *, queued: bool = False) -> bytes:
    """What of a batch is stored, its records having been looked at. Takes its time: not for the loop.

    Raises:
        KeyRequired, InvalidTimestamp, RecordTooLarge, InvalidBatch, UnsupportedCompression: it cannot be appended.
    """
    config = topic.set.config
    if queued or _has_rules(config):
        for record in batches.decode(batch):
            if config.compact and record.key is None:
                raise KeyRequired(topic.name)
            check_timestamp(topic, record.timestamp_ms, now_ms)
    if config.compression != "producer":
        batch = batches.recoded(batch, config.compression)
        _check_size(topic, len(batch))
    return batch


def check_timestamp(topic: Topic, timestamp_ms: int, now_ms: int) -> None:
    """Raises InvalidTimestamp for one outside the topic's bounds; a record may have none."""
    config = topic.set.config
    if timestamp_ms == NO_TIMESTAMP or config.timestamps == "append":
        return
    before_ms, after_ms = config.timestamp_before_ms, config.timestamp_after_ms
    if before_ms is not None and now_ms - timestamp_ms > before_ms:
        raise InvalidTimestamp(topic.name, timestamp_ms, now_ms)
    if after_ms is not None and timestamp_ms - now_ms > after_ms:
        raise InvalidTimestamp(topic.name, timestamp_ms, now_ms)


class _Job(NamedTuple):
    work: Work
    release: Callable[[], None]
    append: Append
    pending: Pending[list[Appended]]


class Lanes:
    """Batches that are worked on, in order of arrival by partition; a lane lives while it has something to do.

    What waits is bounded by the credit of the sessions that sent it.

    Args:
        run: does the work off the loop, or at once where there is no disk to wait for.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: dict[int, deque[_Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def busy(self, partition_id: int) -> bool:
        """Whether something of the partition is on its way, which the next batch must not overtake."""
        return partition_id in self._waiting

    def add(
        self, partition_id: int, work: Work, release: Callable[[], None], append: Append
    ) -> Pending[list[Appended]]:
        """Have `append` called with what `work` makes of a batch, after those that came before it.

        What either raises fails the result, and holds nobody up; `release` is called between them in any case.
        """
        job = _Job(work, release, append, Pending())
        if partition_id in self._waiting:
            self._waiting[partition_id].append(job)
            return job.pending
        self._waiting[partition_id] = deque([job])
        task = asyncio.get_running_loop().create_task(self._go(partition_id), name="isthmus-foreign-batches")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job.pending

    async def _go(self, partition_id: int) -> None:
        waiting = self._waiting[partition_id]
        while waiting:
            job = waiting.popleft()
            try:
                try:
                    made = await self._run(job.work)
                finally:
                    job.release()
                job.append(made).add_done_callback(_forward(job.pending))
            except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
                job.pending.settle(None, error)
        del self._waiting[partition_id]

    async def finish(self) -> None:
        """Wait until all that came has been appended or refused."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))


def _forward(pending: Pending[list[Appended]]) -> Callable[[Pending[list[Appended]]], None]:
    def settled(done: Pending[list[Appended]]) -> None:
        pending.settle(None if done.error is not None else done.result(), done.error)

    return settled
