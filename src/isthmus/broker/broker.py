"""The broker: one door to the log and the two lenses. It looks up, checks who may, and delegates.

Methods that change something return a `Pending` that is done when the change is as durable as it must be, so that a
door can keep it and answer in order; methods that wait for data are coroutines. All run on one event loop.
"""

import errno
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from isthmus import definition
from isthmus.broker import definitions, delays, foreign, publishing
from isthmus.broker.access import Access, Session
from isthmus.broker.bindings import Headers
from isthmus.broker.burial import Burial
from isthmus.broker.catalog import PARTITION_BITS, Catalog, Exchange, Topic
from isthmus.broker.connections import Connections
from isthmus.broker.delays import Delays
from isthmus.broker.dues import Dues
from isthmus.broker.endings import Endings
from isthmus.broker.foreign import Lanes
from isthmus.broker.groups import Coordinator
from isthmus.broker.holders import Holders
from isthmus.broker.housekeeping import Housekeeping
from isthmus.broker.member import Member, StartAt
from isthmus.broker.producer_ids import ProducerIds
from isthmus.broker.publishing import PLAIN, Options, Publish, Routed, Share
from isthmus.clock import Clock
from isthmus.definition import Binding, ExchangeDefinition, QueueDefinition, TopicDefinition
from isthmus.errors import (
    BeingChanged,
    GroupNotEmpty,
    InvalidArgument,
    OffsetOutOfRange,
    QueueFull,
    StorageFull,
    UnknownPartition,
)
from isthmus.lenses.queue.part import Source as QueueSource
from isthmus.lenses.queue.queue import Dead, Queue
from isthmus.lenses.stream.offsets import ConsumerGroup, committed
from isthmus.lenses.stream.position import Progress
from isthmus.lenses.stream.reader import Fetched, LongPolls
from isthmus.limits import GROUPS_KEPT_MS, ROUTING_KEYS_MAX
from isthmus.log import batch as batches
from isthmus.log import checkpoint, facts
from isthmus.log.dedup import DedupHit, digest
from isthmus.log.journal import Journal, JournalOptions, Pending, Placed, Unit
from isthmus.log.partition import Partition
from isthmus.log.recovery import OpenReport, open_journal
from isthmus.log.retention import Decision
from isthmus.log.search import contains
from isthmus.log.storage import Storage
from isthmus.record import Appended, Record, StoredRecord

T = TypeVar("T")
Removal = facts.TopicRemoved | facts.QueueRemoved | facts.ExchangeRemoved
Key = tuple[str, str, str]
"""Kind, namespace and name of something that is being changed."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Sizes of the store, how often housekeeping looks (ms), and when it forgets groups that nobody uses (ms).

    Only groups that were made to expire are forgotten; those of the library never are. What is due in a queue is done
    on time unless `punctual` is off: then housekeeping's rounds do it, which is for who opens a store to look at it.
    """

    journal: JournalOptions = field(default_factory=JournalOptions)
    housekeeping_ms: int = 1_000
    groups_kept_ms: int = GROUPS_KEPT_MS
    punctual: bool = True


