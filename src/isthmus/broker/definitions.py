"""What becomes of a definition that is asked for: held against the rules and what there is, then stated as facts.

It decides and submits nothing: the facts are the broker's to make durable, and who may ask is decided before.
"""

import uuid

from isthmus.broker.bindings import identity
from isthmus.broker.catalog import Catalog, Exchange, Topic
from isthmus.broker.delays import hold_name, hold_of
from isthmus.broker.foreign import LATER
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
    check_name,
)
from isthmus.errors import AlreadyExists, InUse, InvalidArgument, Overloaded, Unsupported
from isthmus.limits import (
    BINDING_BYTES_MAX,
    BINDINGS_MAX,
    EXCHANGES_MAX,
    HEADER_MATCH_ROWS_MAX,
    PARTITIONS_MAX,
    PRIORITIES_MAX,
    RECORD_BYTES_CEILING,
    ROUTING_KEY_BYTES_MAX,
    TOPICS_MAX,
)
from isthmus.log import batch as batches
from isthmus.log import facts

# ---- topics --------------------------------------------------------------------------------------------------------


def check_new_topic(catalog: Catalog, asked: TopicDefinition) -> None:
    """Hold a new topic against the rules and what there is.

    Raises:
        AlreadyExists, InvalidName, InvalidArgument, Unsupported, Overloaded, UnknownNamespace: it cannot be made.
    """
    if (asked.namespace, asked.name) in catalog.topic_names:
        raise AlreadyExists("topic", asked.name)
    _check_topic(catalog, asked)


def _check_topic(catalog: Catalog, asked: TopicDefinition) -> None:
    check_name(asked.name)
    catalog.check_namespace(asked.namespace)
    if not 1 <= asked.partitions <= PARTITIONS_MAX:
        raise InvalidArgument("partitions", f"{asked.partitions} is not in 1 to {PARTITIONS_MAX}")
    if asked.placement not in ("murmur2", "single", "priority", "md5-range"):
        raise Unsupported(f"placement {asked.placement!r}", LATER)
    check_topic_config(asked.config)
    if len(catalog.topics) >= TOPICS_MAX:
        raise Overloaded("topics", TOPICS_MAX)


def topic_made(catalog: Catalog, asked: TopicDefinition, now_ms: int) -> facts.TopicSet:
    """A new topic. Raises what `check_new_topic` raises."""
    check_new_topic(catalog, asked)
    return _topic(catalog, asked, None, now_ms)


def _topic(catalog: Catalog, asked: TopicDefinition, queue: int | None, now_ms: int) -> facts.TopicSet:
    return facts.TopicSet(
        catalog.new_id(), uuid.uuid4().bytes, asked.namespace, asked.name, asked.partitions, asked.placement,
        asked.config, asked.lifetime, queue, now_ms,
    )  # fmt: skip


def check_altered_topic(old: facts.TopicSet, asked: TopicDefinition) -> None:
    """Hold a change against what is fixed.

    Raises:
        InvalidArgument: what cannot be changed.
    """
    if not old.partitions <= asked.partitions <= PARTITIONS_MAX:
        raise InvalidArgument("partitions", f"can only grow, from {old.partitions} to {PARTITIONS_MAX} at most")
    if asked.placement != old.placement or asked.lifetime != old.lifetime:
        raise InvalidArgument("placement", "placement and lifetime are fixed when a topic is made")
    check_topic_config(asked.config)


def topic_altered(old: facts.TopicSet, asked: TopicDefinition) -> facts.TopicSet:
    """A topic with another configuration or more partitions. Raises what `check_altered_topic` raises."""
    check_altered_topic(old, asked)
    return facts.TopicSet(
        old.id, old.uuid, old.namespace, old.name, asked.partitions, old.placement, asked.config, old.lifetime,
        old.queue, old.created_ms,
    )  # fmt: skip


def topic_gone(catalog: Catalog, topic: Topic) -> list[facts.Fact]:
    """The end of a topic, of the queue that owns it, and of exchanges that are removed with their last binding.

    Raises:
        InUse: a queue views it, or its dead letters go there.
    """
    views = catalog.views_of(topic.id)
    if views:
        raise InUse("topic", topic.name, f"queue {views[0].name!r}")
    delayed = catalog.delayed_into(topic)
    if delayed is not None:
        raise InUse("queue", topic.name, f"exchange {delayed.name!r}, whose delayed events wait in it")
    buried = catalog.buried_in(topic)
    if buried:
        raise InUse("queue", topic.name, f"queue {buried[0].name!r}, whose dead letters it takes")
    gone: list[facts.Fact] = [] if topic.set.queue is None else [facts.QueueRemoved(topic.set.queue)]
    return [*gone, facts.TopicRemoved(topic.id), *emptied(catalog, topic.id)]


