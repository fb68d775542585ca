"""Delayed exchanges: events that have a due time wait in a queue of the exchange's own, and are routed when it comes.

It consumes those queues and routes what they hand out; where an event goes is decided then, by the bindings of then.

Theory of operation
-------------------
An exchange that delays has a queue, `<name>.delayed`, that is made and removed with it. What is published to the
exchange with the header `isthmus-due` goes there, with its routing keys in a header, and the queue holds it back until
it is due as any queue does. Then it is handed to a standing consumer, which takes both headers off and routes it in the
same unit that acknowledges it: so a crash at any moment neither loses nor doubles it.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final

import msgspec

from isthmus.broker.access import LOCAL, Session
from isthmus.broker.bindings import Headers
from isthmus.broker.catalog import DELAYED
from isthmus.broker.publishing import DUE
from isthmus.definition import ExchangeDefinition, QueueConfig, QueueDefinition
from isthmus.errors import Closed, IsthmusError, QueueFull, RequestError, StorageError
from isthmus.limits import DELAYED_AT_ONCE, DELAYED_RETRY_MS, QUEUE_DELAYED_MAX
from isthmus.log.headers import append_headers, decode_headers, encode_headers, header_value
from isthmus.record import Lease, Leased, Record, StoredRecord

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.broker.catalog import Exchange, Topic
    from isthmus.lenses.queue.queue import Queue
    from isthmus.lenses.queue.takers import Consumer
    from isthmus.log.journal import Placed
    from isthmus.log.pending import Pending

log = logging.getLogger("isthmus.broker")

KEYS: Final = "isthmus-keys"
"""The routing keys of an event that waits: a MessagePack array of text."""

_keys: Final = msgspec.msgpack.Decoder(list[str])


def hold_of(asked: ExchangeDefinition) -> QueueDefinition:
    """The queue in which the events of a delayed exchange wait. It lives as long as the exchange."""
    config = QueueConfig(lease_ms=None, failed_max=None)
    return QueueDefinition(
        name=hold_name(asked.name), namespace=asked.namespace, config=config, lifetime=asked.lifetime
    )


def hold_name(exchange: str) -> str:
    """The name of that queue. An exchange whose name leaves no room for it cannot be made."""
    return exchange + DELAYED


def waits(record: Record) -> bool:
    """Whether a record says when it is due."""
    return DUE.encode() in record.headers and header_value(record.headers, DUE) is not None


def held(records: Sequence[Record], keys: Sequence[str]) -> list[Record]:
    """The records as they wait: with their routing keys."""
    row: list[tuple[str, bytes | None]] = [(KEYS, msgspec.msgpack.encode(list(keys)))]
    return [Record(each.value, each.key, append_headers(each.headers, row), each.timestamp_ms) for each in records]


def full(hold: "Topic", count: int) -> QueueFull | None:
    """Why so many events more cannot wait in the queue of a delayed exchange; None when they can.

    A queue knows the due times of QUEUE_DELAYED_MAX events: what came beyond that might come up late.
    """
    if hold.lens is not None and hold.lens.open_count + count > QUEUE_DELAYED_MAX:
        return QueueFull(hold.name, "delayed events", QUEUE_DELAYED_MAX)
    return None


def _freed(record: StoredRecord) -> Record:
    """A record as it is routed: without what made it wait."""
    try:
        rows = [row for row in decode_headers(record.headers) if row[0] not in (DUE, KEYS)]
    except RequestError:
        rows = []  # put there by hand: what cannot be read goes without headers, or it would wait for ever
    return Record(record.value, record.key, encode_headers(rows), record.timestamp_ms)


def _keys_of(record: StoredRecord) -> tuple[str, ...]:
    """Its routing keys; of one that somebody put there by hand, its key."""
    try:
        found = header_value(record.headers, KEYS)
        if found is not None:
            return tuple(_keys.decode(found))
    except (RequestError, msgspec.DecodeError):
        log.debug("a delayed event whose routing keys cannot be read goes by its key")
    return ((record.key or b"").decode(errors="replace"),)


class Delays:
    """See the module text."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._session: Session | None = None
        self._consumers: dict[int, Consumer] = {}

    def start(self) -> None:
        """Route what is due, of every delayed exchange there is."""
        for exchange in self._broker.catalog.exchanges.values():
            self.watch(exchange)

    def watch(self, exchange: "Exchange") -> None:
        """Route what is due of an exchange, if it delays; called once for each."""
        if not exchange.set.delayed:
            return
        queue = self._broker.queue(exchange.set.namespace, hold_name(exchange.name))
        if self._session is None:
            self._session = self._broker.session(LOCAL)
        number = exchange.id
        self._consumers[number] = queue.consume(
            f"delayed exchange {exchange.name!r}",
            self._session.id,
            self._session.principal_id,
            lambda leased: self._due(number, queue, leased),
            credit=DELAYED_AT_ONCE,
            on_end=lambda error: self._ended(number, error),
        )

    def _ended(self, exchange: int, error: Exception) -> None:
        """The queue is gone with its exchange, or its next event cannot be read: then `doctor` finds it there."""
        self._consumers.pop(exchange, None)
        log.info("a delayed exchange routes nothing any more: %s", error)

    def _due(self, exchange: int, queue: "Queue", leased: Sequence[Leased]) -> None:
        """Route events that are due, those that go the same way together."""
        rows = [(_keys_of(one.record), _freed(one.record), one) for one in leased]
        for (keys, _), group in groupby(rows, key=lambda row: (row[0], row[1].headers)):
            same = list(group)
            records, leases = [row[1] for row in same], [row[2].lease for row in same]
            view = self._broker.burial.view(same[0][2].record)
            try:
                pending = self._route(exchange, queue, keys, records, leases, view.headers)
            except IsthmusError as error:
                self._put_off(queue, leases, error)
                self._grant(exchange, len(leases))
                continue
            pending.add_done_callback(partial(self._routed, exchange, len(leases)))

    def _route(
        self,
        number: int,
        queue: "Queue",
        keys: Sequence[str],
        records: list[Record],
        leases: list[Lease],
        headers: Callable[[], Headers],
    ) -> "Pending[list[Placed]]":
        """Settle events and route them, in one unit; whatever full queues refuse is theirs to bury."""
        broker, session = self._broker, self._session
        exchange = broker.catalog.exchanges.get(number)
        if session is None or exchange is None:
            raise Closed(f"queue {queue.name!r}")
        unit = broker.journal.unit()
        queue.ack(unit, leases, consumer="delayed exchange")
        routed = broker.route(session, exchange, keys, records, headers=headers, unit=unit, due=True)
        broker.burial.turn_away(routed.refused, records, unit)
        return unit.submit()

    def _put_off(self, queue: "Queue", leases: list[Lease], error: IsthmusError) -> None:
        """It cannot be done now, such as for want of room on the disk: again a little later."""
        log.warning("delayed events of %r are put off: %s", queue.name, error)
        unit = self._broker.journal.unit()
        queue.release(unit, leases, DELAYED_RETRY_MS, reason="put off")
        try:
            unit.submit()
        except StorageError as broken:
            log.debug("nothing can be written any more: %s", broken)

    def _routed(self, exchange: int, count: int, _done: object) -> None:
        """A unit has landed, or was lost with the store: then nothing is handed out any more either."""
        self._grant(exchange, count)

    def _grant(self, exchange: int, count: int) -> None:
        consumer = self._consumers.get(exchange)
        if consumer is not None:
            consumer.grant(count)
