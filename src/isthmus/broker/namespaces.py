"""Namespaces as doors make, remove and list them: by administrators only; a door of RabbitMQ calls them virtual hosts.

What is in a namespace goes before it, in units of bounded size, so that a crash in between leaves a namespace that can
be removed again. What may be made in one is decided by the catalogue.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from isthmus.broker.access import Session
from isthmus.broker.catalog import Catalog
from isthmus.definition import DEFAULT_NAMESPACE, Kept, check_name
from isthmus.errors import AlreadyExists, BeingChanged, InvalidArgument, Overloaded, UnknownNamespace
from isthmus.limits import NAMESPACE_KEPT_BYTES_MAX, NAMESPACES_MAX, REMOVALS_MAX
from isthmus.log import facts
from isthmus.log.pending import Pending
from isthmus.views import NamespaceView

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker

WHAT = "namespaces"


def listed(broker: "Broker", session: Session) -> list[NamespaceView]:
    """All namespaces by name, the default one among them.

    Raises:
        AccessDenied: not an administrator.
    """
    broker.access.check_admin(session, WHAT)
    catalog = broker.catalog
    topics, queues, exchanges = (
        _counted(each) for each in (catalog.topic_names, catalog.queue_names, catalog.exchange_names)
    )
    return [
        NamespaceView(
            name=name,
            topics=topics.get(name, 0),
            queues=queues.get(name, 0),
            exchanges=exchanges.get(name, 0),
            created_ms=declared.created_ms,
            kept=declared.kept,
        )
        for name, declared in sorted(catalog.namespaces.items())
    ]


def _counted(names: dict[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for namespace, _ in names:
        found[namespace] = found.get(namespace, 0) + 1
    return found


def create(broker: "Broker", session: Session, name: str, kept: Kept = ()) -> Pending[None]:
    """Make a namespace; `kept` are settings of another system, shown back to it.

    Raises:
        AccessDenied: not an administrator.
        AlreadyExists, InvalidName, InvalidArgument, Overloaded: nothing was made.
    """
    broker.access.check_admin(session, WHAT)
    check_name(name)
    known = broker.catalog.namespaces
    if name in known:
        raise AlreadyExists("namespace", name)
    if len(known) >= NAMESPACES_MAX:
        raise Overloaded("namespaces", NAMESPACES_MAX)
    size = sum(len(key.encode()) + len(value) for key, value in kept)
    if size > NAMESPACE_KEPT_BYTES_MAX:
        raise InvalidArgument("kept", f"takes {size} bytes; {NAMESPACE_KEPT_BYTES_MAX} is the most")
    fact = facts.NamespaceSet(name, broker.clock.now_ms(), kept)
    return broker.make([("namespace", "", name)], [fact], lambda: None)


async def remove(broker: "Broker", session: Session, name: str) -> None:
    """Remove a namespace with everything in it; returns when all of it is durable.

    From the first moment nothing can be made in it. If it is interrupted, some of what was in it is left, and asking
    again removes the rest.

    Raises:
        AccessDenied: not an administrator.
        UnknownNamespace, InvalidArgument, BeingChanged: nothing was removed.
    """
    broker.access.check_admin(session, WHAT)
    catalog = broker.catalog
    if name == DEFAULT_NAMESPACE:
        raise InvalidArgument("namespace", f"{name!r} is always there; remove what is in it by name")
    if name not in catalog.namespaces:
        raise UnknownNamespace(name)
    if name in catalog.leaving:
        raise BeingChanged("namespace", name)
    catalog.leaving.add(name)
    try:
        await _settled(broker, name)
        while gone := list(islice(_contents(catalog, name), REMOVALS_MAX)):
            await _removed(broker, gone)
        await _removed(broker, [facts.NamespaceRemoved(name)])
    finally:
        catalog.leaving.discard(name)


async def _settled(broker: "Broker", name: str) -> None:
    """Wait for what is being made or changed in it already."""
    for kind, namespace, what in list(broker.catalog.making):
        if namespace == name or (kind == "namespace" and what == name):
            await broker.quiet(kind, namespace, what)


async def _removed(broker: "Broker", gone: list[facts.Fact]) -> None:
    unit = broker.journal.unit()
    for fact in gone:
        unit.fact(fact)
    await unit.submit()


def _contents(catalog: Catalog, namespace: str) -> Iterator[facts.Fact]:
    """The end of everything in a namespace: what leads somewhere before what it leads to, queues before topics."""
    for exchange in catalog.exchanges.values():
        if exchange.set.namespace == namespace:
            yield facts.ExchangeRemoved(exchange.id)
    for queue in catalog.queue_sets.values():
        if queue.namespace == namespace:
            yield facts.QueueRemoved(queue.id)
    for topic in catalog.topics.values():
        if topic.set.namespace == namespace:
            yield facts.TopicRemoved(topic.id)
    for group in catalog.groups.values():
        if group.namespace == namespace:
            yield facts.GroupRemoved(group.id)
    for policy in catalog.policies:
        if policy.set.namespace == namespace:
            yield facts.PolicyRemoved(namespace, policy.set.name)
