"""Open files: a bounded number, and none closed while somebody reads from it."""

import pytest

from isthmus.log.files import Files
from isthmus.log.storage import MemoryStorage


def stored(*names: str) -> MemoryStorage:
    storage = MemoryStorage()
    for name in names:
        file = storage.open(name, create=True)
        file.pwrite([name.encode()], 0)
        file.close()
    return storage


def read(files: Files, name: str) -> bytes:
    with files.use(name) as file:
        return file.pread(10, 0)


def test_a_file_is_opened_once_and_stays_open() -> None:
    files = Files(stored("a"))
    with files.use("a") as first:
        pass
    with files.use("a") as second:
        assert second is first

    assert len(files) == 1


def test_the_one_not_used_for_longest_is_closed_when_there_are_too_many() -> None:
    files = Files(stored("a", "b", "c"), files_max=2)
    with files.use("a") as first, files.use("b") as second:
        pass
    read(files, "a")
    read(files, "c")

    assert first.pread(10, 0) == b"a"
    with pytest.raises(OSError, match="closed"):
        second.pread(10, 0)
    assert len(files) == 2


def test_a_file_that_is_read_from_is_not_closed_to_make_room() -> None:
    files = Files(stored("a", "b"), files_max=1)
    with files.use("a") as file:
        read(files, "b")

        assert file.pread(10, 0) == b"a"


def test_a_file_that_is_forgotten_is_closed_by_the_last_who_reads_from_it() -> None:
    files = Files(stored("a"))
    with files.use("a") as file, files.use("a"):
        files.forget("a")
        assert file.pread(10, 0) == b"a"

    with pytest.raises(OSError, match="closed"):
        file.pread(10, 0)


def test_a_name_that_stands_for_another_file_is_opened_anew() -> None:
    storage = stored("a", "b")
    files = Files(storage)
    read(files, "a")
    storage.rename("b", "a")
    files.forget("a")

    assert read(files, "a") == b"b"


def test_a_file_that_is_written_through_is_kept_until_it_is_released() -> None:
    storage = stored("a", "b", "c")
    files = Files(storage, files_max=1)
    written = storage.open("a", write=True)
    files.keep("a", written)
    read(files, "b")
    kept = written.pread(10, 0)
    files.release("a")
    read(files, "c")

    assert kept == b"a"
    with pytest.raises(OSError, match="closed"):
        written.pread(10, 0)


def test_a_file_that_is_not_there_leaves_nothing_open() -> None:
    files = Files(stored())

    with pytest.raises(FileNotFoundError):
        read(files, "a")

    assert len(files) == 0


def test_closing_closes_all_and_they_can_be_opened_again() -> None:
    files = Files(stored("a", "b"))
    read(files, "a")
    read(files, "b")
    files.close()

    assert len(files) == 0
    assert read(files, "a") == b"a"
