"""`isthmus pub`: what is published and acknowledged, how fast, and what is said when it is not."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from isthmus.cli.inputs import Source
from isthmus.cli.publish import parse_rate, size_of
from isthmus.definition import TopicConfig, TopicDefinition
from isthmus.engines.connect import open_engine
from isthmus.errors import InvalidArgument
from support.cli import Cli, finished, started


def test_how_far_it_is_can_be_told_of_a_file_and_not_of_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")

    with path.open("rb") as file:
        found = Source(file, 1 << 16)
        positions = [(found.line, found.position) for _ in found]
        size = size_of(file)

    assert (positions, size) == ([(1, 4), (2, 8)], 8)
    assert size_of(io.BytesIO(b"x")) is None


@pytest.mark.parametrize(("text", "rate"), [("100/s", 100), ("100", 100), ("6000/m", 100), ("3600/h", 1), (None, None)])
def test_rates_are_events_a_second(text: str | None, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0/s", "-1/s", "10/d", "1.5/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--rate"):
        parse_rate(text)


class TestCommand:
    @pytest.fixture
    def cli(self, tmp_path: Path) -> Cli:
        here = Cli(tmp_path / "data")
        here("create", "orders", "--partitions", "3", "--key", "order_id")
        here("create", "jobs", "--queue")
        return here

    def values(self, cli: Cli, name: str) -> list[object]:
        return [row.get("value", row.get("value_text")) for row in cli.lines("tail", name, "--from", "earliest")]

    def test_a_file_is_published_with_the_declared_key_and_acknowledged(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "orders.jsonl"
        file.write_text("".join(f'{{"order_id": "o-{number}"}}\n' for number in range(3_000)))

        answer = cli.json("pub", "orders", str(file))

        assert (answer["published"], sum(answer["partitions"].values())) == (3_000, 3_000)
        assert len(answer["partitions"]) == 3
        assert answer["durability"] == "fsync"
        rows = cli.lines("tail", "orders", "--from", "earliest")
        assert {row["key"] for row in rows} == {f"o-{number}" for number in range(3_000)}

    def test_csv_is_known_by_the_name_of_the_file(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "orders.CSV"
        file.write_text("order_id,amount\no-1,2\n")

        cli("pub", "orders", str(file), "--number", "amount")

        assert self.values(cli, "orders") == [{"order_id": "o-1", "amount": 2}]

    def test_what_tail_wrote_can_be_published_again(self, cli: Cli) -> None:
        cli("pub", "orders", stdin='{"key": "a", "value": {"x": 1.10}, "headers": {"by": "me"}, "type": "Placed"}\n')
        cli("pub", "orders", stdin='{"key": "b", "value_text": "plain"}\n')
        cli("create", "copy")

        cli("pub", "copy", stdin=cli.text("tail", "orders", "--from", "earliest", "--json"))

        def content(name: str) -> list[tuple[object, ...]]:
            rows = cli.lines("tail", name, "--from", "earliest")
            return [(row["key"], row["type"], row["headers"], row.get("value"), row.get("value_text")) for row in rows]

        assert sorted(content("copy"), key=str) == sorted(content("orders"), key=str)

    def test_a_bad_line_ends_it_with_its_number_and_loses_nothing_before_it(self, cli: Cli) -> None:
        lines = [f'{{"order_id": "o-{number}"}}' for number in range(1_500)]
        lines.insert(1_200, '{"no": "key"}')

        error = cli.error("pub", "orders", stdin="\n".join(lines), code=3)

        assert (error["type"], error["line"], error["published"]) == ("BadLine", 1_201, 1_200)
        assert len(self.values(cli, "orders")) == 1_200

    def test_an_event_that_the_broker_refuses_is_named_by_its_line(self, cli: Cli) -> None:
        cli("alter", "orders", "--max-event", "1KB")
        lines = [f'{{"order_id": "o-{number}"}}' for number in range(5)]
        lines[3] = json.dumps({"order_id": "x" * 2_000})

        error = cli.error("pub", "orders", stdin="\n".join(lines), code=3)

        assert (error["line"], error["published"]) == (4, 3)
        assert "limit of 1000" in error["message"]
        assert len(self.values(cli, "orders")) == 3

    def test_a_compacted_stream_wants_keys_and_takes_tombstones(self, cli: Cli) -> None:
        cli("create", "customers", "--compact")

        error = cli.error("pub", "customers", stdin='{"value": 1}\n', code=3)
        cli("pub", "customers", stdin='{"key": "c", "value": 1}\n{"key": "c", "tombstone": true}\n')

        assert "every record needs a key" in error["message"]
        assert [row.get("tombstone") for row in cli.lines("tail", "customers", "--from", "earliest")] == [None, True]

    def test_delayed_jobs_wait_in_their_queue(self, cli: Cli) -> None:
        cli("pub", "jobs", "--delay", "1h", stdin='{"job": 1}\n')
        cli("pub", "jobs", stdin='{"job": 2}\n')

        first, second = cli.lines("queue", "peek", "jobs")

        assert (first["state"], second["state"]) == ("delayed", "ready")
        assert abs(first["due_ms"] - first["timestamp_ms"] - 3_600_000) < 60_000

    def test_a_stream_cannot_delay(self, cli: Cli) -> None:
        error = cli.error("pub", "orders", "--delay", "1h", stdin='{"order_id": "o"}\n', code=3)

        assert "--delay is for queues" in error["message"]

    def test_a_view_cannot_delay(self, cli: Cli) -> None:
        cli("create", "picking", "--of", "orders")

        error = cli.error("pub", "picking", "--ttl", "1h", stdin="1\n", code=3)

        assert "view of 'orders'" in error["message"]

    def test_an_unknown_destination_publishes_nothing_and_makes_no_store(self, cli: Cli, tmp_path: Path) -> None:
        assert cli.error("pub", "nothing", stdin="1\n", code=3)["type"] == "UnknownTopic"
        assert Cli(tmp_path / "typo").error("pub", "orders", stdin="1\n", code=4)["type"] == "NotAStore"
        assert not (tmp_path / "typo").exists()

    def test_a_file_that_is_not_there_is_wrong_usage(self, cli: Cli) -> None:
        assert "No such file" in cli.error("pub", "orders", "nowhere.jsonl", code=2)["message"]

    def test_declared_types_are_asked_for_and_one_is_taken(self, cli: Cli) -> None:
        async def declare() -> None:
            engine = await open_engine(str(cli.directory))
            await engine.declare(TopicDefinition(name="one", config=TopicConfig(event_types=("Placed",))))
            await engine.declare(TopicDefinition(name="two", config=TopicConfig(event_types=("Placed", "Gone"))))
            await engine.close()

        asyncio.run(declare())
        cli("pub", "one", stdin="{}\n")
        error = cli.error("pub", "two", stdin="{}\n", code=3)
        cli("pub", "two", "--type", "Gone", stdin="{}\n")
        wrong = cli.error("pub", "two", "--type", "Went", stdin="{}\n", code=3)

        assert cli.lines("tail", "one")[0]["type"] == "Placed"
        assert "Placed | Gone" in error["message"]
        assert cli.lines("tail", "two")[0]["type"] == "Gone"
        assert "Placed | Gone" in wrong["message"]

    def test_a_rate_is_kept(self, cli: Cli) -> None:
        answer = cli.json("pub", "orders", "--rate", "100/s", stdin='{"order_id": "o"}\n' * 30)

        assert answer["published"] == 30
        assert answer["elapsed_ms"] >= 200

    def test_a_directory_in_use_is_reached_through_who_holds_it(self, cli: Cli) -> None:
        with started(cli.command("pub", "orders")) as owner:
            assert owner.stdin is not None
            owner.stdin.write('{"order_id": "o-1"}\n')
            owner.stdin.flush()
            with started(cli.command("tail", "orders", "-f", "-n", "1", "--from", "earliest")) as reader:
                reader.wait(60)

            done = finished(cli.command("pub", "orders"), stdin='{"order_id": "o-2"}\n')

            assert done.returncode == 0, done.stderr
            assert len(cli.lines("tail", "orders")) == 2
            owner.stdin.close()
            assert owner.wait(60) == 0
