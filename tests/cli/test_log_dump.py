"""Dumping: every entry in order, what was asked for and no more, names in place of ids."""

import pytest

from isthmus import scram
from isthmus.cli.log_dump import Dump, Filter, Row, fact_row, parse_partition, row_text
from isthmus.cli.log_walk import Names, Store
from isthmus.errors import InvalidArgument
from isthmus.log import facts
from isthmus.log.storage import MemoryStorage
from support.stores import RECORDS, StoreMaker, flip, make_store, partition_id


@pytest.fixture
async def storage() -> MemoryStorage:
    made = MemoryStorage()
    await make_store(made, 40, (20,))
    return made


def dump(storage: MemoryStorage, wanted: Filter) -> list[Row]:
    return list(Dump(Store.open(storage), wanted).rows())


async def test_everything_is_told_in_lsn_order(storage: MemoryStorage) -> None:
    rows = dump(storage, Filter())

    assert [row["lsn"] for row in rows] == sorted(row["lsn"] for row in rows)
    assert sum(row.get("records", 0) for row in rows) == 40 * RECORDS
    assert {row["fact"] for row in rows if row["kind"] == "fact"} >= {"SegmentOpened", "StoreOpened", "TopicSet"}


async def test_only_facts_or_only_records(storage: MemoryStorage) -> None:
    assert {row["kind"] for row in dump(storage, Filter(kind="facts"))} == {"fact"}
    assert {row["kind"] for row in dump(storage, Filter(kind="records"))} == {"records"}


@pytest.mark.parametrize(("wanted", "count"), [("orders/1", 20), ("orders", 40), (str(partition_id(0)), 20), ("x", 0)])
async def test_only_what_is_about_a_partition(storage: MemoryStorage, wanted: str, count: int) -> None:
    rows = dump(storage, Filter(kind="records", partition=wanted))

    assert len(rows) == count


async def test_only_between_two_lsns(storage: MemoryStorage) -> None:
    lsns = [row["lsn"] for row in dump(storage, Filter())]

    rows = dump(storage, Filter(from_lsn=lsns[5], until_lsn=lsns[9]))

    assert [row["lsn"] for row in rows] == lsns[5:9]


async def test_names_are_known_also_from_the_middle_on(storage: MemoryStorage) -> None:
    (row, *_) = dump(storage, Filter(kind="records", from_lsn=30_000))

    assert row["placements"][0]["topic"] == "orders"


async def test_what_is_gone_is_a_line_of_its_own(storage: MemoryStorage) -> None:
    flip(storage, "journal/00000000000000000000.log", 20_000)
    dumping = Dump(Store.open(storage), Filter())

    rows = list(dumping.rows())

    (gap,) = (row for row in rows if row["kind"] == "gap")
    assert gap["lsn"] <= 20_000 < gap["lsn_end"]
    assert len(dumping.gaps) == 1
    assert "DAMAGE" in row_text(gap)


async def test_what_was_removed_or_given_up_is_no_damage(storage: MemoryStorage) -> None:
    large = MemoryStorage()
    await make_store(large)
    (first, *_), (_, end, *_) = Store.open(large).segments()[:2]
    flip(large, first, 100_000)
    before = Dump(Store.open(large), Filter())
    list(before.rows())
    (gap,) = before.gaps
    async with StoreMaker(large) as maker:
        await maker.fact(facts.LossAccepted(((gap.start, gap.end),), 1_000, "gone"))
    lost = Dump(Store.open(large), Filter())
    lost_rows = [row for row in lost.rows() if row["kind"] == "lost"]
    async with StoreMaker(large) as maker:
        await maker.fact(facts.SegmentsRemoved(((0, end),)))
    large.unlink(first)
    removed = Dump(Store.open(large), Filter())
    removed_rows = [row for row in removed.rows() if row["kind"] == "removed"]

    assert (lost.gaps, removed.gaps) == ([], [])
    assert [(row["lsn"], row["lsn_end"]) for row in lost_rows] == [(gap.start, gap.end)]
    assert [(row["lsn"], row["lsn_end"]) for row in removed_rows] == [(0, end)]
    assert "accepted" in row_text(lost_rows[0])
    assert "removed up to LSN" in row_text(removed_rows[0])


async def test_a_batch_is_one_line_of_text(storage: MemoryStorage) -> None:
    (row, *_) = dump(storage, Filter(kind="records"))

    assert "records orders/0 0-9: 10 of 1.6 KB" in row_text(row)


def test_a_fact_is_told_with_names_for_its_ids() -> None:
    names = Names(topics={1: "orders"}, queues={5: "jobs"})
    fact = facts.Settled(5, partition_id(0), ((3, 5), (7, 8)), "acked", "me", 1_000)

    row = fact_row(fact, names)

    assert row["names"] == {"partition": "orders/0", "queue": "jobs"}
    assert row["fields"]["ranges"] == ((3, 5), (7, 8))
    text = row_text({"lsn": 8, "time_ms": 0} | row)
    assert text.endswith("Settled queue=jobs partition=orders/0 ranges=3-4,7-7 why=acked consumer=me time_ms=1000")


def test_control_characters_of_others_stay_text() -> None:
    fact = facts.Released(5, partition_id(0), ((3, 5),), 1, 1, 0, "\x1b[2Jboo\nnext", 1_000)

    text = row_text({"lsn": 8, "time_ms": 0} | fact_row(fact, Names()))

    assert "reason=\\x1b[2Jboo\\nnext" in text


def test_what_is_kept_of_passwords_is_not_shown() -> None:
    kept = scram.credentials("pencil", lambda: b"salt" * 4)

    rows = [fact_row(fact, Names()) for fact in (facts.UserSet(1, "ada", kept, False, (), 0), facts.AccessSecret(b"s"))]

    assert [row["fields"].get("scrams") or row["fields"]["secret"] for row in rows] == ["hidden", "hidden"]
    assert "name=ada scrams=hidden" in row_text({"lsn": 8, "time_ms": 0} | rows[0])


def test_an_empty_partition_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="--partition"):
        parse_partition(" ")
    assert parse_partition(None) is None
