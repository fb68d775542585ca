"""The faulty storage fails the call that it was told to fail, as a system would, and no other."""

import contextlib
import errno
from collections.abc import Callable

import pytest

from isthmus.log.storage import MemoryStorage, Storage, read_all, replace, write_all
from support.faulty_storage import ERRORS, SYNCS, WRITES, Effect, Fault, FaultyStorage
from support.sim_storage import SimStorage, Variant


def content(storage: Storage, name: str) -> bytes:
    return read_all(storage, name, 1 << 20)


class TestFault:
    def test_hits_the_nth_call_of_all_once(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(2))

        storage.make_folder("a")
        with pytest.raises(OSError) as caught:
            storage.make_folder("b")
        storage.make_folder("c")

        assert caught.value.errno == errno.EIO
        assert caught.value.filename == "b"
        assert [storage.exists(name) for name in "abc"] == [True, False, True]

    def test_hits_from_the_nth_call_on(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(2, forever=True))

        storage.exists("a")
        for _ in range(3):
            with pytest.raises(OSError):
                storage.exists("a")

    def test_counts_only_the_calls_that_it_is_about(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(2, ops=SYNCS))
        file = storage.open("a", create=True)

        file.pwrite([b"a"], 0)
        file.pwrite([b"b"], 1, sync=True)
        file.pwrite([b"c"], 2)
        with pytest.raises(OSError):
            storage.sync_folder("")
        file.sync()

        assert storage.failed == [("sync_folder", _here("TestFault.test_counts_only_the_calls_that_it_is_about"))]

    @pytest.mark.parametrize("code", ERRORS)
    def test_raises_what_the_system_would(self, code: int) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(1, code))

        with pytest.raises(OSError) as caught:
            storage.open("a", create=True)

        assert caught.value.errno == code
        assert not storage.exists("a")

    def test_can_hit_every_call_that_may_fail(self) -> None:
        calm = FaultyStorage(MemoryStorage())
        _everything(calm)
        ops = {op for op, _ in calm.calls}

        for op in ops:
            storage = FaultyStorage(MemoryStorage(), Fault(1, ops=frozenset({op})))
            with pytest.raises(OSError):
                _everything(storage)
            assert [failed for failed, _ in storage.failed] == [op]

    def test_never_hits_what_gives_back(self) -> None:
        storage = FaultyStorage(MemoryStorage())
        file = storage.open("a", create=True)
        storage.arm(Fault(1, forever=True))

        file.advise(0, 1)
        file.close()
        storage.unlock()

        assert storage.lock_holder() is None
        assert storage.boot_id()
        assert storage.failed == []

    def test_is_replaced_by_another_one_or_none(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(1, forever=True))

        storage.arm(Fault(2))
        storage.exists("a")
        with pytest.raises(OSError):
            storage.exists("a")

        storage.arm(None)
        storage.exists("a")

    def test_is_told_by_the_place_that_called(self) -> None:
        storage = FaultyStorage(MemoryStorage())

        replace(storage, "a", b"abc")
        replace(storage, "a", b"abc")

        site = _here("TestFault.test_is_told_by_the_place_that_called")
        assert storage.calls == {
            (op, site): 2 for op in ("exists", "create", "pwrite", "sync", "rename", "sync_folder")
        }

    def test_describes_itself_as_what_it_covers(self) -> None:
        inner = MemoryStorage()
        storage = FaultyStorage(inner)

        assert (storage.directory, storage.inline, storage.boot_id()) == ("memory", True, inner.boot_id())


class TestShortWrite:
    def test_takes_half_and_says_so_and_the_next_one_raises(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(2, errno.ENOSPC, WRITES, effect=Effect.SHORT))
        file = storage.open("a", create=True)

        assert file.pwrite([b"first"], 0) == 5
        assert file.pwrite([b"sec", b"ond"], 5) == 3
        with pytest.raises(OSError) as caught:
            file.pwrite([b"ond"], 8)
        assert file.pwrite([b"ond"], 8) == 3

        assert caught.value.errno == errno.ENOSPC
        assert content(storage, "a") == b"firstsecond"

    def test_is_followed_by_nothing_but_errors_when_the_disk_stays_full(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(1, errno.ENOSPC, WRITES, forever=True, effect=Effect.SHORT))

        with contextlib.closing(storage.open("a", create=True)) as file:
            for _ in range(2):
                with pytest.raises(OSError):
                    write_all(file, [b"abcdef"], 0)

        assert content(storage, "a") == b"abc"

    def test_of_a_single_byte_is_an_error(self) -> None:
        storage = FaultyStorage(MemoryStorage(), Fault(1, ops=WRITES, effect=Effect.SHORT))

        with pytest.raises(OSError):
            storage.open("a", create=True).pwrite([b"a"], 0, sync=True)


