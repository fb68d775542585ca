"""Records on their way into batches: checked, marked, spread, cut and encoded once."""

from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.broker import publishing
from isthmus.broker.catalog import Topic
from isthmus.broker.publishing import COPIES, ONLY, PRIORITY, Options, Publish, Share, dedup_digests, fan_out
from isthmus.definition import QueueConfig, QueueDefinition
from isthmus.errors import (
    InvalidArgument,
    InvalidTimestamp,
    KeyRequired,
    RecordTooLarge,
    UnitTooLarge,
    UnknownPartition,
    UnsupportedCompression,
)
from isthmus.log import batch as batches
from isthmus.log.dedup import digest
from isthmus.log.headers import encode_headers, header_value
from isthmus.log.partition import Partition
from isthmus.record import NO_HEADERS, Record, StoredRecord
from support.brokers import records, world

NOW_MS = 1_000
MIB = 1024 * 1024


def decoded(share: Share) -> list[StoredRecord]:
    return batches.decode(batches.place(share.batch, 0, 0))


def texts(share: Share) -> list[str]:
    return [(record.value or b"").decode() for record in decoded(share)]


async def topic_of(partitions: int = 1, **config: Any) -> Topic:
    async with world() as w:
        return await w.topic(partitions=partitions, **config)


async def leveled_topic() -> Topic:
    async with world() as w:
        await w.broker.create_queue(w.session, QueueDefinition(name="orders", config=QueueConfig(priorities=3)))
        return w.find()


class TestShares:
    async def test_one_partition_gets_all_records_in_one_batch(self) -> None:
        topic = await topic_of()

        shares = Publish(records("a", "b", "c"), NOW_MS).shares(topic)

        assert [texts(share) for share in shares] == [["a", "b", "c"]]
        assert (shares[0].indexes, shares[0].records) == (None, 3)

    async def test_every_record_goes_to_the_partition_of_its_key(self) -> None:
        topic = await topic_of(4)
        given = [f"{key}:{number}" for number in range(5) for key in "abcdef"]

        shares = Publish(records(*given), NOW_MS).shares(topic)

        assert sorted(text for share in shares for text in texts(share)) == sorted(given)
        for share in shares:
            assert share.indexes is not None
            assert texts(share) == [given[at] for at in share.indexes]
            assert {topic.router.partition_of(text[0].encode()) for text in texts(share)} == {share.partition.index}

    async def test_by_priority_records_go_to_their_level_and_above_the_highest_to_that(self) -> None:
        topic = await leveled_topic()
        given = [
            Record(b"%d" % at, headers=encode_headers([(PRIORITY, value)] if value is not None else []))
            for at, value in enumerate((b"1", None, b"9", b"2", b"-1", b"1", b"9999999999", b"one"))
        ]

        shares = Publish(given, NOW_MS).shares(topic)

        assert {share.partition.index: texts(share) for share in shares} == {
            0: ["1", "4", "6", "7"],
            1: ["0", "5"],
            2: ["2", "3"],
        }

    async def test_the_priority_of_a_publish_goes_for_all_its_records(self) -> None:
        topic = await leveled_topic()

        for priority, level in ((0, 0), (1, 1), (2, 2), (7, 2)):
            (share,) = Publish(records("a", "b"), NOW_MS, Options(priority=priority)).shares(topic)
            assert (share.partition.index, share.indexes) == (level, None)

    async def test_a_named_partition_gets_everything_whatever_the_keys(self) -> None:
        topic = await topic_of(4)

        shares = Publish(records("a:1", "b:2"), NOW_MS).shares(topic, 3)

        assert [(share.partition.index, texts(share)) for share in shares] == [(3, ["a:1", "b:2"])]

    @pytest.mark.parametrize("partition", [-1, 4])
    async def test_a_partition_that_is_not_there_is_refused(self, partition: int) -> None:
        topic = await topic_of(4)

        with pytest.raises(UnknownPartition, match="partitions 0 to 3"):
            Publish(records("a"), NOW_MS).shares(topic, partition)

    async def test_a_large_publish_is_cut_into_batches_that_keep_the_order(self) -> None:
        topic = await topic_of()
        given = [Record(b"%d" % number + bytes(200 * 1024)) for number in range(12)]

        shares = Publish(given, NOW_MS).shares(topic)

        assert [share.records for share in shares] == [5, 5, 2]
        assert [list(share.indexes or ()) for share in shares] == [[*range(5)], [*range(5, 10)], [10, 11]]
        assert [record.value for share in shares for record in decoded(share)] == [record.value for record in given]

    async def test_a_record_larger_than_a_batch_should_be_goes_alone(self) -> None:
        topic = await topic_of(record_bytes_max=4 * MIB)
        given = [Record(b"a"), Record(bytes(2 * MIB)), Record(b"b")]

        shares = Publish(given, NOW_MS).shares(topic)

        assert [share.records for share in shares] == [1, 1, 1]

    async def test_the_parts_of_a_partition_are_cut_too(self) -> None:
        topic = await topic_of(2)
        given = [Record(bytes(300 * 1024), b"%d" % (number % 4)) for number in range(16)]

        shares = Publish(given, NOW_MS).shares(topic)

        found = [at for share in shares for at in share.indexes or ()]
        assert sorted(found) == [*range(16)]
        assert all(share.records <= 3 for share in shares)

    async def test_records_without_a_time_get_that_of_the_append(self) -> None:
        topic = await topic_of()

        shares = Publish([Record(b"a"), Record(b"b", timestamp_ms=5)], NOW_MS).shares(topic)

        assert [record.timestamp_ms for record in decoded(shares[0])] == [NOW_MS, 5]

    async def test_compression_is_that_of_the_options(self) -> None:
        topic = await topic_of()

        shares = Publish(records("a" * 1_000), NOW_MS, Options(compression="gzip")).shares(topic)

        assert batches.header(shares[0].batch).compression == "gzip"
        assert texts(shares[0]) == ["a" * 1_000]

    async def test_a_share_says_where_its_records_went(self) -> None:
        topic = await topic_of(2)

        share = Publish(records("a:1"), NOW_MS).shares(topic)[0]
        appended = share.appended(17, NOW_MS)

        assert (appended.topic, appended.partition) == ("orders", share.partition.index)
        assert (appended.base_offset, appended.count, appended.timestamp_ms) == (17, 1, NOW_MS)


