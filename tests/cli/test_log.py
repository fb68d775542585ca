"""`isthmus log` on real directories: verify, dump, compact, repair, beside an owner and alone."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from isthmus.cli.log import finding_lines
from isthmus.cli.log_verify import Finding, Offsets, verify
from isthmus.engines.connect import open_engine
from isthmus.log import checkpoint
from isthmus.log.storage import RealStorage
from support.cli import Cli, finished
from support.stores import PARTITIONS, RECORDS, TOPIC, StoreMaker, cut, flip, make_store

FIRST = "journal/00000000000000000000.log"
BATCHES = 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, made once and copied for each test."""
    place = tmp_path_factory.mktemp("whole") / "data"
    asyncio.run(make_store(RealStorage(place), BATCHES, (200, 400)))
    return place


@pytest.fixture
def cli(tmp_path: Path, whole: Path) -> Cli:
    shutil.copytree(whole, tmp_path / "data")
    return Cli(tmp_path / "data")


def storage(cli: Cli) -> RealStorage:
    return RealStorage(cli.directory)


class TestVerify:
    def test_a_whole_store_is_said_to_be_whole(self, cli: Cli) -> None:
        text = cli.text("log", "verify")

        assert "4,000 records" in text
        assert text.endswith("every byte is as it was written\n")

    def test_damage_ends_with_1_and_names_what_is_gone(self, cli: Cli) -> None:
        flip(storage(cli), FIRST, 100_000)

        text = cli.text("log", "verify", code=1)

        assert f"DAMAGE: acknowledged bytes are damaged ({FIRST}, from byte " in text
        assert "gone: orders/0 offsets " in text
        assert "repair --accept-loss" in text

    def test_machines_get_one_document(self, cli: Cli) -> None:
        flip(storage(cli), FIRST, 100_000)

        found = cli.json("log", "verify", code=1)

        assert (found["ok"], found["damaged"], found["records"] < 4_000) == (False, True, True)
        (finding,) = found["findings"]
        assert finding["severity"] == "damage"
        assert {"topic", "partition", "start", "end"} == finding["offsets"][0].keys()

    def test_what_is_no_store_ends_with_4(self, tmp_path: Path) -> None:
        assert Cli(tmp_path).error("log", "verify", code=4)["type"] == "NotAStore"
        assert Cli(tmp_path / "nowhere").error("log", "verify", code=4)["type"] == "NotAStore"
        assert not (tmp_path / "nowhere").exists()

    def test_only_directories_have_files(self, cli: Cli) -> None:
        error = cli.error("log", "verify", "--url", "memory://", code=2)

        assert error["type"] == "UsageError"

    async def test_it_works_beside_an_owner_and_says_who_that_is(self, tmp_path: Path) -> None:
        async with StoreMaker(RealStorage(tmp_path / "data")) as maker:
            await maker.batches(20)

            done = await asyncio.to_thread(finished, Cli(tmp_path / "data").command("log", "verify", "--json"))

        found = json.loads(done.stdout)
        assert (done.returncode, found["ok"], found["records"]) == (0, True, 20 * RECORDS)
        assert found["held_by"] is not None


class TestDump:
    def test_entries_are_lines(self, cli: Cli) -> None:
        lines = cli.text("log", "dump", "--type", "records", "-n", "3").splitlines()

        assert len(lines) == 3
        assert "records orders/0 0-9: 10 of 1.6 KB" in lines[0]

    def test_machines_get_json_lines_by_filter(self, cli: Cli) -> None:
        rows = cli.lines("log", "dump", "--type", "records", "--partition", "orders/1", "--from-lsn", "100000")

        assert {place["partition"] for row in rows for place in row["placements"]} == {1}
        assert all(row["lsn"] >= 100_000 for row in rows)

    def test_damage_on_the_way_ends_with_1(self, cli: Cli) -> None:
        flip(storage(cli), FIRST, 100_000)

        assert "DAMAGE" in cli.text("log", "dump", code=1)


def read_all(directory: Path) -> dict[int, set[int]]:
    """The offsets that the broker gives to a reader, by partition."""

    async def read() -> dict[int, set[int]]:
        engine = await open_engine(str(directory), read_only=True)
        found: dict[int, set[int]] = {index: set() for index in range(PARTITIONS)}
        reader = await engine.reader(TOPIC, "earliest", "end")
        while (chunk := await reader.read(1 << 20, 0)) is not None:
            found[chunk.partition].update(record.offset for record in chunk.records)
        await engine.close()
        return found

    return asyncio.run(read())


class TestCompact:
    @pytest.fixture
    def cli(self, tmp_path: Path) -> Cli:
        cli = Cli(tmp_path / "data")
        cli("create", "customers", "--compact", "--key", "id", "--tombstones", "0s")
        for number in range(20):
            cli("pub", "customers", stdin=f'{{"id": "ada", "n": {number}}}\n{{"id": "bob", "n": {number}}}\n')
        cli("create", "orders")
        return cli

    def test_the_newest_of_each_key_is_left_and_what_was_done_is_told(self, cli: Cli) -> None:
        text = cli.text("log", "compact")

        assert "38 events replaced by newer ones" in text
        rows = cli.lines("tail", "customers", "--from", "earliest", "--until", "end")
        assert [(row["offset"], row["value"]["n"]) for row in rows] == [(38, 19), (39, 19)]
        assert cli.json("log", "verify")["ok"]

    def test_machines_get_one_document(self, cli: Cli) -> None:
        found = cli.json("log", "compact", "customers")

        assert found["after_bytes"] < found["before_bytes"]
        assert found["compacted"]["records"] == 38
        assert cli.json("log", "compact")["compacted"]["records"] == 0

    def test_a_stream_that_keeps_all_is_refused(self, cli: Cli) -> None:
        assert cli.error("log", "compact", "orders", code=3)["type"] == "InvalidArgument"
        assert cli.error("log", "compact", "nothing", code=3)["type"] == "UnknownTopic"

    def test_a_file_that_rots_is_left_and_ends_with_1(self, cli: Cli) -> None:
        cli("log", "compact")
        (copy,) = [name for name in storage(cli).list("journal") if name.endswith(".1.log")]
        cli("pub", "customers", stdin='{"id": "ada", "n": 99}\n')
        flip(storage(cli), f"journal/{copy}", 250)

        text = cli.text("log", "compact", code=1)

        assert "left as it is: " in text
        assert f"journal/{copy} from byte " in text
        assert (cli.directory / "journal" / copy).exists()

    async def test_a_directory_in_use_is_left_alone(self, tmp_path: Path) -> None:
        async with StoreMaker(RealStorage(tmp_path / "data")):
            done = await asyncio.to_thread(finished, Cli(tmp_path / "data").command("log", "compact", "--json"))

        assert json.loads(done.stderr.splitlines()[-1])["error"]["type"] == "DirectoryInUse"


