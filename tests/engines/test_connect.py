"""Addresses: which engine each one opens, and what is said of those that open none."""

from pathlib import Path

import pytest

from isthmus.clock import ManualClock, SystemClock
from isthmus.definition import TopicDefinition
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine
from isthmus.errors import InvalidArgument, IsthmusError, NotAStore, Unsupported
from isthmus.limits import SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN
from support.engines import STREAM


async def names(engine: Engine) -> list[str]:
    return [view.name for view in await engine.admin.topics()]


def inside(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestMemory:
    async def test_without_a_name_it_is_nobody_elses(self) -> None:
        first, second = await open_engine("memory://"), await open_engine("memory://")
        await first.declare(STREAM)

        assert await names(second) == []
        await first.close()
        await second.close()

    async def test_a_name_shares_it_until_the_last_is_closed(self) -> None:
        first, second = await open_engine("memory://tests/shop"), await open_engine("memory://tests/shop")
        await first.declare(STREAM)
        await first.close()
        assert await names(second) == ["orders"]
        await second.close()

        third = await open_engine("memory://tests/shop")

        assert await names(third) == []
        await third.close()

    async def test_other_names_are_other_stores(self) -> None:
        first, second = await open_engine("memory://one"), await open_engine("memory://two")
        await first.declare(STREAM)

        assert await names(second) == []
        await first.close()
        await second.close()


class TestDirectories:
    async def test_all_ways_to_write_one_lead_to_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "aside").mkdir()
        urls = [str(tmp_path / "data"), f"isthmus://{tmp_path}/data", "data", "./data", "aside/../data"]

        engines = [await open_engine(url) for url in urls]

        await engines[0].declare(STREAM)
        assert [await names(engine) for engine in engines] == [["orders"]] * len(urls)
        assert [engine.url for engine in engines] == urls
        for engine in engines:
            await engine.close()

    @pytest.mark.parametrize("name", ["a?b#c", "a b%20", "ä"])
    async def test_a_plain_path_is_taken_as_it_is(self, tmp_path: Path, name: str) -> None:
        engine = await open_engine(str(tmp_path / name))

        assert (tmp_path / name).is_dir()
        await engine.close()

    async def test_what_was_written_is_there_the_next_time(self, tmp_path: Path) -> None:
        first = await open_engine(str(tmp_path / "data"))
        await first.declare(TopicDefinition(name="orders", partitions=2))
        await first.close()

        second = await open_engine(str(tmp_path / "data"))

        assert await second.partitions("orders") == 2
        await second.close()

    async def test_one_that_is_missing_is_not_made_to_look_at(self, tmp_path: Path) -> None:
        with pytest.raises(NotAStore):
            await open_engine(str(tmp_path / "data"), read_only=True)

        assert inside(tmp_path) == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("url", "error", "said"),
        [
            ("", InvalidArgument, "is empty"),
            ("http://localhost", InvalidArgument, "http:// is no engine"),
            ("memory://a\0b", InvalidArgument, "null byte"),
            ("memory://[a", InvalidArgument, "cannot be read"),
            ("isthmus://", InvalidArgument, "isthmus:///path"),
            ("isthmus:///data?level=fsync", InvalidArgument, "without ? and #"),
            ("isthmus:///data#1", InvalidArgument, "without ? and #"),
            ("kafka://a/topic", InvalidArgument, "names a path"),
            ("amqp://localhost/one/two", InvalidArgument, "virtual host"),
            ("sqs://eu-central-1", Unsupported, "AWS SQS"),
            ("kinesis://eu-central-1", Unsupported, "AWS Kinesis"),
        ],
    )
    async def test_an_address_that_opens_nothing_is_told_why(
        self, url: str, error: type[IsthmusError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(error) as refused:
            await open_engine(url)

        assert said in str(refused.value)
        assert inside(tmp_path) == []

    @pytest.mark.parametrize("size", [0, SEGMENT_BYTES_MIN - 1, SEGMENT_BYTES_MAX + 1])
    async def test_segments_of_a_size_that_cannot_be_make_no_store(self, tmp_path: Path, size: int) -> None:
        with pytest.raises(InvalidArgument, match="segment_bytes"):
            await open_engine(str(tmp_path / "data"), segment_bytes=size)

        assert inside(tmp_path) == []


class TestClocks:
    async def test_it_goes_by_the_clock_that_it_is_given(self) -> None:
        clock = ManualClock()
        engine, usual = await open_engine("memory://", clock=clock), await open_engine("memory://")

        assert engine.clock is clock
        assert isinstance(usual.clock, SystemClock)
        await engine.close()
        await usual.close()