class TestRefusals:
    def test_nothing_cannot_be_published(self) -> None:
        with pytest.raises(InvalidArgument, match="there are none"):
            Publish([], NOW_MS)

    async def test_a_record_above_the_limit_of_its_topic_is_refused_with_its_size(self) -> None:
        topic = await topic_of(record_bytes_max=100)
        headers = encode_headers([("name", b"x" * 50)])

        Publish([Record(b"x" * (100 - len(headers)), headers=headers)], NOW_MS).shares(topic)
        with pytest.raises(RecordTooLarge, match="101 bytes"):
            Publish([Record(b""), Record(b"x" * (100 - len(headers)), b"k", headers)], NOW_MS).shares(topic)

    async def test_what_isthmus_copies_is_not_held_against_the_limit(self) -> None:
        topic = await topic_of(record_bytes_max=100)

        shares = Publish(records("x" * 200), NOW_MS, COPIES).shares(topic)

        assert texts(shares[0]) == ["x" * 200]

    async def test_a_compacted_topic_wants_keys(self) -> None:
        topic = await topic_of(compact=True)

        with pytest.raises(KeyRequired, match="orders"):
            Publish(records("a:1", "no key"), NOW_MS).shares(topic)

    async def test_a_topic_can_bound_timestamps(self) -> None:
        topic = await topic_of(timestamp_before_ms=10, timestamp_after_ms=10)

        Publish([Record(b""), Record(b"", timestamp_ms=NOW_MS - 10)], NOW_MS).shares(topic)
        with pytest.raises(InvalidTimestamp, match="orders"):
            Publish([Record(b""), Record(b"", timestamp_ms=NOW_MS + 11)], NOW_MS).shares(topic)

    async def test_a_topic_can_have_a_codec_and_a_time_of_its_own(self) -> None:
        plain, own = await topic_of(), await topic_of(compression="gzip", timestamps="append")
        publish = Publish([Record(b"x", timestamp_ms=5)], NOW_MS, Options(compression="lz4"))

        heads = [batches.header(publish.shares(topic)[0].batch) for topic in (plain, own)]

        assert [(head.compression, head.max_timestamp_ms) for head in heads] == [("lz4", 5), ("gzip", NOW_MS)]

    async def test_a_codec_that_is_not_there_is_named(self) -> None:
        topic = await topic_of()

        with pytest.raises(UnsupportedCompression, match="brotli"):
            Publish(records("a"), NOW_MS, Options(compression="brotli")).shares(topic)

    @pytest.mark.parametrize("dedup", ["", "x" * 256, "\ud800"], ids=["empty", "long", "not text"])
    def test_an_id_that_cannot_be_is_refused(self, dedup: str) -> None:
        with pytest.raises(InvalidArgument, match="dedup"):
            Publish(records("a"), NOW_MS, Options(dedup=dedup))

    def test_an_id_goes_with_one_record(self) -> None:
        with pytest.raises(InvalidArgument, match="exactly one record, not with 2"):
            Publish(records("a", "b"), NOW_MS, Options(dedup="id"))


