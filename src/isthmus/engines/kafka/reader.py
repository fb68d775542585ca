"""Reads partitions of a Kafka topic by offset, without a group."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from isthmus.clock import Clock, wait_own
from isthmus.engines.base import Chunk, Start
from isthmus.engines.kafka.feed import AHEAD_BYTES, Feed
from isthmus.engines.kafka.link import ANSWER_S, Link
from isthmus.engines.shared.pieces import Piece, fitting, size_of
from isthmus.errors import IsthmusError
from isthmus.record import StoredRecord

GROUP: Final = "isthmus.reader"
"""librdkafka wants a group's name even where nobody joins one."""


def offsets_of(consumer: Consumer, places: Sequence[TopicPartition], start: Start) -> dict[int, int]:
    """Where a start lies in each partition of one topic. Runs in a thread."""
    marks = {each.partition: consumer.get_watermark_offsets(each, ANSWER_S) for each in places}
    match start:
        case "earliest":
            return {index: low for index, (low, _) in marks.items()}
        case "latest":
            return {index: high for index, (_, high) in marks.items()}
        case int():
            return {index: max(low, min(start, high)) for index, (low, high) in marks.items()}
        case (_, time_ms):
            asked = [TopicPartition(each.topic, each.partition, time_ms) for each in places]
            found = consumer.offsets_for_times(asked, ANSWER_S)
            return {
                each.partition: marks[each.partition][1] if each.offset in (OFFSET_END, -1) else each.offset
                for each in found
            }


def ends_of(consumer: Consumer, places: Sequence[TopicPartition]) -> dict[int, int]:
    """The high watermarks of this moment. Runs in a thread."""
    return {each.partition: consumer.get_watermark_offsets(each, ANSWER_S)[1] for each in places}


class KafkaReader:
    """See `Reader` in `engines/base.py`."""

    def __init__(self, link: Link, clock: Clock, topic: str, partitions: int) -> None:
        self._link = link
        self._clock = clock
        self._topic = topic
        self._places = [TopicPartition(topic, index) for index in range(partitions)]
        self._feed = Feed(link, {"group.id": GROUP, "client.id": "isthmus-reader"}, self._arrived, self._fail)
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._at: dict[int, int] = {}
        self._ends: Mapping[int, int] | None = None
        self._error: IsthmusError | None = None
        self._grown: asyncio.Future[object] | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None

    async def begin(self, start: Start | Mapping[int, int], *, to_end: bool) -> None:
        """Find the start, and the end when it is to stop there, then fetch.

        Args:
            start: for all partitions; or the offset of each, where one that is left out is read whole.
            to_end: stop at the high watermarks of this moment.
        """

        def assign(consumer: Consumer) -> None:
            whole: Start = "earliest" if isinstance(start, Mapping) else start
            self._at = offsets_of(consumer, self._places, whole)
            if isinstance(start, Mapping):
                self._at = {index: max(low, start.get(index, low)) for index, low in self._at.items()}
            if to_end:
                self._ends = ends_of(consumer, self._places)
            consumer.assign([TopicPartition(self._topic, index, offset) for index, offset in self._at.items()])

        await self._feed.begin(assign)

    @property
    def ended(self) -> bool:
        """Whether every partition has reached where reading was to stop."""
        if self._closed:
            return True
        if self._ends is None:
            return False
        return all(self._at[index] >= end for index, end in self._ends.items())

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """The next records of some partition."""
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            chunk = self._next(max_bytes)
            if chunk is not None:
                return chunk
            if self._error is not None:
                raise self._error
            if self.ended:
                return None
            # Whoever reads to the end waits for it: what is there is only on its way.
            if not await self._wait(None if self._ends is not None else until_ms):
                return None
        return None

    async def _wait(self, until_ms: int | None) -> bool:
        self._grown = asyncio.get_running_loop().create_future()
        return await wait_own(self._clock, self._grown, until_ms)

    def _next(self, max_bytes: int) -> Chunk | None:
        while self._pieces:
            piece = self._pieces.popleft()
            records = self._wanted(piece)
            taken = fitting(records, max_bytes)
            if len(taken) < len(records):
                self._pieces.appendleft(Piece(piece.place, records[len(taken) :], piece.end_offset, piece.at_end))
                self._at[piece.place[1]] = taken[-1].offset + 1
            else:
                self._at[piece.place[1]] = piece.end_offset
            self._bytes -= size_of(taken)
            self._feed.hold(full=self._bytes > AHEAD_BYTES)
            if taken:
                return Chunk(self._topic, piece.place[1], list(taken))
        return None

    def _wanted(self, piece: Piece) -> Sequence[StoredRecord]:
        """What of a piece lies below the end, if there is one."""
        end = self._ends.get(piece.place[1]) if self._ends is not None else None
        if end is None or piece.end_offset <= end:
            return piece.records
        kept = [record for record in piece.records if record.offset < end]
        self._bytes -= size_of(piece.records[len(kept) :])
        return kept

    async def close(self) -> None:
        """Wake a waiting `read`, and leave."""
        self._closed = True
        self._wake()
        await self._feed.close()
        if self.on_close is not None:
            self.on_close()

    def _arrived(self, pieces: list[Piece]) -> None:
        self._pieces += pieces
        self._bytes += sum(size_of(piece.records) for piece in pieces)
        self._feed.hold(full=self._bytes > AHEAD_BYTES)
        self._wake()

    def _fail(self, error: IsthmusError) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._grown is not None and not self._grown.done():
            self._grown.set_result(None)
