"""basic.publish: messages gathered into batches, routed, returned where nobody takes them, and confirmed.

Consecutive messages that go the same way are one batch of the log, and so are those of a slice that go to one queue by
the default exchange, whatever goes to other queues in between: the order within each queue is that of the channel. What
a message means is read once for all that share its properties; nothing here waits for the disk.

Spec: AMQP 0-9-1 basic.publish and basic.return, RabbitMQ "Consumer Acknowledgements and Publisher Confirms".
"""

from collections import deque
from typing import Any

from isthmus.broker.catalog import Exchange
from isthmus.broker.publishing import PLAIN, Routed
from isthmus.errors import IsthmusError, Overloaded, RecordTooLarge
from isthmus.limits import AMQP_RUN_BYTES_MAX, AMQP_RUN_RECORDS_MAX, AMQP_RUNS_MAX
from isthmus.log.pending import Pending
from isthmus.log.unit import Unit
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.channel import Run as Confirming
from isthmus.protocols.amqp.codec import settled_frame
from isthmus.protocols.amqp.connection import Published
from isthmus.protocols.amqp.errors import Code, Refused, refused
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.matching import comparable
from isthmus.protocols.amqp.handlers.records import Shape, record, shape
from isthmus.protocols.amqp.handlers.replies import PSEUDO_QUEUE, is_reply_key, with_reply_to
from isthmus.record import Record


class Run:
    """Messages of a channel that go the same way: the batch that the next ones join."""

    __slots__ = (
        "alone",
        "confirming",
        "exchange",
        "key",
        "keys",
        "messages",
        "mixes",
        "most",
        "name",
        "records",
        "shape",
        "size",
    )

    def __init__(
        self, name: str, exchange: Exchange | None, keys: tuple[str, ...], of: Shape, *, mixes: bool, most: int
    ) -> None:
        self.name = name
        self.exchange = exchange
        self.keys = keys
        self.key = keys[0].encode()
        self.shape = of
        self.alone = False
        """Whether it is for one message, which some queue may know by its id."""
        self.mixes = mixes
        """Whether messages with other properties go the same way for certain."""
        self.most = most
        """How many there may be: one where a queue may have room for some of them and not for all."""
        self.records: list[Record] = []
        self.messages: list[Published] = []
        """Those that want to come back when nobody takes them: all or none."""
        self.confirming: list[Confirming] = []
        """The numbers of its messages, stretch by stretch."""
        self.size = 0

    def takes(self, message: Published, of: Shape) -> bool:
        """Whether a message may join."""
        return (
            self.keys[0] == message.routing_key
            and not self.alone
            and self.name == message.exchange
            and message.mandatory is bool(self.messages)
            and (of is self.shape or (self.mixes and of.is_plain))
            and len(self.records) < self.most
            and self.size < AMQP_RUN_BYTES_MAX
        )