class Broker:
    """See the module text."""

    def __init__(self, storage: Storage, clock: Clock, options: BrokerOptions | None = None) -> None:
        self.options = options or BrokerOptions()
        self.storage = storage
        self.clock = clock
        self.journal = Journal(storage, clock, self.options.journal)
        self.holders = Holders()
        self.catalog = Catalog(self.journal, self._make_queue, self._sources_of)
        self.journal.exporters_after.append(self.catalog.export_readers)
        self.journal.attributes_hook = self._attributes
        self.access = Access(now_ms=clock.monotonic_ms)
        self.access.users.attach(self.journal, self.catalog.used)
        self.polls = LongPolls(clock)
        self.coordinator = Coordinator(clock)
        self.connections = Connections()
        self.producer_ids = ProducerIds(self.journal, self.catalog)
        self.housekeeping = Housekeeping(self)
        self.dues = Dues(self)
        self._on_due = self.dues.at
        self.endings = Endings(self)
        self.burial = Burial(self)
        self.delays = Delays(self)
        self.lanes = Lanes(self.journal.run)
        self._flying: dict[tuple[int, int, int, int], Pending[list[Appended]]] = {}
        self.opened_ms = 0
        self._replayed = False
        self.report = OpenReport()

    # ---- life -----------------------------------------------------------------------------------------------------

    async def open(self, *, read_only: bool = False, accept_loss: bool = False) -> OpenReport:
        """Open the store and begin housekeeping.

        Raises:
            DirectoryInUse, NotAStore, NoAccess, FormatTooNew: nothing was changed.
            StorageFull: there is no room for what an opening writes.
        """
        try:
            self.report = await open_journal(self.journal, read_only=read_only, accept_loss=accept_loss)
        except BaseException as error:
            self.storage.unlock()  # so that the same process can try again
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(self.storage.directory, self.options.journal.segment_bytes) from error
            raise
        self.opened_ms = self.clock.monotonic_ms()
        self._replayed = True
        for queue in self.catalog.queues.values():
            queue.recovered()
        if self.journal.read_only is None and not self.journal.damage:
            await self._forget_short_lived()
            self.housekeeping.start()
            if self.options.punctual:
                self.dues.start()
            self.endings.start()
            self.delays.start()
        return self.report

    async def close(self) -> None:
        """Stop housekeeping, take a checkpoint, record the end, release the directory."""
        if self.journal.closed:
            return
        await self.endings.stop()
        await self.dues.stop()
        await self.housekeeping.stop()
        await self.lanes.finish()
        self.coordinator.close()
        for queue in self.catalog.queues.values():
            queue.close()
        writable = self.journal.read_only is None and not self.journal.damage
        if writable and self.journal.error is None:
            await checkpoint.take(self.journal)
        await self.journal.stop()
        if self.journal.read_only is None:
            self.storage.unlock()

    def abandon(self) -> None:
        """Its event loop ended without closing it: let the directory go. What was acknowledged is on disk."""
        self.journal.abandon()
        self.storage.unlock()

    async def _forget_short_lived(self) -> None:
        """Objects that were to live as long as a process or session that is gone."""
        unit = self.journal.unit()
        for declared in list(self.catalog.queue_sets.values()):
            if declared.lifetime != "durable":
                unit.fact(facts.QueueRemoved(declared.id))
        for topic in list(self.catalog.topics.values()):
            if topic.set.lifetime != "durable":
                unit.fact(facts.TopicRemoved(topic.id))
        for exchange in list(self.catalog.exchanges.values()):
            if exchange.set.lifetime != "durable":
                unit.fact(facts.ExchangeRemoved(exchange.set.id))
        for gone in definitions.left_empty(self.catalog):
            unit.fact(gone)
        if unit.changes:
            await unit.submit()

    def session(self, principal: str = "local") -> Session:
        """A session for a caller; every other method takes one."""
        return self.access.open(principal)

    def end_session(self, session: Session) -> None:
        """The caller is gone: its leases without time end, and what lived as long as it."""
        for queue_id in self.holders.take(session.id):
            queue = self.catalog.queues.get(queue_id)
            unit = self.journal.unit()
            if queue is not None:
                queue.end_session(unit, session.id)
            if unit.changes:
                unit.submit()
        session.end()

    # ---- the catalogue --------------------------------------------------------------------------------------------

    def topic(self, namespace: str, name: str) -> Topic:
        """Raises UnknownTopic."""
        return self.catalog.topic(namespace, name)

    def queue(self, namespace: str, name: str) -> Queue:
        """Raises UnknownQueue."""
        return self.catalog.queue(namespace, name)

    def check_new_topic(self, session: Session, asked: TopicDefinition) -> None:
        """Raises what `create_topic` would raise."""
        self.access.check(session, "create", asked.name, asked.namespace)
        definitions.check_new_topic(self.catalog, asked)

    def create_topic(self, session: Session, asked: TopicDefinition) -> Pending[Topic]:
        """Make a topic.

        Raises:
            AlreadyExists, InvalidName, InvalidArgument, Overloaded: nothing was made.
        """
        self.check_new_topic(session, asked)
        fact = definitions.topic_made(self.catalog, asked, self.clock.now_ms())
        self._end_with(session, asked.lifetime, self.catalog.topics, facts.TopicRemoved(fact.id))
        name = ("topic", asked.namespace, asked.name)
        return self.make([name], [fact], lambda: self.catalog.topics[fact.id])

    def _end_with(self, session: Session, lifetime: definition.Lifetime, known: Container[int], *gone: Removal) -> None:
        """What is made to live as long as a session goes with it, if it is still known then."""

        def drop() -> None:
            if gone[0].id in known and self.journal.writable and not self.journal.closed:
                also = definitions.emptied(self.catalog, *[fact.id for fact in gone])
                self.make(self._going(also), [*gone, *also], lambda: None)

        if lifetime == "session":
            session.on_end(drop)

    def _going(self, gone: Sequence[facts.Fact]) -> list[Key]:
        """The exchanges that go along with something else, as names: until then nobody is to bind from them."""
        found = [self.catalog.exchanges[fact.id].set for fact in gone if isinstance(fact, facts.ExchangeRemoved)]
        keys = [("exchange", declared.namespace, declared.name) for declared in found]
        return [key for key in keys if key not in self.catalog.making]

    def make(
        self,
        names: Sequence[Key],
        made: Sequence[facts.Fact],
        result: Callable[[], T],
        reserve: Callable[[], None] = lambda: None,
    ) -> Pending[T]:
        """Submit a definition. Until it is durable nobody else changes what has one of these names.

        Raises:
            BeingChanged: somebody else does; `quiet` waits for that.
        """
        making = self.catalog.making
        for kind, namespace, name in names:
            if (kind, namespace, name) in making:
                raise BeingChanged(kind, name)
        unit = self.journal.unit()
        for fact in made:
            unit.fact(fact)
        pending: Pending[T] = Pending()

        def finished(done: Pending[list[Placed]]) -> None:
            for name in names:
                making.pop(name, None)
            pending.settle(result() if done.error is None else None, done.error)

        def begin() -> None:
            making.update(dict.fromkeys(names, pending))
            reserve()

        unit.step(None, begin, 0)
        unit.submit().add_done_callback(finished)
        return pending

    async def quiet(self, kind: str, namespace: str, *names: str) -> None:
        """Wait until no request is changing what has one of these names."""
        for name in names:
            while (making := self.catalog.making.get((kind, namespace, name))) is not None:
                await making

    def check_topic(self, session: Session, asked: TopicDefinition) -> None:
        """Raises what `alter_topic` would raise."""
        self.access.check(session, "alter", asked.name, asked.namespace)
        definitions.check_altered_topic(self.topic(asked.namespace, asked.name).set, asked)

    def alter_topic(self, session: Session, asked: TopicDefinition) -> Pending[Topic]:
        """Change a topic's configuration or add partitions.

        Raises:
            UnknownTopic, InvalidArgument: nothing was changed.
        """
        self.check_topic(session, asked)
        fact = definitions.topic_altered(self.topic(asked.namespace, asked.name).set, asked)
        return self.make([("topic", fact.namespace, fact.name)], [fact], lambda: self.catalog.topics[fact.id])

    def remove_topic(self, session: Session, namespace: str, name: str) -> Pending[None]:
        """Remove a topic with its records; or a queue with the topic it owns.

        Raises:
            UnknownTopic, InUse: nothing was removed.
        """
        self.access.check(session, "remove", name, namespace)
        gone = definitions.topic_gone(self.catalog, self.topic(namespace, name))
        return self.make([("topic", namespace, name), *self._going(gone)], gone, lambda: None)

    async def resolve_view(self, asked: QueueDefinition) -> tuple[int, ...]:
        """The offsets at which a view begins, one a partition of the topic that it views. Raises UnknownTopic."""
        if asked.view_of is None:
            return ()
        start: StartAt = ("time", asked.view_start) if isinstance(asked.view_start, int) else asked.view_start
        shared = self.topic(asked.namespace, asked.view_of)
        return tuple([await self.resolve(partition, start) for partition in shared.partitions])

    def create_queue(
        self, session: Session, asked: QueueDefinition, view_start: tuple[int, ...] = ()
    ) -> Pending[Queue]:
        """Make a queue with the topic it owns; a topic of that name that no queue owns is adopted.

        Args:
            session: of the caller.
            asked: what is to be made.
            view_start: for a view, what `resolve_view` gave; partitions beyond it are taken from their start.

        Raises:
            AlreadyExists, UnknownTopic (the one to view), Unsupported, InvalidArgument: nothing was made.
        """
        self.access.check(session, "create", asked.name, asked.namespace)
        self._check_reach(session, asked)
        topic, queue = definitions.queue_made(self.catalog, asked, view_start, self.clock.now_ms())
        own = [name for name in (asked.name, asked.view_of) if name is not None]
        names = [("topic", asked.namespace, name) for name in own]
        pending = self.make(names, [topic, queue], lambda: self.catalog.queues[queue.id])

        def made(done: Pending[Queue]) -> None:
            """Only now: a session may end before its queue is there, and then takes it along at once."""
            if done.error is None and asked.lifetime == "session":
                self.catalog.owners[queue.id] = session.id
                gone = facts.QueueRemoved(queue.id), facts.TopicRemoved(topic.id)
                self._end_with(session, asked.lifetime, self.catalog.queue_sets, *gone)

        pending.add_done_callback(made)
        return pending

    def _check_reach(self, session: Session, asked: QueueDefinition) -> None:
        """Nobody reads a topic by viewing it, or writes to one by letting letters die, who may not do so directly."""
        if asked.view_of is not None:
            self.access.check(session, "read", asked.view_of, asked.namespace)
        for name in (asked.config.dead, asked.config.dead_exchange):
            if name:
                self.access.check(session, "publish", name, asked.namespace)

    def alter_queue(self, session: Session, asked: QueueDefinition) -> Pending[Queue]:
        """Change how a queue hands out; its topic's configuration too.

        Raises:
            UnknownQueue, Unsupported, InvalidArgument: nothing was changed.
        """
        self.access.check(session, "alter", asked.name, asked.namespace)
        self._check_reach(session, asked)
        queue = self.queue(asked.namespace, asked.name)
        changed = definitions.queue_altered(self.catalog, self.catalog.queue_sets[queue.id], asked)
        return self.make([("topic", asked.namespace, asked.name)], changed, lambda: self.catalog.queues[queue.id])

    def _make_queue(self, declared: facts.QueueSet) -> Queue:
        """The lens of a queue, when the catalogue learns of it; live at once unless that is in replay."""
        sources = self._sources_of(declared)
        config = self.catalog.effective(declared)
        queue = Queue(declared.id, declared.name, config, sources, self.journal, self.clock, self.holders)
        queue.on_due = self._on_due
        if self._replayed:
            queue.recovered()
        return queue

    def _sources_of(self, declared: facts.QueueSet) -> list[QueueSource]:
        """The partitions that a queue takes from: its own topic's, then those that it views."""
        own = self.catalog.topics[declared.topic]
        sources = [QueueSource(partition, 0, own=True, topic=own.name) for partition in own.partitions]
        if declared.view_of is not None:
            shared = self.catalog.topics[declared.view_of]
            for partition in shared.partitions:
                # Partitions that the topic got after the view was made are taken from their start.
                known = partition.index < len(declared.view_start)
                start = declared.view_start[partition.index] if known else 0
                sources.append(QueueSource(partition, start, own=False, topic=shared.name))
        return sources

    def create_exchange(self, session: Session, asked: ExchangeDefinition) -> Pending[Exchange]:
        """Make an exchange.

        Raises:
            AlreadyExists, InvalidName, Overloaded: nothing was made.
        """
        self.access.check(session, "create", asked.name, asked.namespace)
        if asked.alternate is not None:
            self.access.check(session, "publish", asked.alternate, asked.namespace)
        fact, topic, queue = definitions.exchange_made(self.catalog, asked, self.clock.now_ms())
        gone: list[Removal] = [facts.ExchangeRemoved(fact.id)]
        names: list[Key] = [("exchange", asked.namespace, asked.name)]
        made: list[facts.Fact] = [fact]
        if topic is not None and queue is not None:
            gone += [facts.QueueRemoved(queue.id), facts.TopicRemoved(topic.id)]
            names.append(("topic", topic.namespace, topic.name))
            made += [topic, queue]
        self._end_with(session, asked.lifetime, self.catalog.exchanges, *gone)

        def known() -> Exchange:
            exchange = self.catalog.exchanges[fact.id]
            self.delays.watch(exchange)
            return exchange

        return self.make(names, made, known)

    def remove_exchange(self, session: Session, namespace: str, name: str, *, if_unused: bool = False) -> Pending[None]:
        """Remove an exchange with the bindings from it and to it. Raises UnknownExchange, InUse."""
        self.access.check(session, "remove", name, namespace)
        gone = definitions.exchange_gone(self.catalog, self.catalog.exchange(namespace, name), if_unused=if_unused)
        return self.make([("exchange", namespace, name), *self._going(gone)], gone, lambda: None)

    def bind(self, session: Session, asked: Binding, *, unbind: bool = False) -> Pending[None]:
        """Route from an exchange to a topic or to another exchange, or stop that.

        Raises:
            UnknownExchange, UnknownTopic, InvalidArgument, Overloaded: nothing was changed.
            BeingChanged: the exchange is being removed; `quiet` waits for that.
        """
        self.access.check(session, "alter", asked.exchange, asked.namespace)
        self.access.check(session, "publish", asked.to_exchange or asked.topic, asked.namespace)
        own = ("exchange", asked.namespace, asked.exchange)
        if own in self.catalog.making:
            raise BeingChanged("exchange", asked.exchange)
        names = [("binding", asked.namespace, repr(asked))]
        if unbind:
            gone = definitions.unbound(self.catalog, asked)
            return self.make([*names, *self._going(gone)], gone, lambda: None)
        made = definitions.bound(self.catalog, asked)
        exchange = self.catalog.exchanges[made.exchange]

        def flies() -> None:
            exchange.flying += 1

        def landed(_: Pending[None]) -> None:
            exchange.flying -= 1

        pending = self.make(names, [made], lambda: None, flies)
        pending.add_done_callback(landed)
        return pending

    # ---- publishing -----------------------------------------------------------------------------------------------

    def publish(
        self,
        session: Session,
        topic: Topic,
        records: Sequence[Record],
        options: Options = PLAIN,
        partition: int | None = None,
    ) -> Pending[list[Appended]]:
        """Append records to a topic (a queue's own topic is one); done when they are durable.

        Raises:
            RecordTooLarge, KeyRequired, InvalidArgument, UnknownPartition: nothing was appended.
            QueueFull: nothing was appended there; where the queue wants it, dead letters say so.
            UnitTooLarge, Overloaded, StorageFull, StorePoisoned: nothing was appended.
        """
        unit = self.journal.unit()
        try:
            known, shares = self.add(session, unit, topic, records, options, partition)
        except QueueFull as full:
            letters = self.burial.turn_away([publishing.Refusal(topic, full)], records)
            if letters is not None:
                letters.submit()
            raise
        return known if known is not None else self._submit(session, unit, shares)

    def _submit(self, session: Session, unit: Unit, shares: Sequence[Share]) -> Pending[list[Appended]]:
        """Submit a unit whose results are those of these shares, in their order."""
        size = len(shares[0].batch)
        if len(shares) > 1:  # of a fan-out many share their bytes
            size = sum({id(share.batch): len(share.batch) for share in shares}.values())
        session.credit.take(size)
        pending: Pending[list[Appended]] = Pending()

        def finished(done: Pending[list[Placed]]) -> None:
            session.credit.give(size)
            if done.error is not None:
                pending.settle(None, done.error)
                return
            now_ms = self.journal.time_ms
            rows = zip(shares, done.result(), strict=True)
            pending.settle([share.appended(base, now_ms) for share, (_, base, _) in rows])

        try:
            unit.submit().add_done_callback(finished)
        except BaseException:
            session.credit.give(size)
            raise
        return pending

    def add(
        self,
        session: Session,
        unit: Unit,
        topic: Topic,
        records: Sequence[Record],
        options: Options = PLAIN,
        partition: int | None = None,
    ) -> tuple[Pending[list[Appended]] | None, list[Share]]:
        """Add a publish to a unit. When its de-duplication id is known, gives that publish's result instead."""
        self.access.check(session, "publish", topic.name, topic.set.namespace)
        prepared = Publish(records, self.clock.now_ms(), options)
        if options.dedup is not None:
            key = digest(options.dedup)
            known = self._known(topic, key)
            if known is not None:
                return known, []
            unit.step(None, lambda: self._fly(topic, key, unit.pending), 0)
        shares = prepared.shares(topic, partition)
        publishing.land(unit, prepared, topic)
        for share in shares:
            share.partition.append(unit, share.batch, attributes=share.attributes, principal=session.principal_id)
        return None, shares

    def _known(self, topic: Topic, key: bytes) -> Pending[list[Appended]] | None:
        """The result of an earlier publish with this de-duplication id, which may be on its way."""
        flying = topic.dedup_flying.get(key)
        if flying is not None:
            return flying
        hit = topic.window().find(key, self.clock.now_ms())
        return None if hit is None else settled([_first(topic, hit)])

    def _fly(self, topic: Topic, key: bytes, landing: Pending[list[Placed]]) -> None:
        """A publish with a de-duplication id was submitted: who comes with the same id shares its fate."""
        flying = topic.dedup_flying[key] = Pending()

        def landed(done: Pending[list[Placed]]) -> None:
            topic.dedup_flying.pop(key, None)
            hit = topic.window().known(key)
            flying.settle(None if hit is None else [_first(topic, hit)], done.error)

        landing.add_done_callback(landed)

    def _attributes(self, partition: Partition, base_offset: int, batch: bytes, time_ms: int) -> None:
        """A batch with queue attributes is durable: remember its de-duplication ids."""
        topic = self.catalog.topic_of(partition.id)
        if topic is None:
            return
        for key, offset in publishing.dedup_digests(batch, base_offset):
            topic.window().add(key, time_ms, partition.id, offset)
        if publishing.EXPIRE.encode() in batch:
            for queue in self.catalog.readers(topic)[1]:
                self.dues.at(queue.id, self.clock.monotonic_ms())

    def check_batch(self, session: Session, topic: Topic, partition: int, batch: bytes) -> batches.BatchHeader:
        """The header of a batch that `append_batch` would take, as far as that can be told beforehand. Raises as it."""
        self.access.check(session, "publish", topic.name, topic.set.namespace)
        header = batches.check(batch)
        foreign.check(topic, partition, header, len(batch))
        return header

    def append_batch(self, session: Session, topic: Topic, partition: int, batch: bytes) -> Pending[list[Appended]]:
        """Append a producer's batch, verbatim unless its topic asks for something else. Idempotent producers are known.

        The topic's limit of a record is that of a whole batch here, as in Kafka. Where the topic compacts, bounds
        timestamps, feeds a queue or has a codec of its own, the records are looked at off the loop, and the result may
        fail with KeyRequired, InvalidTimestamp or UnsupportedCompression, and what else is raised here.

        Raises:
            InvalidBatch, OutOfOrderSequence, StaleProducer, UnknownPartition, RecordTooLarge, QueueFull: nothing was
                appended.
            Unsupported: the batch is part of a transaction.
        """
        header = self.check_batch(session, topic, partition, batch)
        place = topic.partitions[partition]
        queued = self.catalog.feeds_queue(topic.id)
        if not self.lanes.busy(place.id) and not foreign.must_be_opened(topic, header, queued=queued):
            return self._append_checked(session, topic, place, batch, header)
        size = len(batch)
        session.credit.take(size)

        return self.lanes.add(
            place.id,
            lambda: foreign.opened(topic, batch, self.clock.now_ms(), queued=queued),
            lambda: session.credit.give(size),
            lambda made: self._append_checked(session, topic, place, made, batches.header(made)),
        )

    def _append_checked(
        self, session: Session, topic: Topic, place: Partition, batch: bytes, header: batches.BatchHeader
    ) -> Pending[list[Appended]]:
        if topic.set.config.timestamps == "append":
            batch = batches.stamped(batch, self.clock.now_ms())
            header = batches.header(batch)
        key = (place.id, header.producer_id, header.producer_epoch, header.base_sequence)
        if header.producer_id >= 0:
            known = place.find_producer(header)
            if known is not None:
                # It may still be on its way to the disk: then its first request and this one share the answer.
                first = Appended(topic.name, place.index, known, header.count, 0, duplicate=True)
                return self._flying.get(key) or settled([first])
        if topic.lens is not None and topic.lens.bounded:
            topic.lens.check_room(header.count, len(batch))
        unit = self.journal.unit()
        share = Share(topic, place, None, header.count, batch, contains(batch, publishing.PREFIX))
        principal = session.principal_id
        place.append(unit, batch, attributes=share.attributes, principal=principal, header=header)
        if header.producer_id < 0:
            return self._submit(session, unit, [share])
        unit.step(None, lambda: place.remember_producer(header, place.next_offset), 0)
        pending = self._submit(session, unit, [share])

        def landed(_: Pending[list[Appended]]) -> None:
            self._flying.pop(key, None)

        self._flying[key] = pending
        pending.add_done_callback(landed)
        return pending

    def route(
        self,
        session: Session,
        exchange: Exchange | None,
        keys: Sequence[str],
        records: Sequence[Record],
        options: Options = PLAIN,
        headers: Callable[[], Headers] | None = None,
        *,
        namespace: str = definition.DEFAULT_NAMESPACE,
        unit: Unit | None = None,
        due: bool = False,
        message_id: str | None = None,
    ) -> Routed:
        """Publish to all topics that an exchange leads to: one stored batch, one placement a topic.

        Every topic decides for itself: one that refuses (too large a record, no key, full) is named in the answer and
        the others have the records. Who may publish to an exchange may reach what is bound to it; that was decided when
        it was bound.

        Args:
            session: of the caller.
            exchange: None for the default exchange, which leads to the topic of a key's name.
            keys: routing keys: the publisher's own, then those to which copies go.
            records: at least one; all go the same way.
            options: queue attributes; a de-duplication id counts in each topic for itself.
            headers: gives those that exchanges of kind headers look at; without it those of the first record are
                taken, and all records have to have the same.
            namespace: in which the default exchange looks.
            unit: adds it there, for the caller to submit, instead of submitting one of its own.
            message_id: of the one record: topics that know messages by their ids take it once.
            due: route at once, also what an exchange that delays would keep until it is due.

        Raises:
            InvalidArgument: too many keys, an internal exchange, records that no one answer can be given for.
            UnitTooLarge, Overloaded, StorageFull, StorePoisoned: nothing was appended anywhere.
        """
        if not 1 <= len(keys) <= ROUTING_KEYS_MAX:
            raise InvalidArgument("keys", f"there are {len(keys)}; a publish has 1 to {ROUTING_KEYS_MAX}")
        targets: Sequence[Topic]
        delaying = exchange is not None and exchange.set.delayed and not due
        if delaying and exchange is not None and (options.due_ms is not None or delays.waits(records[0])):
            targets = [self.topic(exchange.set.namespace, delays.hold_name(exchange.name))]
            self.access.check(session, "publish", exchange.name, exchange.set.namespace)
            full = delays.full(targets[0], len(records))
            if full is not None:
                return Routed(settled([]), targets, [publishing.Refusal(targets[0], full)])
            records = delays.held(records, keys)
        else:
            found = headers or (lambda: publishing.headers_of(records))
            targets = self._targets(session, exchange, keys, found, namespace)
        if not targets:
            return Routed(settled([]), (), ())
        prepared, into = Publish(records, self.clock.now_ms(), options), unit or self.journal.unit()
        known: list[Pending[list[Appended]]] = []
        fresh: Sequence[Topic] = targets
        shares: list[Share] = []
        refused: list[publishing.Refusal] = []
        if options.dedup is not None:
            fresh, known = self._fresh(into, targets, digest(options.dedup))
        elif message_id is not None and self.catalog.knowing:
            fresh = [topic for topic in targets if not topic.set.config.message_ids]
            once = [topic for topic in targets if topic.set.config.message_ids]
            new, known = self._fresh(into, once, digest(message_id))
            marked = Publish(records, self.clock.now_ms(), options._replace(dedup=message_id))
            shares, refused = publishing.fan_out(into, marked, new, session.principal_id)
        more, refused_more = publishing.fan_out(into, prepared, fresh, session.principal_id)
        shares, refused = [*shares, *more], [*refused, *refused_more]
        if shares and unit is None:
            known.append(self._submit(session, into, shares))
        letters = self.burial.turn_away(refused, prepared.records) if refused and unit is None else None
        if letters is not None:
            known.append(publishing.nowhere(letters.submit()))
        return Routed(publishing.together(known), targets, refused)

    def _targets(
        self,
        session: Session,
        exchange: Exchange | None,
        keys: Sequence[str],
        headers: Callable[[], Headers],
        namespace: str,
    ) -> Sequence[Topic]:
        if exchange is not None:
            self.access.check(session, "publish", exchange.name, exchange.set.namespace)
            if exchange.set.internal:
                raise InvalidArgument("exchange", f"{exchange.name!r} is internal and takes from other exchanges only")
            return self.catalog.targets(exchange, keys, headers)
        self.access.check_all(session, "publish", keys, namespace)
        names = self.catalog.topic_names
        found = [names.get((namespace, key), 0) for key in dict.fromkeys(keys)]
        return [self.catalog.topics[topic] for topic in found if topic]

    def _fresh(
        self, unit: Unit, targets: Sequence[Topic], key: bytes
    ) -> tuple[list[Topic], list[Pending[list[Appended]]]]:
        """The topics that do not know a de-duplication id yet, and the results of those that do."""
        fresh, known = [], []
        for topic in targets:
            earlier = self._known(topic, key)
            if earlier is not None:
                known.append(earlier)
            else:
                fresh.append(topic)
                unit.step(None, lambda topic=topic: self._fly(topic, key, unit.pending), 0)  # type: ignore[misc]
        return fresh, known

    # ---- streams --------------------------------------------------------------------------------------------------

    async def fetch(
        self, session: Session, places: Sequence[tuple[Partition, int]], max_bytes: int, wait_ms: int = 0
    ) -> list[Fetched]:
        """Batches from offsets; waits up to `wait_ms` for the first. Raises OffsetOutOfRange, Damaged, Overloaded."""
        for partition, _ in places:
            self.access.check(session, "read", self.catalog.name_of_topic(partition.id))
        return await self.polls.fetch(places, max_bytes=max_bytes, wait_ms=wait_ms)

    async def resolve(self, partition: Partition, start: StartAt) -> int:
        """The offset that a start stands for, within what exists."""
        if start == "earliest":
            return partition.log_start
        if start == "latest":
            return partition.high_watermark
        if isinstance(start, tuple):
            found = await partition.offset_for_time(start[1])
            return partition.high_watermark if found is None else found
        if not isinstance(start, int):
            raise InvalidArgument("start", f"{start!r} is not an offset, a time, 'earliest' or 'latest'")
        return min(max(start, partition.log_start), partition.high_watermark)

    def trim(self, session: Session, topic: Topic, partition: int, to: int) -> Pending[list[Placed]]:
        """Delete the records of a partition below an offset; done when that is durable.

        Raises:
            UnknownPartition, OffsetOutOfRange: nothing was deleted.
        """
        self.access.check(session, "remove", topic.name, topic.set.namespace)
        if not 0 <= partition < len(topic.partitions):
            raise UnknownPartition(topic.name, partition, len(topic.partitions))
        place = topic.partitions[partition]
        if not 0 <= to <= place.high_watermark:
            raise OffsetOutOfRange(to, place.log_start, place.high_watermark)
        unit = self.journal.unit()
        if to > place.log_start:
            self.housekeeping.add_trim(unit, topic, place, Decision(to, "asked for"))
        return unit.submit()

    async def record_at(self, partition: Partition, offset: int) -> StoredRecord | None:
        """One record, or None when there is none at that offset (any more)."""
        if not partition.log_start <= offset < partition.high_watermark:
            return None
        for batch in await partition.read(offset, 1):
            for record in batches.decode(batch.data, from_offset=offset):
                if record.offset == offset:
                    return record
        return None

    async def group(self, session: Session, namespace: str, name: str, *, expires: bool = False) -> ConsumerGroup:
        """A consumer group, declared now if it is not known. Raises InvalidName.

        One that `expires` is forgotten when nobody uses it, until somebody asks for it who wants it kept.
        """
        self.access.check(session, "consume", name, namespace)
        definition.check_name(name)
        await self.quiet("group", namespace, name)
        known = self.catalog.group_names.get((namespace, name))
        if known is not None:
            group = self.catalog.groups[known]
            if expires or not group.expires:
                return group
            fact = facts.GroupSet(group.id, namespace, name, group.created_ms)
        else:
            fact = facts.GroupSet(self.catalog.new_id(), namespace, name, self.clock.now_ms(), expires)
        return await self.make([("group", namespace, name)], [fact], lambda: self.catalog.groups[fact.id])

    def member(self, group: ConsumerGroup, namespace: str, topic: str, start: StartAt) -> Member:
        """A consumer of this process in a group."""
        return Member(self, group, namespace, topic, start)

    def commit(  # the fields of a commit
        self,
        session: Session,
        group: ConsumerGroup,
        partition: Partition,
        progress: Progress,
        *,
        member: str = "",
        generation: int = -1,
        metadata: str = "",
    ) -> Pending[list[Placed]]:
        """Set a group's position in a partition. Raises StaleGeneration, UnknownMember, OffsetOutOfRange."""
        self.access.check(session, "commit", group.name, group.namespace)
        self.access.check(session, "read", self.catalog.name_of_topic(partition.id))
        unit = self.journal.unit()
        now_ms = self.clock.now_ms()
        fact = committed(group, partition, progress, generation=generation, metadata=metadata, now_ms=now_ms)
        unit.fact(fact)
        unit.step(lambda: group.members.check(member, generation), lambda: group.reserve(fact))
        group.active_ms = now_ms
        return unit.submit()

    async def seek(
        self, session: Session, namespace: str, group_name: str, topic_name: str, to: StartAt
    ) -> list[tuple[int, int]]:
        """Move a group without members; (partition, floor) rows. Raises UnknownGroup, GroupNotEmpty."""
        self.access.check(session, "administer", group_name, namespace)
        self.access.check(session, "read", topic_name, namespace)
        group = self._empty_group(namespace, group_name)
        topic = self.topic(namespace, topic_name)
        unit, rows = self.journal.unit(), []
        for partition in topic.partitions:
            floor = await self.resolve(partition, to)
            fact = committed(group, partition, Progress(floor, (), ()), now_ms=self.clock.now_ms())
            unit.fact(fact)
            unit.step(None, lambda fact=fact: group.reserve(fact))  # type: ignore[misc]
            rows.append((partition.index, floor))
        unit.step(lambda: self._check_empty(group), lambda: None)
        await unit.submit()
        return rows

    def remove_group(self, session: Session, namespace: str, name: str) -> Pending[None]:
        """Forget a group without members. Raises UnknownGroup, GroupNotEmpty."""
        self.access.check(session, "administer", name, namespace)
        return self.forget_group(self._empty_group(namespace, name))

    def forget_group(self, group: ConsumerGroup) -> Pending[None]:
        """Remove a group that is known to be without members. Raises BeingChanged."""
        gone = facts.GroupRemoved(group.id)
        return self.make([("group", group.namespace, group.name)], [gone], lambda: None, group.members.remove)

    def _empty_group(self, namespace: str, name: str) -> ConsumerGroup:
        group = self.catalog.group(namespace, name)
        self._check_empty(group)
        return group

    @staticmethod
    def _check_empty(group: ConsumerGroup) -> None:
        if group.members.describe().members:
            raise GroupNotEmpty(group.name)

    # ---- queues ---------------------------------------------------------------------------------------------------

    def bury(self, unit: Unit, queue: Queue, died: Sequence[Dead]) -> None:
        """Add the dead letters of a queue to the unit that settles what they were. Raises as `Burial.bury`."""
        if died:
            self.burial.bury(unit, queue, died)


def settled(result: list[Appended]) -> Pending[list[Appended]]:
    """A result that needs no waiting for."""
    pending: Pending[list[Appended]] = Pending()
    pending.settle(result)
    return pending


def _first(topic: Topic, hit: DedupHit) -> Appended:
    """Where the first record with a de-duplication id went, as the result of the second."""
    return Appended(topic.name, hit.partition & (1 << PARTITION_BITS) - 1, hit.offset, 1, 0, duplicate=True)
