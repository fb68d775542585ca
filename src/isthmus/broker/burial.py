"""What becomes of records that die in a queue: dead letters, written in the same unit that settles what they were.

It decides where letters go and what they say; which records die, and when, is decided by the queue.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from isthmus.broker import deaths, publishing, redrive
from isthmus.broker.deaths import FirstDeath, History, Reason
from isthmus.broker.publishing import COPIES, Publish, Refusal
from isthmus.definition import QueueConfig
from isthmus.errors import QueueFull, RequestError
from isthmus.lenses.queue.changes import Why
from isthmus.lenses.queue.queue import Dead, Queue
from isthmus.log.headers import decode_headers
from isthmus.log.journal import Unit
from isthmus.record import Record, StoredRecord

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.broker.catalog import Topic

REASONS: Final[Mapping[Why, Reason]] = {
    "rejected": "rejected",
    "dead": "delivery_limit",
    "expired": "expired",
    "dropped": "maxlen",
}
"""What a history says of the ways in which a queue settles what is to be buried."""


class RoutingView(NamedTuple):
    """How a record came to where it is, as the protocol that brought it has written down.

    Fields:
        exchange: by which exchange; empty for none.
        keys: its routing keys, the publisher's own first.
        headers: gives those that exchanges of kind headers look at.
        expiration_ms: the time to live that its publisher gave it.
        moved: given another exchange, and another key or None for its own, the key and header block that the record
            has there.
    """

    exchange: str
    keys: tuple[str, ...]
    headers: Callable[[], Mapping[str, object]]
    expiration_ms: int | None
    moved: Callable[[str, str | None], tuple[bytes | None, bytes]]


View = Callable[[StoredRecord], RoutingView | None]
"""How a protocol reads its own records; None for those that are not its own."""


def plain_view(record: StoredRecord) -> RoutingView:
    """Of a record that no protocol claims: its key is its routing key, and both stay as they are wherever it goes."""
    key = (record.key or b"").decode(errors="replace")
    return RoutingView("", (key,), partial(_headers_of, record), None, lambda *_: (record.key, record.headers))


def _headers_of(record: StoredRecord) -> dict[str, object]:
    try:
        return dict(decode_headers(record.headers))
    except RequestError:
        return {}


class _Way(NamedTuple):
    """Where letters go together. Of an exchange a topic may refuse, of a queue's own dead letters not."""

    topics: "Sequence[Topic]"
    letters: list[Record]
    strict: bool


class Burial:
    """See the module text. `views` are asked in turn how a record came to where it is."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.views: list[View] = []

    def view(self, record: StoredRecord) -> RoutingView:
        """How a record came to where it is."""
        for read in self.views:
            found = read(record)
            if found is not None:
                return found
        return plain_view(record)

    def bury(self, unit: Unit, queue: Queue, died: Sequence[Dead]) -> None:
        """Add the dead letters of a queue to the unit that settles what they were.

        What is to go by an exchange that is not there, or that leads nowhere, is settled without a letter. A letter is
        let in where its queue is full or its size too large: it was let in once.

        Raises:
            UnknownTopic, KeyRequired: of the topic that the queue names for its dead letters.
        """
        declared = self._broker.catalog.queue_sets[queue.id]
        place = self._broker.catalog.place_of
        self._add(unit, declared.namespace, queue, [(one, place(one.partition.id, one.record.offset)) for one in died])

    def turn_away(self, refused: Sequence[Refusal], records: Sequence[Record], unit: Unit | None = None) -> Unit | None:
        """The dead letters of records that full queues have refused, where a queue wants them so.

        Args:
            refused: who, and why.
            records: what.
            unit: that settles what they were; None for one of their own, when nothing is settled with them.

        Returns:
            The unit, for the caller to submit. None without letters.

        Raises:
            UnknownTopic, KeyRequired: see `bury`.
        """
        unit, now_ms = unit or self._broker.journal.unit(), self._broker.clock.now_ms()
        for topic, error in refused:
            queue = topic.lens
            if queue is None or queue.config.overflow != "refuse_dead" or not isinstance(error, QueueFull):
                continue
            stored = [
                StoredRecord(
                    -1, now_ms if each.timestamp_ms < 0 else each.timestamp_ms, each.key, each.value, each.headers
                )
                for each in records
            ]
            died = [Dead(topic.partitions[0], each, 0, 0, str(error), why="dropped") for each in stored]
            # They were never anywhere: where they would have been tells at least to which queue they go back.
            self._add(unit, topic.set.namespace, queue, [(each, f"{topic.name}/0/-1") for each in died])
        return unit if unit.changes else None

    def _add(self, unit: Unit, namespace: str, queue: Queue, died: Sequence[tuple[Dead, str]]) -> None:
        ways: dict[tuple[int, ...], _Way] = {}
        for one, cause in died:
            topics, letter = self._letter(namespace, queue, one, cause)
            if topics:
                way = _Way(topics, [], queue.config.dead is not None)
                ways.setdefault(tuple([topic.id for topic in topics]), way).letters.append(letter)
        for way in ways.values():
            publish = Publish(way.letters, self._broker.clock.now_ms(), COPIES)
            _, refused = publishing.fan_out(unit, publish, way.topics, 0)
            if refused and way.strict:
                raise refused[0].error

    def _letter(self, namespace: str, queue: Queue, one: Dead, cause: str) -> "tuple[Sequence[Topic], Record]":
        """Where the letter of a record goes, and what it says."""
        record, now_ms = one.record, self._broker.clock.now_ms()
        view, config = self.view(record), queue.config
        reason = REASONS[one.why]
        history = deaths.add(
            deaths.history_of(record.headers),
            queue.name,
            reason,
            exchange=view.exchange,
            keys=view.keys,
            time_s=now_ms // 1_000,
            expiration_ms=view.expiration_ms,
        )
        first = deaths.first_of(record.headers) or FirstDeath(queue.name, reason, view.exchange)
        topics = self._topics(namespace, config, view, history)
        key, block = record.key, record.headers
        if config.dead_exchange is not None:
            key, block = view.moved(config.dead_exchange, config.dead_key)
        letter = redrive.letter(
            StoredRecord(record.offset, record.timestamp_ms, key, record.value, block),
            cause=cause,
            origin=f"{redrive.QUEUE}{queue.name}",
            reason=one.reason,
            traceback=one.traceback,
            failed=one.failed,
            now_ms=now_ms,
            more=deaths.headers(history, first),
        )
        return topics, letter

    def _topics(self, namespace: str, config: QueueConfig, view: RoutingView, history: History) -> "Sequence[Topic]":
        """Where the letters of a queue go."""
        catalog = self._broker.catalog
        if config.dead is not None:
            return [catalog.topic(namespace, config.dead)]
        keys = view.keys if config.dead_key is None else (config.dead_key,)
        if not config.dead_exchange:
            found = [catalog.topic_names.get((namespace, key), 0) for key in dict.fromkeys(keys)]
            topics: Sequence[Topic] = [catalog.topics[topic] for topic in found if topic]
        else:
            known = catalog.exchange_names.get((namespace, config.dead_exchange), 0)
            exchange = catalog.exchanges.get(known)
            topics = catalog.targets(exchange, keys, view.headers) if exchange is not None else ()
        return [topic for topic in topics if topic.set.queue is None or not deaths.is_cycle(history, topic.name)]
