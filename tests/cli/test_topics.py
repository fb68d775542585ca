"""`isthmus ls`, `show`, `create`, `alter`, `rm` on real directories."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.cli.topics import keeps
from isthmus.definition import TopicConfig
from isthmus.log.storage import RealStorage
from support.cli import Cli
from support.stores import flip

DAY_MS = 86_400_000


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "data")


def topic(cli: Cli, name: str) -> dict[str, Any]:
    return dict(cli.json("show", name)["topic"])


def queue(cli: Cli, name: str) -> dict[str, Any]:
    return dict(cli.json("show", name)["queue"])


class TestCreate:
    def test_a_stream_is_made_as_the_library_would_make_it(self, cli: Cli) -> None:
        assert "made stream orders (fsync, 1 partition)" in cli.text("create", "orders")

        made = topic(cli, "orders")
        assert len(made["partitions"]) == 1
        assert (made["config"]["age_ms"], made["config"]["level"]) == (7 * DAY_MS, "fsync")

    def test_every_setting_of_a_stream_can_be_given(self, cli: Cli) -> None:
        options = (
            "--partitions 6 --retain 30d --retain-size 10MB --consumed --floor 1h --ceiling 60d --silent 2d"
            " --durability written --key id --max-event 64KiB --dedup 10m --compression gzip --timestamps append"
            " --compact-lag 1m --tombstones 2h"
        )
        cli("create", "orders", *options.split())

        made = topic(cli, "orders")
        assert len(made["partitions"]) == 6
        assert made["config"] | {"event_types": []} == {
            "level": "written",
            "age_ms": 30 * DAY_MS,
            "size_bytes": 10_000_000,
            "compact": False,
            "compact_lag_ms": 60_000,
            "compact_lag_max_ms": None,
            "compact_ratio": 0.5,
            "tombstone_ms": 7_200_000,
            "consumed": True,
            "floor_ms": 3_600_000,
            "ceiling_ms": 60 * DAY_MS,
            "silent_ms": 2 * DAY_MS,
            "record_bytes_max": 65_536,
            "timestamps": "append",
            "timestamp_before_ms": None,
            "timestamp_after_ms": None,
            "compression": "gzip",
            "dedup_ms": 600_000,
            "message_ids": False,
            "codec": "json",
            "event_types": [],
            "key_field": "id",
            "kept": [],
        }

    def test_a_compacted_stream_keeps_the_newest_for_ever(self, cli: Cli) -> None:
        cli("create", "customers", "--compact", "--key", "id")

        config = topic(cli, "customers")["config"]
        assert (config["compact"], config["age_ms"]) == (True, None)

    def test_a_queue_comes_with_its_dead_letters(self, cli: Cli) -> None:
        answer = cli.json("create", "jobs", "--queue", "--lease", "1m", "--attempts", "3", "--ttl", "1d", "--ordered")

        assert answer == {"created": ["jobs.dead", "jobs"]}
        config = queue(cli, "jobs")["config"]
        assert (config["lease_ms"], config["failed_max"], config["backoff"]["attempts"]) == (60_000, 3, 3)
        assert (config["ttl_ms"], config["ordered"], config["dead"]) == (DAY_MS, True, "jobs.dead")
        assert queue(cli, "jobs.dead")["config"]["failed_max"] is None

    def test_a_queue_can_have_levels_of_priority_and_a_single_consumer(self, cli: Cli) -> None:
        cli("create", "pages", "--queue", "--priorities", "3", "--single")

        config = queue(cli, "pages")["config"]
        assert (config["priorities"], config["single"]) == (3, True)
        assert "was made with 3" in cli.error("alter", "pages", "--priorities", "4", code=3)["message"]
        cli("alter", "pages", "--lease", "1h")
        assert queue(cli, "pages")["config"]["lease_ms"] == 3_600_000

    def test_dead_letters_may_be_shared_or_dropped(self, cli: Cli) -> None:
        cli("create", "a", "--queue", "--dead", "morgue")
        cli("create", "b", "--queue", "--dead", "morgue")
        cli("create", "c", "--queue", "--dead", "none")

        names = {each["name"]: each["config"]["dead"] for each in cli.json("ls")["queues"]}
        assert names == {"a": "morgue", "b": "morgue", "c": None, "morgue": None}

    def test_a_view_works_on_the_events_of_a_stream(self, cli: Cli) -> None:
        cli("create", "orders")
        cli("create", "picking", "--of", "orders", "--from", "latest")

        assert queue(cli, "picking")["view_of"] == "orders"
        assert topic(cli, "orders")["views"] == ["picking"]

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("orders", "--retain", "soon"), "--retain"),
            (("orders", "--retain-size", "10"), None),
            (("orders", "--retain-size", "much"), "--retain-size"),
            (("orders", "--lease", "30s"), "--lease: is for queues"),
            (("orders", "--from", "latest"), "goes with --of"),
            (("jobs", "--queue", "--compact"), "--compact"),
            (("jobs", "--of", "nothing"), "no topic 'nothing'"),
            (("jobs", "--of", "orders", "--from", "-1h"), "begins at earliest, latest or a time"),
            (("a\x07b",), "control character"),
            (("",), "empty"),
            (("x" * 256,), "255"),
            (("orders", "--floor", "2d", "--ceiling", "1d"), "floor"),
        ],
    )
    def test_what_cannot_be_is_refused_with_3(self, cli: Cli, args: tuple[str, ...], said: str | None) -> None:
        if said is None:
            cli("create", *args)
        else:
            assert said in cli.error("create", *args, code=3)["message"]

    def test_a_name_is_given_once(self, cli: Cli) -> None:
        cli("create", "orders")

        assert cli.error("create", "orders", code=3)["type"] == "AlreadyExists"


class TestShow:
    def test_people_see_settings_partitions_and_readers(self, cli: Cli) -> None:
        cli("create", "orders", "--partitions", "2", "--key", "id")
        cli("create", "picking", "--of", "orders")
        cli("pub", "orders", stdin='{"id": "a"}\n')

        text = cli.text("show", "orders")

        assert "fsync (acknowledged means on disk)" in text
        assert "HIGH WATERMARK" in text
        assert "picking" in text

    def test_a_queue_has_counts(self, cli: Cli) -> None:
        cli("create", "jobs", "--queue")
        cli("pub", "jobs", stdin="1\n2\n")

        text = cli.text("show", "jobs")

        assert "dead letters go to" in text
        assert queue(cli, "jobs")["enqueued"] == 2

    def test_an_unknown_name_says_what_to_do(self, cli: Cli) -> None:
        cli("create", "orders")

        error = cli.error("show", "order", code=3)

        assert "`isthmus ls` lists" in error["message"]


class TestList:
    def test_streams_and_queues_are_listed_apart(self, cli: Cli) -> None:
        cli("create", "orders")
        cli("create", "jobs", "--queue")

        found = cli.json("ls")

        assert [each["name"] for each in found["streams"]] == ["orders"]
        assert [each["name"] for each in found["queues"]] == ["jobs", "jobs.dead"]
        assert cli.json("ls", "--streams").keys() == {"streams"}
        assert cli.json("ls", "--queues").keys() == {"queues"}
        assert "STREAM" in cli.text("ls")
        assert "STREAM" not in cli.text("ls", "--queues")

    def test_a_damaged_store_can_be_listed_and_says_that_it_is_damaged(self, cli: Cli) -> None:
        cli("create", "orders")
        cli("pub", "orders", stdin="1\n" * 100)
        flip(RealStorage(cli.directory), "journal/00000000000000000000.log", 1_200)

        result = cli("ls")

        assert "orders" in result.stdout
        assert "this store is damaged" in result.stderr

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            (TopicConfig(), "for ever"),
            (TopicConfig(age_ms=7 * DAY_MS, size_bytes=1_000), "7d, 1.0 KB"),
            (TopicConfig(consumed=True), "until consumed"),
            (TopicConfig(compact=True), "newest per key"),
        ],
    )
    def test_retention_is_told_in_a_few_words(self, config: TopicConfig, text: str) -> None:
        assert keeps(config) == text


class TestAlter:
    def test_only_what_is_named_changes(self, cli: Cli) -> None:
        cli("create", "orders", "--retain", "30d", "--key", "id", "--partitions", "2")

        answer = cli.json("alter", "orders", "--retain", "none", "--partitions", "4", "--durability", "written")

        assert answer["changes"] == {"partitions": [2, 4], "age_ms": [30 * DAY_MS, None], "level": ["fsync", "written"]}
        changed = topic(cli, "orders")
        assert len(changed["partitions"]) == 4
        assert changed["config"]["key_field"] == "id"

    def test_a_queue_changes_how_it_hands_out_and_how_it_keeps(self, cli: Cli) -> None:
        cli("create", "jobs", "--queue", "--attempts", "5")

        cli("alter", "jobs", "--attempts", "2", "--lease", "5m", "--backoff-first", "2s", "--durability", "written")

        config = queue(cli, "jobs")["config"]
        assert (config["failed_max"], config["lease_ms"], config["backoff"]["first_ms"]) == (2, 300_000, 2_000)
        assert config["dead"] == "jobs.dead"
        assert topic(cli, "jobs")["config"]["level"] == "written"

    def test_nothing_to_change_is_said(self, cli: Cli) -> None:
        cli("create", "orders", "--retain", "30d")

        assert "already like that" in cli.text("alter", "orders", "--retain", "30d")
        assert "say what to change" in cli.error("alter", "orders", code=2)["message"]

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("orders", "--partitions", "1"), "can only grow"),
            (("orders", "--lease", "1m"), "is for queues"),
            (("nothing", "--retain", "1d"), "no topic"),
        ],
    )
    def test_what_cannot_change_is_refused(self, cli: Cli, args: tuple[str, ...], said: str) -> None:
        cli("create", "orders", "--partitions", "2")

        assert said in cli.error("alter", *args, code=3)["message"]


class TestRemove:
    def test_what_is_removed_is_gone(self, cli: Cli) -> None:
        for name in ("a", "b", "c"):
            cli("create", name)

        assert cli.json("rm", "a", "b", "--yes") == {"removed": ["a", "b"]}
        assert [each["name"] for each in cli.json("ls")["streams"]] == ["c"]

    def test_a_queue_goes_with_its_topic(self, cli: Cli) -> None:
        cli("create", "jobs", "--queue")

        cli("rm", "jobs", "--yes")

        assert cli.error("show", "jobs", code=3)["type"] == "UnknownTopic"

    def test_nothing_goes_unless_all_are_known_and_somebody_says_yes(self, cli: Cli) -> None:
        cli("create", "a")

        assert "--yes" in cli.error("rm", "a", code=2)["message"]
        assert cli.error("rm", "a", "nothing", "--yes", code=3)["name"] == "nothing"
        assert topic(cli, "a")["name"] == "a"

    def test_a_stream_that_a_queue_looks_at_stays(self, cli: Cli) -> None:
        cli("create", "orders")
        cli("create", "picking", "--of", "orders")

        error = cli.error("rm", "orders", "--yes", code=3)

        assert (error["type"], "picking" in error["message"]) == ("InUse", True)
