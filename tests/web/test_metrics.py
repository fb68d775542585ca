"""What the metrics say of a broker, read back by another reader of the format."""

import pytest

from isthmus.definition import QueueConfig, QueueDefinition
from isthmus.web import metrics
from isthmus.web.metrics import FAMILIES, ServerFigures, collect
from support.brokers import World, world
from support.openmetrics import families

SERVER = ServerFigures(
    connections=3,
    connections_max=100,
    connections_refused=1,
    strangers=2,
    ingress_bytes=7,
    ingress_bytes_max=1_000,
    turns=9,
    lag_us=(100, 2_000, 3_000),
    lag_max_us=4_000,
    lag_samples=12,
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(page: bytes) -> Samples:
    """All samples by name and labels; the reader refuses what the format does."""
    assert page.endswith(b"# EOF\n")
    found: Samples = {}
    for family in families(page):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


async def samples(w: World, server: ServerFigures | None = SERVER, hidden: str = "") -> Samples:
    return read(await collect(w.broker, "1.2", server, lambda name: name != hidden))


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"isthmus_{name}", frozenset(labels.items())]


async def a_queue(w: World, name: str = "jobs") -> None:
    await w.broker.create_queue(w.session, QueueDefinition(name=name, config=QueueConfig()))


class TestTheBroker:
    async def test_partitions_tell_their_offsets_and_sizes(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.publish("a", "b", "c")
            await w.trim(1)

            found = await samples(w)

            place = {"namespace": "default", "topic": "orders", "partition": "0"}
            assert value(found, "partition_log_start_offset", **place) == 1
            assert value(found, "partition_high_watermark_offset", **place) == 3
            assert value(found, "partition_size_bytes", **place) > 0
            assert value(found, "topics") == 1
            assert value(found, "published_records_total") == 3
            assert value(found, "published_batches_total") >= 1
            assert value(found, "ready") == 1

    async def test_groups_tell_how_far_they_are_behind(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.publish("a", "b", "c")
            member = await w.join("billing")
            await w.settle(member, await w.receive(member, 1))

            found = await samples(w)

            assert value(found, "group_lag_offsets", namespace="default", group="billing", topic="orders") == 2
            assert value(found, "group_members", namespace="default", group="billing") == 1
            assert value(found, "groups") == 1

    async def test_queues_tell_what_waits_and_what_became_of_the_rest(self) -> None:
        async with world() as w:
            await a_queue(w)
            await w.publish("a", "b", "c", to="jobs")
            queue = w.broker.queue("default", "jobs")
            leases = await queue.lease("me", w.session.id, 0, 1, 1_000)
            unit = w.broker.journal.unit()
            queue.ack(unit, [each.lease for each in leases])
            await unit.submit()
            await w.clock.advance(5_000)

            found = await samples(w)

            name = {"namespace": "default", "queue": "jobs"}
            assert value(found, "queue_enqueued_total", **name) == 3
            assert value(found, "queue_records", **name, state="ready") == 2
            assert value(found, "queue_records", **name, state="leased") == 0
            assert value(found, "queue_settled_total", **name, how="acked") == 1
            assert value(found, "queue_oldest_ready_age_seconds", **name) == 5

    async def test_the_journal_tells_its_commits_and_syncs(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.publish("a")

            found = await samples(w)

            assert value(found, "journal_commits_total") >= 2
            assert value(found, "journal_sync_seconds_count") >= 1
            assert value(found, "journal_durable_lsn") <= value(found, "journal_written_lsn")
            assert value(found, "journal_pending_bytes") == 0

    async def test_names_that_who_asks_may_not_see_are_left_out(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.topic("secrets")

            found = await samples(w, hidden="secrets")

            assert not [labels for _, labels in found if ("topic", "secrets") in labels]
            assert value(found, "topics") == 1


async def test_the_server_tells_its_connections_budgets_and_lag() -> None:
    async with world() as w:
        found = await samples(w)

        assert value(found, "connections") == 3
        assert value(found, "connections_refused_total") == 1
        assert value(found, "ingress_bytes") == 7
        assert value(found, "loop_lag_seconds", quantile="0.99") == 0.002
        assert value(found, "loop_lag_seconds_count") == 12
        assert ("isthmus_connections", frozenset()) not in await samples(w, None)


async def test_there_are_never_more_samples_than_the_bounds_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METRICS_PARTITIONS_MAX", "METRICS_QUEUES_MAX", "METRICS_GROUPS_MAX", "METRICS_SLICE"):
        monkeypatch.setattr(metrics, name, 2)
    async with world() as w:
        await w.topic("orders", partitions=5)
        for name in ("one", "two", "three"):
            await a_queue(w, name)
            await w.broker.group(w.session, "default", f"group-{name}")

        found = await samples(w)

        assert len([name for name, _ in found if name == "isthmus_partition_size_bytes"]) == 2
        assert len([name for name, _ in found if name == "isthmus_queue_enqueued_total"]) == 2
        assert value(found, "partitions") >= 5
        assert value(found, "metrics_omitted", kind="queues") == value(found, "queues") - 2
        assert value(found, "metrics_omitted", kind="groups") == 1


def test_names_follow_the_rules_of_the_format() -> None:
    names = [family.name for family in FAMILIES]

    assert len(set(names)) == len(names) > 30
    assert all(name.startswith("isthmus_") and not name.endswith(("_total", "_info")) for name in names)
    assert all(family.name.endswith(f"_{family.unit}") for family in FAMILIES if family.unit)
    assert all(family.help.endswith(".") for family in FAMILIES)
