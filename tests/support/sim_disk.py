"""A model of what a disk holds while a program writes to it: what is safe, and what may or may not be there after a
power cut. It applies events one by one and answers for a choice of survivors; it must not know who made the events.

Theory of operation. A file (inode) has content that is safe, and a list of operations since, in order. After a power
cut any of them may have happened, in parts: a `Choice` says which. They are applied in their order, because a sector
on the disk is always the sector as it was at some moment; for the same reason a surviving sector brings with it what
was written to that sector before. A `pwrite` with `sync` makes its own bytes safe, and nothing else: it stands in the
list as an operation that always survives, and the list is folded into the content when nothing else is left in it.

A folder's names change by operations too. They survive by choice until every folder that they touch was synced; one
that survives brings with it the earlier ones on the same names. Names whose folder is not there are not there.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple


class Event(NamedTuple):
    """One call that changed something, or a test's own mark. `position` is the size for truncate and allocate."""

    op: str
    name: str
    site: str
    inode: int = 0
    position: int = 0
    data: bytes = b""
    sync: bool = False
    target: str = ""
    value: object = None


class Choice(NamedTuple):
    """What survives of the operations that are not safe, by the time `at` when they were made."""

    data: Callable[[int, int], bool]
    """(at, sector of the file): whether these bytes of a write are there."""
    size: Callable[[int], bool]
    """at: whether the file has the size that the write, truncate or allocate gave it."""
    name: Callable[[int], bool]
    """at: whether a file was created, renamed or unlinked, or a folder made."""


def _always(*_: int) -> bool:
    return True


def _never(*_: int) -> bool:
    return False


EVERYTHING: Final = Choice(_always, _always, _always)
NOTHING: Final = Choice(_never, _never, _never)


class Write(NamedTuple):
    """Bytes on their way to the disk; `safe` ones have arrived."""

    at: int
    position: int
    data: bytes
    safe: bool

    @property
    def end(self) -> int:
        """Position behind the last byte."""
        return self.position + len(self.data)


class Resize(NamedTuple):
    """A new size on its way to the disk; `allocate` only grows, `truncate` cuts too."""

    at: int
    size: int
    cuts: bool


class Inode(NamedTuple):
    """A file: `held` bytes and zeros up to `size` are safe, `pending` is not (but for the safe writes in it)."""

    held: bytes = b""
    size: int = 0
    pending: tuple[Write | Resize, ...] = ()

    def after(self, choice: Choice, sector_bytes: int) -> tuple[bytes, int]:
        """(held bytes, size) when the pending operations survive by this choice."""
        if not self.pending:
            return self.held, self.size
        newest = self._newest_kept(choice, sector_bytes)
        held, size = bytearray(self.held), self.size
        for number, op in enumerate(self.pending):
            if isinstance(op, Resize):
                if choice.size(op.at):
                    size = op.size if op.cuts else max(size, op.size)
                    del held[size:]
                continue
            for start, end in self._kept_parts(number, op, choice, newest, sector_bytes):
                if start > len(held):
                    held.extend(bytes(start - len(held)))
                held[start:end] = op.data[start - op.position : end - op.position]
                size = max(size, end)
            if choice.size(op.at):
                size = max(size, op.end)
        return bytes(held), size

    def _newest_kept(self, choice: Choice, sector_bytes: int) -> dict[int, int]:
        """For each sector that survives: the number of the last pending write that is in it."""
        if choice.data in (_always, _never):
            return {}
        newest: dict[int, int] = {}
        for number, op in enumerate(self.pending):
            if isinstance(op, Write) and not op.safe:
                for sector in sectors_of(op.position, op.end, sector_bytes):
                    if choice.data(op.at, sector):
                        newest[sector] = number
        return newest

    def _kept_parts(
        self, number: int, op: Write, choice: Choice, newest: dict[int, int], sector_bytes: int
    ) -> Iterator[tuple[int, int]]:
        """The parts of a write that survive, as ranges of the file."""
        if op.safe or choice.data is _always:
            yield op.position, op.end
            return
        start = None
        for sector in sectors_of(op.position, op.end, sector_bytes) if newest else ():
            kept = newest.get(sector, -1) >= number
            if kept and start is None:
                start = max(op.position, sector * sector_bytes)
            elif not kept and start is not None:
                yield start, sector * sector_bytes
                start = None
        if start is not None:
            yield start, op.end


