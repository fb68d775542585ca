"""Whether something was appended already: by an idempotent producer's sequence, or by a de-duplication id. Pure.

It keeps bounded memory of what is applied and of what is in flight, and decides; it writes nothing.
"""

import hashlib
import struct
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from isthmus.errors import OutOfOrderSequence, Overloaded, StaleProducer
from isthmus.limits import DEDUP_IDS_MAX, PRODUCER_BATCHES_KEPT, PRODUCERS_MAX

SEQUENCES: Final = 2**31
"""Sequence numbers wrap here (Kafka's int32 without sign)."""

_ROW: Final = struct.Struct("<16sQQQ")


class ProducerBatch(NamedTuple):
    """A remembered batch: sequences first to last, inclusive, at `base_offset`."""

    first: int
    last: int
    base_offset: int


class _Producer:
    __slots__ = ("batches", "epoch")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[ProducerBatch] = deque(maxlen=PRODUCER_BATCHES_KEPT)


class ProducerTable:
    """The idempotent producers of one partition: id, epoch and the last five batches of each (KIP-98).

    At most PRODUCERS_MAX are known: the one that has been quiet for longest is forgotten, and may begin anywhere when
    it comes back.
    """

    __slots__ = ("_producers",)

    def __init__(self) -> None:
        self._producers: OrderedDict[int, _Producer] = OrderedDict()

    def find(self, producer_id: int, epoch: int, base_sequence: int, count: int) -> int | None:
        """The base offset of the same batch if it was appended already; None when it is new and in order.

        Raises:
            StaleProducer: a newer epoch has been seen.
            OutOfOrderSequence: a sequence is missing between the last batch and this one.
        """
        known = self._producers.get(producer_id)
        if known is None:
            return None
        if epoch < known.epoch:
            raise StaleProducer(producer_id, epoch, known.epoch)
        expected = 0
        if epoch == known.epoch and known.batches:
            last = (base_sequence + count - 1) % SEQUENCES
            for row in known.batches:
                if row.first == base_sequence and row.last == last:
                    return row.base_offset
            expected = (known.batches[-1].last + 1) % SEQUENCES
        if base_sequence != expected:
            raise OutOfOrderSequence(producer_id, expected, base_sequence)
        return None

    def add(self, producer_id: int, epoch: int, base_sequence: int, count: int, base_offset: int) -> None:
        """Remember an appended batch; harmless when it is remembered already (replay)."""
        known = self._producers.get(producer_id)
        if known is None or epoch > known.epoch:
            known = self._producers[producer_id] = _Producer(epoch)
            if len(self._producers) > PRODUCERS_MAX:
                self._producers.popitem(last=False)
        row = ProducerBatch(base_sequence, (base_sequence + count - 1) % SEQUENCES, base_offset)
        if epoch == known.epoch and all(old.base_offset < base_offset for old in known.batches):
            known.batches.append(row)
            self._producers.move_to_end(producer_id)

    def rows(self) -> tuple[tuple[int, int, tuple[tuple[int, int, int], ...]], ...]:
        """For a checkpoint, the quietest first."""
        return tuple((key, known.epoch, tuple(known.batches)) for key, known in self._producers.items())

    @classmethod
    def restore(cls, rows: tuple[tuple[int, int, tuple[tuple[int, int, int], ...]], ...]) -> "ProducerTable":
        """From a checkpoint."""
        table = cls()
        for producer_id, epoch, kept in rows:
            known = table._producers[producer_id] = _Producer(epoch)
            known.batches.extend(ProducerBatch(*row) for row in kept)
        return table


class DedupHit(NamedTuple):
    """Where the first record with that id is."""

    partition: int
    offset: int


def digest(dedup_id: str) -> bytes:
    """The 16 bytes by which an id is remembered."""
    return hashlib.blake2b(dedup_id.encode(), digest_size=16).digest()


class DedupWindow:
    """De-duplication ids of one topic, in insertion order, for `window_ms` and at most DEDUP_IDS_MAX of them.

    Never forgets early: a full window refuses new ids instead.
    """

    __slots__ = ("_ids", "window_ms")

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._ids: OrderedDict[bytes, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, key: bytes, now_ms: int) -> DedupHit | None:
        """The record that was published with this id within the window.

        Raises:
            Overloaded: the id is new and there is no room to remember it.
        """
        self.forget(now_ms)
        known = self._ids.get(key)
        # Replay may bring an old id back behind younger ones, where `forget` does not see it yet.
        if known is not None and now_ms - known[0] < self.window_ms:
            return DedupHit(known[1], known[2])
        if len(self._ids) >= DEDUP_IDS_MAX:
            raise Overloaded("de-duplication ids within the window", DEDUP_IDS_MAX)
        return None

    def known(self, key: bytes) -> DedupHit | None:
        """The same without regard to time."""
        known = self._ids.get(key)
        return None if known is None else DedupHit(known[1], known[2])

    def add(self, key: bytes, time_ms: int, partition: int, offset: int) -> None:
        """Remember an id; the first record with it wins, so that replay changes nothing."""
        known = self._ids.get(key)
        if known is None or time_ms - known[0] >= self.window_ms:
            self._ids[key] = (time_ms, partition, offset)
            self._ids.move_to_end(key)

    def forget(self, now_ms: int) -> None:
        """Drop what is older than the window."""
        while self._ids:
            oldest = next(iter(self._ids))
            if now_ms - self._ids[oldest][0] < self.window_ms:
                return
            del self._ids[oldest]

    def pack(self) -> bytes:
        """For a checkpoint: rows of digest, time, partition, offset."""
        return b"".join(_ROW.pack(key, *known) for key, known in self._ids.items())

    def restore(self, rows: bytes) -> None:
        """From a checkpoint; later replays may add to it."""
        for key, time_ms, partition, offset in self._unpack(rows):
            self.add(key, time_ms, partition, offset)

    @staticmethod
    def _unpack(rows: bytes) -> Iterator[tuple[bytes, int, int, int]]:
        return _ROW.iter_unpack(rows)
