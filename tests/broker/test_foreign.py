"""Ready batches of producers: what a topic refuses, what it makes of them, and that their order stays."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from isthmus.broker import foreign
from isthmus.broker.catalog import Topic
from isthmus.clock import SystemClock
from isthmus.errors import InvalidArgument, InvalidBatch, InvalidTimestamp, KeyRequired, Overloaded, RecordTooLarge
from isthmus.log import batch as batches
from isthmus.log.compression import CODECS
from isthmus.log.storage import RealStorage
from isthmus.record import Record
from support.brokers import World, records, world

NOW_MS = 1_357_000_000_000


@asynccontextmanager
async def disk(directory: Path) -> AsyncGenerator[World]:
    async with world(RealStorage(directory), SystemClock()) as w:
        yield w


async def topic_of(**config: Any) -> Topic:
    async with world() as w:
        return await w.topic(**config)


def sent(*texts: str, codec: str = "none", at_ms: int = NOW_MS) -> bytes:
    return batches.encode(records(*texts), now_ms=at_ms, compression=codec)


async def stored(w: World) -> list[bytes]:
    place, found, offset = w.find().partitions[0], [], 0
    while offset < place.high_watermark:
        for batch in await place.read(offset, 1):
            found.append(batch.data)
            offset = batch.end_offset
    return found


class TestWhatIsRefused:
    async def test_a_compacted_topic_wants_keys(self) -> None:
        topic = await topic_of(compact=True)

        assert foreign.opened(topic, sent("a:1"), NOW_MS) == sent("a:1")
        with pytest.raises(KeyRequired, match="orders"):
            foreign.opened(topic, sent("a:1", "no key", codec="lz4"), NOW_MS)

    @pytest.mark.parametrize("at_ms", [NOW_MS - 101, NOW_MS + 51, 0])
    async def test_a_timestamp_outside_the_bounds(self, at_ms: int) -> None:
        topic = await topic_of(timestamp_before_ms=100, timestamp_after_ms=50)
        batch = batches.encode([Record(b"", timestamp_ms=NOW_MS), Record(b"", timestamp_ms=at_ms)], now_ms=NOW_MS)

        with pytest.raises(InvalidTimestamp) as refused:
            foreign.opened(topic, batch, NOW_MS)

        assert refused.value.timestamp_ms == at_ms

    async def test_timestamps_at_the_bounds_pass_and_those_that_the_broker_sets_have_none(self) -> None:
        topic = await topic_of(timestamp_before_ms=100, timestamp_after_ms=50)
        stamping = await topic_of(timestamp_before_ms=100, timestamp_after_ms=50, timestamps="append")

        for at_ms in (NOW_MS - 100, NOW_MS + 50):
            foreign.opened(topic, sent("a", at_ms=at_ms), NOW_MS)
        foreign.opened(stamping, sent("a", at_ms=5), NOW_MS)

        assert not foreign.must_be_opened(stamping, batches.header(sent("a")))

    async def test_what_is_too_large_in_the_codec_of_the_topic(self) -> None:
        topic = await topic_of(compression="none", record_bytes_max=1_000)

        with pytest.raises(RecordTooLarge):
            foreign.opened(topic, sent("x" * 2_000, codec="gzip"), NOW_MS)

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ({"compact_lag_ms": -1}, "compact_lag_ms"),
            ({"tombstone_ms": -1}, "tombstone_ms"),
            ({"compact_ratio": 1.1}, "compact_ratio"),
            ({"timestamp_after_ms": -1}, "timestamp_after_ms"),
            ({"compact": True, "consumed": True}, "compact"),
        ],
    )
    async def test_a_configuration_that_cannot_be(self, config: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidArgument, match=words):
            await topic_of(**config)


class TestWhatIsStored:
    @pytest.mark.parametrize("codec", ["none", *CODECS])
    async def test_a_batch_in_the_codec_of_its_topic(self, codec: str) -> None:
        async with world() as w:
            topic = await w.topic(compression=codec)

            for theirs in ("none", *CODECS):
                await w.broker.append_batch(w.session, topic, 0, sent("a", "b", codec=theirs))
            await w.publish("c")

            assert {batches.header(batch).compression for batch in await stored(w)} == {codec}
            assert [text for _, text in await w.read()] == ["a", "b"] * (len(CODECS) + 1) + ["c"]

    async def test_the_time_of_append_where_a_topic_asks_for_it(self) -> None:
        async with world() as w:
            topic = await w.topic(timestamps="append")
            now_ms = w.clock.now_ms()

            (told,) = await w.broker.append_batch(w.session, topic, 0, sent("a", "b", codec="gzip"))
            await w.broker.publish(w.session, topic, [Record(b"c", timestamp_ms=5)])

            assert told.timestamp_ms == now_ms
            found = [record for batch in await stored(w) for record in batches.decode(batch)]
            assert [record.timestamp_ms for record in found] == [now_ms] * 3
            assert all(batches.header(batch).log_append_time for batch in await stored(w))

    async def test_age_or_size_beside_compaction(self) -> None:
        topic = await topic_of(compact=True, age_ms=5, size_bytes=10)

        assert topic.set.config.compact


class TestLanes:
    async def test_batches_keep_their_order_whether_they_are_worked_on_or_not(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            topic = await w.topic(compression="gzip")
            sent_ones = [sent(str(number), codec="zstd" if number % 3 else "gzip") for number in range(40)]

            pending = [w.broker.append_batch(w.session, topic, 0, batch) for batch in sent_ones]
            found = [(await each)[0].base_offset for each in pending]

            assert found == list(range(40))
            assert [text for _, text in await w.read()] == [str(number) for number in range(40)]
            assert w.session.credit.used_bytes == 0

    async def test_one_that_is_refused_holds_nobody_up(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            topic = await w.topic(compact=True)

            pending = [w.broker.append_batch(w.session, topic, 0, sent(text)) for text in ("a:1", "no key", "b:2")]
            await pending[2]

            assert isinstance(pending[1].error, KeyRequired)
            assert [text for _, text in await w.read()] == ["a:1", "b:2"]
            assert w.session.credit.used_bytes == 0

    async def test_records_that_cannot_be_expanded_are_refused(self) -> None:
        async with world() as w:
            topic = await w.topic(compression="none")
            head = batches.header(sent("a", codec="gzip"))
            damaged = batches._joined(head, b"not gzip")

            with pytest.raises(InvalidBatch, match="gzip"):
                await w.broker.append_batch(w.session, topic, 0, damaged)

    async def test_what_waits_is_bounded_by_credit(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            topic = await w.topic(compression="gzip")
            w.session.credit.limit_bytes = 1_500
            batch = sent("x" * 1_000)

            pending = w.broker.append_batch(w.session, topic, 0, batch)
            with pytest.raises(Overloaded):
                w.broker.append_batch(w.session, topic, 0, batch)

            assert (await pending)[0].base_offset == 0

    async def test_what_came_is_appended_before_a_stop(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            topic = await w.topic(compression="gzip")

            pending = w.broker.append_batch(w.session, topic, 0, sent("a"))
            await w.reopen()

            assert pending.result()[0].base_offset == 0
            assert await w.read() == [(0, "a")]
