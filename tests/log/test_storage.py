"""The seam to files: one contract for disk and memory, then what only a disk, a second process or a fork can show."""

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as changed
from pathlib import Path

import pytest

from isthmus.errors import DirectoryInUse, ForkedBroker, InvariantError, NotAStore, StorageError
from isthmus.log.storage import (
    PLATFORM,
    TEMPORARY_SUFFIX,
    File,
    MemoryFile,
    MemoryStorage,
    Platform,
    RealStorage,
    Storage,
    _Content,
    is_socket,
    read_all,
    replace,
    socket_path,
    write_all,
)
from support.faulty_storage import FaultyStorage
from support.sim_storage import SimStorage

BARE = Platform(
    write_through=None,
    without_waiting=None,
    full_sync=None,
    can_allocate=False,
    can_advise=False,
    buffers_max=16,
)
"""A system with nothing but POSIX."""

REFUSED_FLAG = 1 << 30
"""A flag that no kernel knows: it answers as a file system does that lacks the real one."""

SRC = Path(__file__).parents[2] / "src"

OWN_DESCRIPTORS = Path("/dev/fd")


def bare(path: Path) -> Storage:
    return RealStorage(path, platform=BARE)


MAKERS: dict[str, Callable[[Path], Storage]] = {
    "real": RealStorage,
    "real on a bare system": bare,
    "memory": lambda _: MemoryStorage(),
    "simulated": lambda _: SimStorage(),
    "faulty without a fault": lambda _: FaultyStorage(MemoryStorage()),
}


@pytest.fixture(params=list(MAKERS))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    made = MAKERS[request.param](tmp_path / "data")
    made.make_folder("journal")
    return made


@pytest.fixture
def real(tmp_path: Path) -> RealStorage:
    return RealStorage(tmp_path / "data")


@pytest.fixture
def file(storage: Storage) -> Iterator[File]:
    with contextlib.closing(storage.open("journal/0.log", create=True)) as opened:
        yield opened


def content(storage: Storage, name: str) -> bytes:
    return read_all(storage, name, 1 << 20)


def put(storage: Storage, name: str, data: bytes) -> None:
    with contextlib.closing(storage.open(name, create=True)) as opened:
        write_all(opened, [data], 0)


class TestEveryFile:
    def test_gives_back_what_was_written(self, file: File) -> None:
        assert file.pwrite([b"header", b"", b"body"], 0) == 10
        assert file.pwrite([b"more"], 10, sync=True) == 4

        assert file.pread(14, 0) == b"headerbodymore"
        assert file.pread(4, 6) == b"body"
        assert file.size() == 14

    def test_reads_short_only_where_it_ends(self, file: File) -> None:
        file.pwrite([b"0123456789"], 0)

        assert file.pread(100, 4) == b"456789"
        assert file.pread(100, 10) == b""
        assert file.pread(100, 99) == b""
        assert file.pread(0, 3) == b""

    def test_overwrites_in_place(self, file: File) -> None:
        file.pwrite([b"0123456789"], 0)

        file.pwrite([b"ab", b"c"], 3)

        assert file.pread(20, 0) == b"012abc6789"

    def test_overwrites_across_its_end(self, file: File) -> None:
        file.pwrite([b"0123"], 0)

        file.pwrite([b"abcd"], 2)

        assert file.pread(20, 0) == b"01abcd"

    def test_a_gap_reads_as_zeros(self, file: File) -> None:
        file.pwrite([b"end"], 5)

        assert file.pread(20, 0) == bytes(5) + b"end"

    def test_allocated_space_reads_as_zeros_and_keeps_what_is_there(self, file: File) -> None:
        file.pwrite([b"abc"], 0)

        file.allocate(5000)
        file.allocate(10)
        file.allocate(0)

        assert file.size() == 5000
        assert file.pread(6000, 0) == b"abc" + bytes(4997)
        assert file.pread(10, 4995) == bytes(5)

    def test_is_written_within_allocated_space(self, file: File) -> None:
        file.allocate(5000)

        file.pwrite([b"abc"], 0, sync=True)
        file.pwrite([b"xyz"], 3000, sync=True)

        assert file.size() == 5000
        assert file.pread(3, 3000) == b"xyz"
        assert file.pread(3, 2998) == b"\0\0x"

    def test_what_was_cut_off_does_not_come_back(self, file: File) -> None:
        file.pwrite([b"0123456789"], 0)

        file.truncate(4)
        file.truncate(8)

        assert file.size() == 8
        assert file.pread(20, 0) == b"0123" + bytes(4)

    def test_takes_more_buffers_than_one_call_does(self, file: File) -> None:
        buffers = [index.to_bytes(2, "big") for index in range(5000)]

        write_all(file, buffers, 7, sync=True)

        assert file.pread(10_000, 7) == b"".join(buffers)

    def test_sync_and_advice_change_nothing_that_can_be_read(self, file: File) -> None:
        file.pwrite([b"abc"], 0)

        file.sync()
        file.advise(0, 100)

        assert file.pread(10, 0) == b"abc"

    def test_reading_without_waiting_gives_the_bytes_or_nothing(self, file: File) -> None:
        file.pwrite([b"0123456789"], 0)

        assert file.pread_now(4, 2) in (b"2345", None)

    def test_closes_as_often_as_one_likes_and_is_gone_then(self, file: File) -> None:
        file.close()
        file.close()

        calls: list[Callable[[], object]] = [
            lambda: file.pread(1, 0),
            lambda: file.pwrite([b"a"], 0),
            lambda: file.pwrite([b"a"], 0, sync=True),
            lambda: file.truncate(0),
            lambda: file.allocate(1),
            file.sync,
            file.size,
        ]
        for call in calls:
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == errno.EBADF

    def test_opened_for_reading_is_not_written(self, storage: Storage) -> None:
        put(storage, "a", b"abc")

        with contextlib.closing(storage.open("a")) as reader, pytest.raises(OSError):
            reader.pwrite([b"x"], 0)

        assert content(storage, "a") == b"abc"

    def test_two_that_are_open_under_one_name_are_one(self, storage: Storage, file: File) -> None:
        with contextlib.closing(storage.open("journal/0.log")) as reader:
            file.pwrite([b"abc"], 0)

            assert reader.pread(3, 0) == b"abc"