# ---- queues --------------------------------------------------------------------------------------------------------


def queue_made(
    catalog: Catalog, asked: QueueDefinition, view_start: tuple[int, ...], now_ms: int
) -> tuple[facts.TopicSet, facts.QueueSet]:
    """A new queue with the topic it owns; a topic of that name that no queue owns is adopted.

    Raises:
        AlreadyExists, UnknownTopic (the one to view), Unsupported, InvalidArgument: it cannot be made.
    """
    key = (asked.namespace, asked.name)
    if key in catalog.queue_names:
        raise AlreadyExists("queue", asked.name)
    check_queue(asked)
    queue_id = catalog.new_id()
    own = TopicDefinition(
        name=asked.name,
        namespace=asked.namespace,
        partitions=asked.partitions if asked.config.priorities == 1 else asked.config.priorities,
        placement="murmur2" if asked.config.priorities == 1 else "priority",
        config=asked.topic,
        lifetime=asked.lifetime,
    )
    _check_topic(catalog, own)
    adopts = key in catalog.topic_names
    topic = _adopted(catalog, own, queue_id) if adopts else _topic(catalog, own, queue_id, now_ms)
    view_of = None if asked.view_of is None else _viewed(catalog, asked, asked.view_of).id
    queue = facts.QueueSet(
        queue_id, asked.namespace, asked.name, topic.id, asked.config, view_of, view_start, asked.lifetime, now_ms
    )
    return topic, queue


def _viewed(catalog: Catalog, asked: QueueDefinition, name: str) -> Topic:
    """The topic that a queue is to view, which must live as long as the queue."""
    shared = catalog.topic(asked.namespace, name)
    if shared.set.lifetime not in {"durable", asked.lifetime}:
        raise InvalidArgument("of", f"{name!r} lives as long as its {shared.set.lifetime}, the queue would outlive it")
    return shared


def _adopted(catalog: Catalog, own: TopicDefinition, queue_id: int) -> facts.TopicSet:
    old = catalog.topic(own.namespace, own.name).set
    if old.queue is not None and old.queue in catalog.queue_sets:
        raise AlreadyExists("topic", old.name)
    if own.placement == "priority" and (old.placement, old.partitions) != (own.placement, own.partitions):
        raise InvalidArgument(
            "priorities", f"topic {old.name!r} exists and does not keep {own.partitions} levels apart"
        )
    return facts.TopicSet(
        old.id, old.uuid, old.namespace, old.name, old.partitions, old.placement, old.config, old.lifetime,
        queue_id, old.created_ms,
    )  # fmt: skip


def queue_altered(catalog: Catalog, old: facts.QueueSet, asked: QueueDefinition) -> list[facts.Fact]:
    """A queue that hands out otherwise, and the topic it owns with another configuration.

    Raises:
        Unsupported, InvalidArgument: what cannot be changed.
    """
    if asked.config.priorities != old.config.priorities:
        had = old.config.priorities
        raise InvalidArgument("priorities", f"queue {asked.name!r} was made with {had}; make a new one")
    check_queue(asked)
    viewed = catalog.topics[old.view_of].name if old.view_of is not None else None
    if asked.config.ordered != old.config.ordered:
        raise InvalidArgument("ordered", f"queue {asked.name!r} was made with {old.config.ordered}; make a new one")
    if asked.view_of != viewed:
        raise InvalidArgument("of", f"queue {asked.name!r} views {viewed!r}, which is fixed when it is made")
    if asked.lifetime != old.lifetime:
        raise InvalidArgument("lifetime", f"is {old.lifetime!r} and fixed when a queue is made")
    check_topic_config(asked.topic)
    changed = facts.QueueSet(
        old.id, old.namespace, old.name, old.topic, asked.config, old.view_of, old.view_start, old.lifetime,
        old.created_ms,
    )  # fmt: skip
    topic = catalog.topics[old.topic].set
    owned = facts.TopicSet(
        topic.id, topic.uuid, topic.namespace, topic.name, max(topic.partitions, asked.partitions),
        topic.placement, asked.topic, topic.lifetime, topic.queue, topic.created_ms,
    )  # fmt: skip
    return [owned, changed]


# ---- exchanges -----------------------------------------------------------------------------------------------------


