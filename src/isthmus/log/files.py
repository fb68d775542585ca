"""The open files of a journal: a bounded number, those used lately.

It opens for reading and closes; it never closes a file while somebody reads from it, and it knows no content.
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Generator
from typing import Final

from isthmus.limits import OPEN_FILES_MAX
from isthmus.log.storage import File, Storage


class _Open:
    """A file with the number of those who use it; `kept` ones are not closed to make room."""

    __slots__ = ("file", "gone", "kept", "users")

    def __init__(self, file: File, *, kept: bool) -> None:
        self.file = file
        self.kept = kept
        self.users = 0
        self.gone = False


class Files:
    """Open files by name, for several threads. When there are too many, the one not used for longest is closed."""

    def __init__(self, storage: Storage, files_max: int = OPEN_FILES_MAX) -> None:
        self._storage: Final = storage
        self._files_max: Final = files_max
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def use(self, name: str) -> Generator[File]:
        """The file, opened if it is not, and open until the block is left.

        Raises:
            FileNotFoundError: there is none of that name (any more).
        """
        entry = self._enter(name)
        try:
            yield entry.file
        finally:
            self._leave(entry)

    def keep(self, name: str, file: File) -> None:
        """Use this open file, which is also written through, for a name, until `release` or `forget`."""
        with self._lock:
            self._drop(name)
            self._open[name] = _Open(file, kept=True)

    def release(self, name: str) -> None:
        """Nobody writes through a kept file any more: it may be closed when others need the room."""
        with self._lock:
            entry = self._open.get(name)
            if entry is not None:
                entry.kept = False

    def forget(self, name: str) -> None:
        """The name stands for another file now, or for none."""
        with self._lock:
            self._drop(name)

    def close(self) -> None:
        """Close all that nobody reads from; the rest is closed by who leaves it last."""
        with self._lock:
            for name in list(self._open):
                self._drop(name)

    def _enter(self, name: str) -> _Open:
        with self._lock:
            entry = self._open.get(name)
            if entry is None:
                entry = self._open[name] = _Open(self._storage.open(name), kept=False)
            else:
                self._open.move_to_end(name)
            entry.users += 1
            if len(self._open) > self._files_max:
                self._make_room()
            return entry

    def _leave(self, entry: _Open) -> None:
        with self._lock:
            entry.users -= 1
            if entry.gone and entry.users == 0:
                entry.file.close()

    def _make_room(self) -> None:
        """Close the first that can be: one step for each file that is opened keeps the bound."""
        for name, entry in self._open.items():
            if not entry.users and not entry.kept:
                self._drop(name)
                return

    def _drop(self, name: str) -> None:
        entry = self._open.pop(name, None)
        if entry is None:
            return
        entry.gone = True
        if entry.users == 0:
            entry.file.close()
