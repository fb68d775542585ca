"""A storage for crash tests: works in memory, keeps a trace of every call that changes something, and makes from it
the disks that a power cut at any point could leave. It must not judge what a broker does with such a disk.

A test runs a scenario on a `SimStorage`, saying with `mark` what was promised to whom. Then for each of
`crash_points()` and for each `Variant` (and as many seeds as it likes), `images` gives a fresh `SimStorage` to open a
broker on, and `marks_before` what that broker must still know. The call that follows the point counts as begun, so
that torn writes include those that the program was waiting for. An image traces again: crashes within recovery are
images of images. `killed` is the milder case: the process dies, the machine and its page cache live on.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import Final

from isthmus.log.storage import MemoryFile, MemoryStorage
from support.call_site import call_site
from support.sim_disk import EVERYTHING, NOTHING, Choice, Disk, Event, Write, sectors_of

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all, unless a test says 4096."""

_SNAPSHOT_EVENTS: Final = 64
_TORN: Final = ("pwrite", "truncate", "allocate", "create", "rename", "unlink", "make_folder")
"""Calls that may be half done when the power fails."""


class Variant(IntEnum):
    """What of the unsynced survives the power cut. `data` are bytes, `sizes` files' lengths, `names` the rest."""

    NOTHING = 1
    EVERYTHING = 2
    FIRST_HALF = 3
    """The older half of the pending calls."""
    PREFIX = 4
    """Pending calls up to a random one."""
    ONE_MISSING = 5
    """All but a random one."""
    SUBSET = 6
    """Each pending call by the toss of a coin."""
    SUBSET_MOST = 7
    """Each with 4 in 5."""
    SUBSET_FEW = 8
    """Each with 1 in 5."""
    TORN_HEAD = 9
    """Of the last write the first sectors only; all before it."""
    TORN_TAIL = 10
    """Of the last write the last sectors only; all before it."""
    TORN_SECTORS = 11
    """Each sector of every pending write by the toss of a coin; all sizes and names."""
    GROWN_ZERO = 12
    """Sizes and names, no data."""
    NAMES_LOST = 13
    """Data and sizes, no names."""
    NAMES_KEPT = 14
    """Names only."""
    NAMES_PREFIX = 15
    """Names up to a random one, data and sizes by the toss of a coin."""
    NAMES_SUBSET = 16
    """Each name by the toss of a coin, all data and sizes."""


class SimFile:
    """A file of a `SimStorage`. See `File`."""

    __slots__ = ("_file", "_inode", "_name", "_storage")

    def __init__(self, storage: "SimStorage", file: MemoryFile, name: str, inode: int) -> None:
        self._storage = storage
        self._file = file
        self._name = name
        self._inode = inode

    def pread(self, size: int, position: int) -> bytes:
        """See `File.pread`."""
        return self._file.pread(size, position)

    def pread_now(self, size: int, position: int) -> bytes | None:
        """See `File.pread_now`."""
        return self._file.pread_now(size, position)

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:
        """See `File.pwrite`."""
        data = b"".join(buffers)
        written = self._file.pwrite([data], position)
        if data:
            self._record("pwrite", position, data, sync=sync)
        return written

    def sync(self) -> None:
        """See `File.sync`."""
        self._file.sync()
        self._record("sync")

    def sync_failed(self, *, reverted: bool) -> None:
        """Do what a failed sync does: nothing pending of this file will ever reach the disk by a later one.

        Readers still see it (ext4), or with `reverted` no longer (Btrfs). The caller raises the error.
        """
        if not reverted:
            self._record("sync failed")
            return
        held, size = self._storage.on_disk(self._inode)
        self._file.truncate(0)
        self._file.pwrite([held], 0)
        self._file.truncate(size)
        self._record("sync failed, reverted")

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        self._file.truncate(size)
        self._record("truncate", size)

    def allocate(self, size: int) -> None:
        """See `File.allocate`."""
        self._file.allocate(size)
        self._record("allocate", size)

    def advise(self, position: int, size: int) -> None:
        """See `File.advise`."""

    def size(self) -> int:
        """See `File.size`."""
        return self._file.size()

    def close(self) -> None:
        """See `File.close`."""
        self._file.close()

    def _record(self, op: str, position: int = 0, data: bytes = b"", *, sync: bool = False) -> None:
        self._storage.trace.append(Event(op, self._name, call_site(), self._inode, position, data, sync))