def exchange_made(
    catalog: Catalog, asked: ExchangeDefinition, now_ms: int
) -> tuple[facts.ExchangeSet, facts.TopicSet | None, facts.QueueSet | None]:
    """A new exchange, with topic and queue of what waits if it delays.

    Its alternate need not exist: until it does, what finds no way goes nowhere.

    Raises:
        AlreadyExists, InvalidName, Overloaded, UnknownNamespace: it cannot be made.
    """
    check_name(asked.name)
    catalog.check_namespace(asked.namespace)
    if asked.alternate is not None:
        check_name(asked.alternate)
    if (asked.namespace, asked.name) in catalog.exchange_names:
        raise AlreadyExists("exchange", asked.name)
    if len(catalog.exchanges) >= EXCHANGES_MAX:
        raise Overloaded("exchanges", EXCHANGES_MAX)
    made = facts.ExchangeSet(
        catalog.new_id(), asked.namespace, asked.name, asked.kind, asked.lifetime, asked.auto_remove, asked.internal,
        asked.alternate, asked.delayed, asked.kept,
    )  # fmt: skip
    if not asked.delayed:
        return made, None, None
    hold = hold_of(asked)
    if (hold.namespace, hold.name) in catalog.topic_names:
        raise AlreadyExists("topic", hold.name, "the exchange needs a queue of that name for what waits")
    return made, *queue_made(catalog, hold, (), now_ms)


def exchange_ended(catalog: Catalog, exchange: Exchange) -> list[facts.Fact]:
    """An exchange is gone, and if it delays what waits in it."""
    key = (exchange.set.namespace, hold_name(exchange.name))
    hold = catalog.queue_names.get(key) if exchange.set.delayed else None
    if hold is None:
        return [facts.ExchangeRemoved(exchange.id)]
    topic = catalog.queue_sets[hold].topic
    return [facts.ExchangeRemoved(exchange.id), facts.QueueRemoved(hold), facts.TopicRemoved(topic)]


def exchange_gone(catalog: Catalog, exchange: Exchange, *, if_unused: bool) -> list[facts.Fact]:
    """The end of an exchange, and of those that are removed with their last binding when that led here.

    Raises:
        InUse: it has bindings, and was to go only without.
    """
    if if_unused and (exchange.bindings or exchange.flying):
        raise InUse("exchange", exchange.name, "bindings from it")
    return [*exchange_ended(catalog, exchange), *emptied(catalog, exchange.id)]


def emptied(catalog: Catalog, *targets: int) -> list[facts.Fact]:
    """The end of the exchanges that are removed with their last binding, when all of them lead to these targets."""
    gone, ahead, found = set(targets), list(targets), list[facts.Fact]()
    while ahead:
        sources = {source.id: source for source, _ in catalog.ways_to(ahead.pop())}
        for source in sources.values():
            if not source.set.auto_remove or source.id in gone or source.flying:
                continue
            if all((row.topic or row.to_exchange) in gone for row in source.bindings.values()):
                gone.add(source.id)
                ahead.append(source.id)
                found += exchange_ended(catalog, source)
    return found


def left_empty(catalog: Catalog) -> list[facts.Fact]:
    """The end of exchanges that are to go with their last binding, and lost it to several requests at once."""
    empty = [catalog.exchanges[each] for each in catalog.left_empty]
    return [fact for each in empty if not each.flying for fact in exchange_ended(catalog, each)]


def bound(catalog: Catalog, asked: Binding) -> facts.BindingSet:
    """A way from an exchange to a topic or another exchange.

    Raises:
        UnknownExchange, UnknownTopic, InvalidArgument, Overloaded: there is no such way to make.
    """
    _check_binding(asked)
    exchange = catalog.exchange(asked.namespace, asked.exchange)
    topic, to_exchange = _target(catalog, asked)
    if catalog.bindings >= BINDINGS_MAX:
        raise Overloaded("bindings", BINDINGS_MAX)
    return facts.BindingSet(exchange.id, topic, asked.key, to_exchange, asked.match, asked.kept)


def unbound(catalog: Catalog, asked: Binding) -> list[facts.Fact]:
    """The end of such a way, and with the last one that of an exchange that is then removed. One that is not there is
    no error.

    Raises:
        UnknownExchange, UnknownTopic, InvalidArgument: there can be no such way.
    """
    _check_binding(asked)
    exchange = catalog.exchange(asked.namespace, asked.exchange)
    topic, to_exchange = _target(catalog, asked)
    fact = facts.BindingRemoved(exchange.id, topic, asked.key, to_exchange, asked.match, asked.kept)
    row = identity(topic, to_exchange, asked.key, asked.match, asked.kept)
    last = exchange.set.auto_remove and not exchange.flying and exchange.bindings.keys() == {row}
    return [fact, *exchange_gone(catalog, exchange, if_unused=False)] if last else [fact]


