"""`isthmus tail`: what is shown, in which order, from where to where, and following a directory that is in use."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from isthmus.cli.tail import Changes, Place, last
from isthmus.engines.connect import open_engine
from isthmus.record import NO_HEADERS, Record, StoredRecord
from support.cli import PATIENCE_S, Cli, started

HOUR_MS = 3_600_000
NOON_MS = 1_357_041_600_000
"""2013-01-01T12:00:00Z."""


def publish(cli: Cli, name: str, records: list[Record]) -> None:
    """Publish with times of our own, which `pub` does not do."""

    async def run() -> None:
        engine = await open_engine(str(cli.directory))
        for record in records:
            await engine.publish(name, [record])
        await engine.close()

    asyncio.run(run())


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Twelve events, one an hour from noon on, in three partitions."""
    here = Cli(tmp_path / "data")
    here("create", "hours", "--partitions", "3", "--retain", "none")
    publish(here, "hours", [Record(b"%d" % n, b"k%d" % (n % 5), NO_HEADERS, NOON_MS + n * HOUR_MS) for n in range(12)])
    return here


def shown(cli: Cli, *args: str) -> list[int]:
    return [row["value"] for row in cli.lines("tail", "hours", *args)]


class TestPlaces:
    def test_without_from_the_last_are_shown_in_the_order_of_time(self, cli: Cli) -> None:
        assert shown(cli) == list(range(2, 12))
        assert shown(cli, "-n", "3") == [9, 10, 11]

    def test_with_from_it_begins_there_and_n_is_how_many(self, cli: Cli) -> None:
        assert shown(cli, "--from", "earliest") == list(range(12))
        assert shown(cli, "--from", "earliest", "-n", "3") == [0, 1, 2]
        assert shown(cli, "--from", "latest") == []

    def test_from_and_until_may_be_times(self, cli: Cli) -> None:
        assert shown(cli, "--from", "2013-01-01T14:00:00Z", "--until", "2013-01-01T17:00:00Z") == [2, 3, 4]
        assert shown(cli, "--from", "2013-01-01T22:30:00") == [11]
        assert shown(cli, "--from", "-1h") == []
        assert shown(cli, "--from", "earliest", "--until", "end") == list(range(12))

    def test_a_time_that_goes_back_inside_a_partition_keeps_the_order_of_the_partition(self, cli: Cli) -> None:
        cli("create", "late", "--partitions", "1", "--retain", "none")
        publish(cli, "late", [Record(b"%d" % n, None, NO_HEADERS, NOON_MS - n) for n in range(4)])

        assert [row["value"] for row in cli.lines("tail", "late")] == [0, 1, 2, 3]

    def test_offsets_count_in_each_partition(self, cli: Cli) -> None:
        rows = cli.lines("tail", "hours", "--from", "1", "--until", "2")

        assert {row["offset"] for row in rows} == {1}
        assert len(rows) == 3

    def test_only_some_partitions(self, cli: Cli) -> None:
        rows = cli.lines("tail", "hours", "--from", "earliest", "-p", "0", "-p", "2")

        assert {row["partition"] for row in rows} == {0, 2}

    @pytest.mark.parametrize(
        ("args", "code", "said"),
        [
            (("nothing",), 3, "no topic"),
            (("hours", "-p", "3"), 3, "partitions 0 to 2"),
            (("hours", "--from", "soon"), 3, "no place to start"),
            (("hours", "-f", "--until", "end"), 2, "--until"),
            (("hours", "-n", "0"), 2, "x>=1"),
        ],
    )
    def test_what_cannot_be_is_said(self, cli: Cli, args: tuple[str, ...], code: int, said: str) -> None:
        assert said in cli.error("tail", *args, code=code)["message"]

    def test_it_takes_nothing_from_a_queue(self, cli: Cli) -> None:
        cli("create", "jobs", "--queue")
        cli("pub", "jobs", stdin="1\n2\n")
        before = cli.json("show", "jobs")

        cli("tail", "jobs")

        assert cli.json("show", "jobs") == before


class TestForms:
    def test_a_table_has_a_heading_and_a_line_for_each_event(self, cli: Cli) -> None:
        heading, *lines = cli.text("tail", "hours", "-n", "2").splitlines()

        assert heading.split() == ["TIME", "PARTITION", "OFFSET", "KEY", "TYPE", "VALUE"]
        assert [line.split()[0] for line in lines] == ["2013-01-01T22:00:00.000Z", "2013-01-01T23:00:00.000Z"]

    def test_raw_is_the_payloads_alone(self, cli: Cli) -> None:
        publish(cli, "hours", [Record(b"\xff\x00 bytes", b"k"), Record(None, b"k")])

        assert cli("tail", "hours", "--from", "2014-01-01", "--format", "raw").stdout_bytes == b"\xff\x00 bytes\n"

    def test_json_may_be_asked_for_in_two_ways(self, cli: Cli) -> None:
        assert cli.text("tail", "hours", "--format", "json") == cli.text("tail", "hours", "--json")

    def test_nothing_is_no_line(self, cli: Cli) -> None:
        assert cli.text("tail", "hours", "--from", "latest") == ""


class TestFollowing:
    def test_it_follows_an_owner_that_writes_and_ends_after_n(self, cli: Cli) -> None:
        cli("create", "lines")
        with (
            started(cli.command("pub", "lines", "--format", "lines")) as owner,
            started(cli.command("tail", "lines", "-f", "-n", "3", "--from", "earliest", "--format", "raw")) as follower,
        ):
            assert owner.stdin is not None
            assert follower.stdout is not None
            for line in ("one\n", "two\n", "three\n"):
                owner.stdin.write(line)
                owner.stdin.flush()
                assert follower.stdout.readline() == line
            assert follower.wait(PATIENCE_S) == 0
            assert owner.poll() is None
            owner.stdin.close()

    def test_what_is_there_comes_first_and_then_what_comes(self, cli: Cli) -> None:
        with started(cli.command("tail", "hours", "-f", "-n", "2", "--json")) as follower:
            assert follower.stdout is not None
            before = [json.loads(follower.stdout.readline())["value"] for _ in range(2)]
            cli("pub", "hours", stdin='"one"\n')
            after = json.loads(follower.stdout.readline())["value"]
            follower.terminate()

        assert (before, after) == ([10, 11], "one")

    async def test_a_change_of_the_files_is_noticed_and_none_is_not(self, tmp_path: Path) -> None:
        engine = await open_engine(str(tmp_path / "data"))
        changes = Changes(str(tmp_path / "data"))
        waiting = asyncio.create_task(changes.changed())
        await asyncio.sleep(0)
        assert not waiting.done()

        await engine.close()  # which takes a checkpoint and marks the end of the journal

        await asyncio.wait_for(waiting, 30)


async def test_the_last_so_many_are_kept() -> None:
    async def places() -> AsyncGenerator[Place]:
        for offset in range(5):
            yield Place(0, StoredRecord(offset, 0, None, None, NO_HEADERS))

    assert [place.record.offset async for place in last(places(), 2)] == [3, 4]
