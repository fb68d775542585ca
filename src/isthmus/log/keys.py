"""Which records of a partition are not the newest of their key: what compaction by key may leave out. Pure.

It is handed the records of a partition in order, more than once where memory does not hold all keys, and marks offsets.
It reads nothing, writes nothing, and marks nothing of which it is not sure.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from isthmus.limits import COMPACT_KEYS_MAX, COMPACT_MARKS_MAX
from isthmus.record import StoredRecord

KEY_BYTES: Final = 16
"""Longer keys are held as digests of this size."""

_SHARD_BITS: Final = 12
_SHARD_BYTES: Final = (1 << _SHARD_BITS) // 8
_SHARD_COST_BYTES: Final = _SHARD_BYTES + 150


class Memory:
    """Bytes that the marks of one pass may take together."""

    __slots__ = ("left",)

    def __init__(self, bytes_max: int = COMPACT_MARKS_MAX) -> None:
        self.left = bytes_max


class Offsets:
    """A set of offsets: one bit each, in shards that exist where an offset is."""

    __slots__ = ("_memory", "_shards")

    def __init__(self, memory: Memory) -> None:
        self._shards: dict[int, bytearray] = {}
        self._memory = memory

    def __bool__(self) -> bool:
        return bool(self._shards)

    def __contains__(self, offset: int) -> bool:
        shard = self._shards.get(offset >> _SHARD_BITS)
        bit = offset & (1 << _SHARD_BITS) - 1
        return shard is not None and bool(shard[bit >> 3] & 1 << (bit & 7))

    def add(self, offset: int) -> bool:
        """Put one in; False when there is no memory left for it."""
        shard = self._shards.get(offset >> _SHARD_BITS)
        if shard is None:
            if self._memory.left < _SHARD_COST_BYTES:
                return False
            self._memory.left -= _SHARD_COST_BYTES
            shard = self._shards[offset >> _SHARD_BITS] = bytearray(_SHARD_BYTES)
        bit = offset & (1 << _SHARD_BITS) - 1
        shard[bit >> 3] |= 1 << (bit & 7)
        return True

    def count(self, start: int, end: int) -> int:
        """How many there are from `start` to `end`, exclusive."""
        total = 0
        for number in range(start >> _SHARD_BITS, (end - 1 >> _SHARD_BITS) + 1):
            shard = self._shards.get(number)
            if shard is not None:
                first = number << _SHARD_BITS
                bits = int.from_bytes(shard, "little") >> max(0, start - first)
                width = min(end - first, 1 << _SHARD_BITS) - max(0, start - first)
                total += (bits & (1 << width) - 1).bit_count()
        return total


class KeyScan:
    """One pass over the records of a partition, which marks `dead` ones.

    Hand it all batches in order, call `finish`, and begin again as long as that says so: each time it looks at a share
    of the keys that memory holds. What is marked is right at any time, also when the scan is given up.

    A record is dead when a later one of its key was seen. A tombstone is dead when nothing older of its key is left and
    its time has come; the other newest tombstones are `alone` when nothing older is left, else `above` what dies. A
    record without a key is never dead. Behind records that cannot be read nothing is known to be gone: see `blind`.
    """

    def __init__(self, now_ms: int, memory: Memory | None = None, keys_max: int = COMPACT_KEYS_MAX) -> None:
        memory = memory or Memory()
        self.dead = Offsets(memory)
        self.alone = Offsets(memory)
        self.above = Offsets(memory)
        self.full = False
        """Marks did not fit: what was not marked stays."""
        self._now_ms = now_ms
        self._keys_max = keys_max
        self._newest: dict[bytes, int] = {}
        self._blind = False
        self._shares = [(1, 0)]
        """(n, r) rows of work: the keys whose hash is r modulo n."""

    def batch(self, records: Sequence[StoredRecord], delete_horizon_ms: int | None) -> None:
        """The records of one batch; its delete horizon says when its tombstones may go."""
        newest, (modulus, rest) = self._newest, self._shares[-1]
        expired = delete_horizon_ms is not None and delete_horizon_ms <= self._now_ms
        for record in records:
            key = record.key
            if key is None:
                continue
            if len(key) > KEY_BYTES:
                key = blake2b(key, digest_size=KEY_BYTES).digest()
            if modulus > 1 and hash(key) % modulus != rest:
                continue
            older = newest.get(key)
            newest[key] = record.offset
            if older is not None:
                self._mark(self.dead, older)
                if record.value is None and not self._blind:
                    self._mark(self.above, record.offset)
            elif record.value is None and not self._blind:
                self._mark(self.dead if expired else self.alone, record.offset)
            if len(newest) > self._keys_max:
                modulus, rest = self._halve()

    def blind(self) -> None:
        """A batch cannot be read: it may hold something older of any key, so no tombstone behind it may go."""
        self._blind = True

    def _mark(self, marks: Offsets, offset: int) -> None:
        self.full |= not marks.add(offset)

    def _halve(self) -> tuple[int, int]:
        """Go on with half of the keys, and leave the others to another pass."""
        modulus, rest = self._shares.pop()
        self._shares += [(2 * modulus, rest + modulus), (2 * modulus, rest)]
        kept = {key: offset for key, offset in self._newest.items() if hash(key) % (2 * modulus) == rest}
        self._newest.clear()
        self._newest.update(kept)
        return self._shares[-1]

    def finish(self) -> bool:
        """All batches were handed in; whether they have to be once more, for other keys."""
        self._shares.pop()
        self._newest.clear()
        return bool(self._shares)