def _target(catalog: Catalog, asked: Binding) -> tuple[int, int]:
    if asked.to_exchange:
        return 0, catalog.exchange(asked.namespace, asked.to_exchange).id
    return catalog.topic(asked.namespace, asked.topic).id, 0


def _check_binding(asked: Binding) -> None:
    if bool(asked.topic) == bool(asked.to_exchange):
        raise InvalidArgument("topic", "a binding leads to a topic or to an exchange: give one of the two")
    try:
        size = len(asked.key.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument("key", "is not valid Unicode text") from error
    if size > ROUTING_KEY_BYTES_MAX:
        raise InvalidArgument("key", f"has {size} bytes of UTF-8; {ROUTING_KEY_BYTES_MAX} is the most")
    rows = () if asked.match is None else asked.match.rows
    if len(rows) > HEADER_MATCH_ROWS_MAX:
        raise InvalidArgument("match", f"looks at {len(rows)} headers; {HEADER_MATCH_ROWS_MAX} is the most")
    held = sum(len(name) + (len(value) if isinstance(value, bytes) else 8) for name, value in rows) + len(asked.kept)
    if held > BINDING_BYTES_MAX:
        raise InvalidArgument("match", f"takes {held} bytes; {BINDING_BYTES_MAX} is the most")


# ---- the rules -----------------------------------------------------------------------------------------------------


def check_topic_config(config: TopicConfig) -> None:
    """Raises InvalidArgument for what cannot be kept, UnsupportedCompression for a codec that is not there."""
    for name in (
        "age_ms", "size_bytes", "floor_ms", "ceiling_ms", "compact_lag_ms", "compact_lag_max_ms", "tombstone_ms",
        "timestamp_before_ms", "timestamp_after_ms",
    ):  # fmt: skip
        value = getattr(config, name)
        if value is not None and value < 0:
            raise InvalidArgument(name, f"{value} is negative")
    if config.floor_ms is not None and config.ceiling_ms is not None and config.floor_ms > config.ceiling_ms:
        raise InvalidArgument("floor", "never before the floor and always after the ceiling: the floor is the later")
    if not 1 <= config.record_bytes_max <= RECORD_BYTES_CEILING:
        raise InvalidArgument("record_bytes_max", f"{config.record_bytes_max} is not in 1 to {RECORD_BYTES_CEILING}")
    if config.compact and config.consumed:
        raise InvalidArgument("compact", "a compacted topic keeps the newest of each key, consumed or not")
    if not 0 <= config.compact_ratio <= 1:
        raise InvalidArgument("compact_ratio", f"{config.compact_ratio} is not in 0 to 1")
    if config.compression != "producer":
        batches.check_codec(config.compression)


def check_queue(asked: QueueDefinition) -> None:
    """Raises Unsupported for what later versions bring, InvalidArgument for what cannot be."""
    config = asked.config
    if config.fair:
        raise Unsupported("queue option 'fair'", LATER)
    _check_ends(config)
    bounded = config.max_events is not None or config.max_bytes is not None
    if asked.view_of is not None and (bounded or config.ttl_ms is not None):
        name = "ttl" if config.ttl_ms is not None else "max_events" if config.max_events is not None else "max_bytes"
        raise InvalidArgument(name, "belongs to the topic that is viewed; set its retention instead")
    if not 1 <= config.priorities <= PRIORITIES_MAX:
        raise InvalidArgument("priorities", f"{config.priorities} is not in 1 to {PRIORITIES_MAX}")
    if config.priorities > 1 and (asked.partitions not in {1, config.priorities} or asked.view_of is not None):
        raise InvalidArgument("priorities", "each level is a partition of the queue's own: no others, and no view")
    if config.failed_max is not None and config.failed_max < 1:
        raise InvalidArgument("failed_max", f"{config.failed_max} is below 1")


def _check_ends(config: QueueConfig) -> None:
    """Hold what ends records of a queue against what can be."""
    for name, least in (("ttl_ms", 0), ("max_events", 0), ("max_bytes", 0), ("expires_ms", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise InvalidArgument(name, f"{value} is below {least}")
    if config.dead is not None and config.dead_exchange is not None:
        raise InvalidArgument("dead_exchange", f"the dead go to {config.dead!r} already; give one of the two")
    if config.dead_key is not None and config.dead_exchange is None:
        raise InvalidArgument("dead_key", "goes with a dead_exchange, and there is none")
