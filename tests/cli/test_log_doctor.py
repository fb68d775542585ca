"""What the doctor sees of a data directory: disk, lock, journal, checkpoints, clock."""

import asyncio
from pathlib import Path

import pytest

from isthmus.cli.doctor import Check
from isthmus.cli.log_doctor import PROBE, SYNCS, file_system, judged_clock, judged_syncs, store_checks, sync_times
from isthmus.cli.log_walk import Store
from isthmus.log import checkpoint, facts
from isthmus.log.storage import MemoryStorage, RealStorage
from support.stores import StoreMaker, flip, make_store

NOW_MS = 1_800_000_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    asyncio.run(make_store(RealStorage(tmp_path / "data"), 20, (10, 20)))
    return tmp_path / "data"


def checks(directory: Path) -> dict[str, Check]:
    return {check.name: check for check in store_checks(str(directory))}


def test_a_sound_store_has_nothing_that_fails(directory: Path) -> None:
    found = checks(directory)

    assert {name: check.status for name, check in found.items() if check.status == "fail"} == {}
    assert found["in use"].text == "by nobody"
    assert "format 1" in found["directory"].text
    assert "durable write takes" in found["durability"].text
    assert found["checkpoints"].text.startswith("2, newest at LSN")


def test_measuring_leaves_nothing_behind(directory: Path) -> None:
    before = sorted(path.name for path in directory.rglob("*"))

    took = sync_times(Store.open(RealStorage(directory)))

    assert len(took) == SYNCS
    assert took == sorted(took)
    assert sorted(path.name for path in directory.rglob("*")) == before
    assert not (directory / PROBE).exists()


def test_what_is_no_store_is_one_failure(tmp_path: Path) -> None:
    (check,) = store_checks(str(tmp_path))

    assert (check.name, check.status) == ("directory", "fail")
    assert "no FORMAT" in check.text


async def test_who_holds_it_is_told(tmp_path: Path) -> None:
    async with StoreMaker(RealStorage(tmp_path / "data")):
        found = checks(tmp_path / "data")

    assert "by process" in found["in use"].text
    assert found["journal"].status == "ok"


def test_a_damaged_end_of_the_journal_fails(directory: Path) -> None:
    flip(RealStorage(directory), "journal/00000000000000000000.log", 5_000)

    check = checks(directory)["journal"]

    assert check.status == "fail"
    assert "log verify" in check.advice


def test_a_damaged_checkpoint_is_a_warning_and_all_of_them_a_failure(directory: Path) -> None:
    newest, oldest = checkpoint.listed(RealStorage(directory))
    flip(RealStorage(directory), newest, 5)
    one = [check.status for check in store_checks(str(directory)) if check.name == "checkpoints"]
    flip(RealStorage(directory), oldest, 5)
    both = [check.status for check in store_checks(str(directory)) if check.name == "checkpoints"]

    assert (one, both) == (["warn", "ok"], ["fail"])


def test_what_was_set_aside_or_given_up_is_a_warning(tmp_path: Path) -> None:
    async def make() -> None:
        async with StoreMaker(RealStorage(tmp_path / "data")) as maker:
            await maker.fact(facts.LossAccepted(((0, 8),), 1_000, "gone"))
            await maker.checkpoint()

    asyncio.run(make())
    (tmp_path / "data" / "quarantine" / "journal-x").write_text("")

    found = checks(tmp_path / "data")

    assert found["quarantine"].status == "warn"
    assert found["losses"].text == "1 accepted in the past"


@pytest.mark.parametrize(("p50_us", "status"), [(2, "warn"), (500, "ok"), (8_000, "ok"), (50_000, "warn")])
def test_syncs_are_judged_by_their_median(p50_us: int, status: str) -> None:
    check = judged_syncs([p50_us] * 40)

    assert check.status == status
    assert bool(check.advice) == (status == "warn")


@pytest.mark.parametrize(
    ("now_ms", "last_ms", "status"),
    [
        (NOW_MS, NOW_MS - 5, "ok"),
        (NOW_MS, 0, "ok"),
        (NOW_MS, NOW_MS + 3_600_000, "warn"),
        (1_000, 0, "fail"),
    ],
)
def test_the_clock_is_judged_by_the_last_append(now_ms: int, last_ms: int, status: str) -> None:
    assert judged_clock(now_ms, last_ms).status == status


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inner = tmp_path / "with space"
    (inner / "data").mkdir(parents=True)
    escaped = str(inner.resolve()).replace(" ", "\\040")
    mounts.write_text(f"disk / ext4 rw 0 0\nserver {escaped} nfs4 rw 0 0\nmem /elsewhere tmpfs rw 0 0\n")

    assert file_system(str(inner / "data"), str(mounts)) == "nfs4"
    assert file_system(str(tmp_path), str(mounts)) == "ext4"
    assert file_system(str(tmp_path), str(tmp_path / "nothing")) is None


async def test_a_store_in_memory_syncs_faster_than_any_disk() -> None:
    storage = MemoryStorage()
    await make_store(storage, 0, ())

    assert judged_syncs(sync_times(Store.open(storage))).status == "warn"