class SimStorage:
    """A data directory in memory that can crash. See `Storage`; the module's text for how to use it."""

    inline: Final = True
    directory: Final = "simulated"

    def __init__(self, *, sector_bytes: int = SECTOR_BYTES) -> None:
        self.trace: list[Event] = []
        self.sector_bytes: Final = sector_bytes
        self._boot = 1
        self._memory = MemoryStorage()
        self._inodes: dict[str, int] = {}
        self._next_inode = 1
        self._start(Disk(), Disk())

    # ---- storage --------------------------------------------------------------------------------------------------

    def open(self, name: str, *, write: bool = False, create: bool = False) -> SimFile:
        """See `Storage.open`."""
        file = self._memory.open(name, write=write, create=create)
        if create:
            self._inodes[name] = self._next_inode
            self._next_inode += 1
            self.trace.append(Event("create", name, call_site(), self._inodes[name]))
        return SimFile(self, file, name, self._inodes[name])

    def exists(self, name: str) -> bool:
        """See `Storage.exists`."""
        return self._memory.exists(name)

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        return self._memory.list(folder)

    def make_folder(self, name: str) -> None:
        """See `Storage.make_folder`."""
        if self._memory.exists(name) and name not in self._inodes:
            return
        self._memory.make_folder(name)
        self.trace.append(Event("make_folder", name, call_site()))

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        self._memory.rename(source, target)
        inode = self._inodes[target] = self._inodes.pop(source)
        self.trace.append(Event("rename", source, call_site(), inode, target=target))

    def unlink(self, name: str) -> None:
        """See `Storage.unlink`."""
        self._memory.unlink(name)
        self.trace.append(Event("unlink", name, call_site(), self._inodes.pop(name)))

    def sync_folder(self, name: str) -> None:
        """See `Storage.sync_folder`."""
        self._memory.sync_folder(name)
        self.trace.append(Event("sync_folder", name, call_site()))

    def free_bytes(self) -> int:
        """See `Storage.free_bytes`."""
        return self._memory.free_bytes()

    def lock(self) -> None:
        """See `Storage.lock`; a process that died holds nothing, so there is nothing to refuse."""

    def unlock(self) -> None:
        """See `Storage.unlock`."""

    def lock_holder(self) -> tuple[int, str] | None:
        """See `Storage.lock_holder`."""
        return None

    def boot_id(self) -> str:
        """See `Storage.boot_id`; an image has the next one."""
        return f"boot {self._boot}"

    # ---- what a test adds -----------------------------------------------------------------------------------------

    def mark(self, value: object) -> None:
        """Put an event of the test's own into the trace: "offset 7 was acknowledged"."""
        self.trace.append(Event("mark", "", call_site(), value=value))

    def marks_before(self, prefix: int) -> Sequence[object]:
        """The marks among the first `prefix` events."""
        return [event.value for event in self.trace[:prefix] if event.op == "mark"]

    def crash_points(self) -> Sequence[int]:
        """Prefixes of the trace that are worth a crash: all but those before a mark, which the one after it covers."""
        points = [prefix for prefix, event in enumerate(self.trace) if event.op != "mark"]
        return [*points, len(self.trace)]

    def sites(self) -> Counter[tuple[str, str]]:
        """How often each (op, call site) is in the trace."""
        return Counter((event.op, event.site) for event in self.trace if event.op != "mark")

    def contents(self) -> dict[str, tuple[bytes, int]]:
        """Every file by name, as readers see it now: bytes up to the last that is not zero, and size."""
        found = {}
        for name in self._inodes:
            file = self._memory.open(name)
            found[name] = (file.pread(file.size(), 0).rstrip(b"\0"), file.size())
        return found

    def on_disk(self, inode: int) -> tuple[bytes, int]:
        """Bytes and size of a file if power failed now and nothing that is pending survived."""
        return self._disk_at(len(self.trace)).inodes[inode].after(NOTHING, self.sector_bytes)

    # ---- crashes --------------------------------------------------------------------------------------------------

    def images(self, prefix: int, variant: Variant, seed: int = 0) -> "SimStorage":
        """The disk after a power cut when `prefix` events had happened and the next had begun.

        The same arguments give the same disk. A variant that leaves nothing to chance ignores the seed.
        """
        disk = self._disk_at(prefix)
        if variant not in (Variant.NOTHING, Variant.EVERYTHING):
            disk = self._with_begun(disk, prefix)
        rng = random.Random((seed << 40) + (variant << 32) + prefix)
        return self._image(disk, _choice(variant, disk, rng, self.sector_bytes))

    def pending(self, prefix: int) -> Sequence[int]:
        """Names, for `image_keeping`, of the calls that a power cut at this point may undo."""
        return self._with_begun(self._disk_at(prefix), prefix).pending().calls

    def image_keeping(self, prefix: int, kept: Collection[int]) -> "SimStorage":
        """The disk on which of the `pending` calls exactly these survived: for trying every subset."""
        return self._image(self._with_begun(self._disk_at(prefix), prefix), _whole(kept))

    def killed(self, prefix: int) -> "SimStorage":
        """What the next process finds when this one was killed after `prefix` events and the machine lives on.

        All that was written is there, but what was not synced is still not safe.
        """
        cache = self._cache.copy()
        for event in self.trace[:prefix]:
            if event.op == "sync failed":
                cache.at += 1  # readers still see what this sync lost
            else:
                cache.apply(event)
        files, folders = cache.after_crash(EVERYTHING, self.sector_bytes)
        storage = self._fresh(files, folders, cache.tree_after(EVERYTHING).files)
        storage._next_inode = self._next_inode
        storage._boot = self._boot
        storage._start(self._disk_at(prefix).copy(), cache)
        return storage

    def _image(self, disk: Disk, choice: Choice) -> "SimStorage":
        files, folders = disk.after_crash(choice, self.sector_bytes)
        numbers = {name: number for number, name in enumerate(files, 1)}
        storage = self._fresh(files, folders, numbers)
        storage._next_inode = len(files) + 1
        storage._boot = self._boot + 1
        found = Disk()
        found.tree.folders.update(folders)
        for name, (held, size) in files.items():
            found.add(name, numbers[name], held, size)
        storage._start(found, found)
        return storage

    def _fresh(self, files: dict[str, tuple[bytes, int]], folders: set[str], numbers: dict[str, int]) -> "SimStorage":
        storage = SimStorage(sector_bytes=self.sector_bytes)
        for folder in sorted(folders - {""}):
            storage._memory.make_folder(folder)
        for name, (held, size) in files.items():
            file = storage._memory.open(name, create=True)
            file.pwrite([held], 0)
            file.truncate(size)
        storage._inodes = numbers
        return storage

    def _start(self, disk: Disk, cache: Disk) -> None:
        """Say what was on the disk, and what readers saw, before the first event of the trace."""
        self._cache = cache
        self._snapshots = [disk]
        self._cursor = disk.copy()
        self._cursor_prefix = 0

    def _disk_at(self, prefix: int) -> Disk:
        """The state after `prefix` events; not to be changed. Going forward is cheap, going back is not dear."""
        if prefix < self._cursor_prefix:
            number = prefix // _SNAPSHOT_EVENTS
            self._cursor, self._cursor_prefix = self._snapshots[number].copy(), number * _SNAPSHOT_EVENTS
        while self._cursor_prefix < prefix:
            self._cursor.apply(self.trace[self._cursor_prefix])
            self._cursor_prefix += 1
            if self._cursor_prefix == len(self._snapshots) * _SNAPSHOT_EVENTS:
                self._snapshots.append(self._cursor.copy())
        return self._cursor

    def _with_begun(self, disk: Disk, prefix: int) -> Disk:
        """The state with the next call begun: it may have happened, in parts, and is safe in none."""
        if prefix == len(self.trace) or self.trace[prefix].op not in _TORN:
            return disk
        disk = disk.copy()
        disk.apply(self.trace[prefix]._replace(sync=False))
        return disk


