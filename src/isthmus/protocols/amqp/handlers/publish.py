"""basic.publish: messages gathered into batches, routed, returned where nobody takes them, and confirmed.

Consecutive messages that go the same way are one batch of the log. What a message means is read once for all that share
its properties; nothing here waits for the disk.

Spec: AMQP 0-9-1 basic.publish and basic.return, RabbitMQ "Consumer Acknowledgements and Publisher Confirms".
"""

from collections import deque
from typing import Any

from isthmus.broker.catalog import Exchange
from isthmus.broker.publishing import PLAIN, Routed
from isthmus.errors import IsthmusError, Overloaded, RecordTooLarge
from isthmus.limits import AMQP_RUN_BYTES_MAX, AMQP_RUN_RECORDS_MAX
from isthmus.log.pending import Pending
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

    __slots__ = ("exchange", "key", "keys", "messages", "mixes", "name", "records", "shape", "size")

    def __init__(self, name: str, exchange: Exchange | None, keys: tuple[str, ...], of: Shape, *, mixes: bool) -> None:
        self.name = name
        self.exchange = exchange
        self.keys = keys
        self.key = keys[0].encode()
        self.shape = of
        self.mixes = mixes
        """Whether messages with other properties go the same way for certain."""
        self.records: list[Record] = []
        self.messages: list[Published] = []
        """Those that want to come back when nobody takes them: all or none."""
        self.size = 0


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

    def add(self, message: Published) -> None:
        """Take one message.

        Raises:
            Refused: it cannot be published; messages before it are on their way.
        """
        name, key, raw = message.exchange, message.routing_key, message.properties
        if not name and is_reply_key(key):
            self._reply(message)
            return
        of = shape(name, raw)
        if of.reply_to == PSEUDO_QUEUE:
            raw = with_reply_to(self._channel, raw)
            of = shape(name, raw)
        run = self._run
        if (
            run is None
            or run.name != name
            or run.keys[0] != key
            or message.mandatory is not bool(run.messages)
            or (of is not run.shape and not (run.mixes and of.is_plain))
            or len(run.records) >= AMQP_RUN_RECORDS_MAX
            or run.size >= AMQP_RUN_BYTES_MAX
        ):
            run = self._begin(message, of)
        run.records.append(record(of, run.key, message.body, self._now_ms(of)))
        run.size += len(message.body)
        if message.mandatory:
            run.messages.append(message)
        self._channel.touch()

    def _now_ms(self, of: Shape) -> int:
        return self._link.broker.clock.now_ms() if of.timed else 0

    def _begin(self, message: Published, of: Shape) -> Run:
        """A run for a message that cannot join the one before it."""
        self.flush()
        if message.immediate:
            raise Refused(Code.NOT_IMPLEMENTED, "immediate=true")
        name, key = message.exchange, message.routing_key
        exchange = self._exchange(name)
        principal = self._link.session.principal
        if of.user_id is not None and of.user_id != self._link.user:
            raise Refused(
                Code.PRECONDITION_FAILED,
                f"user_id property set to '{of.user_id}' but authenticated user was '{self._link.user or principal}'",
            )
        mixes = exchange is None or (exchange.id, key) in self._link.broker.catalog.routes
        self._run = Run(name, exchange, (key, *of.keys), of, mixes=mixes and of.is_plain)
        self._runs.append(self._run)
        return self._run

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
        """Route what was gathered, as far as the disk has room."""
        self._run = None
        self.stuck = False
        while self._runs:
            run = self._runs[0]
            try:
                routed = self._route(run)
            except Overloaded:
                self.stuck = True
                return
            except IsthmusError as error:
                self._runs.popleft()
                self._refused(self._confirming(run), error)
                continue
            self._runs.popleft()
            self._began(run, routed)

    def drop(self) -> None:
        """Forget what was gathered: the channel has ended because of what came before it."""
        self._run = None
        self._runs.clear()

    def _confirming(self, run: Run) -> Confirming | None:
        confirms = self._channel.confirms
        return None if confirms is None else confirms.begin(len(run.records))

    def _began(self, run: Run, routed: Routed) -> None:
        """A batch is on its way, or nobody takes it: that is told before it is confirmed."""
        confirming = self._confirming(run)
        if not routed.topics:
            for message in run.messages:
                self._give_back(message)
        self._channel.began(routed.pending)
        if confirming is not None or routed.refused:
            routed.pending.add_done_callback(lambda done: self._landed(confirming, routed, done))

    def _reply(self, message: Published) -> None:
        """A reply for whoever waits for it on a channel of this server."""
        self.flush()
        confirms = self._channel.confirms
        confirming = None if confirms is None else confirms.begin(1)
        if not self._link.shared.replies.deliver(message) and message.mandatory:
            self._give_back(message)
        self.answer(confirming, ok=True)

    def _route(self, run: Run) -> Routed:
        return self._link.broker.route(
            self._channel.session,
            run.exchange,
            run.keys,
            run.records,
            PLAIN,
            lambda: comparable(run.shape.table()),
            namespace=self._link.namespace,
        )

    def _give_back(self, message: Published) -> None:
        self._link.give(
            self._channel.number,
            m.BasicReturn(Code.NO_ROUTE, Code.NO_ROUTE.name, message.exchange, message.routing_key),
            message.properties,
            message.body,
        )

    def _landed(self, confirming: Confirming | None, routed: Routed, done: Pending[Any]) -> None:
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

    def _refused(self, confirming: Confirming | None, error: Exception) -> None:
        """A batch was not taken: who waits for confirms is told so, others lose their channel."""
        if confirming is not None:
            self.answer(confirming, ok=False)
        else:
            wrong = error if isinstance(error, IsthmusError) else IsthmusError(str(error))
            self._channel.fail(refused(wrong), m.BasicPublish())

    def answer(self, confirming: Confirming | None, *, ok: bool) -> None:
        """This is what became of a batch; tell what can be told."""
        confirms = self._channel.confirms
        if confirming is None or confirms is None or self._channel.closing:
            return
        confirming.ok = ok
        number = self._channel.number
        for each in confirms.ready():
            self._link.send(settled_frame(number, each.number, multiple=each.multiple, taken=each.ok))
