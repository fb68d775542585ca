"""The only file I/O of Isthmus: files and folders below one data directory, on the disk or in memory.

It moves bytes and says when they are safe; it must not know what the bytes mean, and no other file below `cli/` may
open, rename or remove one.

Theory of operation. Names are made by the program, relative to the data directory, with `/` between folder and file.
What is written is safe from a power cut when `File.sync` (or a `pwrite` with `sync=True`, for its own bytes) has
returned; that a name exists, moved or went is safe when `Storage.sync_folder` of its folder has returned. An `OSError`
of the system comes through as it is: the journal decides what it means.
"""

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
import uuid
import weakref
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Protocol, Self

from isthmus.clock import SystemClock
from isthmus.errors import DirectoryInUse, ForkedBroker, InvariantError, NoAccess, NotAStore, StorageError
from isthmus.limits import MIB

LOCK_NAME: Final = "LOCK"
"""The file whose flock makes one process the owner of a data directory."""

SOCKET_NAME: Final = "isthmus.sock"
"""The socket on which the owner of a data directory answers other processes of its user."""

SOCKET_PATH_BYTES_MAX: Final = 103
"""What fits a socket address on every system, with its closing null."""

TEMPORARY_SUFFIX: Final = ".tmp"
"""Ends the name under which `replace` prepares a file; one that is found at open is left over from a crash."""

_LOCK_BYTES: Final = 128
_LOCK_TRIES: Final = 100
_ZEROS: Final = bytes(MIB)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_OFFERED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


class File(Protocol):
    """One open file. Positions and sizes are bytes; a file may be used by several threads, but not closed under one."""

    def pread(self, size: int, position: int) -> bytes:
        """The `size` bytes from `position` on; fewer only where the file ends."""

    def pread_now(self, size: int, position: int) -> bytes | None:
        """Like `pread`, without waiting: None when not all of it is in memory, or the system cannot tell."""

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:
        """Write the buffers one after the other from `position` on.

        With `sync`, the bytes that were written (and the size that they need) are safe when it returns.

        Returns:
            Bytes written; may be fewer than were given (`write_all` goes on).
        """

    def sync(self) -> None:
        """Make all that was written to this file so far safe, and its size."""

    def truncate(self, size: int) -> None:
        """Cut or grow the file to `size`; what it grows by reads as zeros and takes no space."""

    def allocate(self, size: int) -> None:
        """Make the file at least `size` long with its space taken, so that no write below it meets a full disk.

        New bytes are zero; what is there stays.
        """

    def advise(self, position: int, size: int) -> None:
        """Say that these bytes are read soon; does nothing where the system has no such call."""

    def size(self) -> int:
        """Bytes in the file."""

    def close(self) -> None:
        """Give the file back; a second time does nothing."""


class Storage(Protocol):
    """A data directory: files by relative name, the lock that makes one process its owner."""

    @property
    def directory(self) -> str:
        """How messages name it."""

    @property
    def inline(self) -> bool:
        """True when there is no disk to wait for, so that the journal commits without a thread."""

    def open(self, name: str, *, write: bool = False, create: bool = False) -> File:
        """Open a file; `create` makes it, for writing, and fails with `FileExistsError` when it is there already."""

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name."""

    def list(self, folder: str) -> list[str]:
        """Sorted names of what is in a folder, folders left out; empty when there is no such folder."""

    def make_folder(self, name: str) -> None:
        """Make a folder for this user alone, unless it is there; safe after `sync_folder` of the one that holds it."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name; a file that has it already is replaced in the same step."""

    def unlink(self, name: str) -> None:
        """Remove a file's name; its bytes go when nobody has it open."""

    def sync_folder(self, name: str) -> None:
        """Make the names in a folder safe; `""` is the data directory itself."""

    def free_bytes(self) -> int:
        """Space that this process may still take."""

    def lock(self) -> None:
        """Become the owner.

        Raises:
            DirectoryInUse: somebody else is; names process and time.
            NoAccess: the operating system refuses.
        """

    def unlock(self) -> None:
        """Stop being the owner; does nothing for who is not."""

    def lock_holder(self) -> tuple[int, str] | None:
        """(pid, time) of the owner if that is somebody else; pid 0 and "" while it is still writing them down."""

    def boot_id(self) -> str:
        """Changes when the machine starts anew, which loses what was written and not synced."""


