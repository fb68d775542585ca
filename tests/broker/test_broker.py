"""The door: definitions, exchanges, de-duplication, idempotent producers, commits, and what ends with whom."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from isthmus.broker import namespaces
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Exchange
from isthmus.broker.publishing import PLAIN, Options, Routed
from isthmus.clock import SystemClock
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    Binding,
    ExchangeDefinition,
    HeaderMatch,
    Lifetime,
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
)
from isthmus.errors import (
    AlreadyExists,
    BeingChanged,
    GroupNotEmpty,
    InUse,
    InvalidArgument,
    InvalidBatch,
    InvalidName,
    KeyRequired,
    OffsetOutOfRange,
    OutOfOrderSequence,
    Overloaded,
    RecordTooLarge,
    StaleGeneration,
    StaleProducer,
    UnknownExchange,
    UnknownGroup,
    UnknownMember,
    UnknownPartition,
    UnknownQueue,
    UnknownTopic,
    Unsupported,
)
from isthmus.lenses.stream.position import Progress
from isthmus.log import batch as batches
from isthmus.log import checkpoint, dedup
from isthmus.log.batch import BatchHeader
from isthmus.log.headers import encode_headers
from isthmus.log.journal import Pending
from isthmus.log.storage import RealStorage
from isthmus.record import Appended, Record
from support.brokers import MANY_BYTES, World, records, world

NS = DEFAULT_NAMESPACE
WINDOW_MS = 300_000


@asynccontextmanager
async def disk(folder: Path) -> AsyncGenerator[World]:
    """A world in which results take their time."""
    async with world(RealStorage(folder / "store"), SystemClock()) as w:
        yield w


async def exchange(w: World, kind: str = "fanout", lifetime: Lifetime = "durable") -> Exchange:
    asked = ExchangeDefinition(name="shop", kind=kind, lifetime=lifetime)  # type: ignore[arg-type]
    return await w.broker.create_exchange(w.session, asked)


async def bind(w: World, topic: str, key: str = "", *, unbind: bool = False) -> None:
    await w.broker.bind(w.session, Binding(exchange="shop", topic=topic, key=key), unbind=unbind)


def routed(w: World, *texts: str, key: str = "", options: Options = PLAIN) -> Routed:
    return w.broker.route(w.session, w.broker.catalog.exchange(NS, "shop"), [key], records(*texts), options)


async def route(w: World, *texts: str, key: str = "", options: Options = PLAIN) -> list[Appended]:
    return await routed(w, *texts, key=key, options=options).pending


def places(found: list[Appended]) -> list[tuple[str, int, int, int]]:
    return [(one.topic, one.partition, one.base_offset, one.count) for one in found]


class TestTopics:
    async def test_a_topic_is_there_when_it_is_durable_and_after_a_restart(self) -> None:
        async with world() as w:
            made = await w.topic("orders", 3, age_ms=5)

            await w.reopen()

            found = w.find("orders")
            assert (found.id, found.set.uuid, len(found.partitions)) == (made.id, made.set.uuid, 3)
            assert found.set.config == TopicConfig(age_ms=5)

    async def test_a_name_is_taken_once_in_its_namespace(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await namespaces.create(w.broker, w.session, "eu")
            other = await w.broker.create_topic(w.session, TopicDefinition(name="orders", namespace="eu"))

            with pytest.raises(AlreadyExists, match="orders"):
                await w.topic("orders")
            assert other.id != w.find("orders").id

    async def test_an_id_is_never_used_again(self) -> None:
        async with world() as w:
            first = await w.topic("orders")
            await w.publish("old")
            await w.broker.remove_topic(w.session, NS, "orders")
            await w.reopen()

            second = await w.topic("orders")

            assert second.id > first.id
            assert second.set.uuid != first.set.uuid
            assert await w.read() == []

    @pytest.mark.parametrize("name", ["", "x" * 256, "a\x00b", "\ud800"])
    async def test_a_name_that_cannot_be_is_refused(self, name: str) -> None:
        async with world() as w:
            with pytest.raises(InvalidName):
                await w.topic(name)

    @pytest.mark.parametrize("name", ["a/b", "..", "é" * 127, " "])
    async def test_names_are_only_names_and_never_paths(self, name: str) -> None:
        async with world() as w:
            await w.topic(name)
            await w.publish("a", to=name)
            await w.reopen()

            assert await w.read(name) == [(0, "a")]

    @pytest.mark.parametrize("partitions", [0, -1, 1_025])
    async def test_the_number_of_partitions_has_bounds(self, partitions: int) -> None:
        async with world() as w:
            with pytest.raises(InvalidArgument, match="partitions"):
                await w.topic("orders", partitions)

    async def test_partitions_can_be_added_and_not_taken_away(self) -> None:
        async with world() as w:
            await w.topic("orders", 2)
            await w.publish("kept", partition=1)

            await w.broker.alter_topic(w.session, TopicDefinition(name="orders", partitions=4))
            await w.reopen()

            assert len(w.find("orders").partitions) == 4
            assert await w.read(partition=1) == [(0, "kept")]
            with pytest.raises(InvalidArgument, match="can only grow"):
                await w.broker.alter_topic(w.session, TopicDefinition(name="orders", partitions=3))

    async def test_what_is_fixed_when_a_topic_is_made_is_named(self) -> None:
        async with world() as w:
            await w.topic("orders")

            for asked, words in [
                (TopicDefinition(name="orders", placement="single"), "placement"),
                (TopicDefinition(name="orders", lifetime="process"), "lifetime"),
            ]:
                with pytest.raises(InvalidArgument, match=words):
                    await w.broker.alter_topic(w.session, asked)

    async def test_what_is_not_there_cannot_be_changed_or_removed(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownTopic):
                await w.broker.alter_topic(w.session, TopicDefinition(name="orders"))
            with pytest.raises(UnknownTopic):
                await w.broker.remove_topic(w.session, NS, "orders")
            with pytest.raises(UnknownQueue):
                await w.broker.alter_queue(w.session, QueueDefinition(name="orders"))

    async def test_a_topic_that_is_viewed_stays(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.broker.create_queue(w.session, QueueDefinition(name="mail", view_of="orders"), (0,))

            with pytest.raises(InUse, match="mail"):
                await w.broker.remove_topic(w.session, NS, "orders")
            await w.broker.remove_topic(w.session, NS, "mail")
            await w.broker.remove_topic(w.session, NS, "orders")

            assert not w.broker.catalog.topics
            assert not w.broker.catalog.queues

    async def test_a_topic_takes_its_bindings_and_positions_with_it(self) -> None:
        async with world() as w:
            await w.topic("orders")
            found = await exchange(w)
            await bind(w, "orders")
            (await w.join()).close()

            await w.broker.remove_topic(w.session, NS, "orders")

            assert not found.bindings
            assert not w.broker.catalog.group(NS, "billing").positions


class TestWhileOthersChangeIt:
    async def test_a_name_that_is_being_made_is_not_made_twice(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            making = w.broker.create_topic(w.session, TopicDefinition(name="orders"))

            with pytest.raises(BeingChanged, match="orders"):
                w.broker.create_topic(w.session, TopicDefinition(name="orders"))
            await w.broker.quiet("topic", NS, "orders")

            assert making.done
            with pytest.raises(AlreadyExists):
                w.broker.create_topic(w.session, TopicDefinition(name="orders"))

    async def test_what_is_being_removed_is_not_changed_back_into_life(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic("orders")
            removing = w.broker.remove_topic(w.session, NS, "orders")

            with pytest.raises(BeingChanged):
                w.broker.alter_topic(w.session, TopicDefinition(name="orders", partitions=2))
            with pytest.raises(BeingChanged):
                w.broker.create_queue(w.session, QueueDefinition(name="mail", view_of="orders"), (0,))
            with pytest.raises(BeingChanged):
                w.broker.remove_topic(w.session, NS, "orders")
            await removing

            assert not w.broker.catalog.topics
            await w.reopen()
            assert not w.broker.catalog.topics

    async def test_what_is_about_to_be_viewed_is_not_removed(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic("orders")
            making = w.broker.create_queue(w.session, QueueDefinition(name="mail", view_of="orders"), (0,))

            with pytest.raises(BeingChanged):
                w.broker.remove_topic(w.session, NS, "orders")

            await making

    async def test_two_who_want_the_same_group_get_the_same(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            found = await asyncio.gather(*[w.broker.group(w.session, NS, "billing") for _ in range(3)])

            assert len({id(group) for group in found}) == 1

    async def test_a_group_that_is_being_removed_lets_nobody_in_and_can_be_made_again(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic("orders")
            old = await w.broker.group(w.session, NS, "billing")
            removing = w.broker.remove_group(w.session, NS, "billing")
            late = w.broker.member(old, NS, "orders", "earliest")

            with pytest.raises(UnknownGroup):
                await late.start()
            new = await w.broker.group(w.session, NS, "billing")

            assert removing.done
            assert new.id > old.id

    async def test_a_refused_definition_leaves_its_name_free(self) -> None:
        async with world() as w:
            with pytest.raises(InvalidArgument):
                await w.topic("orders", 0)

            await w.topic("orders")


class TestExchanges:
    async def test_a_fanout_stores_one_batch_and_places_it_in_every_topic(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.publish("before", to="a")
            await w.topic("b")
            await w.topic("c", level="written")
            await exchange(w)
            for topic in "abc":
                await bind(w, topic)
            before = w.broker.journal.written_lsn

            found = await route(w, "x" * 10_000, "y")
            stored = w.broker.journal.written_lsn - before

            assert places(found) == [("a", 0, 1, 2), ("b", 0, 0, 2), ("c", 0, 0, 2)]
            assert 10_000 < stored < 11_000
            for _ in range(2):
                assert [offset for offset, _ in await w.read("a")] == [0, 1, 2]
                assert await w.read("b") == await w.read("c") == [(0, "x" * 10_000), (1, "y")]
                await w.reopen()

    async def test_each_topic_goes_on_with_its_own_offsets(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")
            await exchange(w)
            await bind(w, "a")
            await bind(w, "b")

            await route(w, "1")
            await w.publish("own", to="a")
            await route(w, "2")
            await w.crash()
            await route(w, "3")

            assert await w.read("a") == [(0, "1"), (1, "own"), (2, "2"), (3, "3")]
            assert await w.read("b") == [(0, "1"), (1, "2"), (2, "3")]

    async def test_direct_goes_where_the_key_is_bound(self) -> None:
        async with world() as w:
            for topic in "abc":
                await w.topic(topic)
            await exchange(w, "direct")
            for topic, key in [("a", "red"), ("b", "blue"), ("c", "red")]:
                await bind(w, topic, key)

            red, green = await route(w, "1", key="red"), await route(w, "2", key="green")

            assert places(red) == [("a", 0, 0, 1), ("c", 0, 0, 1)]
            assert green == []

    async def test_bindings_survive_a_restart_and_end_when_they_are_taken_back(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")
            await exchange(w)
            await bind(w, "a")
            await bind(w, "b")
            await bind(w, "a", unbind=True)

            await w.reopen()

            assert places(await route(w, "1")) == [("b", 0, 0, 1)]

    async def test_a_compacted_topic_is_routed_to_with_an_entry_of_its_own(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("state", compact=True)
            await exchange(w)
            await bind(w, "a")
            await bind(w, "state")

            await route(w, "k:1")
            await w.reopen()

            assert await w.read("a") == await w.read("state") == [(0, "k:1")]

    async def test_a_target_that_refuses_is_named_and_the_others_have_the_records(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("small", record_bytes_max=10)
            await w.topic("state", compact=True)
            await exchange(w)
            for topic in ("a", "small", "state"):
                await bind(w, topic)

            found = routed(w, "x" * 100)
            appended = await found.pending

            assert places(appended) == [("a", 0, 0, 1)]
            assert [topic.name for topic in found.topics] == ["a", "small", "state"]
            assert [(each.topic.name, type(each.error)) for each in found.refused] == [
                ("small", RecordTooLarge), ("state", KeyRequired)
            ]  # fmt: skip

    async def test_when_all_refuse_nothing_is_stored(self) -> None:
        async with world() as w:
            await w.topic("small", record_bytes_max=10)
            await exchange(w)
            await bind(w, "small")
            before = w.broker.journal.written_lsn

            found = routed(w, "x" * 100)

            assert (await found.pending, len(found.refused)) == ([], 1)
            assert w.broker.journal.written_lsn == before

    async def test_an_id_of_de_duplication_counts_in_each_topic_for_itself(self) -> None:
        async with world() as w:
            for topic in "ab":
                await w.topic(topic)
            await exchange(w)
            await bind(w, "a")
            once = Options(dedup="once")
            await route(w, "1", options=once)
            await bind(w, "b")

            both = [routed(w, text, options=once).pending for text in ("2", "3")]
            again = [await pending for pending in both]

            assert await w.read("a") == [(0, "1")]
            assert await w.read("b") == [(0, "2")]
            assert [sorted((each.topic, each.duplicate) for each in found) for found in again] == [
                [("a", True), ("b", False)], [("a", True), ("b", True)]
            ]  # fmt: skip

    async def test_a_name_is_taken_once_and_free_after_removal(self) -> None:
        async with world() as w:
            await exchange(w)
            with pytest.raises(AlreadyExists):
                await exchange(w)

            await w.broker.remove_exchange(w.session, NS, "shop")
            await w.reopen()

            with pytest.raises(UnknownExchange):
                w.broker.catalog.exchange(NS, "shop")
            await exchange(w, "direct")

    async def test_what_is_not_there_cannot_be_bound(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownExchange):
                await bind(w, "a")
            await exchange(w)
            with pytest.raises(UnknownTopic):
                await bind(w, "a")
            with pytest.raises(UnknownExchange):
                await w.broker.bind(w.session, Binding(exchange="shop", to_exchange="nothing"))

    async def test_the_default_exchange_leads_to_the_topic_of_the_keys_name(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")

            found = w.broker.route(w.session, None, ["a", "nothing", "b", "a"], records("1"))
            lost = w.broker.route(w.session, None, ["a"], records("1"), namespace="other")

            assert places(await found.pending) == [("a", 0, 0, 1), ("b", 0, 0, 1)]
            assert (await lost.pending, lost.topics) == ([], ())

    async def test_an_exchange_leads_through_others_and_to_its_alternate(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("rest")
            broker = w.broker
            for asked in (
                ExchangeDefinition(name="shop", kind="topic", alternate="lost"),
                ExchangeDefinition(name="inner", kind="direct", internal=True),
                ExchangeDefinition(name="lost", kind="fanout"),
            ):
                await broker.create_exchange(w.session, asked)
            await broker.bind(w.session, Binding(exchange="shop", to_exchange="inner", key="eu.#"))
            await broker.bind(w.session, Binding(exchange="inner", topic="a", key="eu.de"))
            await broker.bind(w.session, Binding(exchange="lost", topic="rest"))
            await w.reopen()

            found = [places(await route(w, "1", key=key)) for key in ("eu.de", "eu.fr", "us")]

            assert found == [[("a", 0, 0, 1)], [], [("rest", 0, 0, 1)]]
            with pytest.raises(InvalidArgument, match="internal"):
                w.broker.route(w.session, w.broker.catalog.exchange(NS, "inner"), ["x"], records("1"))

    async def test_records_that_an_exchange_looks_into_have_to_have_the_same_headers(self) -> None:
        async with world() as w:
            await w.topic("a")
            await exchange(w, "headers")
            match = HeaderMatch(rows=(("kind", b"report"),))
            await w.broker.bind(w.session, Binding(exchange="shop", topic="a", match=match))
            found = w.broker.catalog.exchange(NS, "shop")
            report, letter = (Record(b"x", headers=encode_headers([("kind", kind)])) for kind in (b"report", b"letter"))

            results = [w.broker.route(w.session, found, [""], [each]) for each in (report, letter)]
            given = w.broker.route(w.session, found, [""], [letter], headers=lambda: {"kind": "report"})

            assert [len(await each.pending) for each in (*results, given)] == [1, 0, 1]
            with pytest.raises(InvalidArgument, match="different headers"):
                w.broker.route(w.session, found, [""], [report, letter])

    async def test_where_a_key_leads_is_looked_up_again_when_anything_of_it_changed(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")
            await exchange(w)
            await bind(w, "a")
            steps: list[Callable[[], Awaitable[Any]]] = [
                lambda: bind(w, "b"),
                lambda: w.broker.remove_topic(w.session, NS, "a"),
                lambda: w.broker.alter_topic(w.session, TopicDefinition(name="b", partitions=2)),
                lambda: bind(w, "b", unbind=True),
            ]

            found = [len(routed(w, "1").topics)]
            for step in steps:
                await step()
                found.append(len(routed(w, "1").topics))
                assert all(topic is w.find(topic.name) for topic in routed(w, "1").topics)

            assert found == [1, 2, 1, 1, 0]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"topic": ""}, "give one of the two"),
            ({"to_exchange": "shop"}, "give one of the two"),
            ({"key": "x" * 256}, "256 bytes"),
            ({"key": "\ud800"}, "Unicode"),
            ({"match": HeaderMatch(rows=tuple((str(at), 1) for at in range(65)))}, "65 headers"),
            ({"kept": b"x" * 20_000}, "20000 bytes"),
        ],
    )
    async def test_what_no_binding_can_be_is_named(self, fields: dict[str, Any], message: str) -> None:
        async with world() as w:
            await w.topic("a")
            await exchange(w)
            asked: dict[str, Any] = {"exchange": "shop", "topic": "a"}

            with pytest.raises(InvalidArgument, match=message):
                await w.broker.bind(w.session, Binding(**asked | fields))

    async def test_a_publish_has_a_bounded_number_of_keys(self) -> None:
        async with world() as w:
            found = await exchange(w)

            for keys in ([], ["x"] * 65):
                with pytest.raises(InvalidArgument, match="keys"):
                    w.broker.route(w.session, found, keys, records("1"))


async def made(w: World, name: str, *, auto_remove: bool = True) -> None:
    await w.broker.create_exchange(w.session, ExchangeDefinition(name=name, kind="fanout", auto_remove=auto_remove))


class TestExchangesThatGoWithTheirLastBinding:
    def names(self, w: World) -> list[str]:
        return sorted(name for _, name in w.broker.catalog.exchange_names)

    async def test_they_go_when_it_is_taken_back_and_not_before_they_had_one(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")
            await made(w, "shop")
            await bind(w, "a", unbind=True)
            before = self.names(w)
            await bind(w, "a")
            await bind(w, "b")

            await bind(w, "a", unbind=True)
            between = self.names(w)
            await bind(w, "b", unbind=True)

            assert (before, between, self.names(w)) == (["shop"], ["shop"], [])
            await w.reopen()
            assert self.names(w) == []

    async def test_they_go_with_the_topic_that_it_leads_to_one_after_the_other(self) -> None:
        async with world() as w:
            await w.topic("a")
            for name in ("one", "two", "three"):
                await made(w, name)
            await made(w, "stays", auto_remove=False)
            for start, end in (("stays", "one"), ("one", "two"), ("two", "one")):
                await w.broker.bind(w.session, Binding(exchange=start, to_exchange=end))
            await w.broker.bind(w.session, Binding(exchange="two", topic="a"))
            await w.broker.bind(w.session, Binding(exchange="three", topic="a", key="1"))
            await w.broker.bind(w.session, Binding(exchange="three", topic="a", key="2"))

            await w.broker.remove_topic(w.session, NS, "a")
            between = self.names(w)
            await w.broker.remove_exchange(w.session, NS, "one")

            assert (between, self.names(w)) == (["one", "stays", "two"], ["stays"])
            assert w.broker.catalog.bindings == 0

    async def test_they_go_with_a_session_whose_topic_it_leads_to(self) -> None:
        async with world() as w:
            other = w.broker.session()
            await w.broker.create_queue(other, QueueDefinition(name="mine", lifetime="session"))
            await made(w, "shop")
            await bind(w, "mine")

            w.broker.end_session(other)

            assert self.names(w) == []

    async def test_two_that_take_back_the_last_two_at_once_leave_it_to_housekeeping(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            for topic in "ab":
                await w.topic(topic)
            await made(w, "shop")
            for topic in "ab":
                await bind(w, topic)
            both = [w.broker.bind(w.session, Binding(exchange="shop", topic=topic), unbind=True) for topic in "ab"]
            for each in both:
                await each
            before = self.names(w)

            await w.broker.housekeeping.once()

            assert (before, self.names(w)) == (["shop"], [])

    async def test_one_that_was_left_empty_by_a_crash_goes_when_the_store_is_opened(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            for topic in "ab":
                await w.topic(topic)
            await made(w, "shop")
            await made(w, "fresh")
            for topic in "ab":
                await bind(w, topic)
            both = [w.broker.bind(w.session, Binding(exchange="shop", topic=topic), unbind=True) for topic in "ab"]
            for each in both:
                await each

            await w.reopen()

            assert self.names(w) == ["fresh"]

    @pytest.mark.parametrize(
        "leave",
        [
            lambda w: w.broker.bind(w.session, Binding(exchange="shop", topic="a"), unbind=True),
            lambda w: w.broker.remove_topic(w.session, NS, "a"),
            lambda w: w.broker.remove_exchange(w.session, NS, "shop"),
        ],
    )
    async def test_nobody_binds_from_one_that_is_going(
        self, tmp_path: Path, leave: Callable[[World], Awaitable[None]]
    ) -> None:
        async with disk(tmp_path) as w:
            await w.topic("a")
            await w.topic("b")
            await made(w, "shop")
            await bind(w, "a")

            going = leave(w)
            with pytest.raises(BeingChanged):
                w.broker.bind(w.session, Binding(exchange="shop", topic="b"))
            await going
            assert self.names(w) == []

    async def test_one_with_a_binding_on_its_way_stays(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            for topic in "ab":
                await w.topic(topic)
            await made(w, "shop")
            await bind(w, "a")

            coming = w.broker.bind(w.session, Binding(exchange="shop", topic="b"))
            await w.broker.bind(w.session, Binding(exchange="shop", topic="a"), unbind=True)
            await coming

            assert self.names(w) == ["shop"]

    async def test_one_that_is_in_use_stays_when_that_is_asked(self) -> None:
        async with world() as w:
            await w.topic("a")
            await made(w, "shop")
            await bind(w, "a")

            with pytest.raises(InUse, match="bindings from it"):
                await w.broker.remove_exchange(w.session, NS, "shop", if_unused=True)
            await bind(w, "a", unbind=True)
            await made(w, "shop")
            await w.broker.remove_exchange(w.session, NS, "shop", if_unused=True)

            assert self.names(w) == []


class TestLifetimes:
    async def make(self, w: World, lifetime: Lifetime) -> None:
        await w.broker.create_topic(w.session, TopicDefinition(name="topic", lifetime=lifetime))
        await w.broker.create_queue(w.session, QueueDefinition(name="queue", lifetime=lifetime))
        await exchange(w, lifetime=lifetime)

    def names(self, broker: Broker) -> list[str]:
        catalog = broker.catalog
        return sorted(name for _, name in [*catalog.topic_names, *catalog.queue_names, *catalog.exchange_names])

    async def test_session_objects_end_with_their_session_and_not_with_another(self) -> None:
        async with world() as w:
            await self.make(w, "session")
            other = w.broker.session()

            w.broker.end_session(other)
            before = self.names(w.broker)
            w.broker.end_session(w.session)

            assert before == ["queue", "queue", "shop", "topic"]
            assert self.names(w.broker) == []

    @pytest.mark.parametrize("lifetime", ["session", "process"])
    @pytest.mark.parametrize("how", ["reopen", "crash"])
    async def test_short_lived_objects_are_gone_after_a_restart(self, lifetime: Lifetime, how: str) -> None:
        async with world() as w:
            await self.make(w, lifetime)

            await getattr(w, how)()

            assert self.names(w.broker) == []

    async def test_a_queue_does_not_view_what_it_would_outlive(self) -> None:
        async with world() as w:
            await self.make(w, "session")
            asked = QueueDefinition(name="view", view_of="topic")

            with pytest.raises(InvalidArgument, match="outlive"):
                await w.broker.create_queue(w.session, asked, (0,))

    async def test_process_objects_outlive_their_session(self) -> None:
        async with world() as w:
            await self.make(w, "process")

            w.broker.end_session(w.session)

            assert len(self.names(w.broker)) == 4

    async def test_what_was_removed_before_its_session_ended_does_not_matter(self) -> None:
        async with world() as w:
            await self.make(w, "session")
            await w.broker.remove_topic(w.session, NS, "queue")
            await w.broker.remove_topic(w.session, NS, "topic")
            await w.topic("topic")

            w.broker.end_session(w.session)

            assert self.names(w.broker) == ["topic"]


class TestDeduplication:
    async def test_a_second_publish_with_an_id_gives_the_first_one_back(self) -> None:
        async with world() as w:
            await w.topic()
            first = await w.publish("a", options=Options(dedup="id"))
            second = await w.publish("b", options=Options(dedup="id"))

            assert await w.read() == [(0, "a")]
            assert (places(second), second[0].duplicate, first[0].duplicate) == (places(first), True, False)

    async def test_ids_are_those_of_a_topic(self) -> None:
        async with world() as w:
            await w.topic("a")
            await w.topic("b")

            await w.publish("1", to="a", options=Options(dedup="id"))
            await w.publish("2", to="b", options=Options(dedup="id"))

            assert (await w.read("a"), await w.read("b")) == ([(0, "1")], [(0, "2")])

    async def test_an_id_is_forgotten_after_the_window_and_not_before(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", options=Options(dedup="id"))

            await w.clock.advance(WINDOW_MS - 1)
            within = await w.publish("b", options=Options(dedup="id"))
            await w.clock.advance(1)
            after = await w.publish("c", options=Options(dedup="id"))

            assert (within[0].duplicate, after[0].duplicate) == (True, False)
            assert await w.read() == [(0, "a"), (1, "c")]

    @pytest.mark.parametrize("how", ["reopen", "crash"])
    async def test_ids_survive_a_restart(self, how: str) -> None:
        async with world() as w:
            await w.topic(partitions=3)
            first = await w.publish("key:a", options=Options(dedup="id"))
            await w.clock.advance(1_000)

            await getattr(w, how)()
            second = await w.publish("key:b", options=Options(dedup="id"))
            await w.clock.advance(WINDOW_MS - 1_000)
            third = await w.publish("key:c", options=Options(dedup="id"))

            assert (places(second), second[0].duplicate) == (places(first), True)
            assert not third[0].duplicate

    async def test_ids_survive_by_the_checkpoint_alone(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", options=Options(dedup="id"))
            await checkpoint.take(w.broker.journal)
            await checkpoint.take(w.broker.journal)

            await w.crash()

            assert (await w.publish("b", options=Options(dedup="id")))[0].duplicate

    async def test_when_the_window_is_full_a_new_id_waits_its_turn_and_a_known_one_is_found(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dedup, "DEDUP_IDS_MAX", 2)
        async with world() as w:
            await w.topic()
            await w.publish("a", options=Options(dedup="1"))
            await w.clock.advance(1_000)
            await w.publish("b", options=Options(dedup="2"))

            with pytest.raises(Overloaded, match="limit of 2"):
                await w.publish("c", options=Options(dedup="3"))
            known = await w.publish("a again", options=Options(dedup="1"))
            await w.publish("plain")
            await w.clock.advance(WINDOW_MS - 1_000)
            await w.publish("c", options=Options(dedup="3"))

            assert known[0].duplicate
            assert [text for _, text in await w.read()] == ["a", "b", "plain", "c"]

    async def test_whoever_comes_while_the_first_is_on_its_way_shares_its_fate(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic()
            first, second, third = [publishing(w, text, "id") for text in "abc"]
            assert not first.done

            found = [await each for each in (third, second, first)]

            assert {places(each)[0] for each in found} == {("orders", 0, 0, 1)}
            assert await w.read() == [(0, "a")]
            assert not w.find().dedup_flying

    async def test_a_publish_that_is_refused_leaves_its_id_free(self) -> None:
        async with world() as w:
            await w.topic(record_bytes_max=100)

            with pytest.raises(RecordTooLarge):
                await w.publish("x" * 101, options=Options(dedup="id"))

            assert not (await w.publish("x", options=Options(dedup="id")))[0].duplicate

    async def test_ids_hold_in_units_too(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic()
            topic, options = w.find(), Options(dedup="id")
            unit, other = w.broker.journal.unit(), w.broker.journal.unit()
            w.broker.add(w.session, unit, topic, records("in a unit"), options)
            pending = unit.submit()

            known, shares = w.broker.add(w.session, other, topic, records("in another"), options)
            alone = publishing(w, "alone", "id")
            await pending

            assert (shares, other.changes) == ([], False)
            assert known is not None
            assert places(await known) == places(await alone) == [("orders", 0, 0, 1)]
            assert await w.read() == [(0, "in a unit")]

    async def test_a_unit_that_is_dropped_takes_no_id(self) -> None:
        async with world() as w:
            await w.topic()

            w.broker.add(w.session, w.broker.journal.unit(), w.find(), records("a"), Options(dedup="id"))

            assert not (await w.publish("b", options=Options(dedup="id")))[0].duplicate

    async def test_a_topic_may_have_a_window_of_its_own(self) -> None:
        async with world() as w:
            await w.topic(dedup_ms=10)
            await w.publish("a", options=Options(dedup="id"))

            await w.clock.advance(10)
            again = await w.publish("b", options=Options(dedup="id"))
            wider = TopicDefinition(name="orders", config=TopicConfig(dedup_ms=1_000))
            await w.broker.alter_topic(w.session, wider)
            await w.clock.advance(500)

            assert not again[0].duplicate
            assert (await w.publish("c", options=Options(dedup="id")))[0].duplicate


def publishing(w: World, text: str, dedup_id: str) -> Pending[list[Appended]]:
    return w.broker.publish(w.session, w.find(), records(text), Options(dedup=dedup_id))


def produced(*texts: str, producer: int = 7, epoch: int = 0, sequence: int = 0) -> bytes:
    """The batch of an idempotent producer."""
    batch = batches.encode(records(*texts), now_ms=0)
    head = batches.header(batch)
    numbered = BatchHeader(
        **{
            **{name: getattr(head, name) for name in BatchHeader.__struct_fields__},
            "producer_id": producer,
            "producer_epoch": epoch,
            "base_sequence": sequence,
        }
    )
    return batches._seal(numbered, batch[batches.HEADER_BYTES :])


class TestProducers:
    async def append(self, w: World, batch: bytes) -> Appended:
        (found,) = await w.broker.append_batch(w.session, w.find(), 0, batch)
        return found

    async def test_a_batch_is_stored_as_it_came(self) -> None:
        async with world() as w:
            await w.topic()
            batch = batches.encode(records("a", "b"), now_ms=5, compression="gzip")

            found = await self.append(w, batch)
            stored = (await w.find().partitions[0].read(0, 1))[0].data

            assert (found.base_offset, found.count) == (0, 2)
            assert stored[batches.HEADER_BYTES :] == batch[batches.HEADER_BYTES :]
            assert batches.header(stored).crc == batches.header(batch).crc

    async def test_the_same_batch_twice_is_stored_once(self) -> None:
        async with world() as w:
            await w.topic()
            first = await self.append(w, produced("a", "b"))
            await self.append(w, produced("c", sequence=2))

            again = await self.append(w, produced("a", "b"))

            assert (again.base_offset, again.count, again.duplicate) == (0, 2, True)
            assert not first.duplicate
            assert [text for _, text in await w.read()] == ["a", "b", "c"]

    async def test_while_it_is_on_its_way_its_repetition_waits_for_the_disk_too(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic()
            first = w.broker.append_batch(w.session, w.find(), 0, produced("a"))
            again = w.broker.append_batch(w.session, w.find(), 0, produced("a"))
            assert (first.done, again.done) == (False, False)

            assert await again == await first
            assert await w.read() == [(0, "a")]
            assert not w.broker._flying

    async def test_a_newer_epoch_on_its_way_is_not_answered_by_the_older(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic()
            old = w.broker.append_batch(w.session, w.find(), 0, produced("old"))
            new = w.broker.append_batch(w.session, w.find(), 0, produced("new", epoch=1))
            again = w.broker.append_batch(w.session, w.find(), 0, produced("new", epoch=1))

            assert not again.done
            assert [(await each)[0].base_offset for each in (old, new, again)] == [0, 1, 1]

    async def test_a_gap_in_the_sequence_is_refused(self) -> None:
        async with world() as w:
            await w.topic()
            await self.append(w, produced("a", "b"))

            with pytest.raises(OutOfOrderSequence, match="sent sequence 3; 2 was expected"):
                await self.append(w, produced("d", sequence=3))

            assert len(await w.read()) == 2

    async def test_an_older_epoch_is_fenced(self) -> None:
        async with world() as w:
            await w.topic()
            await self.append(w, produced("new", epoch=4))

            with pytest.raises(StaleProducer, match="epoch 3, but 4"):
                await self.append(w, produced("old", epoch=3, sequence=1))

    async def test_producers_and_partitions_are_told_apart(self) -> None:
        async with world() as w:
            topic = await w.topic(partitions=2)
            for producer in (1, 2):
                for index in range(2):
                    await w.broker.append_batch(w.session, topic, index, produced("a", producer=producer))

            assert [await w.read(partition=index) for index in range(2)] == [[(0, "a"), (1, "a")]] * 2

    @pytest.mark.parametrize("how", ["reopen", "crash"])
    @pytest.mark.parametrize("checkpointed", [False, True])
    async def test_sequences_survive_a_restart(self, how: str, checkpointed: bool) -> None:
        async with world() as w:
            await w.topic()
            await self.append(w, produced("a"))
            await self.append(w, produced("b", sequence=1))
            if checkpointed:
                await checkpoint.take(w.broker.journal)
                await checkpoint.take(w.broker.journal)

            await getattr(w, how)()
            again = await self.append(w, produced("b", sequence=1))
            await self.append(w, produced("c", sequence=2))

            assert (again.base_offset, again.duplicate) == (1, True)
            assert [text for _, text in await w.read()] == ["a", "b", "c"]

    async def test_only_the_last_five_batches_are_known_again(self) -> None:
        async with world() as w:
            await w.topic()
            for number in range(7):
                await self.append(w, produced(str(number), sequence=number))

            assert (await self.append(w, produced("2", sequence=2))).duplicate
            with pytest.raises(OutOfOrderSequence):
                await self.append(w, produced("1", sequence=1))

    async def test_what_cannot_be_appended_is_refused_by_its_cause(self) -> None:
        async with world() as w:
            topic = await w.topic(record_bytes_max=1_000)
            good = batches.encode(records("a"), now_ms=0)

            with pytest.raises(InvalidBatch):
                w.broker.append_batch(w.session, topic, 0, good[:-1] + b"x")
            with pytest.raises(UnknownPartition):
                w.broker.append_batch(w.session, topic, 1, good)
            with pytest.raises(RecordTooLarge):
                w.broker.append_batch(w.session, topic, 0, batches.encode(records("x" * 1_000), now_ms=0))
            with pytest.raises(Unsupported, match="transactional"):
                w.broker.append_batch(w.session, topic, 0, transactional(good))

            assert await w.read() == []


def transactional(batch: bytes) -> bytes:
    head = batches.header(batch)
    fields = {name: getattr(head, name) for name in BatchHeader.__struct_fields__}
    return batches._seal(BatchHeader(**{**fields, "attributes": 0x10}), batch[batches.HEADER_BYTES :])


class TestCommitsAndSeeks:
    async def commit(self, w: World, floor: int, member: str = "", generation: int = -1) -> None:
        group = await w.broker.group(w.session, NS, "billing")
        place = w.find().partitions[0]
        await w.broker.commit(
            w.session, group, place, Progress(floor, (), ()), member=member, generation=generation, metadata="by hand"
        )

    async def test_a_reader_of_its_own_commits_in_an_empty_group(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*"abc")

            await self.commit(w, 2)
            await w.reopen()

            assert w.progress() == (2, (), ())
            assert await w.drink(await w.join()) == ["c"]

    async def test_a_stranger_does_not_commit_beside_members(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*"abc")
            await w.join()

            with pytest.raises(UnknownMember):
                await self.commit(w, 2)

            assert w.progress() == (0, (), ())

    async def test_an_old_generation_is_refused(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            group = w.broker.catalog.group(NS, "billing")

            with pytest.raises(StaleGeneration):
                await self.commit(w, 0, group.members.describe().members[0].member, member.generation - 1)

    async def test_a_seek_moves_every_partition_of_an_empty_group(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            await w.publish("a", "b", partition=0)
            await w.publish("c", partition=1)
            member = await w.join()
            await w.drink(member)
            member.close()

            rows = await w.broker.seek(w.session, NS, "billing", "orders", "earliest")
            await w.reopen()

            assert rows == [(0, 0), (1, 0)]
            assert sorted(await w.drink(await w.join())) == ["a", "b", "c"]

    async def test_a_group_with_members_is_neither_moved_nor_removed(self) -> None:
        async with world() as w:
            await w.topic()
            await w.join()

            with pytest.raises(GroupNotEmpty):
                await w.broker.seek(w.session, NS, "billing", "orders", "latest")
            with pytest.raises(GroupNotEmpty):
                await w.broker.remove_group(w.session, NS, "billing")

    async def test_a_group_that_was_removed_begins_anew(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            member = await w.join()
            await w.drink(member)
            member.close()

            await w.broker.remove_group(w.session, NS, "billing")
            await w.reopen()

            with pytest.raises(UnknownGroup):
                w.progress()
            assert await w.drink(await w.join()) == ["a"]

    async def test_an_unknown_group_is_named(self) -> None:
        async with world() as w:
            await w.topic()

            with pytest.raises(UnknownGroup, match="nobody"):
                await w.broker.seek(w.session, NS, "nobody", "orders", "latest")

    async def test_the_name_of_a_group_is_a_name(self) -> None:
        async with world() as w:
            with pytest.raises(InvalidName):
                await w.broker.group(w.session, NS, "")

    async def test_a_start_that_makes_no_sense_is_refused(self) -> None:
        async with world() as w:
            topic = await w.topic()

            with pytest.raises(InvalidArgument, match="start"):
                await w.broker.resolve(topic.partitions[0], "yesterday")  # type: ignore[arg-type]


class TestPublishing:
    async def test_a_publish_is_answered_with_where_it_went(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")

            assert places(await w.publish("b", "c")) == [("orders", 0, 1, 2)]

    async def test_bytes_on_their_way_count_against_the_credit_of_the_session(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            await w.topic()
            w.session.credit.limit_bytes = 1_000
            first = w.broker.publish(w.session, w.find(), records("x" * 800))

            with pytest.raises(Overloaded, match="in flight of this session"):
                w.broker.publish(w.session, w.find(), records("x" * 800))
            other = w.broker.session()
            await w.broker.publish(other, w.find(), records("other"))
            await first

            assert w.session.credit.used_bytes == 0
            assert [len(text) for _, text in await w.read()] == [800, 5]

    async def test_a_refused_publish_gives_its_credit_back(self) -> None:
        async with world() as w:
            await w.topic()
            with pytest.raises(InvalidArgument):
                w.broker.publish(w.session, w.find(), [])
            await w.broker.close()

            with pytest.raises(Exception, match="closed"):
                w.broker.publish(w.session, w.find(), records("a"))

            assert w.session.credit.used_bytes == 0
            await w.open()

    async def test_a_fan_out_counts_once(self, tmp_path: Path) -> None:
        async with disk(tmp_path) as w:
            for topic in "abc":
                await w.topic(topic)
            await exchange(w)
            for topic in "abc":
                await bind(w, topic)

            found = w.broker.catalog.exchange(NS, "shop")
            pending = w.broker.route(w.session, found, [""], records("x" * 10_000)).pending

            assert 10_000 < w.session.credit.used_bytes < 11_000
            await pending
            assert w.session.credit.used_bytes == 0

    async def test_one_record_can_be_looked_up(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a", "b", "c")
            await w.trim(1)
            place = topic.partitions[0]

            found = [await w.broker.record_at(place, offset) for offset in range(5)]

            assert [record and record.value for record in found] == [None, b"b", b"c", None, None]

    async def test_fetching_is_reading(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a")

            found = await w.broker.fetch(w.session, [(topic.partitions[0], 0)], 1_000)

            assert [record.value for record in batches.decode(found[0].batches[0].data)] == [b"a"]


class TestQueueDefinitions:
    async def test_a_queue_brings_its_topic_and_takes_it_along(self) -> None:
        async with world() as w:
            await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))

            with pytest.raises(AlreadyExists):
                await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))
            await w.reopen()
            assert w.broker.queue(NS, "jobs").id == w.find("jobs").set.queue
            await w.broker.remove_topic(w.session, NS, "jobs")

            assert not w.broker.catalog.queue_names
            assert not w.broker.catalog.topic_names

    async def test_levels_of_priority_are_partitions_of_its_topic(self) -> None:
        async with world() as w:
            queue = await w.broker.create_queue(
                w.session, QueueDefinition(name="jobs", config=QueueConfig(priorities=3))
            )
            topic = w.find("jobs")
            for text, priority in (("low", 0), ("high", 2), ("above", 8)):
                await w.broker.publish(w.session, topic, records(text), Options(priority=priority))

            found = await queue.lease("one", w.session.id, 0, 10, MANY_BYTES)

            assert (topic.set.placement, len(topic.partitions)) == ("priority", 3)
            assert [leased.record.value for leased in found] == [b"high", b"above", b"low"]

    async def test_a_topic_that_keeps_no_levels_apart_is_not_adopted_for_them(self) -> None:
        async with world() as w:
            await w.topic("jobs", partitions=3)

            with pytest.raises(InvalidArgument, match="does not keep 3 levels apart"):
                await w.broker.create_queue(w.session, QueueDefinition(name="jobs", config=QueueConfig(priorities=3)))

    async def test_the_levels_of_priority_are_fixed(self) -> None:
        async with world() as w:
            await w.broker.create_queue(w.session, QueueDefinition(name="jobs", config=QueueConfig(priorities=3)))

            with pytest.raises(InvalidArgument, match="was made with 3"):
                w.broker.alter_queue(w.session, QueueDefinition(name="jobs", config=QueueConfig(priorities=4)))

    async def test_the_end_of_a_session_touches_the_queues_in_which_it_holds_something(self) -> None:
        async with world() as w:
            queues = [await w.broker.create_queue(w.session, QueueDefinition(name=f"q{number}")) for number in range(3)]
            other = w.broker.session()
            for number in (0, 1):
                await w.broker.publish(w.session, w.find(f"q{number}"), records("a"))
                await queues[number].lease("one", other.id, 0, 1, MANY_BYTES, None)
            await w.broker.remove_topic(w.session, NS, "q0")
            assert w.broker.holders.queues(other.id) == [queues[1].id]

            w.broker.end_session(other)

            (found,) = await queues[1].lease("two", w.session.id, 0, 1, MANY_BYTES)
            assert found.lease.failed == 1
            assert w.broker.holders.queues(other.id) == []

    @pytest.mark.parametrize(
        "config",
        [QueueConfig(fair=True)],
    )
    async def test_options_of_later_versions_are_refused_by_name(self, config: QueueConfig) -> None:
        async with world() as w:
            with pytest.raises(Unsupported):
                await w.broker.create_queue(w.session, QueueDefinition(name="jobs", config=config))

    async def test_what_is_fixed_when_a_queue_is_made_is_named(self) -> None:
        async with world() as w:
            await w.topic("orders")
            await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))

            for asked, words in [
                (QueueDefinition(name="jobs", view_of="orders"), "of"),
                (QueueDefinition(name="jobs", lifetime="session"), "lifetime"),
                (QueueDefinition(name="jobs", config=QueueConfig(ordered=True)), "ordered"),
                (QueueDefinition(name="jobs", topic=TopicConfig(age_ms=-1)), "age_ms"),
            ]:
                with pytest.raises(InvalidArgument, match=words):
                    await w.broker.alter_queue(w.session, asked)


def test_a_record_without_a_value_is_a_tombstone() -> None:
    assert Record(None).value is None


class TestTrimsThatAreAskedFor:
    async def test_what_is_below_the_offset_is_gone_and_stays_so(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish(*"abc")

            await w.broker.trim(w.session, topic, 0, 2)
            await w.reopen()

            assert (w.find().partitions[0].log_start, await w.read(start=2)) == (2, [(2, "c")])

    async def test_a_trim_never_moves_back(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish(*"abc")
            await w.broker.trim(w.session, topic, 0, 2)

            await w.broker.trim(w.session, topic, 0, 1)

            assert topic.partitions[0].log_start == 2

    async def test_what_does_not_exist_is_refused(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a")

            with pytest.raises(OffsetOutOfRange):
                w.broker.trim(w.session, topic, 0, 2)
            with pytest.raises(UnknownPartition):
                w.broker.trim(w.session, topic, 1, 0)

    async def test_a_queue_on_it_takes_what_is_gone_for_settled(self) -> None:
        async with world() as w:
            queue = await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))
            await w.publish(*"abc", to="jobs")

            await w.broker.trim(w.session, w.find("jobs"), 0, 2)

            assert queue.floor(w.find("jobs").partitions[0]) == 2
