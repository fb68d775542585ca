"""A storage that fails on demand: passes every call on to another one but for the N-th, and counts who calls.

It raises what a system would raise and leaves behind what a system would leave; it must not fail by chance.
"""

import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from isthmus.log.storage import File, Storage
from support.call_site import call_site
from support.sim_storage import SimFile

ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EACCES)
"""What disks, full disks, quotas, descriptor limits and permissions say."""

WRITES: Final = frozenset({"pwrite", "pwrite sync"})
"""Calls that write bytes, without and with `sync`."""

SYNCS: Final = frozenset({"pwrite sync", "sync", "sync_folder"})
"""Calls that promise that something is safe."""


class Effect(Enum):
    """What a failing call leaves behind, where it can; other calls do nothing and raise."""

    NONE = "nothing"
    SHORT = "a write takes half of the bytes and says so; the next write raises"
    CACHED = "a sync raises; readers see the bytes, but no later sync brings them to the disk (SimStorage)"
    REVERTED = "a sync raises; what was pending of the file is gone for readers too (SimStorage)"


@dataclass(frozen=True, slots=True)
class Fault:
    """Which call fails: the `number`-th (from 1) of those in `ops` (empty: of all), once or from then on."""

    number: int
    code: int = errno.EIO
    ops: frozenset[str] = frozenset()
    forever: bool = False
    effect: Effect = Effect.NONE


class FaultyStorage:
    """A storage over another one. See `Storage`.

    `calls` counts by (op, call site), the ops being the names of the methods, but "create" for an open that creates
    and "pwrite sync" for a pwrite with sync; `failed` lists those that failed. `close`, `advise`, `unlock`,
    `lock_holder` and `boot_id` neither fail nor count.
    """

    def __init__(self, inner: Storage, fault: Fault | None = None) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.failed: list[tuple[str, str]] = []
        self._inner = inner
        self.arm(fault)

    def arm(self, fault: Fault | None) -> None:
        """Count anew, from here, for another fault or none."""
        self._fault = fault
        self._counted = 0
        self._next_write_fails = False

    @property
    def directory(self) -> str:
        """See `Storage.directory`."""
        return self._inner.directory

    @property
    def inline(self) -> bool:
        """See `Storage.inline`."""
        return self._inner.inline

    def open(self, name: str, *, write: bool = False, create: bool = False) -> "FaultyFile":
        """See `Storage.open`."""
        self.check("create" if create else "open", name)
        return FaultyFile(self, self._inner.open(name, write=write, create=create), name)

    def exists(self, name: str) -> bool:
        """See `Storage.exists`."""
        self.check("exists", name)
        return self._inner.exists(name)

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        self.check("list", folder)
        return self._inner.list(folder)

    def make_folder(self, name: str) -> None:
        """See `Storage.make_folder`."""
        self.check("make_folder", name)
        self._inner.make_folder(name)

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        self.check("rename", source)
        self._inner.rename(source, target)

    def unlink(self, name: str) -> None:
        """See `Storage.unlink`."""
        self.check("unlink", name)
        self._inner.unlink(name)

    def sync_folder(self, name: str) -> None:
        """See `Storage.sync_folder`."""
        self.check("sync_folder", name)
        self._inner.sync_folder(name)

    def free_bytes(self) -> int:
        """See `Storage.free_bytes`."""
        self.check("free_bytes", "")
        return self._inner.free_bytes()

    def lock(self) -> None:
        """See `Storage.lock`."""
        self.check("lock", "LOCK")
        self._inner.lock()

    def unlock(self) -> None:
        """See `Storage.unlock`."""
        self._inner.unlock()

    def lock_holder(self) -> tuple[int, str] | None:
        """See `Storage.lock_holder`."""
        return self._inner.lock_holder()

    def boot_id(self) -> str:
        """See `Storage.boot_id`."""
        return self._inner.boot_id()

    def effect_on(self, op: str) -> Effect | None:
        """Count a call; what it leaves behind if it is one that fails, else None."""
        self.calls[op, call_site()] += 1
        fault = self._fault
        if fault is None:
            return None
        effect = Effect.NONE if self._next_write_fails and op in WRITES else None
        if not fault.ops or op in fault.ops:
            self._counted += 1
            if self._counted == fault.number:
                effect = fault.effect
            elif fault.forever and self._counted > fault.number:
                effect = Effect.NONE if fault.effect is Effect.SHORT else fault.effect
        if effect is not None:
            self.failed.append((op, call_site()))
            self._next_write_fails = effect is Effect.SHORT and op in WRITES
        return effect

    def check(self, op: str, name: str) -> None:
        """Count a call, and raise if it is one that fails."""
        if self.effect_on(op) is not None:
            raise self.error(name)

    def error(self, name: str) -> OSError:
        """What the system says of that file."""
        code = self._fault.code if self._fault else 0
        return OSError(code, os.strerror(code), name)


class FaultyFile:
    """A file of a `FaultyStorage`. See `File`."""

    def __init__(self, storage: FaultyStorage, inner: File, name: str) -> None:
        self._storage = storage
        self._inner = inner
        self._name = name

    def pread(self, size: int, position: int) -> bytes:
        """See `File.pread`."""
        self._storage.check("pread", self._name)
        return self._inner.pread(size, position)

    def pread_now(self, size: int, position: int) -> bytes | None:
        """See `File.pread_now`."""
        self._storage.check("pread_now", self._name)
        return self._inner.pread_now(size, position)

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:
        """See `File.pwrite`."""
        effect = self._storage.effect_on("pwrite sync" if sync else "pwrite")
        if effect is None:
            return self._inner.pwrite(buffers, position, sync=sync)
        data = b"".join(buffers)
        if effect is Effect.SHORT and len(data) > 1:
            return self._inner.pwrite([data[: len(data) // 2]], position, sync=sync)
        if sync and effect in (Effect.CACHED, Effect.REVERTED):
            self._inner.pwrite([data], position)
            self._lose(effect)
        raise self._storage.error(self._name)

    def sync(self) -> None:
        """See `File.sync`."""
        effect = self._storage.effect_on("sync")
        if effect is None:
            self._inner.sync()
            return
        self._lose(effect)
        raise self._storage.error(self._name)

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        self._storage.check("truncate", self._name)
        self._inner.truncate(size)

    def allocate(self, size: int) -> None:
        """See `File.allocate`."""
        self._storage.check("allocate", self._name)
        self._inner.allocate(size)

    def advise(self, position: int, size: int) -> None:
        """See `File.advise`."""
        self._inner.advise(position, size)

    def size(self) -> int:
        """See `File.size`."""
        self._storage.check("size", self._name)
        return self._inner.size()

    def close(self) -> None:
        """See `File.close`."""
        self._inner.close()

    def _lose(self, effect: Effect) -> None:
        if isinstance(self._inner, SimFile) and effect in (Effect.CACHED, Effect.REVERTED):
            self._inner.sync_failed(reverted=effect is Effect.REVERTED)