class TestEveryStorage:
    def test_makes_a_file_once(self, storage: Storage) -> None:
        put(storage, "a", b"first")

        with pytest.raises(FileExistsError):
            storage.open("a", create=True)

        assert content(storage, "a") == b"first"

    def test_names_what_is_missing(self, storage: Storage) -> None:
        for missing in (
            lambda: storage.open("nothing"),
            lambda: storage.open("nothing", write=True),
            lambda: storage.open("no folder/file", create=True),
            lambda: storage.unlink("nothing"),
            lambda: storage.rename("nothing", "a"),
            lambda: storage.sync_folder("no folder"),
            lambda: storage.make_folder("no folder/folder"),
        ):
            with pytest.raises(FileNotFoundError):
                missing()

    def test_lists_files_sorted_and_without_folders(self, storage: Storage) -> None:
        for name in ("journal/2", "journal/10", "journal/1", "FORMAT", "FORMAT.old"):
            put(storage, name, b"")

        assert storage.list("journal") == ["1", "10", "2"]
        assert storage.list("") == ["FORMAT", "FORMAT.old"]
        assert storage.list("checkpoint") == []

    def test_knows_what_exists(self, storage: Storage) -> None:
        put(storage, "journal/1", b"")

        assert storage.exists("journal/1")
        assert storage.exists("journal")
        assert not storage.exists("journal/2")
        assert not storage.exists("checkpoint/1")

    def test_makes_a_folder_only_once(self, storage: Storage) -> None:
        put(storage, "journal/1", b"")

        storage.make_folder("journal")

        assert storage.list("journal") == ["1"]

    def test_makes_no_folder_in_place_of_a_file(self, storage: Storage) -> None:
        put(storage, "a", b"abc")

        with pytest.raises(OSError):
            storage.make_folder("a")

    def test_a_new_name_replaces_who_had_it(self, storage: Storage) -> None:
        put(storage, "old", b"old")
        put(storage, "journal/new", b"new")

        storage.rename("journal/new", "old")

        assert content(storage, "old") == b"new"
        assert storage.list("journal") == []

    def test_a_file_without_a_name_serves_who_has_it_open(self, storage: Storage) -> None:
        put(storage, "a", b"abc")

        with contextlib.closing(storage.open("a")) as reader:
            storage.unlink("a")

            assert not storage.exists("a")
            assert reader.pread(3, 0) == b"abc"

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "journal/../../a", "journal//a", "a/", ".", "a\0b"])
    def test_a_name_that_leads_elsewhere_is_a_bug(self, storage: Storage, name: str) -> None:
        with pytest.raises(InvariantError):
            storage.open(name, create=True)

    def test_syncs_its_folders(self, storage: Storage) -> None:
        storage.sync_folder("")
        storage.sync_folder("journal")

    def test_has_room_and_a_boot_id_that_stays(self, storage: Storage) -> None:
        assert storage.free_bytes() > 0
        assert storage.boot_id() == storage.boot_id() != ""

    def test_is_locked_again_by_its_owner(self, storage: Storage) -> None:
        storage.lock()
        storage.lock()

        assert storage.lock_holder() is None
        storage.unlock()
        storage.unlock()
        storage.lock()