class Publisher:
    """The publishes of one channel.

    `stuck` says that some of them wait for the disk to catch up: then nothing more is to be added.
    """

    def __init__(self, channel: Channel) -> None:
        self.stuck = False
        self._channel = channel
        self._link = channel.link
        self._run: Run | None = None
        self._runs: deque[Run] = deque()
        self._latest: dict[str, Run] = {}
        """By queue the latest run for it alone, while there is no run that may lead to several."""
        self._stretches: list[tuple[Run, int]] = []
        """In the order of the channel, which run got messages and how many it had before."""
        self._size = 0

    def add(self, message: Published) -> None:
        """Take one message.

        Raises:
            Refused: it cannot be published; messages before it are on their way.
        """
        name, key, raw = message.exchange, message.routing_key, message.properties
        if self._channel.transaction is not None:
            self._channel.transaction.grow(len(message.body))
        if not name and is_reply_key(key):
            self._reply(message)
            return
        of = shape(name, raw, delayed=bool(name) and self._delays(name))
        if of.reply_to == PSEUDO_QUEUE:
            raw = with_reply_to(self._channel, raw)
            of = shape(name, raw, delayed=bool(name) and self._delays(name))
        run = self._run
        if run is None or self._is_known_by_id(of) or not run.takes(message, of):
            run = self._run = self._other(message, of) or self._begin(message, of)
            run.alone = self._is_known_by_id(of)
            self._stretches.append((run, len(run.records)))
        run.records.append(record(of, run.key, message.body, self._now_ms(of)))
        run.size += len(message.body)
        self._size += len(message.body)
        if message.mandatory:
            run.messages.append(message)
        self._channel.touch()

    def _is_known_by_id(self, of: Shape) -> bool:
        """Whether some queue may know the message by its id, so that it goes by itself."""
        return of.message_id is not None and bool(self._link.broker.catalog.knowing)

    def _delays(self, name: str) -> bool:
        catalog = self._link.broker.catalog
        found = catalog.exchanges.get(catalog.exchange_names.get((self._link.namespace, name), 0))
        return found is not None and found.set.delayed

    def _other(self, message: Published, of: Shape) -> Run | None:
        """An earlier run for its queue alone that it may join without overtaking anything there."""
        run = None if message.exchange or self._is_known_by_id(of) else self._latest.get(message.routing_key)
        return run if run is not None and run.takes(message, of) else None

    def _now_ms(self, of: Shape) -> int:
        return self._link.broker.clock.now_ms() if of.timed else 0

    def _begin(self, message: Published, of: Shape) -> Run:
        """A run for a message that can join none. What could be overtaken by it goes first."""
        name, key = message.exchange, message.routing_key
        alone = not name and not of.keys
        if not alone or not self._latest or self._size >= AMQP_RUN_BYTES_MAX or len(self._runs) >= AMQP_RUNS_MAX:
            self.flush()
        exchange = self._checked(message, of)
        keys = (key, *of.keys)
        most = 1 if self._may_refuse(exchange, keys, of) else AMQP_RUN_RECORDS_MAX
        mixes = exchange is None or (exchange.id, key) in self._link.broker.catalog.routes
        run = Run(name, exchange, keys, of, mixes=mixes and of.is_plain, most=most)
        self._runs.append(run)
        if alone:
            self._latest[key] = run
        return run

    def _may_refuse(self, exchange: Exchange | None, keys: tuple[str, ...], of: Shape) -> bool:
        """Whether a queue on the way has a bound at which it refuses: then each message is asked for by itself."""
        catalog = self._link.broker.catalog
        if exchange is None:
            found = [catalog.topic_names.get((self._link.namespace, key), 0) for key in keys]
            topics = [catalog.topics[topic] for topic in found if topic]
        else:
            topics = list(catalog.targets(exchange, keys, lambda: comparable(of.table())))
        lenses = [topic.lens for topic in topics]
        return any(lens is not None and lens.bounded and lens.config.overflow != "drop" for lens in lenses)

    def _checked(self, message: Published, of: Shape) -> Exchange | None:
        """The exchange of a message that may be published; if it may not, those before it are on their way."""
        try:
            if message.immediate:
                raise Refused(Code.NOT_IMPLEMENTED, "immediate=true")
            exchange = self._exchange(message.exchange)
            if exchange is None:
                for key in (message.routing_key, *of.keys):
                    self._link.check("publish", "queue", key)
            user = self._link.user
            if of.user_id is not None and of.user_id != user:
                raise Refused(
                    Code.PRECONDITION_FAILED,
                    f"user_id property set to '{of.user_id}' but authenticated user was"
                    f" '{user or self._link.session.principal}'",
                )
        except IsthmusError:
            self.flush()
            raise
        return exchange

    def _exchange(self, name: str) -> Exchange | None:
        if not name:
            return None
        catalog, link = self._link.broker.catalog, self._link
        found = catalog.exchanges.get(catalog.exchange_names.get((link.namespace, name), 0))
        if found is None:
            raise Refused(Code.NOT_FOUND, f"no exchange '{name}' in vhost '{link.vhost}'")
        link.check("publish", "exchange", name)
        if found.set.internal:
            raise Refused(Code.ACCESS_REFUSED, f"cannot publish to internal exchange '{name}' in vhost '{link.vhost}'")
        return found

    # ---- on their way ---------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Route what was gathered, as far as the disk has room; in a transaction it is kept for the commit."""
        self._number()
        self._forget()
        self.stuck = False
        if self._channel.transaction is not None:
            self._channel.transaction.runs += self._runs
            self._runs.clear()
            return
        while self._runs:
            run = self._runs[0]
            try:
                routed = self.route(run)
            except Overloaded:
                self.stuck = True
                return
            except IsthmusError as error:
                self._runs.popleft()
                self._refused(run.confirming, error)
                continue
            self._runs.popleft()
            self._began(run, routed)

    def drop(self) -> None:
        """Forget what was gathered: the channel has ended because of what came before it."""
        self._forget()
        self._runs.clear()

    def _number(self) -> None:
        """Give what was gathered its numbers, in the order in which it came."""
        confirms = self._channel.confirms
        if confirms is None:
            return
        counts: list[tuple[Run, int]] = []
        ends: dict[Run, int] = {}
        for run, start in reversed(self._stretches):
            counts.append((run, ends.get(run, len(run.records)) - start))
            ends[run] = start
        for run, count in reversed(counts):
            run.confirming.append(confirms.begin(count))

    def _forget(self) -> None:
        """Nothing may join what was gathered so far."""
        self._run = None
        self._stretches.clear()
        self._latest.clear()
        self._size = 0

    def _began(self, run: Run, routed: Routed) -> None:
        """A batch is on its way, or nobody takes it: that is told before it is confirmed."""
        confirming = run.confirming
        if not routed.topics:
            self.give_back(run)
        self._channel.began(routed.pending)
        if confirming or routed.refused:
            routed.pending.add_done_callback(lambda done: self._landed(confirming, routed, done))

    def _reply(self, message: Published) -> None:
        """A reply for whoever waits for it on a channel of this server."""
        self.flush()
        confirms = self._channel.confirms
        confirming = [] if confirms is None else [confirms.begin(1)]
        if not self._link.shared.replies.deliver(message) and message.mandatory:
            self._give_back(message)
        self.answer(confirming, ok=True)

    def route(self, run: Run, unit: Unit | None = None) -> Routed:
        """Send a run on its way, or add it to the unit of a transaction."""
        return self._link.broker.route(
            self._channel.session,
            run.exchange,
            run.keys,
            run.records,
            PLAIN,
            lambda: comparable(run.shape.table()),
            namespace=self._link.namespace,
            unit=unit,
            message_id=run.shape.message_id if run.alone else None,
        )

    def give_back(self, run: Run) -> None:
        """Nobody takes a run: its messages return to who wants to hear of it."""
        for message in run.messages:
            self._give_back(message)

    def _give_back(self, message: Published) -> None:
        self._link.give(
            self._channel.number,
            m.BasicReturn(Code.NO_ROUTE, Code.NO_ROUTE.name, message.exchange, message.routing_key),
            message.properties,
            message.body,
        )

    def _landed(self, confirming: list[Confirming], routed: Routed, done: Pending[Any]) -> None:
        """A batch is durable, or is not."""
        error = done.error
        for refusal in routed.refused:
            if isinstance(refusal.error, RecordTooLarge):
                self._channel.fail(refused(refusal.error))
                return
        if error is not None:
            self._refused(confirming, error)
            return
        self.answer(confirming, ok=not routed.refused)

    def _refused(self, confirming: list[Confirming], error: Exception) -> None:
        """A batch was not taken: who waits for confirms is told so, others lose their channel."""
        if confirming:
            self.answer(confirming, ok=False)
        else:
            wrong = error if isinstance(error, IsthmusError) else IsthmusError(str(error))
            self._channel.fail(refused(wrong), m.BasicPublish())

    def answer(self, confirming: list[Confirming], *, ok: bool) -> None:
        """This is what became of a batch; tell what can be told."""
        confirms = self._channel.confirms
        if not confirming or confirms is None or self._channel.closing:
            return
        for each in confirming:
            each.ok = ok
        number = self._channel.number
        for told in confirms.ready():
            self._link.send(settled_frame(number, told.number, multiple=told.multiple, taken=told.ok))