class TestAttributes:
    async def test_they_become_headers_behind_those_of_the_producer(self) -> None:
        topic = await topic_of()
        own = encode_headers([("mine", b"1")])
        options = Options(due_ms=5, expire_ms=9, priority=3, dedup="id")

        share = Publish([Record(b"a", headers=own)], NOW_MS, options).shares(topic)[0]

        block = decoded(share)[0].headers
        names = ["mine", "isthmus-due", "isthmus-expire", "isthmus-priority", "isthmus-dedup"]
        assert [header_value(block, name) for name in names] == [b"1", b"5", b"9", b"3", b"id"]
        assert share.attributes

    async def test_a_plain_publish_is_not_marked(self) -> None:
        topic = await topic_of()
        block = encode_headers([("ce_type", b"Placed")])

        assert not Publish([Record(b"a", headers=block)], NOW_MS).shares(topic)[0].attributes

    async def test_a_publish_is_marked_when_any_record_brings_a_header_of_ours(self) -> None:
        topic = await topic_of()
        given = [Record(b"a"), Record(b"b", headers=encode_headers([(ONLY, b"billing")])), Record(b"c")]

        assert Publish(given, NOW_MS).shares(topic)[0].attributes

    async def test_the_ids_of_a_batch_are_found_with_their_offsets(self) -> None:
        block = encode_headers([("isthmus-dedup", b"two")])
        batch = batches.encode([Record(b"1"), Record(b"2", headers=block), Record(b"3")], now_ms=NOW_MS)

        assert list(dedup_digests(batch, 100)) == [(digest("two"), 101)]

    def test_headers_that_cannot_be_read_carry_no_id_and_the_others_theirs(self) -> None:
        blocks = [b"\x04isthmus-dedup", encode_headers([("isthmus-dedup", b"two")])]
        batch = batches.encode([Record(b"", headers=block) for block in blocks], now_ms=NOW_MS)

        assert list(dedup_digests(batch, 0)) == [(digest("two"), 1)]

    @pytest.mark.parametrize("attributes", [0, 1])
    def test_records_that_cannot_be_read_carry_no_id(self, attributes: int) -> None:
        head = batches.header(batches.encode([Record(b"x" * 40)], now_ms=NOW_MS))
        garbage = batches._joined(replace(head, attributes=attributes), b"isthmus-dedup" * 4)

        assert list(dedup_digests(garbage, 0)) == []

    @pytest.mark.parametrize("compression", ["none", "gzip"])
    def test_a_batch_without_ids_has_none(self, compression: str) -> None:
        block = encode_headers([("isthmus-due", b"5")])
        batch = batches.encode([Record(b"1", headers=block)], now_ms=NOW_MS, compression=compression)

        assert list(dedup_digests(batch, 0)) == []


class TestFanOut:
    async def test_topics_that_spread_alike_share_one_batch(self) -> None:
        async with world() as w:
            topics = [await w.topic(f"t{number}") for number in range(3)]
            unit = w.broker.journal.unit()

            rows, _ = fan_out(unit, Publish(records("a", "b"), NOW_MS), topics, 0)
            placed = await unit.submit()

            assert len(unit.entries) == 1
            assert [share.topic.name for share in rows] == ["t0", "t1", "t2"]
            assert [(partition, base) for partition, base, _ in placed] == [(row.partition, 0) for row in rows]

    async def test_topics_that_spread_differently_get_what_is_theirs(self) -> None:
        async with world() as w:
            topics = [await w.topic("one"), await w.topic("four", 4), await w.topic("other", 4)]
            unit = w.broker.journal.unit()
            given = [f"{key}:{number}" for number in range(3) for key in "abcdefgh"]

            rows, _ = fan_out(unit, Publish(records(*given), NOW_MS), topics, 0)
            await unit.submit()

            for topic in topics:
                found = [text for p in topic.partitions for _, text in await w.read(topic.name, p.index)]
                assert sorted(found) == sorted(given)
            used = {row.partition.index for row in rows if row.topic.name == "four"}
            assert len(unit.entries) == 1 + len(used)

    async def test_a_compacted_topic_gets_an_entry_of_its_own(self) -> None:
        async with world() as w:
            topics = [await w.topic("a"), await w.topic("b", compact=True), await w.topic("c", compact=True)]
            unit = w.broker.journal.unit()

            fan_out(unit, Publish(records("k:1"), NOW_MS), topics, 0)

            await unit.submit()
            assert len(unit.entries) == 3

    async def test_equal_batches_of_one_partition_stay_two(self) -> None:
        async with world() as w:
            topics = [await w.topic("a"), await w.topic("b")]
            unit = w.broker.journal.unit()
            twice = [Record(bytes(900 * 1024)), Record(bytes(900 * 1024))]

            fan_out(unit, Publish(twice, NOW_MS), topics, 0)
            await unit.submit()

            assert len(unit.entries) == 2
            assert [offset for offset, _ in await w.read("b")] == [0, 1]

    async def test_the_order_in_a_partition_is_kept_where_only_some_of_its_batches_are_equal(self) -> None:
        async with world() as w:
            topics = [await w.topic("one"), await w.topic("two", 2)]
            unit = w.broker.journal.unit()
            small = [Record(b"%d" % number, b"%d" % number) for number in range(20)]
            given = [*small[:10], Record(bytes(1_000_000), b"large"), *small[10:]]

            fan_out(unit, Publish(given, NOW_MS), topics, 0)
            await unit.submit()

            for partition in topics[1].partitions:
                numbers = [int(text) for _, text in await w.read("two", partition.index) if text.isdecimal()]
                assert numbers == sorted(numbers)

    async def test_more_targets_than_fit_an_entry_take_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publishing, "PLACEMENTS_MAX", 2)
        async with world() as w:
            topics = [await w.topic(f"t{number}") for number in range(5)]
            unit = w.broker.journal.unit()

            rows, _ = fan_out(unit, Publish(records("a"), NOW_MS), topics, 0)
            placed = await unit.submit()

            assert len(unit.entries) == 3
            assert [partition for partition, _, _ in placed] == [row.partition for row in rows]


