"""What is dead and may go: by rule, by segment, and never more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.definition import TopicConfig
from isthmus.errors import InvariantError
from isthmus.limits import CLOCK_JUMP_MS, CLOCK_STEADY_MS, KIB, SEAL_DEAD_BYTES_MIN
from isthmus.log import checkpoint, retention
from isthmus.log.journal import JournalOptions
from isthmus.log.partition import StoredBatch
from isthmus.log.retention import ClockWatch, Decision, Extent, decide
from support.log_world import Drop, Store, Trim, batch_of
from support.opened import P0, P1, TOPIC, opened

NOW_MS = 1_000_000


def decided(config: TopicConfig, ages_ms: list[int], consumed_to: int | None = None) -> Decision | None:
    """For batches of ten offsets and 100 bytes each, from offset 0 on, oldest first."""
    batches = [StoredBatch(10 * number, NOW_MS - age_ms, 100) for number, age_ms in enumerate(ages_ms, 1)]
    return decide(config, Extent(0, 10 * len(ages_ms), 100 * len(ages_ms)), batches, consumed_to, NOW_MS)


# ---- rules -------------------------------------------------------------------------------------------------------


def test_without_rules_everything_stays() -> None:
    assert decided(TopicConfig(), [900_000, 5], consumed_to=20) is None


def test_batches_go_that_are_as_old_as_the_age() -> None:
    assert decided(TopicConfig(age_ms=50), [90, 50, 49]) == Decision(20, "age")


def test_the_oldest_batches_go_until_the_rest_fits_the_size() -> None:
    assert decided(TopicConfig(size_bytes=200), [9, 8, 7, 6]) == Decision(20, "size")
    assert decided(TopicConfig(size_bytes=400), [9, 8, 7, 6]) is None


def test_what_all_readers_are_done_with_goes_up_to_the_exact_offset() -> None:
    assert decided(TopicConfig(consumed=True), [9, 8], consumed_to=13) == Decision(13, "consumed")


def test_nothing_counts_as_consumed_while_nobody_has_declared_to_read() -> None:
    assert decided(TopicConfig(consumed=True), [9, 8], consumed_to=None) is None


def test_what_is_younger_than_the_floor_stays_whatever_the_other_rules_say() -> None:
    config = TopicConfig(consumed=True, floor_ms=50, size_bytes=1)

    assert decided(config, [90, 50, 40, 9], consumed_to=40) == Decision(20, "consumed")
    assert decided(config, [90, 50, 40, 9], consumed_to=10) == Decision(20, "size")
    assert decided(config, [40, 9], consumed_to=20) is None


def test_consumed_batches_stay_until_they_are_older_than_the_floor() -> None:
    assert decided(TopicConfig(consumed=True, floor_ms=50), [90, 40], consumed_to=15) == Decision(10, "consumed")


def test_what_is_older_than_the_ceiling_goes_consumed_or_not() -> None:
    config = TopicConfig(consumed=True, ceiling_ms=50)

    assert decided(config, [90, 60, 40], consumed_to=0) == Decision(20, "ceiling")
    assert decided(config, [90, 60, 40], consumed_to=25) == Decision(25, "consumed")


def test_a_log_start_never_passes_the_high_watermark() -> None:
    assert decided(TopicConfig(consumed=True), [9], consumed_to=50) == Decision(10, "consumed")


def test_no_more_batches_are_taken_than_are_needed() -> None:
    batches = iter([StoredBatch(10, NOW_MS - 60, 100), StoredBatch(20, NOW_MS, 100), StoredBatch(30, NOW_MS, 100)])

    assert decide(TopicConfig(age_ms=50), Extent(0, 30, 300), batches, None, NOW_MS) == Decision(10, "age")
    assert [batch.end_offset for batch in batches] == [30]


@given(
    st.builds(
        TopicConfig,
        age_ms=st.none() | st.integers(0, 99),
        size_bytes=st.none() | st.integers(0, 500),
        consumed=st.booleans(),
        floor_ms=st.none() | st.integers(0, 99),
        ceiling_ms=st.none() | st.integers(0, 99),
    ),
    st.lists(st.integers(0, 99), max_size=6).map(lambda ages: sorted(ages, reverse=True)),
    st.none() | st.integers(0, 70),
)
def test_a_decision_moves_forward_within_the_log_and_has_a_reason(
    config: TopicConfig, ages_ms: list[int], consumed_to: int | None
) -> None:
    found = decided(config, ages_ms, consumed_to)

    assert found is None or (0 < found.log_start <= 10 * len(ages_ms) and found.reason)
    young = [number for number, age in enumerate(ages_ms) if config.floor_ms is not None and age < config.floor_ms]
    assert found is None or not young or found.log_start <= 10 * young[0]


async def test_a_partition_is_judged_by_the_append_times_of_its_batches() -> None:
    store = await filled(2)
    await store.clock.advance(10_000)
    await put(store, P0)
    partition, now_ms = store.journal.partitions[P0], store.clock.now_ms()

    config = TopicConfig(age_ms=5_000)
    found = await retention.new_log_start(partition, config, now_ms=now_ms, consumed_to=None)

    assert found == Decision(2, "age")
    assert await retention.new_log_start(partition, TopicConfig(), now_ms=now_ms, consumed_to=9) is None


# ---- the clock ---------------------------------------------------------------------------------------------------


def test_a_clock_that_runs_with_the_monotonic_one_is_believed() -> None:
    watch = ClockWatch(0, 0)

    assert watch.is_steady(10 * CLOCK_JUMP_MS, 10 * CLOCK_JUMP_MS)
    assert watch.is_steady(11 * CLOCK_JUMP_MS, 10 * CLOCK_JUMP_MS)


@pytest.mark.parametrize("jump_ms", [CLOCK_JUMP_MS + 1, -CLOCK_JUMP_MS - 1])
def test_a_clock_that_jumped_is_not_believed_for_ten_minutes(jump_ms: int) -> None:
    watch = ClockWatch(0, 0)

    assert not watch.is_steady(jump_ms, 0)
    assert not watch.is_steady(jump_ms + CLOCK_STEADY_MS - 1, CLOCK_STEADY_MS - 1)
    assert watch.is_steady(jump_ms + CLOCK_STEADY_MS, CLOCK_STEADY_MS)


def test_a_clock_that_jumps_back_is_doubted_anew() -> None:
    watch = ClockWatch(0, 0)
    watch.is_steady(2 * CLOCK_JUMP_MS, 0)

    assert not watch.is_steady(CLOCK_STEADY_MS, CLOCK_STEADY_MS)


# ---- segments ----------------------------------------------------------------------------------------------------


async def put(store: Store, *partitions: int) -> None:
    unit = store.journal.unit()
    unit.records([store.journal.partitions[key] for key in partitions], batch_of([bytes(KIB)]))
    await unit.submit()


async def filled(count: int, *, partitions: tuple[int, ...] = (P0,)) -> Store:
    """A store with so many batches of about a KiB; seven fill a segment."""
    store = await opened()
    for _ in range(count):
        await put(store, *partitions)
    return store


async def trim(store: Store, partition: int) -> None:
    """All that the partition holds."""
    await store.submit([Trim(partition, store.journal.partitions[partition].high_watermark)])


async def covered(store: Store) -> None:
    for _ in range(2):
        await checkpoint.take(store.journal)


async def test_a_sealed_segment_is_dead_when_all_that_it_holds_was_trimmed() -> None:
    store = await filled(20)
    sealed = store.journal.segments[:-1]
    assert retention.dead_segments(store.journal) == []

    await store.submit([Trim(P0, 10)])
    some = retention.dead_segments(store.journal)
    await trim(store, P0)

    assert some == sealed[:1]
    assert retention.dead_segments(store.journal) == sealed


async def test_a_batch_holds_its_segment_while_one_of_its_placements_is_alive() -> None:
    store = await filled(20, partitions=(P0, P1))

    await trim(store, P0)
    one_left = retention.dead_segments(store.journal)
    await trim(store, P1)

    assert one_left == []
    assert retention.dead_segments(store.journal) == store.journal.segments[:-1]


async def test_what_a_removed_topic_held_is_dead() -> None:
    store = await filled(20)
    await store.submit([Drop(TOPIC)])

    assert retention.dead_segments(store.journal) == store.journal.segments[:-1]


async def test_dead_segments_stay_until_both_checkpoints_cover_them() -> None:
    store = await filled(20)
    await trim(store, P0)

    await checkpoint.take(store.journal)
    after_one = retention.removable(store.journal)
    await checkpoint.take(store.journal)

    assert after_one == []
    assert retention.removable(store.journal) == store.journal.segments[:-1]


async def test_segments_behind_the_older_checkpoint_stay() -> None:
    store = await filled(10)
    await checkpoint.take(store.journal)
    for _ in range(10):
        await put(store, P0)
    await trim(store, P0)
    await checkpoint.take(store.journal)

    assert retention.removable(store.journal) == store.journal.segments[:1]


async def test_removing_takes_the_files_and_says_how_many_bytes() -> None:
    store = await filled(20)
    await trim(store, P0)
    await covered(store)
    gone = retention.removable(store.journal)

    assert await retention.remove(store.journal, gone) == sum(segment.size_bytes for segment in gone)
    assert not any(store.journal.storage.exists(segment.name) for segment in gone)
    assert store.journal.removed == [(0, gone[-1].end_lsn)]
    assert await retention.remove(store.journal, []) == 0


async def test_a_store_whose_segments_were_removed_opens_as_before() -> None:
    store = await filled(20)
    await trim(store, P0)
    await put(store, P0)
    await covered(store)
    await retention.remove(store.journal, retention.removable(store.journal))
    before = store.state()
    await store.journal.stop()

    assert (await opened(store.journal.storage)).state() == before


async def test_a_segment_that_is_needed_is_not_removed() -> None:
    store = await filled(20)

    with pytest.raises(InvariantError, match="needed"):
        await retention.remove(store.journal, store.journal.segments[:1])

    assert store.journal.storage.exists(store.journal.segments[0].name)


# ---- the active segment ------------------------------------------------------------------------------------------


async def test_an_active_segment_that_is_wholly_dead_is_sealed() -> None:
    store = await filled(2)
    alive = await retention.seal_dead_active(store.journal)
    await trim(store, P0)

    assert not alive
    assert await retention.seal_dead_active(store.journal)
    assert len(store.journal.segments) == 2
    assert not await retention.seal_dead_active(store.journal)


async def test_a_small_dead_segment_is_not_worth_a_new_file() -> None:
    store = await opened(options=JournalOptions(segment_bytes=4 * SEAL_DEAD_BYTES_MIN))
    worth = list[bool]()
    for _ in range(SEAL_DEAD_BYTES_MIN // KIB):
        await put(store, P0)
        await trim(store, P0)
        worth.append(retention.active_is_dead(store.journal))
        assert worth[-1] == (store.journal.segments[-1].size_bytes >= SEAL_DEAD_BYTES_MIN)

    assert worth[-1]