def _choice(variant: Variant, disk: Disk, rng: random.Random, sector_bytes: int) -> Choice:
    """The rule by which a variant, with this much luck, lets pending calls survive."""
    calls, writes, names = disk.pending()
    match variant:
        case Variant.FIRST_HALF:
            return _whole(calls[: len(calls) // 2])
        case Variant.PREFIX:
            return _whole(calls[: rng.randint(0, len(calls))])
        case Variant.ONE_MISSING:
            lost = rng.choice(calls) if calls else -1
            return _whole(at for at in calls if at != lost)
        case Variant.SUBSET | Variant.SUBSET_MOST | Variant.SUBSET_FEW:
            return _whole(at for at in calls if rng.random() < _ODDS[variant])
        case Variant.TORN_HEAD | Variant.TORN_TAIL:
            return _torn(writes[-1], variant, rng, sector_bytes) if writes else EVERYTHING
        case Variant.TORN_SECTORS:
            return EVERYTHING._replace(data=lambda _, __: rng.random() < 0.5)
        case Variant.GROWN_ZERO:
            return EVERYTHING._replace(data=NOTHING.data)
        case Variant.NAMES_LOST:
            return EVERYTHING._replace(name=NOTHING.name)
        case Variant.NAMES_KEPT:
            return NOTHING._replace(name=EVERYTHING.name)
        case Variant.NAMES_PREFIX:
            last = rng.choice([-1, *names])
            return _whole(at for at in calls if rng.random() < 0.5)._replace(name=lambda at: at <= last)
        case Variant.NAMES_SUBSET:
            return EVERYTHING._replace(name=lambda _: rng.random() < 0.5)
        case _:
            return EVERYTHING if variant is Variant.EVERYTHING else NOTHING


_ODDS: Final = {Variant.SUBSET: 0.5, Variant.SUBSET_MOST: 0.8, Variant.SUBSET_FEW: 0.2}


def _whole(calls: Iterable[int]) -> Choice:
    """Exactly these calls survive, each as a whole."""
    kept = frozenset(calls)
    return Choice(lambda at, _: at in kept, kept.__contains__, kept.__contains__)


def _torn(last: Write, variant: Variant, rng: random.Random, sector_bytes: int) -> Choice:
    """All survives but some sectors of the last write; whether the file has grown by it is open."""
    sectors = sectors_of(last.position, last.end, sector_bytes)
    cut = rng.randrange(len(sectors))
    kept = sectors[:cut] if variant is Variant.TORN_HEAD else sectors[cut + 1 :]
    grown = rng.random() < 0.5
    return Choice(
        data=lambda at, sector: at != last.at or sector in kept,
        size=lambda at: at != last.at or grown,
        name=EVERYTHING.name,
    )
