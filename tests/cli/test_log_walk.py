"""Walking over segments: where valid groups are, where they are not, and names for ids."""

import pytest

from isthmus.cli.log_walk import Gap, Names, Piece, Store, Walk, index_of, is_named
from isthmus.definition import TopicConfig
from isthmus.errors import NotAStore
from isthmus.log import facts
from isthmus.log.storage import MemoryStorage
from support.stores import compacted_store, cut, flip, make_store, partition_id


@pytest.fixture
async def storage() -> MemoryStorage:
    made = MemoryStorage()
    await make_store(made)
    return made


def test_a_directory_without_format_is_no_store() -> None:
    with pytest.raises(NotAStore, match="no FORMAT"):
        Store.open(MemoryStorage())


async def test_groups_follow_each_other_without_a_gap(storage: MemoryStorage) -> None:
    at = 0
    for found in Walk(Store.open(storage)):
        assert isinstance(found, Piece)
        assert found.lsn == at
        at = found.group.end_lsn

    assert at > 500_000


async def test_a_walk_from_the_middle_reads_no_file_before_it(storage: MemoryStorage) -> None:
    store = Store.open(storage)
    (first, *_), (_, middle, *_) = store.segments()[:2]
    storage.unlink(first)

    found = list(Walk(store, from_lsn=middle + 1))

    assert found
    assert all(isinstance(each, Piece) and each.group.end_lsn > middle for each in found)


async def test_behind_a_bad_group_the_walk_goes_on_with_the_next_valid_one(storage: MemoryStorage) -> None:
    flip(storage, "journal/00000000000000000000.log", 50_000)

    before, gap, after = _around_the_gap(list(Walk(Store.open(storage))))

    assert before.group.end_lsn == gap.start <= 50_000 < gap.end == after.lsn
    assert not gap.tail


async def test_a_file_that_ends_early_leaves_a_gap_up_to_the_next(storage: MemoryStorage) -> None:
    store = Store.open(storage)
    (name, first, *_), (_, following, *_) = store.segments()[1:3]
    cut(storage, name, 10_000)

    before, gap, after = _around_the_gap(list(Walk(store)))

    assert before.group.end_lsn == gap.start <= first + 10_000
    assert gap.end == following == after.lsn


async def test_a_file_that_goes_before_it_is_read_is_a_gap_and_noted(storage: MemoryStorage) -> None:
    store = Store.open(storage)
    (name, first, *_), (_, following, *_) = store.segments()[1:3]
    walk = Walk(store)
    storage.unlink(name)

    _, gap, _ = _around_the_gap(list(walk))

    assert gap == Gap("", first, first, following)
    assert walk.vanished == [name]


async def test_behind_the_last_group_there_may_be_a_torn_one(storage: MemoryStorage) -> None:
    store = Store.open(storage)
    name, first, *_ = store.segments()[-1]
    walk = Walk(store)
    list(walk)
    storage.open(name, write=True).pwrite([b"ISG1 torn"], walk.end_lsn - first)

    last = list(Walk(store))[-1]

    assert last == Gap(name, first, walk.end_lsn, walk.end_lsn + 9, tail=True)


def _around_the_gap(found: list[Piece | Gap]) -> tuple[Piece, Gap, Piece]:
    (at,) = (number for number, each in enumerate(found) if isinstance(each, Gap))
    before, gap, after = found[at - 1 : at + 2]
    assert isinstance(before, Piece)
    assert isinstance(gap, Gap)
    assert isinstance(after, Piece)
    return before, gap, after


def test_names_come_from_facts_and_then_from_sidecars() -> None:
    names = Names()
    names.learn(facts.TopicSet(1, b"", "default", "orders", 1, "murmur2", TopicConfig(), "durable", None, 0))
    names.learn(facts.TopicSet(2, b"", "shop", "orders", 1, "murmur2", TopicConfig(), "durable", None, 0))
    names.learn_partition(3 << 16, "default", "parcels")
    names.learn_partition(1 << 16, "default", "old name")

    assert names.partition(partition_id(3)) == "orders/3"
    assert names.partition(2 << 16) == "shop:orders/0"
    assert names.partition(3 << 16 | 1) == "parcels/1"
    assert names.partition(4 << 16) == "#4/0"


def test_files_are_named_by_twenty_digits() -> None:
    assert is_named("00000000000000000120.log", ".log")
    assert not is_named("120.log", ".log")
    assert not is_named("0000000000000000012a.log", ".log")
    assert not is_named("00000000000000000120.log", ".index")
    assert index_of(partition_id(7)) == 7


async def test_a_compacted_file_is_walked_in_its_place() -> None:
    storage = MemoryStorage()
    await compacted_store(storage)
    walk = Walk(Store.open(storage))

    found = [each for each in walk if isinstance(each, Piece)]

    copy = walk.files[0]
    assert found[0].file == copy.name
    assert found[0].group.header.generation == copy.generation == 1
    assert walk.ends[copy.name] == (copy.end_lsn,)
    assert not Store.open(storage).strangers()
