"""What a commit group changes, applied first and told afterwards."""

from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.pending import Pending
from isthmus.log.promotion import Placed, Promotion
from isthmus.record import Record
from support.log_world import Store, batch_of, number_fact
from support.opened import P0, P1, opened

BATCH = batch_of([b"a", b"b"])


def promotion(store: Store) -> Promotion:
    return Promotion(store.journal, store.journal.segments[-1], time_ms=7)


def place(store: Store, to: Promotion, base: int, batch: bytes = BATCH, length: int = 128) -> None:
    to.records(store.journal.partitions[P0], base, store.journal.written_lsn, length, 0, batches.header(batch))


async def test_records_move_the_high_watermark_and_can_be_found() -> None:
    store = await opened()
    place(store, promotion(store), 0)

    assert store.journal.partitions[P0].high_watermark == 2
    assert store.journal.partitions[P0].bytes == 128
    assert store.journal.segments[-1].bounds(P0) == (0, 2)


async def test_records_that_are_known_already_change_nothing_but_the_index() -> None:
    store = await opened()
    store.journal.partitions[P0].promote(2, 128)
    place(store, promotion(store), 0)

    assert store.journal.segments[-1].bounds(P0) == (0, 2)
    assert (store.journal.partitions[P0].high_watermark, store.journal.partitions[P0].bytes) == (2, 128)


async def test_a_batch_of_an_idempotent_producer_is_remembered() -> None:
    store = await opened()
    batch = batches.encode([Record(b"a")], now_ms=1, producer_id=5, producer_epoch=0, base_sequence=0)
    place(store, promotion(store), 3, batch)

    assert store.journal.partitions[P0].find_producer(batches.header(batch)) == 3


async def test_a_fact_goes_to_whoever_registered_for_it_with_its_lsn() -> None:
    store = await opened()
    heard: list[tuple[object, int]] = []
    store.journal.register(facts.Committed, lambda fact, lsn: heard.append((fact, lsn)))
    fact = number_fact(1, 2)
    promotion(store).fact(fact, 640)

    assert heard == [(fact, 640)]


async def test_a_fact_that_nobody_registered_for_is_let_be() -> None:
    store = await opened()

    promotion(store).fact(facts.GroupRemoved(1), 640)


async def test_bytes_are_kept_for_readers_at_the_end() -> None:
    store = await opened()
    promotion(store).remember(64, BATCH)

    assert store.journal.cache.get(64) == BATCH


async def test_queue_attributes_are_told_per_partition_with_the_append_time() -> None:
    store = await opened()
    heard: list[tuple[int, int, bytes, int]] = []
    store.journal.attributes_hook = lambda partition, *rest: heard.append((partition.id, *rest))
    promotion(store).attributes([store.journal.partitions[key] for key in (P0, P1)], [4, 9], BATCH)

    assert heard == [(P0, 4, BATCH, 7), (P1, 9, BATCH, 7)]


async def test_waiters_are_told_first_and_find_everything_applied_then_watchers_once_a_partition() -> None:
    store = await opened()
    told: list[str] = []
    partition = store.journal.partitions[P0]
    partition.watch(lambda: told.append("watcher"))
    pending: Pending[list[Placed]] = Pending()
    pending.add_done_callback(lambda _: told.append(f"waiter at {partition.high_watermark}"))
    step = promotion(store)
    place(store, step, 0)
    place(store, step, 2)
    step.settled.append((pending, []))
    before = list(told)
    step.finish()

    assert before == []
    assert told == ["waiter at 4", "watcher"]


async def test_entry_flags_are_kept_in_the_row() -> None:
    store = await opened()
    step, header = promotion(store), batches.header(BATCH)
    step.records(store.journal.partitions[P0], 0, store.journal.written_lsn, 128, form.ENTRY_ATTRIBUTES, header)

    (row,) = store.journal.segments[-1].rows(P0, 0, 10)

    assert row.length == 128 | form.ENTRY_ATTRIBUTES
