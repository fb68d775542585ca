"""The newest batches of a journal in memory, for readers that are at the end. It never decides what is readable."""

from collections import OrderedDict


class TailCache:
    """Batches by LSN, bounded in bytes; the oldest goes first."""

    __slots__ = ("_batches", "_bytes", "_bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self._batches: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max

    @property
    def size_bytes(self) -> int:
        """Bytes of the batches in it."""
        return self._bytes

    def put(self, lsn: int, batch: bytes) -> None:
        """Keep a batch, whose LSN is above all that are in; one that is larger than the whole cache is not kept."""
        self._batches[lsn] = batch
        self._bytes += len(batch)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._batches.popitem(last=False)[1])

    def get(self, lsn: int) -> bytes | None:
        """The batch whose entry is at that LSN, if it is still here."""
        return self._batches.get(lsn)

    def drop_below(self, lsn: int) -> None:
        """Forget what removed segments held."""
        while self._batches and next(iter(self._batches)) < lsn:
            self._bytes -= len(self._batches.popitem(last=False)[1])