class TestRepair:
    def test_a_whole_store_is_left_alone(self, cli: Cli) -> None:
        before = cli.json("log", "verify")

        cli("log", "repair")

        assert cli.json("log", "verify") == before
        assert list((cli.directory / "quarantine").iterdir()) == []

    def test_without_accept_loss_nothing_is_given_up(self, cli: Cli) -> None:
        flip(storage(cli), FIRST, 100_000)

        text = cli.text("log", "repair", code=1)

        assert "repair --accept-loss" in text
        assert verify(storage(cli)).damaged

    def test_it_asks_before_it_gives_up_anything(self, cli: Cli) -> None:
        flip(storage(cli), FIRST, 100_000)

        error = cli.error("log", "repair", "--accept-loss", code=2)

        assert "--yes" in error["message"]
        assert verify(storage(cli)).damaged

    @pytest.mark.parametrize("position", [1_000, 100_000, 250_000])
    def test_readers_then_pass_over_what_is_gone_and_get_all_the_rest(self, cli: Cli, position: int) -> None:
        flip(storage(cli), FIRST, position)
        gone: dict[int, set[int]] = {index: set() for index in range(PARTITIONS)}
        for finding in verify(storage(cli)).findings:
            for each in finding.offsets:
                gone[each.partition].update(range(each.start, each.end))

        answer = cli.json("log", "repair", "--accept-loss", "--yes")

        assert answer["repaired"]
        assert verify(storage(cli)).ok
        everything = set(range(BATCHES * RECORDS // PARTITIONS))
        assert read_all(cli.directory) == {index: everything - gone[index] for index in gone}
        assert gone != {0: set(), 1: set()}

    def test_a_journal_cut_short_can_be_written_to_again(self, cli: Cli) -> None:
        name = max((cli.directory / "journal").glob("*.log")).name
        cut(storage(cli), f"journal/{name}", 8_192)
        assert cli.error("pub", TOPIC, stdin='{"n": 1}\n', code=4)["type"] == "Damaged"

        cli("log", "repair", "--accept-loss", "--yes")

        cli("pub", TOPIC, stdin='{"n": 1}\n')
        assert cli.json("log", "verify")["ok"]

    def test_a_segment_that_is_not_there_can_be_given_up(self, cli: Cli) -> None:
        names = sorted((cli.directory / "journal").glob("*.log"))
        names[1].unlink()

        cli("log", "repair", "--accept-loss", "--yes")

        assert cli.json("log", "verify")["ok"]
        cli("pub", TOPIC, stdin='{"n": 1}\n')

    def test_an_index_and_a_checkpoint_are_made_anew_without_asking(self, cli: Cli) -> None:
        before = read_all(cli.directory)
        flip(storage(cli), "journal/00000000000000000000.index", 3_000)
        flip(storage(cli), checkpoint.listed(storage(cli))[0], 10)
        assert not cli.json("log", "verify", code=1)["damaged"]

        cli("log", "repair")

        assert cli.json("log", "verify")["ok"]
        assert read_all(cli.directory) == before

    def test_the_report_says_what_was_found_and_where_it_is(self, cli: Cli, tmp_path: Path) -> None:
        flip(storage(cli), FIRST, 100_000)
        report = tmp_path / "report.json"

        answer = cli.json("log", "repair", "--accept-loss", "--yes", "--report", str(report))

        assert answer["report"] == str(report)
        assert json.loads(report.read_text())["found"]["damaged"]

    def test_a_report_that_is_there_is_not_overwritten(self, cli: Cli, tmp_path: Path) -> None:
        flip(storage(cli), FIRST, 100_000)
        report = tmp_path / "report.json"
        report.write_text("mine")

        error = cli.error("log", "repair", "--accept-loss", "--yes", "--report", str(report), code=4)

        assert "exists" in error["message"]
        assert report.read_text() == "mine"
        assert verify(storage(cli)).damaged

    async def test_a_directory_in_use_is_left_alone(self, tmp_path: Path) -> None:
        async with StoreMaker(RealStorage(tmp_path / "data")):
            done = await asyncio.to_thread(finished, Cli(tmp_path / "data").command("log", "repair"))

        assert done.returncode == 4
        assert "is held by process" in done.stderr


def test_many_offsets_are_counted_and_not_all_shown() -> None:
    offsets = tuple(Offsets("orders", index, 0, 1) for index in range(30))

    lines = list(finding_lines(Finding(severity="damage", what="gone", offsets=offsets)))

    assert len(lines) == 1 + 20 + 1
    assert "10 more" in lines[-1]