class TestBuiltOnAnyStorage:
    def test_replace_leaves_the_new_content_alone(self, storage: Storage) -> None:
        replace(storage, "journal/a", b"first")
        replace(storage, "journal/a", b"second")

        assert content(storage, "journal/a") == b"second"
        assert storage.list("journal") == ["a"]

    def test_replace_gets_over_what_a_crash_left(self, storage: Storage) -> None:
        put(storage, "FORMAT" + TEMPORARY_SUFFIX, b"half of somethi")

        replace(storage, "FORMAT", b"new")

        assert content(storage, "FORMAT") == b"new"
        assert storage.list("") == ["FORMAT"]

    def test_read_all_refuses_what_is_too_long_before_reading(self, storage: Storage) -> None:
        put(storage, "a", b"0123456789")

        assert read_all(storage, "a", 10) == b"0123456789"
        with pytest.raises(StorageError, match="a has 10 bytes where at most 9 belong"):
            read_all(storage, "a", 9)


class ReluctantFile(MemoryFile):
    """Takes at most three bytes a call, and none at all when it is full."""

    calls = 0
    room = 100

    def pwrite(self, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> int:
        self.calls += 1
        some = b"".join(buffers)[: min(3, self.room)]
        self.room -= len(some)
        return super().pwrite([some], position, sync=sync)


class TestWriteAll:
    def test_goes_on_after_short_writes(self) -> None:
        file = ReluctantFile(_Content(), writable=True)

        write_all(file, [b"ab", b"", b"cdefg", b"h"], 2)

        assert file.pread(20, 0) == b"\0\0abcdefgh"
        assert file.calls == 3

    def test_does_not_go_on_for_ever_when_nothing_is_accepted(self) -> None:
        file = ReluctantFile(_Content(), writable=True)
        file.room = 4

        with pytest.raises(OSError, match="0 bytes written of 2"):
            write_all(file, [b"abcdef"], 0)

    def test_writes_nothing_when_there_is_nothing(self) -> None:
        file = ReluctantFile(_Content(), writable=True)

        write_all(file, [b""], 0)

        assert file.calls == 0


class TestMemory:
    def test_allocated_space_costs_nothing(self) -> None:
        file = MemoryStorage().open("a", create=True)

        file.allocate(1 << 50)

        assert file.size() == 1 << 50
        assert file.pread(3, (1 << 50) - 3) == bytes(3)

    def test_keeps_nothing_of_what_was_unlinked_and_closed(self) -> None:
        storage = MemoryStorage()
        file = storage.open("a", create=True)
        tracemalloc.start()
        file.pwrite([bytes(8 << 20)], 0)
        held_bytes = tracemalloc.get_traced_memory()[0]

        file.close()
        storage.unlink("a")

        freed_bytes = held_bytes - tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert freed_bytes > 8_000_000

    def test_is_reopened_as_it_was_left(self) -> None:
        storage = MemoryStorage()
        put(storage, "a", b"abc")

        assert content(storage, "a") == b"abc"


class TestRealDirectory:
    def test_is_made_for_its_user_alone(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data")
        storage.make_folder("journal")
        put(storage, "journal/a", b"")
        storage.lock()

        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data/journal").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data/journal/a").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "data/LOCK").stat().st_mode) == 0o600
        storage.unlock()

    def test_stays_where_it_is_when_the_working_directory_moves(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        storage = RealStorage("data")

        monkeypatch.chdir("/")
        put(storage, "a", b"abc")

        assert (tmp_path / "data/a").read_bytes() == b"abc"
        assert storage.directory == str(tmp_path / "data")

    def test_is_not_made_for_a_reader(self, tmp_path: Path) -> None:
        with pytest.raises(NotAStore, match="there is no such directory"):
            RealStorage(tmp_path / "data", create=False)

        assert list(tmp_path.iterdir()) == []

    def test_is_not_made_below_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(NotAStore, match="does not exist; make it first"):
            RealStorage(tmp_path / "typo/data")

    def test_is_not_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_bytes(b"mine")

        with pytest.raises(NotAStore, match="it is not a directory"):
            RealStorage(tmp_path / "data")
        with pytest.raises(NotAStore, match="a part of the path is a file"):
            RealStorage(tmp_path / "data/below")

        assert (tmp_path / "data").read_bytes() == b"mine"

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_is_not_a_symbolic_link(self, tmp_path: Path, slash: str) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "data").symlink_to("elsewhere")

        with pytest.raises(NotAStore, match="symbolic link"):
            RealStorage(f"{tmp_path}/data{slash}")

    def test_is_not_a_link_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "data").symlink_to("nowhere")

        with pytest.raises(NotAStore, match="symbolic link"):
            RealStorage(tmp_path / "data")

    def test_has_one_identity_by_every_path(self, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        (tmp_path / "link").symlink_to("here")
        one = RealStorage(tmp_path / "here/data")

        assert RealStorage(tmp_path / "link/data").identity() == one.identity()
        assert RealStorage(tmp_path / "here/other").identity() != one.identity()

    def test_follows_no_link_out_of_itself(self, real: RealStorage, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "data/file").symlink_to("../secret")
        (tmp_path / "data/folder").symlink_to("..")

        for reach in (
            lambda: real.open("file"),
            lambda: real.open("file", write=True),
            lambda: real.open("folder/secret"),
            lambda: real.open("folder/new", create=True),
            lambda: real.unlink("folder/secret"),
            lambda: real.rename("folder/secret", "mine"),
            lambda: real.make_folder("folder"),
            lambda: real.sync_folder("folder"),
        ):
            with pytest.raises(OSError):
                reach()

        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "secret"]

    def test_lists_a_link_so_that_it_can_be_put_aside(self, real: RealStorage, tmp_path: Path) -> None:
        (tmp_path / "data/file").symlink_to("../secret")

        assert real.list("") == ["file"]
        real.rename("file", "aside")
        assert real.list("") == ["aside"]

    def test_descriptors_are_not_inherited_by_programs(self, real: RealStorage) -> None:
        with contextlib.closing(real.open("a", create=True)) as file:
            assert not os.get_inheritable(file._fd)

    def test_leaves_no_descriptor_behind(self, real: RealStorage) -> None:
        before = len(list(OWN_DESCRIPTORS.iterdir()))

        for _ in range(3):
            real.make_folder("journal")
            replace(real, "journal/a", b"abc")
            read_all(real, "journal/a", 3)
            real.list("journal")
            real.exists("journal/b")
            real.lock()
            real.lock_holder()
            real.unlock()
            real.lock_holder()
            with pytest.raises(FileNotFoundError):
                real.open("journal/b/c")
            with pytest.raises(FileExistsError):
                real.open("journal/a", create=True)

        assert len(list(OWN_DESCRIPTORS.iterdir())) == before


