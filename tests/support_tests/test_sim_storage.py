"""The simulated disk loses what a disk may lose, keeps what it must keep, and invents nothing."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.log.storage import Storage, replace, write_all
from support.sim_storage import SimStorage, Variant

Files = dict[str, bytes]

SEEDS = range(8)


def files_of(storage: SimStorage) -> Files:
    """Every file whole, zeros and all."""
    return {name: held + bytes(size - len(held)) for name, (held, size) in storage.contents().items()}


def images(storage: SimStorage, prefix: int | None = None) -> Iterator[Files]:
    """What may be on the disk after a crash at that point; at the end when none is given."""
    at = len(storage.trace) if prefix is None else prefix
    return (files_of(storage.images(at, variant, seed)) for variant in Variant for seed in SEEDS)


def one(storage: SimStorage, variant: Variant, prefix: int | None = None) -> Files:
    return files_of(storage.images(len(storage.trace) if prefix is None else prefix, variant))


def contents_of(name: str, found: Iterator[Files]) -> set[bytes | None]:
    return {files.get(name) for files in found}


def safe(content: bytes = b"", **options: int) -> SimStorage:
    """A disk with the file "a", safe with its name."""
    storage = SimStorage(**options)
    put(storage, "a", content)
    storage.sync_folder("")
    return storage


def put(storage: Storage, name: str, content: bytes) -> None:
    """A file with safe content; its name is another matter."""
    with contextlib.closing(storage.open(name, create=True)) as file:
        write_all(file, [content], 0)
        file.sync()


class TestData:
    def test_unsynced_writes_may_be_lost_and_may_survive(self) -> None:
        storage = safe(b"old")

        storage.open("a", write=True).pwrite([b"new"], 0)

        assert contents_of("a", images(storage)) == {b"old", b"new"}

    def test_synced_writes_survive(self) -> None:
        storage = safe(b"old")
        file = storage.open("a", write=True)

        file.pwrite([b"new"], 0)
        file.sync()

        assert contents_of("a", images(storage)) == {b"new"}

    def test_a_write_with_sync_makes_its_own_bytes_safe_and_no_others(self) -> None:
        storage = safe(b"......")
        file = storage.open("a", write=True)

        file.pwrite([b"ab"], 0)
        file.pwrite([b"cd"], 2, sync=True)
        file.pwrite([b"ef"], 4)

        found = contents_of("a", images(storage))
        assert found == {b"..cd..", b"abcd..", b"abcdef"}  # "ef" shares its sector with "ab" and brings it along

    def test_a_write_with_sync_makes_the_size_safe_that_it_needs(self) -> None:
        storage = safe(b"")
        file = storage.open("a", write=True)

        file.allocate(100)
        file.pwrite([b"ab"], 4, sync=True)

        assert contents_of("a", images(storage)) == {b"\0\0\0\0ab", b"\0\0\0\0ab".ljust(100, b"\0")}

    def test_what_was_overwritten_and_synced_does_not_come_back(self) -> None:
        storage = safe(b"old")
        file = storage.open("a", write=True)

        file.pwrite([b"mid"], 0)
        file.pwrite([b"new"], 0, sync=True)

        assert contents_of("a", images(storage)) == {b"new"}

    def test_a_write_tears_at_sectors_and_only_there(self) -> None:
        storage = safe(bytes(12), sector_bytes=4)

        storage.open("a", write=True).pwrite([b"aabbbbcc"], 2)

        parts = [b"aa", b"bbbb", b"cc"]
        every = {
            bytes(2) + b"".join(part if kept else bytes(len(part)) for part, kept in zip(parts, choice, strict=True))
            for choice in [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
        }
        found = {
            files_of(storage.images(len(storage.trace), Variant.TORN_SECTORS, seed))["a"][:10] for seed in range(100)
        }
        assert found == every

    def test_torn_writes_lose_their_head_or_their_tail(self) -> None:
        storage = safe(bytes(1536))

        storage.open("a", write=True).pwrite([b"x" * 1536], 0)

        x, zero = b"x" * 512, bytes(512)
        end = len(storage.trace)
        heads = {files_of(storage.images(end, Variant.TORN_HEAD, seed))["a"] for seed in range(30)}
        tails = {files_of(storage.images(end, Variant.TORN_TAIL, seed))["a"] for seed in range(30)}
        assert heads == {zero * 3, x + zero * 2, x * 2 + zero}
        assert tails == {zero * 3, zero * 2 + x, zero + x * 2}

    def test_a_write_that_the_program_waits_for_is_torn_too(self) -> None:
        storage = safe(bytes(1024))
        before = len(storage.trace)

        storage.open("a", write=True).pwrite([b"x" * 1024], 0, sync=True)

        assert b"x" * 512 + bytes(512) in contents_of("a", images(storage, before))
        assert contents_of("a", images(storage)) == {b"x" * 1024}

    def test_a_file_may_have_grown_without_its_data(self) -> None:
        storage = safe(b"abc")

        storage.open("a", write=True).pwrite([b"def"], 3)

        assert contents_of("a", images(storage)) == {b"abc", b"abcdef", b"abc\0\0\0"}

    def test_what_was_cut_off_may_come_back_until_it_is_synced(self) -> None:
        storage = safe(b"abcdef")
        file = storage.open("a", write=True)

        file.truncate(2)
        assert contents_of("a", images(storage)) == {b"ab", b"abcdef"}

        file.pwrite([b"X"], 2, sync=True)
        assert contents_of("a", images(storage)) == {b"abX", b"abXdef"}

        file.sync()
        assert contents_of("a", images(storage)) == {b"abX"}

    def test_what_was_cut_off_is_zero_when_the_file_grows_again(self) -> None:
        storage = safe(b"abcdef")
        file = storage.open("a", write=True)

        file.truncate(2)
        file.allocate(4)
        assert one(storage, Variant.EVERYTHING) == {"a": b"ab\0\0"}

        file.sync()
        assert contents_of("a", images(storage)) == {b"ab\0\0"}

    def test_allocated_space_costs_nothing(self) -> None:
        storage = safe(b"abc")

        storage.open("a", write=True).allocate(1 << 50)

        image = storage.images(len(storage.trace), Variant.EVERYTHING)
        assert image.open("a").size() == 1 << 50
        assert image.open("a").pread(5, 0) == b"abc\0\0"


class TestNames:
    def test_a_file_without_its_name_is_not_there_though_its_data_is_safe(self) -> None:
        storage = SimStorage()

        put(storage, "a", b"abc")

        assert contents_of("a", images(storage)) == {None, b"abc"}
        assert one(storage, Variant.NAMES_LOST) == {}

    def test_a_name_may_be_there_without_the_data(self) -> None:
        storage = SimStorage()
        file = storage.open("a", create=True)

        file.pwrite([b"abc"], 0)

        assert one(storage, Variant.NAMES_KEPT) == {"a": b""}
        assert one(storage, Variant.GROWN_ZERO) == {"a": bytes(3)}

    def test_an_unlinked_file_may_come_back_until_its_folder_is_synced(self) -> None:
        storage = safe(b"abc")

        storage.unlink("a")
        assert contents_of("a", images(storage)) == {None, b"abc"}

        storage.sync_folder("")
        assert contents_of("a", images(storage)) == {None}

    def test_nothing_is_pending_of_a_file_that_is_gone_for_good(self) -> None:
        storage = safe(b"abc")
        file = storage.open("a", write=True)
        file.pwrite([b"x"], 0)

        storage.unlink("a")
        assert len(storage.pending(len(storage.trace))) == 2

        storage.sync_folder("")
        file.pwrite([b"y"], 0)
        assert storage.pending(len(storage.trace)) == []

    def test_a_rename_happens_or_not(self) -> None:
        storage = safe(b"old")
        put(storage, "b", b"new")
        storage.sync_folder("")

        storage.rename("b", "a")

        both = [{"a": b"old", "b": b"new"}, {"a": b"new"}]
        assert all(files in both for files in images(storage))
        assert all(files in images(storage) for files in both)

    def test_the_sync_of_another_folder_makes_nothing_safe(self) -> None:
        storage = SimStorage()
        storage.make_folder("journal")
        storage.sync_folder("")
        put(storage, "journal/1", b"abc")

        storage.sync_folder("")
        assert one(storage, Variant.NOTHING) == {}

        storage.sync_folder("journal")
        assert one(storage, Variant.NOTHING) == {"journal/1": b"abc"}

    def test_a_lost_folder_takes_its_files_with_it(self) -> None:
        storage = SimStorage()
        storage.make_folder("journal")
        put(storage, "journal/1", b"abc")
        storage.sync_folder("journal")

        assert one(storage, Variant.NOTHING) == {}
        assert storage.images(len(storage.trace), Variant.NOTHING).list("journal") == []
        assert one(storage, Variant.NAMES_KEPT) == {"journal/1": b"abc"}

    def test_a_move_between_folders_is_safe_when_both_are_synced(self) -> None:
        storage = safe(b"abc")
        storage.make_folder("quarantine")
        storage.sync_folder("")

        storage.rename("a", "quarantine/a")
        storage.sync_folder("quarantine")
        assert one(storage, Variant.NOTHING) == {"a": b"abc"}

        storage.sync_folder("")
        assert one(storage, Variant.NOTHING) == {"quarantine/a": b"abc"}

    def test_names_survive_in_order_and_out_of_order(self) -> None:
        storage = SimStorage()
        for name in "abc":
            put(storage, name, b"")

        found = {"".join(files) for files in images(storage)}

        assert {"", "a", "ab", "abc"} <= found
        assert found & {"b", "c", "ac", "bc"}

    def test_a_new_file_under_a_freed_name_brings_along_what_freed_it(self) -> None:
        storage = safe(b"precious")
        storage.rename("a", "b")
        put(storage, "a", b"next")

        for files in images(storage):
            assert b"precious" in files.values()


class TestReplacement:
    """The crash tests have teeth: a replacement that forgets a step is caught."""

    @staticmethod
    def forgets_the_folder(storage: Storage, name: str, content: bytes) -> None:
        put(storage, name + ".new", content)
        storage.rename(name + ".new", name)

    @staticmethod
    def forgets_the_data(storage: Storage, name: str, content: bytes) -> None:
        with contextlib.closing(storage.open(name + ".new", create=True)) as file:
            write_all(file, [content], 0)
        storage.rename(name + ".new", name)
        storage.sync_folder("")

    @staticmethod
    def writes_in_place(storage: Storage, name: str, content: bytes) -> None:
        with contextlib.closing(storage.open(name, write=True)) as file:
            write_all(file, [content], 0)
            file.sync()

    def violations(self, put_in_place: Callable[[Storage, str, bytes], None]) -> int:
        old, new = b"o" * 2000, b"n" * 2000
        storage = safe(old)
        storage.mark(old)
        put_in_place(storage, "a", new)
        storage.mark(new)

        wrong = 0
        for prefix in storage.crash_points():
            promised = storage.marks_before(prefix)
            if not promised:
                continue
            allowed = [new] if new in promised else [old, new]
            wrong += sum(files.get("a") not in allowed for files in images(storage, prefix))
        return wrong

    def test_the_right_one_passes(self) -> None:
        assert self.violations(replace) == 0

    @pytest.mark.parametrize("wrong", [forgets_the_folder, forgets_the_data, writes_in_place])
    def test_a_wrong_one_is_caught(self, wrong: Callable[[Storage, str, bytes], None]) -> None:
        assert self.violations(wrong) > 0


class TestTrace:
    def test_tells_op_file_and_caller(self) -> None:
        storage = SimStorage()

        put(storage, "a", b"abc")
        replace(storage, "b", b"")

        own = "support_tests/test_sim_storage.py"
        assert storage.sites()["create", f"{own}:put"] == 1
        assert storage.sites()["rename", f"{own}:TestTrace.test_tells_op_file_and_caller"] == 1
        assert [(event.op, event.name) for event in storage.trace[:3]] == [
            ("create", "a"),
            ("pwrite", "a"),
            ("sync", "a"),
        ]

    def test_marks_stand_where_they_were_made(self) -> None:
        storage = SimStorage()
        storage.mark("before")
        put(storage, "a", b"abc")
        storage.mark("after")

        end = len(storage.trace)
        assert storage.marks_before(0) == []
        assert storage.marks_before(end - 1) == ["before"]
        assert storage.marks_before(end) == ["before", "after"]

    def test_no_crash_point_lies_before_a_mark(self) -> None:
        storage = SimStorage()
        put(storage, "a", b"abc")  # create, pwrite, sync
        storage.mark("acknowledged")
        storage.sync_folder("")

        assert storage.crash_points() == [0, 1, 2, 4, 5]

    def test_reading_leaves_no_trace(self) -> None:
        storage = safe(b"abc")
        before = len(storage.trace)

        file = storage.open("a")
        file.pread(3, 0)
        file.pread_now(3, 0)
        file.advise(0, 3)
        file.close()
        storage.list("")
        storage.exists("a")
        storage.lock()

        assert len(storage.trace) == before


class TestImages:
    def long(self) -> SimStorage:
        storage = SimStorage()
        file = storage.open("a", create=True)
        for number in range(150):
            file.pwrite([bytes([number]) * 100], number * 50, sync=number % 7 == 0)
            if number % 31 == 0:
                storage.sync_folder("")
        return storage

    def test_are_the_same_for_the_same_arguments_in_any_order(self) -> None:
        storage = self.long()
        arguments = [(prefix, variant) for prefix in range(0, 155, 9) for variant in Variant]

        forward = [files_of(storage.images(prefix, variant, 3)) for prefix, variant in arguments]
        back = [files_of(storage.images(prefix, variant, 3)) for prefix, variant in reversed(arguments)]

        assert forward == back[::-1]

    def test_differ_by_seed(self) -> None:
        storage = self.long()

        assert len({files_of(storage.images(120, Variant.SUBSET, seed)).get("a") for seed in range(20)}) > 5

    def test_everything_is_what_readers_saw(self) -> None:
        storage = self.long()

        assert one(storage, Variant.EVERYTHING) == files_of(storage)

    def test_are_new_machines(self) -> None:
        storage = safe(b"abc")

        image = storage.images(len(storage.trace), Variant.EVERYTHING)

        assert image.boot_id() != storage.boot_id()
        assert image.images(0, Variant.EVERYTHING).boot_id() not in (image.boot_id(), storage.boot_id())

    def test_do_not_touch_the_storage_that_they_come_from(self) -> None:
        storage = safe(b"abc")
        image = storage.images(len(storage.trace), Variant.EVERYTHING)

        image.open("a", write=True).pwrite([b"X"], 0, sync=True)
        image.unlink("a")

        assert files_of(storage) == {"a": b"abc"}
        assert one(storage, Variant.NOTHING) == {"a": b"abc"}

    def test_crash_again(self) -> None:
        storage = safe(b"abc")
        image = storage.images(len(storage.trace), Variant.NOTHING)

        image.open("a", write=True).pwrite([b"X"], 0)
        image.make_folder("journal")
        put(image, "journal/1", b"one")

        assert one(image, Variant.NOTHING) == {"a": b"abc"}
        assert one(image, Variant.EVERYTHING) == {"a": b"Xbc", "journal/1": b"one"}

    def test_keep_any_subset_that_a_test_names(self) -> None:
        storage = safe(bytes(1024))
        file = storage.open("a", write=True)
        file.pwrite([b"x"], 0)
        file.pwrite([b"y"], 600)
        put(storage, "b", b"")

        end = len(storage.trace)
        pending = storage.pending(end)
        subsets = chain.from_iterable(combinations(pending, count) for count in range(len(pending) + 1))
        found = [files_of(storage.image_keeping(end, kept)) for kept in subsets]

        assert len(pending) == 3
        assert len({tuple(sorted(files.items())) for files in found}) == 8


class TestKilledProcess:
    def test_leaves_what_it_wrote_but_not_safe(self) -> None:
        storage = safe(b"old")
        storage.open("a", write=True).pwrite([b"new"], 0)
        put(storage, "b", b"")

        next_process = storage.killed(len(storage.trace))

        assert files_of(next_process) == {"a": b"new", "b": b""}
        assert next_process.boot_id() == storage.boot_id()
        assert one(next_process, Variant.NOTHING) == {"a": b"old"}

    def test_the_next_process_can_make_it_safe(self) -> None:
        storage = safe(b"old")
        storage.open("a", write=True).pwrite([b"new"], 0)
        next_process = storage.killed(len(storage.trace))

        next_process.open("a", write=True).sync()

        assert contents_of("a", images(next_process)) == {b"new"}

    def test_the_next_process_makes_files_of_its_own(self) -> None:
        next_process = safe(b"abc").killed(4)

        put(next_process, "b", b"new")

        assert one(next_process, Variant.EVERYTHING) == {"a": b"abc", "b": b"new"}

    def test_can_be_killed_at_every_point_and_again(self) -> None:
        storage = safe(b"abc")
        put(storage, "b", b"x")
        storage.unlink("a")

        second = storage.killed(len(storage.trace) - 1)
        second.rename("b", "c")
        third = second.killed(1)

        assert files_of(second.killed(0)) == {"a": b"abc", "b": b"x"}
        assert files_of(third) == {"a": b"abc", "c": b"x"}
        assert one(third, Variant.NOTHING) == {"a": b"abc"}


class TestFailedSync:
    def test_leaves_bytes_that_readers_see_and_no_later_sync_saves(self) -> None:
        storage = safe(b"old")
        file = storage.open("a", write=True)
        file.pwrite([b"new"], 0)

        file.sync_failed(reverted=False)
        file.sync()

        assert file.pread(3, 0) == b"new"
        assert contents_of("a", images(storage)) == {b"old"}
        assert files_of(storage.killed(len(storage.trace))) == {"a": b"new"}

    def test_or_takes_them_from_readers_too(self) -> None:
        storage = safe(b"old")
        file = storage.open("a", write=True)
        file.pwrite([b"newer"], 0)

        file.sync_failed(reverted=True)

        assert file.pread(9, 0) == b"old"
        assert contents_of("a", images(storage)) == {b"old"}
        assert files_of(storage.killed(len(storage.trace))) == {"a": b"old"}

    def test_spares_what_was_safe_and_what_is_written_after(self) -> None:
        storage = safe(b"....")
        file = storage.open("a", write=True)
        file.pwrite([b"A"], 0, sync=True)
        file.pwrite([b"B"], 1)

        file.sync_failed(reverted=False)
        file.pwrite([b"C"], 2)
        file.sync()

        assert contents_of("a", images(storage)) == {b"A.C."}


SIZE = 40

writes = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 20), st.booleans())


@settings(max_examples=60)
@given(st.lists(st.one_of(writes, st.just("sync")), max_size=8), st.integers(0, 1000))
def test_every_byte_of_every_image_is_one_that_may_be_there(
    script: list[tuple[int, int, bool] | str], seed: int
) -> None:
    storage = safe(bytes(SIZE), sector_bytes=8)
    file = storage.open("a", write=True)
    may_be = [{0} for _ in range(SIZE)]
    start = len(storage.trace)
    allowed = [may_be]
    for number, step in enumerate(script, 1):
        if isinstance(step, str):
            file.sync()
            now = files_of(storage)["a"]
            may_be = [{now[at]} for at in range(SIZE)]
        else:
            position, length, sync = step
            end = min(SIZE, position + length)
            file.pwrite([bytes([number]) * (end - position)], position, sync=sync)
            inside = range(position, end)
            may_be = [({number} if sync else may | {number}) if at in inside else may for at, may in enumerate(may_be)]
        allowed.append(may_be)

    for done in range(len(script) + 1):
        begun = min(done + 1, len(script))
        for variant in Variant:
            found = files_of(storage.images(start + done, variant, seed))["a"]
            for at, byte in enumerate(found):
                assert byte in allowed[done][at] | allowed[begun][at]


NAMES = ("a", "b", "f/a", "f/b")

steps = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("unlink"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("sync_folder"), st.sampled_from(["", "f"]), st.just("")),
)


@settings(max_examples=100)
@given(st.lists(steps, max_size=12), st.integers(0, 1000))
def test_no_file_is_lost_doubled_or_made_up_by_changes_of_names(script: list[tuple[str, str, str]], seed: int) -> None:
    storage = SimStorage()
    storage.make_folder("f")
    for name in NAMES[:3]:
        put(storage, name, f"first {name}".encode())
    storage.sync_folder("")
    storage.sync_folder("f")
    start = len(storage.trace)
    kept = {f"first {name}".encode() for name in NAMES[:3]}
    untouched = [kept]

    for number, (op, name, target) in enumerate(script):
        held = files_of(storage)
        before = len(storage.trace)
        if op == "sync_folder":
            storage.sync_folder(name)
        elif op == "create" and name not in held:
            put(storage, name, f"{number}".encode())
        elif op == "unlink" and name in held:
            storage.unlink(name)
            kept = kept - {held[name]}
        elif op == "rename" and name in held and name != target:
            storage.rename(name, target)
            kept = kept - {held.get(target, b"")}
        untouched += [kept] * (len(storage.trace) - before)

    for prefix in range(start, len(storage.trace) + 1):
        sure = untouched[min(prefix - start + 1, len(untouched) - 1)]
        for variant in Variant:
            found = list(files_of(storage.images(prefix, variant, seed)).values())
            for content in sure:
                assert found.count(content) == 1
    assert one(storage, Variant.EVERYTHING) == files_of(storage)
    storage.sync_folder("")
    storage.sync_folder("f")
    assert all(files == files_of(storage) for files in images(storage))
