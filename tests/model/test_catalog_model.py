"""Replay: facts of the catalogue and of streams, applied again from any earlier point over the later state.

A history is made of requests against a model that knows only what may be asked; the facts it gives rise to are applied
once for the state that must come out, and then once more from each point on.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.broker.bindings import identity
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import PARTITION_BITS, Exchange
from isthmus.clock import ManualClock
from isthmus.definition import ExchangeKind, HeaderMatch, QueueConfig, TopicConfig
from isthmus.log import facts
from isthmus.log.dedup import DedupWindow, digest
from isthmus.log.journal import Journal
from isthmus.log.storage import MemoryStorage

NAMES = ["a", "b", "c"]
KINDS: list[ExchangeKind] = ["direct", "fanout", "topic", "headers"]
OWNED_HERE = (
    facts.TopicSet,
    facts.TopicRemoved,
    facts.QueueSet,
    facts.QueueRemoved,
    facts.ExchangeSet,
    facts.ExchangeRemoved,
    facts.BindingSet,
    facts.BindingRemoved,
    facts.IdsUsed,
    facts.GroupSet,
    facts.GroupRemoved,
    facts.Committed,
    facts.PositionRemoved,
    facts.DedupState,
    facts.Trimmed,
    facts.UserSet,
    facts.UserRemoved,
    facts.AccessSecret,
    facts.NamespaceSet,
    facts.NamespaceRemoved,
    facts.PolicySet,
    facts.PolicyRemoved,
)
"""The facts of queues' ledgers are replayed by the tests of the ledger, those of segments by the tests of the log."""


T = TypeVar("T")