class TestFailedSync:
    @pytest.mark.parametrize(("effect", "seen"), [(Effect.CACHED, b"new"), (Effect.REVERTED, b"old")])
    def test_leaves_the_disk_as_it_was_whatever_comes_after(self, effect: Effect, seen: bytes) -> None:
        sim = SimStorage()
        storage = FaultyStorage(sim)
        replace(storage, "a", b"old")
        storage.arm(Fault(1, ops=SYNCS, effect=effect))
        file = storage.open("a", write=True)

        file.pwrite([b"new"], 0)
        with pytest.raises(OSError):
            file.sync()
        file.sync()

        assert content(storage, "a") == seen
        assert content(sim.images(len(sim.trace), Variant.EVERYTHING), "a") == b"old"

    @pytest.mark.parametrize(("effect", "seen"), [(Effect.CACHED, b"new"), (Effect.REVERTED, b"old")])
    def test_of_one_write_does_the_same(self, effect: Effect, seen: bytes) -> None:
        sim = SimStorage()
        storage = FaultyStorage(sim)
        replace(storage, "a", b"old")
        storage.arm(Fault(1, ops=SYNCS, effect=effect))
        file = storage.open("a", write=True)

        with pytest.raises(OSError):
            file.pwrite([b"new"], 0, sync=True)
        file.sync()

        assert content(storage, "a") == seen
        assert content(sim.images(len(sim.trace), Variant.EVERYTHING), "a") == b"old"

    def test_without_an_effect_leaves_all_to_a_later_one(self) -> None:
        sim = SimStorage()
        storage = FaultyStorage(sim)
        replace(storage, "a", b"old")
        storage.arm(Fault(1, ops=SYNCS))
        file = storage.open("a", write=True)
        file.pwrite([b"new"], 0)

        with pytest.raises(OSError):
            file.sync()
        file.sync()

        assert content(sim.images(len(sim.trace), Variant.NOTHING), "a") == b"new"

    def test_of_a_folder_leaves_its_names_unsafe(self) -> None:
        sim = SimStorage()
        storage = FaultyStorage(sim, Fault(1, ops=frozenset({"sync_folder"})))

        with pytest.raises(OSError):
            replace(storage, "a", b"new")

        assert sim.images(len(sim.trace), Variant.NOTHING).list("") == []


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("forever", [False, True])
def test_a_replacement_that_fails_at_any_call_leaves_old_or_new(code: int, effect: Effect, forever: bool) -> None:
    """The way the suites use it: fail call 1, 2, 3, ... until nothing fails any more."""
    number, failed = 0, True
    while failed:
        number += 1
        sim = SimStorage()
        replace(sim, "a", b"old")
        storage = FaultyStorage(sim, Fault(number, code, forever=forever, effect=effect))
        with contextlib.suppress(OSError):
            replace(storage, "a", b"new")
        failed = bool(storage.failed)

        assert content(sim, "a") in ([b"old", b"new"] if failed else [b"new"])
        for variant in Variant:
            assert content(sim.images(len(sim.trace), variant), "a") in ([b"old", b"new"] if failed else [b"new"])

    assert number == 7  # each of the six calls has failed


def _here(function: str) -> str:
    return f"support_tests/test_faulty_storage.py:{function}"


def _everything(storage: FaultyStorage) -> None:
    """Each call that may fail, once."""
    storage.lock()
    storage.make_folder("f")
    storage.list("f")
    file = storage.open("f/a", create=True)
    storage.open("f/a")
    calls: list[Callable[[], object]] = [
        lambda: file.allocate(9),
        lambda: file.truncate(0),
        lambda: file.pwrite([b"a"], 0),
        lambda: file.pwrite([b"b"], 1, sync=True),
        file.sync,
        file.size,
        lambda: file.pread(1, 0),
        lambda: file.pread_now(1, 0),
        lambda: storage.rename("f/a", "b"),
        lambda: storage.exists("b"),
        lambda: storage.unlink("b"),
        lambda: storage.sync_folder(""),
        storage.free_bytes,
    ]
    for call in calls:
        call()
