"""The catalogue: topics, queues, exchanges, bindings and groups by (namespace, name) and by id.

It keeps applied state, which changes only when a fact is durable, and the names that are being made. What a fact means
for the data (queues' ledgers, partitions) is wired here; nothing is decided about records.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from isthmus.broker.bindings import Bound, Headers, Identity, Table, identity, table_of
from isthmus.broker.policies import Policies, effective
from isthmus.broker.routing import Router, walk
from isthmus.definition import DEFAULT_NAMESPACE, QueueConfig
from isthmus.errors import (
    BeingChanged,
    UnknownExchange,
    UnknownGroup,
    UnknownNamespace,
    UnknownQueue,
    UnknownTopic,
)
from isthmus.lenses.queue.part import Source
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.limits import ROUTES_KEPT
from isthmus.log import facts
from isthmus.log.dedup import DedupWindow
from isthmus.log.journal import Journal, Pending
from isthmus.log.partition import Partition

PARTITION_BITS: Final = 16
DELAYED: Final = ".delayed"
"""What the name of the queue ends with in which the events of a delayed exchange wait."""
K = TypeVar("K")
N = TypeVar("N")
Key = tuple[str, str]


class Topic:
    """A topic and its partitions, with what publishing needs at hand. `lens` is the queue that owns it."""

    __slots__ = ("dedup", "dedup_flying", "lens", "partitions", "router", "set")

    def __init__(self, declared: facts.TopicSet, partitions: list[Partition]) -> None:
        self.set = declared
        self.partitions = partitions
        self.router = Router(declared.placement, declared.partitions)
        self.dedup: DedupWindow | None = None
        self.dedup_flying: dict[bytes, Pending[Any]] = {}
        self.lens: Queue | None = None

    @property
    def id(self) -> int:
        """Numeric id, never used again."""
        return self.set.id

    @property
    def name(self) -> str:
        """Name in its namespace."""
        return self.set.name

    def has_records(self) -> bool:
        """Whether something in it could be trimmed."""
        return any(partition.log_start < partition.high_watermark for partition in self.partitions)

    def window(self) -> DedupWindow:
        """The de-duplication ids of this topic, made when first needed."""
        if self.dedup is None:
            self.dedup = DedupWindow(self.set.config.dedup_ms)
        return self.dedup


class Exchange:
    """An exchange with its bindings in the order of binding, and the table in which its kind finds them.

    `alternate` is where it sends what finds no way: what it was declared with, or what its policy says. `flying` counts
    bindings from it that are on their way to the disk.
    """

    __slots__ = ("_order", "alternate", "bindings", "flying", "set", "table", "was_bound")

    def __init__(self, declared: facts.ExchangeSet) -> None:
        self.set = declared
        self.alternate = declared.alternate
        self.bindings: dict[Identity, Bound] = {}
        self.table: Table = table_of(declared.kind)
        self.was_bound = declared.was_bound
        self.flying = 0
        self._order = 0

    @property
    def id(self) -> int:
        """Numeric id, never used again."""
        return self.set.id

    @property
    def name(self) -> str:
        """Name in its namespace."""
        return self.set.name

    def bind(self, fact: facts.BindingSet) -> Identity:
        """Take a binding in, at the end also when it is there: so a replay over a later state keeps the order."""
        key = identity(fact.topic, fact.to_exchange, fact.key, fact.match, fact.kept)
        self.unbind(key)
        self._order += 1
        row = Bound(fact.topic, fact.to_exchange, fact.key, fact.match, fact.kept, self._order)
        self.bindings[key] = row
        self.table.add(row)
        self.was_bound = True
        return key

    def unbind(self, key: Identity) -> bool:
        """Take a binding out; whether it was there."""
        row = self.bindings.pop(key, None)
        if row is not None:
            self.table.remove(row)
        return row is not None


class Catalog:
    """See the module text. `make_queue` builds the lens of a queue, `sources_of` names the partitions it takes from."""

    def __init__(
        self,
        journal: Journal,
        make_queue: Callable[[facts.QueueSet], Queue],
        sources_of: Callable[[facts.QueueSet], list[Source]],
    ) -> None:
        self._journal = journal
        self._make_queue = make_queue
        self._sources_of = sources_of
        self.topics: dict[int, Topic] = {}
        self.queues: dict[int, Queue] = {}
        self.queue_sets: dict[int, facts.QueueSet] = {}
        self.exchanges: dict[int, Exchange] = {}
        self.groups: dict[int, ConsumerGroup] = {}
        self.topic_names: dict[Key, int] = {}
        self.queue_names: dict[Key, int] = {}
        self.exchange_names: dict[Key, int] = {}
        self.group_names: dict[Key, int] = {}
        self.namespaces: dict[str, facts.NamespaceSet] = {DEFAULT_NAMESPACE: facts.NamespaceSet(DEFAULT_NAMESPACE, 0)}
        self.leaving: set[str] = set()
        """Namespaces that are being removed, one unit after the other, in which nothing can be made any more."""
        self.making: dict[tuple[str, str, str], Pending[Any]] = {}
        self.owners: dict[int, int] = {}
        """By the id of a queue that lives as long as a session, that session."""
        # Who reads a topic, by its id: housekeeping asks for every topic, so nobody may look through all readers.
        self._queues_on: dict[int, dict[int, None]] = {}
        self._groups_on: dict[int, dict[int, None]] = {}
        self.policies = Policies()
        # Queues by where their dead letters go: who removes a topic may not look through all queues either.
        self._buried_in: dict[Key, dict[int, None]] = {}
        # Bindings by the topic or exchange that they lead to: who removes that, or asks what feeds it, looks here.
        self._ways_to: dict[int, dict[tuple[int, Identity], None]] = {}
        self.bindings = 0
        self.left_empty: dict[int, None] = {}
        self.knowing: dict[int, None] = {}
        """Topics that know messages again by their ids; while there is none, nobody has to look at ids."""
        """Exchanges that are to go with their last binding and have lost it."""
        self.routes: dict[tuple[int, str], tuple[Topic, ...]] = {}
        """Where exchanges led lately, by exchange and key; empty again with any change of what decides it."""
        self.next_id = 1
        self.next_producer = 1
        self.on_queue: Callable[[Queue], object] = lambda _: None
        """Called with a queue that was made, is configured otherwise, or was closed because it was removed."""
        appliers: list[tuple[type[facts.Fact], Callable[[Any, int], None]]] = [
            (facts.TopicSet, self._topic_set),
            (facts.TopicRemoved, self._topic_removed),
            (facts.QueueSet, self._queue_set),
            (facts.QueueRemoved, self._queue_removed),
            (facts.ExchangeSet, self._exchange_set),
            (facts.ExchangeRemoved, self._exchange_removed),
            (facts.BindingSet, self._binding_set),
            (facts.BindingRemoved, self._binding_removed),
            (facts.GroupSet, self._group_set),
            (facts.GroupRemoved, self._group_removed),
            (facts.IdsUsed, self._ids_used),
            (facts.NamespaceSet, self._namespace_set),
            (facts.NamespaceRemoved, self._namespace_removed),
            (facts.Committed, self._committed),
            (facts.PositionRemoved, self._position_removed),
            (facts.DedupState, self._dedup_state),
            (facts.Leased, self._queue_fact),
            (facts.Released, self._queue_fact),
            (facts.Settled, self._queue_fact),
            (facts.LedgerState, self._queue_fact),
            (facts.PolicySet, self._policy_set),
            (facts.PolicyRemoved, self._policy_removed),
        ]
        for fact_type, apply in appliers:
            journal.register(fact_type, apply)
        journal.names_hook = self.name_of
        journal.exporters.append(self.export)

    # ---- looking up ---------------------------------------------------------------------------------------------

    def topic(self, namespace: str, name: str) -> Topic:
        """Raises UnknownTopic."""
        found = self.topics.get(self.topic_names.get((namespace, name), 0))
        if found is None:
            raise UnknownTopic(name)
        return found

    def queue(self, namespace: str, name: str) -> Queue:
        """Raises UnknownQueue."""
        found = self.queues.get(self.queue_names.get((namespace, name), 0))
        if found is None:
            raise UnknownQueue(name)
        return found

    def exchange(self, namespace: str, name: str) -> Exchange:
        """Raises UnknownExchange."""
        found = self.exchanges.get(self.exchange_names.get((namespace, name), 0))
        if found is None:
            raise UnknownExchange(name)
        return found

    def group(self, namespace: str, name: str) -> ConsumerGroup:
        """Raises UnknownGroup."""
        found = self.groups.get(self.group_names.get((namespace, name), 0))
        if found is None:
            raise UnknownGroup(name)
        return found

    def check_namespace(self, name: str) -> None:
        """Whether something can be made in a namespace.

        Raises:
            UnknownNamespace: there is none of that name.
            BeingChanged: it is being removed.
        """
        if name not in self.namespaces:
            raise UnknownNamespace(name)
        if name in self.leaving:
            raise BeingChanged("namespace", name)

    def topic_of(self, partition_id: int) -> Topic | None:
        """The topic that a partition belongs to."""
        return self.topics.get(partition_id >> PARTITION_BITS)

    def name_of_topic(self, partition_id: int) -> str:
        """The name of the topic that a partition belongs to, as rights ask for it; empty when it is gone."""
        topic = self.topic_of(partition_id)
        return topic.name if topic is not None else ""

    def place_of(self, partition_id: int, offset: int) -> str:
        """How an event is named in headers and by `explain`: topic/partition/offset."""
        topic = self.topic_of(partition_id)
        name = topic.name if topic is not None else str(partition_id >> PARTITION_BITS)
        return f"{name}/{partition_id & (1 << PARTITION_BITS) - 1}/{offset}"

    def views_of(self, topic_id: int) -> list[facts.QueueSet]:
        """The queues that have a topic as their second source."""
        found = (self.queue_sets[queue] for queue in self._queues_on.get(topic_id, ()))
        return [declared for declared in found if declared.view_of == topic_id]

    def buried_in(self, topic: Topic) -> list[facts.QueueSet]:
        """The queues whose dead letters go to a topic by its name."""
        found = self._buried_in.get((topic.set.namespace, topic.name), ())
        return [self.queue_sets[queue] for queue in found]

    def delayed_into(self, topic: Topic) -> Exchange | None:
        """The exchange whose delayed events wait in a topic; None for any other topic."""
        if not topic.name.endswith(DELAYED):
            return None
        key = (topic.set.namespace, topic.name.removesuffix(DELAYED))
        exchange = self.exchanges.get(self.exchange_names.get(key, 0))
        return exchange if exchange is not None and exchange.set.delayed else None

    def readers(self, topic: Topic) -> tuple[list[ConsumerGroup], list[Queue]]:
        """The declared readers of a topic: groups with a position in it, queues on it."""
        groups = [self.groups[group] for group in self._groups_on.get(topic.id, ())]
        queues = [self.queues[queue] for queue in self._queues_on.get(topic.id, ()) if queue in self.queues]
        return groups, queues

    def name_of(self, partition_id: int) -> tuple[str, str, int, bytes] | None:
        """For the sidecars: namespace, topic, index and uuid of a partition."""
        topic = self.topic_of(partition_id)
        if topic is None:
            return None
        return topic.set.namespace, topic.set.name, partition_id & (1 << PARTITION_BITS) - 1, topic.set.uuid

    def ways_to(self, target: int) -> list[tuple[Exchange, Bound]]:
        """The bindings that lead to a topic or an exchange, with the exchange that each is of."""
        rows = ((self.exchanges[exchange], key) for exchange, key in self._ways_to.get(target, ()))
        return [(exchange, exchange.bindings[key]) for exchange, key in rows]

    def alternate_of(self, exchange: Exchange) -> Exchange | None:
        """The exchange that takes what finds no way in this one, when it names one and that is there."""
        name = exchange.alternate
        if name is None:
            return None
        return self.exchanges.get(self.exchange_names.get((exchange.set.namespace, name), 0))

    def targets(self, exchange: Exchange, keys: Sequence[str], headers: Callable[[], Headers]) -> tuple[Topic, ...]:
        """The topics that an exchange leads to, each once; remembered for one key when no headers decide."""
        name = (exchange.id, keys[0]) if len(keys) == 1 else None
        if name is not None and (known := self.routes.get(name)) is not None:
            return known
        found = walk(exchange, keys, headers, self.exchanges.get, self.alternate_of)
        topics = tuple([self.topics[topic] for topic in found.topics])
        if name is not None and not found.read_headers:
            if len(self.routes) >= ROUTES_KEPT:
                self.routes.clear()
            self.routes[name] = topics
        return topics

    def new_id(self) -> int:
        """An object id that was never used."""
        self.next_id += 1
        return self.next_id - 1

    def used(self, object_id: int) -> None:
        """An id was given away by somebody else, such as a user's."""
        self.next_id = max(self.next_id, object_id + 1)

    # ---- applying facts -----------------------------------------------------------------------------------------

    def _topic_set(self, fact: facts.TopicSet, _lsn: int) -> None:
        self.next_id = max(self.next_id, fact.id + 1)
        base = fact.id << PARTITION_BITS
        partitions = [self._journal.add_partition(base | at, fact.config.level) for at in range(fact.partitions)]
        known = self.topics.get(fact.id)
        topic = Topic(fact, partitions)
        if known is not None:
            topic.dedup, topic.dedup_flying, topic.lens = known.dedup, known.dedup_flying, known.lens
            self.topic_names.pop((known.set.namespace, known.set.name), None)
            if topic.dedup is not None:
                topic.dedup.window_ms = fact.config.dedup_ms
        self.topics[fact.id] = topic
        self._mark_knowing(topic)
        self.routes.clear()
        self.topic_names[fact.namespace, fact.name] = fact.id
        if known is not None and fact.partitions > known.set.partitions:
            self._feed_queues(fact.id)

    def _mark_knowing(self, topic: Topic) -> None:
        if topic.set.config.message_ids:
            self.knowing[topic.id] = None
        else:
            self.knowing.pop(topic.id, None)

    def feeds_queue(self, topic_id: int) -> bool:
        """Whether some queue takes from that topic, as its own or as a view."""
        return bool(self._queues_on.get(topic_id))

    def _feed_queues(self, topic_id: int) -> None:
        """A topic has more partitions: the queues on it take from them too."""
        for key in self._queues_on.get(topic_id, ()):
            if key in self.queues:
                for source in self._sources_of(self.queue_sets[key]):
                    self.queues[key].add_source(source)

    def _topic_removed(self, fact: facts.TopicRemoved, _lsn: int) -> None:
        topic = self.topics.pop(fact.id, None)
        if topic is None:
            return
        self.knowing.pop(fact.id, None)
        self.topic_names.pop((topic.set.namespace, topic.set.name), None)
        groups = self._groups_on.pop(topic.id, {})
        for partition in topic.partitions:
            self._journal.remove_partition(partition.id)
            for group in groups:
                self.groups[group].forget(partition.id)
        self._forget_ways_to(fact.id)
        self.routes.clear()

    def _queue_set(self, fact: facts.QueueSet, _lsn: int) -> None:
        self.next_id = max(self.next_id, fact.id + 1)
        self.queue_names[fact.namespace, fact.name] = fact.id
        self._forget_grave(fact.id)
        self.queue_sets[fact.id] = fact
        if fact.config.dead is not None:
            self._buried_in.setdefault((fact.namespace, fact.config.dead), {})[fact.id] = None
        for topic in _topics_of(fact):
            self._queues_on.setdefault(topic, {})[fact.id] = None
        known = self.queues.get(fact.id)
        if known is not None:
            known.reconfigure(self.effective(fact))
            self.on_queue(known)
        elif fact.topic in self.topics and (fact.view_of is None or fact.view_of in self.topics):
            made = self.queues[fact.id] = self.topics[fact.topic].lens = self._make_queue(fact)
            self.on_queue(made)

    def _queue_removed(self, fact: facts.QueueRemoved, _lsn: int) -> None:
        self._forget_grave(fact.id)
        declared = self.queue_sets.pop(fact.id, None)
        if declared is None:
            return
        self.queue_names.pop((declared.namespace, declared.name), None)
        self.owners.pop(fact.id, None)
        for topic in _topics_of(declared):
            _discard(self._queues_on, topic, fact.id)
        queue = self.queues.pop(fact.id, None)
        if declared.topic in self.topics:
            self.topics[declared.topic].lens = None
        if queue is not None:
            queue.close()
            self.on_queue(queue)

    def _forget_grave(self, queue: int) -> None:
        known = self.queue_sets.get(queue)
        if known is not None and known.config.dead is not None:
            _discard(self._buried_in, (known.namespace, known.config.dead), queue)

    def _exchange_set(self, fact: facts.ExchangeSet, _lsn: int) -> None:
        self.next_id = max(self.next_id, fact.id + 1)
        self.exchange_names[fact.namespace, fact.name] = fact.id
        known = self.exchanges.get(fact.id)
        if known is None:
            known = self.exchanges[fact.id] = Exchange(fact)
        else:
            known.set = fact
        known.alternate = self._alternate(fact)
        self._mark_empty(known)
        self.routes.clear()

    def _exchange_removed(self, fact: facts.ExchangeRemoved, _lsn: int) -> None:
        exchange = self.exchanges.pop(fact.id, None)
        if exchange is None:
            return
        self.exchange_names.pop((exchange.set.namespace, exchange.name), None)
        self.left_empty.pop(fact.id, None)
        self.bindings -= len(exchange.bindings)
        for key, row in exchange.bindings.items():
            _discard(self._ways_to, row.topic or row.to_exchange, (fact.id, key))
        self._forget_ways_to(fact.id)
        self.routes.clear()

    def _forget_ways_to(self, gone: int) -> None:
        """A topic or an exchange is gone: the bindings to it go along."""
        for exchange, key in self._ways_to.pop(gone, {}):
            self._unbind(self.exchanges[exchange], key)

    def _unbind(self, exchange: Exchange, key: Identity) -> None:
        if exchange.unbind(key):
            self.bindings -= 1
            self._mark_empty(exchange)

    def _mark_empty(self, exchange: Exchange) -> None:
        if exchange.set.auto_remove and exchange.was_bound and not exchange.bindings:
            self.left_empty[exchange.id] = None
        else:
            self.left_empty.pop(exchange.id, None)

    def _binding_set(self, fact: facts.BindingSet, _lsn: int) -> None:
        exchange = self.exchanges.get(fact.exchange)
        if exchange is None or (fact.topic not in self.topics and fact.to_exchange not in self.exchanges):
            return
        before = len(exchange.bindings)
        key = exchange.bind(fact)
        self.bindings += len(exchange.bindings) - before
        self._ways_to.setdefault(fact.topic or fact.to_exchange, {})[fact.exchange, key] = None
        self._mark_empty(exchange)
        self.routes.clear()

    def _binding_removed(self, fact: facts.BindingRemoved, _lsn: int) -> None:
        exchange = self.exchanges.get(fact.exchange)
        if exchange is not None:
            key = identity(fact.topic, fact.to_exchange, fact.key, fact.match, fact.kept)
            self._unbind(exchange, key)
            _discard(self._ways_to, fact.topic or fact.to_exchange, (fact.exchange, key))
            self.routes.clear()

    def _group_set(self, fact: facts.GroupSet, _lsn: int) -> None:
        self.next_id = max(self.next_id, fact.id + 1)
        self.group_names[fact.namespace, fact.name] = fact.id
        if fact.id not in self.groups:
            self.groups[fact.id] = ConsumerGroup(fact, f"{self._journal.epoch}")
        self.groups[fact.id].expires = fact.expires

    def _group_removed(self, fact: facts.GroupRemoved, _lsn: int) -> None:
        group = self.groups.pop(fact.id, None)
        if group is not None:
            self.group_names.pop((group.namespace, group.name), None)
            for partition in group.positions:
                _discard(self._groups_on, partition >> PARTITION_BITS, fact.id)

    def _ids_used(self, fact: facts.IdsUsed, _lsn: int) -> None:
        self.next_id = max(self.next_id, fact.next_id)
        self.next_producer = max(self.next_producer, fact.next_producer)

    def _namespace_set(self, fact: facts.NamespaceSet, _lsn: int) -> None:
        self.namespaces[fact.name] = fact

    def _namespace_removed(self, fact: facts.NamespaceRemoved, _lsn: int) -> None:
        self.namespaces.pop(fact.name, None)

    def _committed(self, fact: facts.Committed, _lsn: int) -> None:
        group = self.groups.get(fact.group)
        if group is not None and fact.partition in self._journal.partitions:
            group.apply(fact)
            self._groups_on.setdefault(fact.partition >> PARTITION_BITS, {})[fact.group] = None

    def _position_removed(self, fact: facts.PositionRemoved, _lsn: int) -> None:
        group = self.groups.get(fact.group)
        if group is not None:
            group.forget(fact.partition)
            topic = fact.partition >> PARTITION_BITS
            if not any(partition >> PARTITION_BITS == topic for partition in group.positions):
                _discard(self._groups_on, topic, fact.group)

    def _dedup_state(self, fact: facts.DedupState, _lsn: int) -> None:
        topic = self.topics.get(fact.topic)
        if topic is not None:
            topic.window().restore(fact.rows)

    def _queue_fact(self, fact: "facts.Leased | facts.Released | facts.Settled | facts.LedgerState", lsn: int) -> None:
        queue = self.queues.get(fact.queue)
        if queue is not None:
            queue.apply(fact, lsn)

    # ---- policies -----------------------------------------------------------------------------------------------

    def effective(self, declared: facts.QueueSet) -> QueueConfig:
        """What holds for a queue: what was declared, with the policy that counts for it."""
        policy = self.policies.winner(declared.namespace, "queues", declared.name)
        return effective(declared.config, policy, view=declared.view_of is not None)

    def _alternate(self, declared: facts.ExchangeSet) -> str | None:
        policy = self.policies.winner(declared.namespace, "exchanges", declared.name)
        said = None if policy is None else policy.settings.get("alternate")
        return said if declared.alternate is None else declared.alternate

    def _policy_set(self, fact: facts.PolicySet, _lsn: int) -> None:
        self.policies.put(fact)
        self._govern(fact.namespace)

    def _policy_removed(self, fact: facts.PolicyRemoved, _lsn: int) -> None:
        self.policies.drop(fact.namespace, fact.name)
        self._govern(fact.namespace)

    def _govern(self, namespace: str) -> None:
        """The policies of a namespace are others: tell whom they are about."""
        for key, queue in self.queues.items():
            declared = self.queue_sets[key]
            if declared.namespace == namespace and (config := self.effective(declared)) != queue.config:
                queue.reconfigure(config)
                self.on_queue(queue)
        for exchange in self.exchanges.values():
            if exchange.set.namespace == namespace:
                exchange.alternate = self._alternate(exchange.set)
        self.routes.clear()

    # ---- for checkpoints ----------------------------------------------------------------------------------------

    def export(self) -> Iterator[facts.Fact]:
        """The facts that rebuild all of this; topics before what stands on them."""
        yield facts.IdsUsed(self.next_id, self.next_producer)
        yield from [each for name, each in self.namespaces.items() if name != DEFAULT_NAMESPACE]
        for policy in list(self.policies):  # before what they are about, which is then made as they say
            yield policy.set
        for topic in list(self.topics.values()):
            yield topic.set
            if topic.dedup:
                yield facts.DedupState(topic.id, topic.dedup.pack())
        yield from list(self.queue_sets.values())
        exchanges = list(self.exchanges.values())
        for exchange in exchanges:
            yield msgspec.structs.replace(exchange.set, was_bound=exchange.was_bound)
        for exchange in exchanges:
            for row in list(exchange.bindings.values()):
                yield facts.BindingSet(exchange.id, row.topic, row.key, row.to_exchange, row.match, row.kept)
        # Positions and ledgers are about partitions, whose states the journal states: they come in `export_readers`.

    def export_readers(self) -> Iterator[facts.Fact]:
        """The positions of groups and the ledgers of queues; after the partitions' states."""
        for group in list(self.groups.values()):
            yield from group.facts()
        for queue in list(self.queues.values()):
            yield from queue.facts()


def _topics_of(declared: facts.QueueSet) -> list[int]:
    """The topics that a queue takes from."""
    return [declared.topic] if declared.view_of is None else [declared.topic, declared.view_of]


def _discard(index: dict[K, dict[N, None]], key: K, member: N) -> None:
    members = index.get(key, {})
    members.pop(member, None)
    if not members:
        index.pop(key, None)