# ---- built on the protocols --------------------------------------------------------------------------------------


def write_all(file: File, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> None:
    """Write all of the buffers from `position` on, going on after a short write.

    Raises:
        OSError: what the system says; EIO when it accepts nothing without saying why.
    """
    left = sum(map(len, buffers))
    while left:
        written = file.pwrite(buffers, position, sync=sync)
        if not 0 < written <= left:
            raise OSError(errno.EIO, f"{written} bytes written of {left}")
        left -= written
        position += written
        if left:
            buffers = _after(buffers, written)


def replace(storage: Storage, name: str, content: bytes) -> None:
    """Put `content` in place of the file `name`, so that a crash leaves the old one or the new one, whole.

    Raises:
        OSError: the old file is still there, possibly with a left-over beside it (`TEMPORARY_SUFFIX`).
    """
    temporary = name + TEMPORARY_SUFFIX
    if storage.exists(temporary):
        storage.unlink(temporary)
    with contextlib.closing(storage.open(temporary, write=True, create=True)) as file:
        write_all(file, [content], 0)
        file.sync()
    storage.rename(temporary, name)
    storage.sync_folder(name.rpartition("/")[0])


def read_all(storage: Storage, name: str, limit: int) -> bytes:
    """The whole content of a small file.

    Raises:
        StorageError: it is longer than `limit` bytes.
        FileNotFoundError: there is none of that name.
    """
    with contextlib.closing(storage.open(name)) as file:
        size = file.size()
        if size > limit:
            raise StorageError(
                f"{storage.directory}/{name} has {size} bytes where at most {limit} belong; it is damaged or foreign:"
                " restore it from a backup or move it away"
            )
        return file.pread(size, 0)


def _after(buffers: Sequence[bytes], written: int) -> list[bytes]:
    """What is left of the buffers behind their first `written` bytes."""
    rest: list[bytes] = []
    for buffer in buffers:
        if written < len(buffer):
            rest.append(buffer[written:])
        written = max(0, written - len(buffer))
    return rest


def _parts(name: str) -> list[str]:
    """The folders and the file of a name; a name that could lead out of the directory is a bug of ours."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise InvariantError(f"{name!r} is not a name below the data directory")
    return parts


def _bad_descriptor() -> OSError:
    return OSError(errno.EBADF, "the file is closed, or open for reading only")


# ---- on the disk -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Platform:
    """What the operating system offers; None where it has no such thing."""

    write_through: int | None
    """Flag of pwritev: safe on return (RWF_DSYNC)."""
    without_waiting: int | None
    """Flag of preadv: only what is in memory (RWF_NOWAIT)."""
    full_sync: int | None
    """fcntl command that reaches the platter where fsync does not (macOS: F_FULLFSYNC)."""
    can_allocate: bool
    can_advise: bool
    buffers_max: int
    """Buffers of one pwritev (IOV_MAX)."""

    @classmethod
    def ask(cls) -> Self:
        """Ask this machine."""
        return cls(
            write_through=getattr(os, "RWF_DSYNC", None),
            without_waiting=getattr(os, "RWF_NOWAIT", None),
            full_sync=getattr(fcntl, "F_FULLFSYNC", None),
            can_allocate=hasattr(os, "posix_fallocate"),
            can_advise=hasattr(os, "posix_fadvise"),
            buffers_max=max(16, os.sysconf("SC_IOV_MAX")),
        )


PLATFORM: Final = Platform.ask()


class RealFile:
    """A file of a `RealStorage`. See `File`."""

    __slots__ = ("_fd", "_storage")

    def __init__(self, storage: "RealStorage", fd: int) -> None:
        self._storage = storage
        self._fd = fd

    def pread(self, size: int, position: int) -> bytes:
        """See `File.pread`."""
        fd = self._usable()
        data = os.pread(fd, size, position)
        while len(data) < size and (more := os.pread(fd, size - len(data), position + len(data))):
            data += more
        return data

    def pread_now(self, size: int, position: int) -> bytes | None:
        """See `File.pread_now`."""
        fd = self._usable()
        flag = self._storage.without_waiting
        if flag is None:
            return None
        buffer = bytearray(size)
        try:
            got = os.preadv(fd, [buffer], position, flag)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _NOT_OFFERED:
                raise
            self._storage.without_waiting = None
            return None
        # A short answer may be the end of the file or the end of what is cached: only a read that waits can tell.
        return bytes(buffer) if got == size else None

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:
        """See `File.pwrite`. More buffers than one call takes are joined: a copy costs less than a second sync."""
        fd = self._usable()
        if len(buffers) > self._storage.platform.buffers_max:
            buffers = [b"".join(buffers)]
        if not sync:
            return os.pwritev(fd, buffers, position)
        flag = self._storage.write_through
        if flag is not None:
            try:
                return os.pwritev(fd, buffers, position, flag)
            except OSError as error:
                # The flag was refused before a byte was written.
                if error.errno not in _NOT_OFFERED:
                    raise
                self._storage.write_through = None
        written = os.pwritev(fd, buffers, position)
        _flush(fd, self._storage.platform)
        return written

    def sync(self) -> None:
        """See `File.sync`."""
        _flush(self._usable(), self._storage.platform)

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        os.ftruncate(self._usable(), size)

    def allocate(self, size: int) -> None:
        """See `File.allocate`. Where the file system has no such call, zeros are written."""
        fd = self._usable()
        if self._storage.platform.can_allocate and size > 0:
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError as error:
                if error.errno not in _NOT_OFFERED and error.errno != errno.EINVAL:
                    raise
            else:
                return
        position = self.size()
        while position < size:
            position += os.pwrite(fd, memoryview(_ZEROS)[: size - position], position)

    def advise(self, position: int, size: int) -> None:
        """See `File.advise`."""
        fd = self._usable()
        if self._storage.platform.can_advise:
            os.posix_fadvise(fd, position, size, os.POSIX_FADV_WILLNEED)

    def size(self) -> int:
        """See `File.size`."""
        return os.fstat(self._usable()).st_size

    def close(self) -> None:
        """See `File.close`."""
        fd, self._fd = self._fd, -1
        self._storage.release(fd)

    def _usable(self) -> int:
        if self._storage.forked:
            raise ForkedBroker(self._storage.directory)
        if self._fd < 0:
            raise _bad_descriptor()
        return self._fd


class RealStorage:
    """A data directory of the operating system. See `Storage`.

    Folders are made 0700 and files 0600; no symbolic link is followed from the data directory on. In a forked child
    every use raises `ForkedBroker`, but `close` and `unlock`, which then do nothing.
    """

    inline: Final = False

    def __init__(
        self, directory: str | os.PathLike[str], *, create: bool = True, platform: Platform = PLATFORM
    ) -> None:
        """Make sure that the directory is one, and make it (not those above it) if `create` and it is missing.

        Raises:
            NotAStore: a file, a symbolic link, or missing.
            NoAccess: the operating system refuses.
        """
        self.directory: Final = str(Path(directory).absolute())  # so that it does not move with the working directory
        self.platform: Final = platform
        self.forked = False
        # What the system offers, this file system may refuse: then these become None.
        self.write_through = platform.write_through
        self.without_waiting = platform.without_waiting
        self._lock_fd = -1
        self._open_fds: set[int] = set()
        with self._allowed():
            self._ensure(create=create)
        _storages.add(self)

    def identity(self) -> tuple[int, int]:
        """(device, inode) of the directory: the same for every path that leads to it."""
        self._usable()
        status = os.lstat(self.directory)
        return status.st_dev, status.st_ino

    def open(self, name: str, *, write: bool = False, create: bool = False) -> RealFile:
        """See `Storage.open`."""
        mode = os.O_RDWR if write or create else os.O_RDONLY
        flags = mode | (os.O_CREAT | os.O_EXCL if create else 0)
        fd = self._open_fd(name, flags)
        self._open_fds.add(fd)
        return RealFile(self, fd)

    def exists(self, name: str) -> bool:
        """See `Storage.exists`."""
        try:
            with self._holder(name) as (folder, last):
                os.lstat(last, dir_fd=folder)
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        try:
            with self._folder(folder) as fd, os.scandir(fd) as entries:
                return sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def make_folder(self, name: str) -> None:
        """See `Storage.make_folder`."""
        with self._holder(name) as (folder, last), contextlib.suppress(FileExistsError):
            os.mkdir(last, 0o700, dir_fd=folder)
        with self._folder(name):
            pass  # a file or a symbolic link in its place fails here

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        with self._holder(source) as (source_folder, old), self._holder(target) as (target_folder, new):
            os.rename(old, new, src_dir_fd=source_folder, dst_dir_fd=target_folder)

    def unlink(self, name: str) -> None:
        """See `Storage.unlink`."""
        with self._holder(name) as (folder, last):
            os.unlink(last, dir_fd=folder)

    def sync_folder(self, name: str) -> None:
        """See `Storage.sync_folder`."""
        with self._folder(name) as fd:
            _flush_folder(fd, self.platform)

    def free_bytes(self) -> int:
        """See `Storage.free_bytes`."""
        self._usable()
        status = os.statvfs(self.directory)
        return status.f_bavail * status.f_frsize

    def lock(self) -> None:
        """See `Storage.lock`."""
        if self._lock_fd >= 0:
            return
        with self._allowed():
            fd = self._open_fd(LOCK_NAME, os.O_RDWR | os.O_CREAT)
        if not _take(fd):
            pid, since = _read_holder(fd)
            os.close(fd)
            raise DirectoryInUse(self.directory, pid or None, since or None)
        self._lock_fd = fd
        now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).isoformat(timespec="seconds")
        _write_holder(fd, f"{os.getpid()}\n{self.boot_id()}\n{now}")

    def unlock(self) -> None:
        """See `Storage.unlock`."""
        fd, self._lock_fd = self._lock_fd, -1
        if fd < 0:
            return
        _write_holder(fd, "")
        # Said aloud, not left to close: a program that is being started may hold a copy of the descriptor until exec.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)

    def lock_holder(self) -> tuple[int, str] | None:
        """See `Storage.lock_holder`."""
        self._usable()
        if self._lock_fd >= 0:
            return None
        try:
            fd = self._open_fd(LOCK_NAME, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return None if _flock(fd, fcntl.LOCK_SH) else _read_holder(fd)
        finally:
            os.close(fd)

    def boot_id(self) -> str:
        """See `Storage.boot_id`."""
        self._usable()
        return _boot_id()

    def release(self, fd: int) -> None:
        """Close a descriptor that `open` gave; what is closed already, or belongs to the parent, is left alone."""
        if self.forked or fd not in self._open_fds:
            return
        self._open_fds.discard(fd)  # first: a fork in between must not close a number that has a new owner
        os.close(fd)

    def leave_to_parent(self) -> None:
        """In a forked child: give up every descriptor, so that the lock is the parent's alone and dies with it.

        Closing a copy keeps the parent's flock; unlocking would end it, because both share one open file.
        """
        self.forked = True
        for fd in [*self._open_fds, self._lock_fd]:
            if fd >= 0:
                os.close(fd)
        self._open_fds.clear()
        self._lock_fd = -1

    def _usable(self) -> None:
        if self.forked:
            raise ForkedBroker(self.directory)

    @contextlib.contextmanager
    def _allowed(self) -> Generator[None]:
        """Says what to do where the operating system refuses."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise NoAccess(self.directory, str(error.strerror)) from error
            raise

    def _ensure(self, *, create: bool) -> None:
        try:
            mode = os.lstat(self.directory).st_mode
        except FileNotFoundError:
            if not create:
                raise NotAStore(self.directory, "there is no such directory") from None
            self._create()
            return
        except NotADirectoryError:
            raise NotAStore(self.directory, "a part of the path is a file") from None
        if stat.S_ISLNK(mode):
            raise NotAStore(self.directory, "it is a symbolic link; name the directory that it leads to")
        if not stat.S_ISDIR(mode):
            raise NotAStore(self.directory, "it is not a directory")

    def _create(self) -> None:
        path = Path(self.directory)
        try:
            path.mkdir(0o700)
        except FileNotFoundError:
            raise NotAStore(self.directory, f"{path.parent} does not exist; make it first") from None
        except FileExistsError:  # another process was faster
            self._ensure(create=False)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _flush_folder(fd, self.platform)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _folder(self, name: str) -> Generator[int]:
        """A descriptor of a folder, reached step by step so that no step can be a symbolic link."""
        self._usable()
        fd = os.open(self.directory, _DIRECTORY)
        try:
            for part in _parts(name) if name else ():
                outer, fd = fd, os.open(part, _DIRECTORY, dir_fd=fd)
                os.close(outer)
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _holder(self, name: str) -> Generator[tuple[int, str]]:
        """A descriptor of the folder that holds a name, and the last part of the name."""
        _parts(name)
        folder, _, last = name.rpartition("/")
        with self._folder(folder) as fd:
            yield fd, last

    def _open_fd(self, name: str, flags: int) -> int:
        with self._holder(name) as (folder, last):
            return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)