def test_no_headers_is_what_a_record_has_that_was_given_none() -> None:
    assert Record(b"").headers is NO_HEADERS


class Ways(NamedTuple):
    """A topic that a fan-out leads to, as it is drawn: how it spreads, and what it refuses."""

    partitions: int
    compact: bool
    record_bytes_max: int


WAYS: Final = st.builds(Ways, st.integers(1, 3), st.booleans(), st.sampled_from([40, 1_000]))
GIVEN: Final = st.lists(
    st.builds(Record, st.binary(max_size=60), key=st.none() | st.sampled_from([b"a", b"b", b"c"])),
    min_size=1,
    max_size=5,
)


class TestAnyFanOut:
    @given(ways=st.lists(WAYS, min_size=1, max_size=8), given_records=GIVEN)
    @settings(max_examples=60)
    async def test_each_topic_decides_for_itself_and_what_is_equal_is_stored_once(
        self, ways: list[Ways], given_records: list[Record]
    ) -> None:
        async with world() as w:
            topics = [
                await w.topic(f"t{at}", way.partitions, compact=way.compact, record_bytes_max=way.record_bytes_max)
                for at, way in enumerate(ways)
            ]
            largest = max(len(each.value or b"") + len(each.key or b"") + len(each.headers) for each in given_records)
            keyless = any(each.key is None for each in given_records)
            unit = w.broker.journal.unit()

            rows, refused = fan_out(unit, Publish(given_records, NOW_MS), topics, 0)
            if rows:
                await unit.submit()

            fit = [
                at for at, way in enumerate(ways) if largest <= way.record_bytes_max and not (way.compact and keyless)
            ]
            assert [each.topic.name for each in refused] == [f"t{at}" for at in range(len(ways)) if at not in fit]
            for at, topic in enumerate(topics):
                stored = [value for place in topic.partitions for value in await values(place)]
                assert sorted(stored) == (sorted(each.value or b"" for each in given_records) if at in fit else [])
            shared = {len(topics[at].partitions) for at in fit if not ways[at].compact}
            own = [at for at in fit if ways[at].compact]
            assert len(unit.entries) <= sum(shared) + sum(len(topics[at].partitions) for at in own)
            assert {row.topic.name for row in rows} == {f"t{at}" for at in fit}

    async def test_four_thousand_and_ninety_six_places_share_a_body_and_the_next_has_another(self) -> None:
        async with world() as w:
            places = [await w.topic(f"t{number}", 1_024) for number in range(4)] + [await w.topic("one more")]
            unit = w.broker.journal.unit()
            publish = Publish([Record(b"x")], NOW_MS)
            shares = [
                share for topic in places for at in range(len(topic.partitions)) for share in publish.shares(topic, at)
            ]

            unit.records([share.partition for share in shares[:-1]], shares[0].batch)
            with pytest.raises(UnitTooLarge):
                unit.records([share.partition for share in shares], shares[0].batch)

            assert len(await unit.submit()) == 4_096


async def values(place: Partition) -> list[bytes]:
    return [
        record.value or b""
        for batch in (await place.read(0, 1 << 20) if place.high_watermark else [])
        for record in batches.decode(batch.data)
    ]