class History:
    """Draws valid requests and keeps the facts that they lead to."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.facts: list[facts.Fact] = []
        self.next_id = 1
        self.topics: dict[int, facts.TopicSet] = {}
        self.queues: dict[int, facts.QueueSet] = {}
        self.groups: dict[int, facts.GroupSet] = {}
        self.exchanges: dict[int, facts.ExchangeSet] = {}
        self.log_starts: dict[int, int] = {}
        self.users: dict[int, facts.UserSet] = {}

    def run(self, steps: int) -> list[facts.Fact]:
        requests = [
            self.make_topic,
            self.grow_topic,
            self.remove_topic,
            self.make_queue,
            self.alter_queue,
            self.make_group,
            self.remove_group,
            *[self.commit] * 3,
            self.remove_position,
            self.make_exchange,
            self.remove_exchange,
            *[self.bind] * 3,
            *[self.unbind] * 2,
            self.use_ids,
            self.remember_ids,
            self.trim,
            self.set_user,
            self.remove_user,
            self.set_namespace,
            self.remove_namespace,
            self.set_policy,
            self.remove_policy,
        ]
        for _ in range(steps):
            self.draw(st.sampled_from(requests))()
        return self.facts

    def set_user(self) -> None:
        """Make a user, with the secret before the first, or give one other rights."""
        name = self.draw(st.sampled_from(NAMES))
        old = next((each.id for each in self.users.values() if each.name == name), None)
        if not any(isinstance(fact, facts.AccessSecret) for fact in self.facts):
            self.facts.append(facts.AccessSecret(b"secret"))
        user = facts.UserSet(old or self.new_id(), name, (), self.draw(st.booleans()), (), 0)
        self.users[user.id] = user
        self.facts.append(user)

    def remove_user(self) -> None:
        user = self.one(self.users)
        if user is not None:
            del self.users[user.id]
            self.facts.append(facts.UserRemoved(user.id))

    def set_namespace(self) -> None:
        self.facts.append(facts.NamespaceSet(self.draw(st.sampled_from(NAMES)), self.draw(st.integers(0, 5))))

    def remove_namespace(self) -> None:
        self.facts.append(facts.NamespaceRemoved(self.draw(st.sampled_from(NAMES))))

    def set_policy(self) -> None:
        """Make a policy about some queues, or put another in its place."""
        pattern, limit = self.draw(st.sampled_from(["", "^a", "^(b|c)$"])), self.draw(st.integers(1, 9))
        priority = self.draw(st.integers(0, 2))
        settings = (("failed_max", str(limit).encode()), ("alternate", b'"lost"'))
        policy = facts.PolicySet("default", self.draw(st.sampled_from(NAMES)), pattern, "all", priority, settings)
        self.facts.append(policy)

    def remove_policy(self) -> None:
        self.facts.append(facts.PolicyRemoved("default", self.draw(st.sampled_from(NAMES))))

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def one(self, known: dict[int, T]) -> T | None:
        return known[self.draw(st.sampled_from(sorted(known)))] if known else None

    def free_name(self, taken: dict[int, Any]) -> str | None:
        free = [name for name in NAMES if name not in {each.name for each in taken.values()}]
        return self.draw(st.sampled_from(free)) if free else None

    def set_topic(self, topic: facts.TopicSet) -> None:
        self.topics[topic.id] = topic
        self.facts.append(topic)

    def make_topic(self) -> None:
        name = self.free_name(self.topics)
        if name is not None:
            size = self.draw(st.integers(1, 3))
            config = TopicConfig(age_ms=self.draw(st.sampled_from([None, 5])))
            self.set_topic(
                facts.TopicSet(self.new_id(), b"u" * 16, "default", name, size, "murmur2", config, "durable", None, 0)
            )

    def grow_topic(self) -> None:
        old = self.one(self.topics)
        if old is not None:
            config = TopicConfig(level=self.draw(st.sampled_from(["fsync", "written"])))
            self.set_topic(
                facts.TopicSet(
                    *(old.id, old.uuid, old.namespace, old.name, old.partitions + 1, old.placement, config, "durable"),
                    old.queue,
                    0,
                )
            )

    def remove_topic(self) -> None:
        topic = self.one(self.topics)
        if topic is None or any(queue.view_of == topic.id for queue in self.queues.values()):
            return
        if topic.queue is not None:
            del self.queues[topic.queue]
            self.facts.append(facts.QueueRemoved(topic.queue))
        del self.topics[topic.id]
        self.facts.append(facts.TopicRemoved(topic.id))

    def make_queue(self) -> None:
        name = self.free_name(self.topics)
        if name is None:
            return
        queue_id, topic_id = self.new_id(), self.new_id()
        viewed = self.one({key: topic for key, topic in self.topics.items() if topic.queue is None})
        view = viewed.id if viewed is not None and self.draw(st.booleans()) else None
        self.set_topic(
            facts.TopicSet(
                topic_id, b"q" * 16, "default", name, 1, "murmur2", TopicConfig(consumed=True), "durable", queue_id, 0
            )
        )
        start = () if view is None else (0,) * self.topics[view].partitions
        queue = facts.QueueSet(queue_id, "default", name, topic_id, QueueConfig(), view, start, "durable", 0)
        self.queues[queue_id] = queue
        self.facts.append(queue)

    def alter_queue(self) -> None:
        old = self.one(self.queues)
        if old is not None:
            config = QueueConfig(
                failed_max=self.draw(st.integers(1, 9)), dead=self.draw(st.sampled_from([None, *NAMES]))
            )
            queue = facts.QueueSet(
                old.id, old.namespace, old.name, old.topic, config, old.view_of, old.view_start, "durable", 0
            )
            self.queues[old.id] = queue
            self.facts.append(queue)

    def make_group(self) -> None:
        name = self.free_name(self.groups)
        if name is not None:
            group = facts.GroupSet(self.new_id(), "default", name, 0)
            self.groups[group.id] = group
            self.facts.append(group)

    def remove_group(self) -> None:
        group = self.one(self.groups)
        if group is not None:
            del self.groups[group.id]
            self.facts.append(facts.GroupRemoved(group.id))

    def place(self) -> tuple[int, int] | None:
        group, topic = self.one(self.groups), self.one(self.topics)
        if group is None or topic is None:
            return None
        return group.id, topic.id << PARTITION_BITS | self.draw(st.integers(0, topic.partitions - 1))

    def commit(self) -> None:
        place = self.place()
        if place is not None:
            floor = self.draw(st.integers(0, 5))
            done = self.draw(st.sampled_from([(), ((floor + 1, floor + 2),)]))
            self.facts.append(facts.Committed(*place, self.draw(st.integers(-1, 3)), floor, done, (), 0, "", 0))

    def remove_position(self) -> None:
        place = self.place()
        if place is not None:
            self.facts.append(facts.PositionRemoved(*place))

    def make_exchange(self) -> None:
        name = self.free_name(self.exchanges)
        if name is not None:
            kind, auto_remove = self.draw(st.sampled_from(KINDS)), self.draw(st.booleans())
            alternate = self.draw(st.sampled_from([None, *NAMES]))
            self.set_exchange(
                facts.ExchangeSet(self.new_id(), "default", name, kind, "durable", auto_remove, alternate=alternate)
            )

    def set_exchange(self, exchange: facts.ExchangeSet) -> None:
        self.exchanges[exchange.id] = exchange
        self.facts.append(exchange)

    def remove_exchange(self) -> None:
        exchange = self.one(self.exchanges)
        if exchange is not None:
            del self.exchanges[exchange.id]
            self.facts.append(facts.ExchangeRemoved(exchange.id))

    def way(self) -> tuple[int, int, str, int, HeaderMatch | None, bytes] | None:
        """What a binding says: from an exchange to a topic, or to an exchange, which may be itself."""
        exchange, topic, other = self.one(self.exchanges), self.one(self.topics), self.one(self.exchanges)
        if exchange is None or other is None:
            return None
        ends = (topic.id, 0) if topic is not None and self.draw(st.booleans()) else (0, other.id)
        match = self.draw(st.sampled_from([None, HeaderMatch(rows=(("a", 1),)), HeaderMatch(rows=(("a", True),))]))
        return exchange.id, ends[0], self.draw(st.sampled_from(["x", "*.#"])), ends[1], match, b""

    def bind(self) -> None:
        way = self.way()
        if way is not None:
            self.facts.append(facts.BindingSet(*way))

    def unbind(self) -> None:
        way = self.way()
        if way is not None:
            self.facts.append(facts.BindingRemoved(*way))

    def use_ids(self) -> None:
        self.next_id += self.draw(st.integers(0, 3))
        self.facts.append(facts.IdsUsed(self.next_id, 7))

    def remember_ids(self) -> None:
        topic = self.one(self.topics)
        if topic is not None:
            window = DedupWindow(300_000)
            for number in range(self.draw(st.integers(1, 3))):
                window.add(digest(f"{topic.id} {number}"), 100 + number, topic.id << PARTITION_BITS, number)
            self.facts.append(facts.DedupState(topic.id, window.pack()))

    def trim(self) -> None:
        topic = self.one(self.topics)
        if topic is not None:
            partition = topic.id << PARTITION_BITS
            self.log_starts[partition] = self.log_starts.get(partition, 0) + self.draw(st.integers(0, 2))
            self.facts.append(facts.Trimmed(partition, self.log_starts[partition], "test", 0))


def applied(history: list[facts.Fact], again_from: int) -> Broker:
    broker = Broker(MemoryStorage(), ManualClock())
    for lsn, fact in enumerate([*history, *history[again_from:]]):
        broker.journal.appliers[type(fact)](fact, lsn)
    return broker


def state(broker: Broker) -> dict[str, object]:
    """All that the catalogue and the positions are; what a checkpoint would say, and what is derived from it."""
    catalog = broker.catalog
    users = broker.access.users
    checkpoint = [*catalog.export(), *users.export(), *catalog.export_readers()]
    return {
        "facts": {repr(fact) for fact in checkpoint if not isinstance(fact, facts.LedgerState)},
        "bindings": {key: list(exchange.bindings) for key, exchange in catalog.exchanges.items()},
        "found": {key: found(exchange) for key, exchange in catalog.exchanges.items()},
        "ways": {key: set(ways) for key, ways in catalog._ways_to.items()},
        "number of bindings": catalog.bindings,
        "left empty": set(catalog.left_empty),
        "names": (catalog.topic_names, catalog.queue_names, catalog.group_names, catalog.exchange_names),
        "partitions": {key: (place.level, place.log_start) for key, place in broker.journal.partitions.items()},
        "queues": {key: (queue.name, queue.config) for key, queue in catalog.queues.items()},
        "alternates": {key: exchange.alternate for key, exchange in catalog.exchanges.items()},
        "namespaces": catalog.namespaces,
        "policies": [policy.set for policy in catalog.policies],
        "readers of queues": {key: set(found) for key, found in catalog._queues_on.items()},
        "readers of groups": {key: set(found) for key, found in catalog._groups_on.items()},
        "ids": (catalog.next_id, catalog.next_producer),
        "users": (
            users.by_name,
            users.secret if users.by_name else b"",
            {key: users.rights[key].id for key in users.rights},
        ),
        "dedup": {key: topic.window().pack() for key, topic in catalog.topics.items()},
    }


def found(exchange: Exchange) -> list[tuple[int, int]]:
    """Where the table of an exchange leads, in order."""
    return [(row.topic, row.to_exchange) for row in exchange.table.find(["x", "x.y"], {"a": 1})]


@given(data=st.data(), steps=st.integers(1, 40))
@settings(max_examples=150)
def test_facts_applied_again_from_an_earlier_point_end_in_the_same_state(data: st.DataObject, steps: int) -> None:
    history = History(data.draw).run(steps)
    if not history:
        return
    again_from = data.draw(st.integers(0, len(history) - 1))

    once, twice = applied(history, len(history)), applied(history, again_from)

    assert state(twice) == state(once)


@given(data=st.data(), steps=st.integers(1, 40))
def test_what_a_checkpoint_says_rebuilds_the_state(data: st.DataObject, steps: int) -> None:
    once = applied(History(data.draw).run(steps), 10_000)

    rebuilt = applied(list(once.journal.export()), 10_000)

    assert state(rebuilt) == state(once)


@given(data=st.data())
@settings(max_examples=50)
def test_what_leads_to_a_topic_or_exchange_is_what_a_look_at_all_would_find(data: st.DataObject) -> None:
    catalog = applied(History(data.draw).run(40), 10_000).catalog

    for target in [*catalog.topics, *catalog.exchanges]:
        assert {(source.id, row) for source, row in catalog.ways_to(target)} == {
            (source.id, row)
            for source in catalog.exchanges.values()
            for row in source.bindings.values()
            if target in (row.topic, row.to_exchange)
        }
    assert catalog.bindings == sum(len(exchange.bindings) for exchange in catalog.exchanges.values())
    assert set(catalog.left_empty) == {
        key
        for key, exchange in catalog.exchanges.items()
        if exchange.set.auto_remove and exchange.was_bound and not exchange.bindings
    }


@given(data=st.data())
@settings(max_examples=50)
def test_the_readers_of_a_topic_are_those_that_a_look_at_all_would_find(data: st.DataObject) -> None:
    catalog = applied(History(data.draw).run(40), 10_000).catalog

    for topic in catalog.topics.values():
        groups, queues = catalog.readers(topic)
        partitions = {partition.id for partition in topic.partitions}
        assert {group.id for group in groups} == {
            group.id for group in catalog.groups.values() if partitions & set(group.positions)
        }
        assert {queue.id for queue in queues} == {
            declared.id for declared in catalog.queue_sets.values() if topic.id in (declared.topic, declared.view_of)
        }
        assert {queue.id for queue in catalog.buried_in(topic)} == {
            declared.id for declared in catalog.queue_sets.values() if declared.config.dead == topic.name
        }
        assert [view.id for view in catalog.views_of(topic.id)] == [
            declared.id for declared in catalog.queue_sets.values() if declared.view_of == topic.id
        ]


def test_what_stood_on_a_topic_that_is_gone_does_not_come_back() -> None:
    history = [
        topic(1, "a"),
        facts.GroupSet(2, "default", "g", 0),
        facts.ExchangeSet(3, "default", "x", "direct", "durable"),
        facts.Committed(2, 1 << PARTITION_BITS, 1, 0, (), (), 0, "", 0),
        facts.BindingSet(3, 1, "key"),
        facts.TopicRemoved(1),
    ]

    for again_from in range(len(history)):
        broker = applied(history, again_from)
        assert not broker.catalog.groups[2].positions
        assert not broker.catalog.exchanges[3].bindings


def test_bindings_keep_their_order() -> None:
    exchange = facts.ExchangeSet(3, "default", "x", "direct", "durable")
    bound, unbound = facts.BindingSet(3, 1, "key"), facts.BindingRemoved(3, 1, "key")
    history = [topic(1, "a"), topic(2, "b"), exchange, bound, unbound, bound, facts.BindingSet(3, 2, "key")]

    for again_from in range(len(history)):
        assert list(applied(history, again_from).catalog.exchanges[3].bindings) == [
            identity(1, 0, "key", None, b""), identity(2, 0, "key", None, b"")
        ]  # fmt: skip


def topic(topic_id: int, name: str) -> facts.TopicSet:
    return facts.TopicSet(topic_id, b"u" * 16, "default", name, 1, "murmur2", TopicConfig(), "durable", None, 0)


def test_all_facts_of_the_catalogue_and_of_streams_are_replayed_here() -> None:
    log = set(Journal(MemoryStorage(), ManualClock()).appliers)
    ledgers = {facts.Leased, facts.Released, facts.Settled, facts.LedgerState}

    here = set(Broker(MemoryStorage(), ManualClock()).journal.appliers) - log - ledgers

    assert here | {facts.Trimmed} == set(OWNED_HERE)