def sectors_of(start: int, end: int, sector_bytes: int) -> range:
    """Numbers of the sectors that the bytes `start` to `end` of a file lie in."""
    return range(start // sector_bytes, -(-end // sector_bytes))


class NameOp(NamedTuple):
    """A change of names on its way to the disk. `gone` loses its name; `made` gets it, for an inode or as a folder."""

    at: int
    gone: str
    made: str
    inode: int
    waits: frozenset[str]
    """Folders that must be synced before it is safe."""

    @property
    def touches(self) -> frozenset[str]:
        """Names that it is about."""
        return frozenset({self.gone, self.made} - {""})


FOLDER: Final = 0
"""The inode number of what is not a file."""


class Tree(NamedTuple):
    """Names on the disk: files by inode, and folders."""

    files: dict[str, int]
    folders: set[str]

    def apply(self, ops: Iterable[NameOp]) -> None:
        """Carry the operations out."""
        for op in ops:
            if op.gone:
                self.files.pop(op.gone, None)
            if op.made and op.inode == FOLDER:
                self.folders.add(op.made)
            elif op.made:
                self.files[op.made] = op.inode

    def reachable(self) -> "Tree":
        """Without what lies in folders that are not there."""
        folders = {folder for folder in self.folders if self._stands(folder)}
        return Tree({name: inode for name, inode in self.files.items() if folder_of(name) in folders}, folders)

    def _stands(self, folder: str) -> bool:
        return folder == "" or (folder in self.folders and self._stands(folder_of(folder)))


def folder_of(name: str) -> str:
    """The folder that a name is in; the data directory is ``."""
    return name.rpartition("/")[0]


class Pending(NamedTuple):
    """Operations that are not safe, in the order of time: all and the names among them by `at`, and the writes."""

    calls: list[int]
    writes: list[Write]
    names: list[int]


class Disk:
    """All files and names, safe and pending, after `at` events."""

    def __init__(self) -> None:
        self.at = 0
        self.inodes: dict[int, Inode] = {}
        self.tree = Tree({}, {""})
        self.name_ops: list[NameOp] = []

    def copy(self) -> "Disk":
        """Another disk in the same state; bytes are shared."""
        other = Disk()
        other.at = self.at
        other.inodes = dict(self.inodes)
        other.tree = Tree(dict(self.tree.files), set(self.tree.folders))
        other.name_ops = list(self.name_ops)
        return other

    def add(self, name: str, inode: int, held: bytes, size: int) -> None:
        """Put a file there, safe, with its name."""
        self.inodes[inode] = Inode(held, size)
        self.tree.files[name] = inode

    def apply(self, event: Event) -> None:
        """Follow what the program did."""
        match event.op:
            case "pwrite" | "truncate" | "allocate" | "sync" | "sync failed" | "sync failed, reverted":
                if event.inode in self.inodes:
                    self.inodes[event.inode] = self._changed(self.inodes[event.inode], event)
            case "create":
                self.inodes[event.inode] = Inode()
                self._pend("", event.name, event.inode)
            case "rename":
                self._pend(event.name, event.target, event.inode)
            case "unlink":
                self._pend(event.name, "", FOLDER)
            case "make_folder":
                self._pend("", event.name, FOLDER)
            case "sync_folder":
                self._sync_folder(event.name)
            case _:
                pass  # a mark
        self.at += 1

    def after_crash(self, choice: Choice, sector_bytes: int) -> tuple[dict[str, tuple[bytes, int]], set[str]]:
        """(file name to held bytes and size, folders) when the pending operations survive by this choice."""
        tree = self.tree_after(choice)
        return {
            name: self.inodes[inode].after(choice, sector_bytes) for name, inode in tree.files.items()
        }, tree.folders

    def tree_after(self, choice: Choice) -> Tree:
        """Names when the pending operations survive by this choice."""
        tree = Tree(dict(self.tree.files), set(self.tree.folders))
        tree.apply(with_what_they_need(self.name_ops, lambda op: choice.name(op.at)))
        return tree.reachable()

    def pending(self) -> Pending:
        """What is not safe."""
        ops = [op for inode in self.inodes.values() for op in inode.pending]
        writes = sorted(op for op in ops if isinstance(op, Write) and not op.safe)
        sizes = [op.at for op in ops if isinstance(op, Resize)]
        names = [op.at for op in self.name_ops]
        return Pending(sorted([*(op.at for op in writes), *sizes, *names]), writes, names)

    def _changed(self, inode: Inode, event: Event) -> Inode:
        held, size, pending = inode
        match event.op:
            case "pwrite":
                pending = (*pending, Write(self.at, event.position, event.data, event.sync))
            case "truncate" | "allocate":
                pending = (*pending, Resize(self.at, event.position, event.op == "truncate"))
            case "sync":
                return _folded(inode)
            case "sync failed":
                # As on ext4: the pages count as clean though they are not on the disk; the file's size may be.
                pending = tuple(op for op in pending if isinstance(op, Resize) or op.safe)
            case _:
                pending = tuple(op for op in pending if isinstance(op, Write) and op.safe)
        inode = Inode(held, size, pending)
        return _folded(inode) if all(isinstance(op, Write) and op.safe for op in pending) else inode

    def _pend(self, gone: str, made: str, inode: int) -> None:
        waits = frozenset(folder_of(name) for name in (gone, made) if name)
        self.name_ops.append(NameOp(self.at, gone, made, inode, waits))

    def _sync_folder(self, folder: str) -> None:
        ops = [op._replace(waits=op.waits - {folder}) for op in self.name_ops]
        safe = with_what_they_need(ops, lambda op: not op.waits)
        self.tree.apply(safe)
        self.name_ops = [op for op in ops if op not in safe]
        self._forget_nameless()

    def _forget_nameless(self) -> None:
        named = {*self.tree.files.values(), *(op.inode for op in self.name_ops)}
        for inode in self.inodes.keys() - named:
            del self.inodes[inode]


def with_what_they_need(ops: list[NameOp], chosen: Callable[[NameOp], bool]) -> list[NameOp]:
    """The chosen operations and the earlier ones on the same names, in order: those made room or made the name."""
    needed: set[str] = set()
    kept: list[NameOp] = []
    for op in reversed(ops):
        if chosen(op) or not needed.isdisjoint(op.touches):
            needed |= op.touches
            kept.append(op)
    return kept[::-1]


def _folded(inode: Inode) -> Inode:
    return Inode(*inode.after(EVERYTHING, 1))