class TestWhatTheSystemOffers:
    def test_a_file_system_that_refuses_write_through_is_asked_once(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data", platform=changed(PLATFORM, write_through=REFUSED_FLAG))

        with contextlib.closing(storage.open("a", create=True)) as file:
            assert file.pwrite([b"abc", b"d"], 0, sync=True) == 4

            assert storage.write_through is None
            assert file.pwrite([b"e"], 4, sync=True) == 1
            assert file.pread(9, 0) == b"abcde"

    def test_a_file_system_that_cannot_read_without_waiting_is_asked_once(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data", platform=changed(PLATFORM, without_waiting=REFUSED_FLAG))

        with contextlib.closing(storage.open("a", create=True)) as file:
            file.pwrite([b"abc"], 0)

            assert file.pread_now(3, 0) is None
            assert storage.without_waiting is None
            assert file.pread_now(3, 0) is None

    def test_more_buffers_than_one_call_takes_cost_one_sync(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data", platform=changed(PLATFORM, buffers_max=16))

        with contextlib.closing(storage.open("a", create=True)) as file:
            assert file.pwrite([b"ab"] * 100, 0, sync=True) == 200

    def test_a_failed_write_is_not_taken_for_a_refusal(self, real: RealStorage) -> None:
        put(real, "a", b"abc")

        with contextlib.closing(real.open("a")) as reader, pytest.raises(OSError):
            reader.pwrite([b"x"], 0, sync=True)

        assert real.write_through == PLATFORM.write_through

    def test_a_sync_command_that_the_file_system_lacks_gives_way_to_fsync(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data", platform=changed(PLATFORM, full_sync=REFUSED_FLAG))

        replace(storage, "a", b"abc")

        assert content(storage, "a") == b"abc"

    def test_what_was_just_written_is_read_without_waiting(self, real: RealStorage) -> None:
        if PLATFORM.without_waiting is None:
            pytest.skip("no RWF_NOWAIT here")
        with contextlib.closing(real.open("a", create=True)) as file:
            file.pwrite([b"x" * 10_000], 0)

            now = file.pread_now(10_000, 0)
            if real.without_waiting is None:
                pytest.skip("the file system of the temporary directory has no RWF_NOWAIT")
            assert now == b"x" * 10_000
            assert file.pread_now(10_000, 1) is None  # ends early: only a read that waits can tell why

    def test_allocated_space_is_taken(self, real: RealStorage, tmp_path: Path) -> None:
        with contextlib.closing(real.open("a", create=True)) as file:
            file.allocate(1 << 20)

            assert (tmp_path / "data/a").stat().st_blocks * 512 >= 1 << 20

    def test_the_boot_id_is_the_kernels(self, real: RealStorage) -> None:
        kernel = Path("/proc/sys/kernel/random/boot_id")
        if not kernel.exists():
            pytest.skip("no boot id here")

        assert real.boot_id() == kernel.read_text().strip()


HOLD = """
    import sys
    from isthmus.log.storage import RealStorage
    storage = RealStorage(sys.argv[1])
    storage.lock()
    print("held", flush=True)
    sys.stdin.read()
"""

LEAVE_A_CHILD = """
    import os, sys
    from isthmus.log.storage import RealStorage
    storage = RealStorage(sys.argv[1])
    storage.lock()
    ready, tell = os.pipe()
    if os.fork() == 0:
        os.write(tell, b"!")
        sys.stdin.read()  # lives on when the parent is gone
        os._exit(0)
    os.read(ready, 1)
    os.write(1, b"left\\n")
    os._exit(0)
"""


@contextlib.contextmanager
def program(source: str, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own, past its first line of output; its input is closed at the end, which lets it go."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline()
        yield running
        running.stdin.close()


class TestLock:
    def test_names_process_and_time_of_the_owner(self, real: RealStorage, tmp_path: Path) -> None:
        with program(HOLD, tmp_path / "data") as other:
            with pytest.raises(DirectoryInUse) as caught:
                real.lock()

            assert caught.value.pid == other.pid
            assert caught.value.since is not None
            assert caught.value.since.endswith("+00:00")
            assert real.lock_holder() == (other.pid, caught.value.since)

    def test_is_free_when_the_owner_is_gone(self, real: RealStorage, tmp_path: Path) -> None:
        with program(HOLD, tmp_path / "data") as other:
            other.kill()
            other.wait()

            assert real.lock_holder() is None
            real.lock()

        real.unlock()

    def test_is_exclusive_within_one_process_too(self, real: RealStorage) -> None:
        other = RealStorage(real.directory)
        real.lock()

        with pytest.raises(DirectoryInUse, match=f"process {os.getpid()}"):
            other.lock()

        assert other.lock_holder() is not None
        real.unlock()
        assert other.lock_holder() is None
        other.lock()
        other.unlock()

    def test_gets_past_somebody_who_only_looks(self, real: RealStorage) -> None:
        real.lock()
        real.unlock()
        with contextlib.closing(real.open("LOCK")) as looker:
            fcntl.flock(looker._fd, fcntl.LOCK_SH)
            threading.Timer(0.005, fcntl.flock, (looker._fd, fcntl.LOCK_UN)).start()

            real.lock()

        real.unlock()

    def test_tells_that_the_owner_has_not_written_its_name_yet(self, real: RealStorage) -> None:
        other = RealStorage(real.directory)
        real.lock()
        (Path(real.directory) / "LOCK").write_bytes(b"")

        assert other.lock_holder() == (0, "")
        with pytest.raises(DirectoryInUse, match="another process"):
            other.lock()
        real.unlock()

    def test_is_free_at_once_though_a_program_that_starts_holds_a_copy(self, real: RealStorage) -> None:
        real.lock()
        copy = os.dup(real._lock_fd)

        real.unlock()

        assert real.lock_holder() is None
        os.close(copy)

    def test_leaves_no_name_behind(self, real: RealStorage) -> None:
        real.lock()
        real.unlock()

        assert (Path(real.directory) / "LOCK").read_bytes().strip() == b""


def in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` gives in a forked child that goes on as Python programs do; exceptions come back as their text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside the test runner's threads
        reading, writing = os.pipe()
        child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 - the child must end here, whatever happens
            answer = repr(error).encode()
        os.write(writing, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read()
    assert os.waitpid(child, 0)[1] == 0
    return answer


@pytest.mark.process
class TestFork:
    def test_every_use_in_the_child_is_refused(self, real: RealStorage) -> None:
        file = real.open("a", create=True)
        uses: list[Callable[[], object]] = [
            lambda: file.pread(1, 0),
            lambda: file.pread_now(1, 0),
            lambda: file.pwrite([b"x"], 0),
            lambda: file.pwrite([b"x"], 0, sync=True),
            file.sync,
            lambda: file.truncate(0),
            lambda: file.allocate(1),
            lambda: file.advise(0, 1),
            file.size,
            lambda: real.open("a"),
            lambda: real.exists("a"),
            lambda: real.list(""),
            lambda: real.make_folder("a"),
            lambda: real.rename("a", "b"),
            lambda: real.unlink("a"),
            lambda: real.sync_folder(""),
            real.free_bytes,
            real.lock,
            real.lock_holder,
            real.boot_id,
            real.identity,
        ]

        def use_all() -> bytes:
            refused = 0
            for use in uses:
                try:
                    use()
                except ForkedBroker:
                    refused += 1
            return str(refused).encode()

        assert in_child(use_all) == str(len(uses)).encode()
        assert file.pwrite([b"still here"], 0) == 10
        file.close()

    def test_the_child_can_close_what_it_inherited_and_harms_nobody(self, real: RealStorage) -> None:
        file = real.open("a", create=True)
        real.lock()

        def close_all() -> bytes:
            mine = os.open("/dev/null", os.O_RDONLY)  # likely gets the number of a descriptor that was given up
            file.close()
            real.unlock()
            os.fstat(mine)
            return b"fine"

        assert in_child(close_all) == b"fine"
        with pytest.raises(DirectoryInUse):
            RealStorage(real.directory).lock()
        real.unlock()
        file.close()

    def test_the_child_holds_no_descriptor_of_the_parents_store(self, real: RealStorage) -> None:
        file = real.open("a", create=True)
        real.lock()

        def held() -> bytes:
            paths = [str(link.readlink()) for link in OWN_DESCRIPTORS.iterdir() if link.is_symlink()]
            return str([path for path in paths if path.startswith(real.directory)]).encode()

        assert in_child(held) == b"[]"
        real.unlock()
        file.close()

    def test_the_child_finds_the_directory_in_use_by_its_parent(self, real: RealStorage) -> None:
        real.lock()

        answer = in_child(lambda: str(RealStorage(real.directory).lock_holder()).encode())

        assert answer.startswith(f"({os.getpid()}, ".encode())
        real.unlock()

    def test_the_child_opens_the_directory_itself_when_it_is_free(self, real: RealStorage) -> None:
        def open_anew() -> bytes:
            mine = RealStorage(real.directory)
            mine.lock()
            put(mine, "a", b"from the child")
            return b"done"

        assert in_child(open_anew) == b"done"
        assert content(real, "a") == b"from the child"

    def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(self, real: RealStorage, tmp_path: Path) -> None:
        with program(LEAVE_A_CHILD, tmp_path / "data") as parent:
            parent.wait()

            real.lock()

        real.unlock()


class TestSocket:
    def test_it_is_in_the_directory_where_that_fits(self, tmp_path: Path) -> None:
        storage = RealStorage(tmp_path / "data")

        assert socket_path(storage) == f"{storage.directory}/isthmus.sock"
        assert not is_socket(f"{storage.directory}/isthmus.sock")

    def test_a_longer_path_has_it_in_a_private_folder_the_same_for_everybody(self, tmp_path: Path) -> None:
        long = tmp_path / ("x" * 100)

        found = socket_path(RealStorage(long))

        assert found is not None
        assert found == socket_path(RealStorage(long))
        assert stat.S_IMODE(Path(found).parent.stat().st_mode) == 0o700

    def test_memory_has_none(self) -> None:
        assert socket_path(MemoryStorage()) is None

    def test_a_file_is_no_socket(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        assert not is_socket(str(tmp_path / "file"))