_storages: "weakref.WeakSet[RealStorage]" = weakref.WeakSet()


def socket_path(storage: Storage) -> str | None:
    """Where the owner of a data directory listens for other processes of its user; None for what is no directory.

    In the directory itself, or, where that path is too long for a socket, in a folder below /tmp that is the directory
    owner's alone and is made when it is missing.

    Raises:
        NoAccess: that folder is there and could be somebody else's.
    """
    if not isinstance(storage, RealStorage):
        return None
    path = os.path.join(storage.directory, SOCKET_NAME)  # noqa: PTH118 - a text until somebody binds it
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    status = os.lstat(storage.directory)
    folder = f"/tmp/isthmus-{status.st_uid}"  # noqa: S108 - made and checked below, and the same for all processes
    with contextlib.suppress(FileExistsError):
        Path(folder).mkdir(0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != status.st_uid or found.st_mode & 0o077:
        raise NoAccess(storage.directory, f"its socket belongs into {folder}, which is not its owner's alone")
    return f"{folder}/{status.st_dev:x}-{status.st_ino:x}.sock"


def is_socket(path: str) -> bool:
    """Whether a socket is there, be somebody behind it or not."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _leave_all_to_parent() -> None:
    for storage in list(_storages):
        storage.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def _flush(fd: int, platform: Platform) -> None:
    """fdatasync, or what reaches the platter on this system."""
    if platform.full_sync is None:
        os.fdatasync(fd)
        return
    try:
        fcntl.fcntl(fd, platform.full_sync)
    except OSError as error:
        # A file system without the command (a network share) still has plain fsync.
        if error.errno not in _NOT_OFFERED and error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        os.fsync(fd)


def _flush_folder(fd: int, platform: Platform) -> None:
    if platform.full_sync is None:
        os.fsync(fd)
    else:
        _flush(fd, platform)


def _flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take(fd: int) -> bool:
    """Lock the file for this process alone.

    `lock_holder` looks by taking a shared lock for some microseconds; whoever meets only such lookers tries again.
    """
    for _ in range(_LOCK_TRIES):
        if _flock(fd, fcntl.LOCK_EX):
            return True
        if not _flock(fd, fcntl.LOCK_SH):
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(0.001)
    return False


def _write_holder(fd: int, text: str) -> None:
    """Always the same length in place, so that the owner can come back when the disk is full."""
    os.pwrite(fd, text.encode().ljust(_LOCK_BYTES, b"\n"), 0)


def _read_holder(fd: int) -> tuple[int, str]:
    """Pid and time that the owner wrote into its lock file; 0 and "" where there is nothing to read."""
    lines = os.pread(fd, _LOCK_BYTES, 0).decode("utf-8", "replace").splitlines()
    if len(lines) < 3 or not (lines[0].isascii() and lines[0].isdigit()):
        return 0, ""
    return int(lines[0]), lines[2]


@cache
def _boot_id() -> str:
    """The kernel's name for this start of the machine; one of its own for each process where there is none.

    A new name is the careful answer: it says that what was not synced may be lost.
    """
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return str(uuid.uuid4())
    try:
        return os.read(fd, 64).decode("ascii").strip()
    finally:
        os.close(fd)


# ---- in memory ---------------------------------------------------------------------------------------------------


class _Content:
    """What a file in memory holds: `held` bytes, then zeros up to `size`, so that allocated space costs nothing."""

    __slots__ = ("held", "size")

    def __init__(self) -> None:
        self.held = bytearray()
        self.size = 0


class MemoryFile:
    """A file of a `MemoryStorage`. See `File`."""

    __slots__ = ("_content", "_writable")

    def __init__(self, content: _Content, *, writable: bool) -> None:
        self._content: _Content | None = content
        self._writable: _Content | None = content if writable else None

    def pread(self, size: int, position: int) -> bytes:
        """See `File.pread`."""
        content = self._content
        if content is None:
            raise _bad_descriptor()
        # Sliced twice and not viewed: a view would keep an append in another thread from growing the array.
        data = bytes(content.held[position : position + size])
        if len(data) < size:
            data += bytes(max(0, min(size, content.size - position) - len(data)))
        return data

    def pread_now(self, size: int, position: int) -> bytes | None:
        """See `File.pread_now`; there is nothing to wait for."""
        return self.pread(size, position)

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:  # noqa: ARG002
        """See `File.pwrite`."""
        content = self._writable
        if content is None:
            raise _bad_descriptor()
        held = content.held
        if position == len(held):
            for buffer in buffers:
                held += buffer
            end = len(held)
        else:
            data = b"".join(buffers)
            end = position + len(data)
            if position > len(held):
                held.extend(bytes(position - len(held)))
            held[position:end] = data
        content.size = max(content.size, end)
        return end - position

    def sync(self) -> None:
        """See `File.sync`."""
        if self._content is None:
            raise _bad_descriptor()

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        content = self._writable
        if content is None:
            raise _bad_descriptor()
        del content.held[size:]
        content.size = size

    def allocate(self, size: int) -> None:
        """See `File.allocate`."""
        content = self._writable
        if content is None:
            raise _bad_descriptor()
        content.size = max(content.size, size)

    def advise(self, position: int, size: int) -> None:
        """See `File.advise`."""

    def size(self) -> int:
        """See `File.size`."""
        if self._content is None:
            raise _bad_descriptor()
        return self._content.size

    def close(self) -> None:
        """See `File.close`."""
        self._content = self._writable = None


class MemoryStorage:
    """A data directory that lives as long as this object, for one process. See `Storage`."""

    inline: Final = True
    directory: Final = "memory"

    def __init__(self) -> None:
        self._files: dict[str, _Content] = {}
        self._folders = {""}
        self._boot_id = str(uuid.uuid4())

    def open(self, name: str, *, write: bool = False, create: bool = False) -> MemoryFile:
        """See `Storage.open`."""
        if create:
            if name in self._files:
                raise _file_error(errno.EEXIST, name)
            self._require_folder_of(name)
            self._files[name] = _Content()
        return MemoryFile(self._file(name), writable=write or create)

    def exists(self, name: str) -> bool:
        """See `Storage.exists`."""
        return name in self._files or name in self._folders

    def list(self, folder: str) -> list[str]:
        """See `Storage.list`."""
        start = f"{folder}/" if folder else ""
        names = (name[len(start) :] for name in self._files if name.startswith(start))
        return sorted(name for name in names if "/" not in name)

    def make_folder(self, name: str) -> None:
        """See `Storage.make_folder`."""
        if name in self._files:
            raise _file_error(errno.ENOTDIR, name)
        self._require_folder_of(name)
        self._folders.add(name)

    def rename(self, source: str, target: str) -> None:
        """See `Storage.rename`."""
        content = self._file(source)
        self._require_folder_of(target)
        del self._files[source]
        self._files[target] = content

    def unlink(self, name: str) -> None:
        """See `Storage.unlink`."""
        self._file(name)
        del self._files[name]

    def sync_folder(self, name: str) -> None:
        """See `Storage.sync_folder`."""
        if name not in self._folders:
            raise _file_error(errno.ENOENT, name)

    def free_bytes(self) -> int:
        """See `Storage.free_bytes`; what a process can address, since nobody knows what it may take."""
        return sys.maxsize

    def lock(self) -> None:
        """See `Storage.lock`; nobody else can reach it."""

    def unlock(self) -> None:
        """See `Storage.unlock`."""

    def lock_holder(self) -> tuple[int, str] | None:
        """See `Storage.lock_holder`."""
        return None

    def boot_id(self) -> str:
        """See `Storage.boot_id`; lives and dies with the content."""
        return self._boot_id

    def _file(self, name: str) -> _Content:
        content = self._files.get(name)
        if content is None:
            raise _file_error(errno.ENOENT, name)
        return content

    def _require_folder_of(self, name: str) -> None:
        _parts(name)
        folder = name.rpartition("/")[0]
        if folder not in self._folders:
            raise _file_error(errno.ENOENT, name)


def _file_error(code: int, name: str) -> OSError:
    """`FileNotFoundError`, `FileExistsError`, ... as the system would raise it."""
    return OSError(code, os.strerror(code), name)
