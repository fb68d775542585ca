"""Every operation of the broker asks the authoriser: each is called with all that it needs, and with all but one.

The table is compared with the code, so that a new operation cannot come without its row.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

import pytest

from isthmus import broker as beside
from isthmus.broker import accounts, governing, namespaces, positions
from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.positions import Mark
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Grant,
    Operation,
    PolicyDefinition,
    QueueConfig,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.errors import AccessDenied
from isthmus.lenses.stream.position import Progress
from isthmus.log.batch import encode
from isthmus.record import Record
from support.brokers import World, world

SPACE: Final = "default"
Need = tuple[Operation, str]


class Row(NamedTuple):
    """An operation: how to call it, and all that it needs; None when only an administrator may."""

    call: Callable[[World, Session], Awaitable[Any]]
    needs: tuple[Need, ...] | None


async def check_batch(w: World, session: Session) -> None:
    w.broker.check_batch(session, w.find(), 0, encode([Record(b"x")], now_ms=0))


async def add(w: World, session: Session) -> None:
    unit = w.broker.journal.unit()
    w.broker.add(session, unit, w.find(), [Record(b"x")])


async def seeking(w: World, session: Session) -> None:
    await w.broker.seek(session, SPACE, "billing", "orders", "latest")


async def moved(w: World, session: Session) -> None:
    group = w.broker.catalog.group(SPACE, "billing")
    mark = positions.fact_of(group, Mark(w.find().partitions[0], 0), positions.NOBODY, 0)
    await positions.commit(w.broker, session, group, [mark])


async def asked_for_new(w: World, session: Session) -> None:
    w.broker.check_new_topic(session, TopicDefinition(name="new"))


async def asked_for(w: World, session: Session) -> None:
    w.broker.check_topic(session, TopicDefinition(name="orders"))


def seen(look: Callable[[Broker, Session], object]) -> Callable[[World, Session], Awaitable[object]]:
    async def told(w: World, session: Session) -> None:
        look(w.broker, session)

    return told


POLICY: Final = PolicyDefinition(name="short", pattern="^x", settings=(("ttl_ms", b"1"),))

ROWS: Final[dict[str, Row]] = {
    "create_topic": Row(lambda w, s: w.broker.create_topic(s, TopicDefinition(name="new")), (("create", "new"),)),
    "check_new_topic": Row(asked_for_new, (("create", "new"),)),
    "check_topic": Row(asked_for, (("alter", "orders"),)),
    "alter_topic": Row(lambda w, s: w.broker.alter_topic(s, TopicDefinition(name="orders")), (("alter", "orders"),)),
    "remove_topic": Row(lambda w, s: w.broker.remove_topic(s, SPACE, "old"), (("remove", "old"),)),
    "create_queue": Row(
        lambda w, s: w.broker.create_queue(
            s, QueueDefinition(name="new", view_of="orders", config=QueueConfig(dead="old"))
        ),
        (("create", "new"), ("read", "orders"), ("publish", "old")),
    ),
    "alter_queue": Row(
        lambda w, s: w.broker.alter_queue(s, QueueDefinition(name="jobs", config=QueueConfig(dead_exchange="sales"))),
        (("alter", "jobs"), ("publish", "sales")),
    ),
    "create_exchange": Row(
        lambda w, s: w.broker.create_exchange(s, ExchangeDefinition(name="new")), (("create", "new"),)
    ),
    "remove_exchange": Row(lambda w, s: w.broker.remove_exchange(s, SPACE, "sales"), (("remove", "sales"),)),
    "bind": Row(
        lambda w, s: w.broker.bind(s, Binding(exchange="sales", topic="orders", key="eu")),
        (("alter", "sales"), ("publish", "orders")),
    ),
    "publish": Row(lambda w, s: w.broker.publish(s, w.find(), [Record(b"x")]), (("publish", "orders"),)),
    "add": Row(add, (("publish", "orders"),)),
    "check_batch": Row(check_batch, (("publish", "orders"),)),
    "append_batch": Row(
        lambda w, s: w.broker.append_batch(s, w.find(), 0, encode([Record(b"x")], now_ms=0)), (("publish", "orders"),)
    ),
    "route": Row(
        lambda w, s: w.broker.route(s, w.broker.catalog.exchange(SPACE, "sales"), ["eu"], [Record(b"x")]).pending,
        (("publish", "sales"),),
    ),
    "fetch": Row(lambda w, s: w.broker.fetch(s, [(w.find().partitions[0], 0)], 1), (("read", "orders"),)),
    "trim": Row(lambda w, s: w.broker.trim(s, w.find(), 0, 0), (("remove", "orders"),)),
    "group": Row(lambda w, s: w.broker.group(s, SPACE, "new"), (("consume", "new"),)),
    "commit": Row(
        lambda w, s: w.broker.commit(
            s, w.broker.catalog.group(SPACE, "billing"), w.find().partitions[0], Progress(0, (), ())
        ),
        (("commit", "billing"), ("read", "orders")),
    ),
    "seek": Row(seeking, (("administer", "billing"), ("read", "orders"))),
    "remove_group": Row(lambda w, s: w.broker.remove_group(s, SPACE, "billing"), (("administer", "billing"),)),
    "positions.commit": Row(moved, (("commit", "billing"), ("read", "orders"))),
    "positions.forget": Row(
        lambda w, s: positions.forget(w.broker, s, w.broker.catalog.group(SPACE, "billing"), [w.find().partitions[0]]),
        (("administer", "billing"),),
    ),
    "accounts.listed": Row(seen(accounts.listed), None),
    "accounts.create": Row(lambda w, s: accounts.create(w.broker, s, UserDefinition(name="eve")), None),
    "accounts.alter": Row(lambda w, s: accounts.alter(w.broker, s, UserDefinition(name="other")), None),
    "accounts.remove": Row(lambda w, s: accounts.remove(w.broker, s, "other"), None),
    "governing.listed": Row(seen(governing.listed), None),
    "governing.put": Row(lambda w, s: governing.put(w.broker, s, POLICY), None),
    "governing.remove": Row(lambda w, s: governing.remove(w.broker, s, SPACE, "short"), None),
    "namespaces.listed": Row(seen(namespaces.listed), None),
    "namespaces.create": Row(lambda w, s: namespaces.create(w.broker, s, "new"), None),
    "namespaces.remove": Row(lambda w, s: namespaces.remove(w.broker, s, "eu"), None),
}

ENDS: Final = {"end_session"}
"""What takes a session and needs no right: to go."""


async def populate(w: World) -> None:
    """What the rows act on."""
    await w.topic()
    await w.topic("old")
    await w.broker.create_queue(w.session, QueueDefinition(name="jobs"))
    await w.broker.create_exchange(w.session, ExchangeDefinition(name="sales"))
    group = await w.broker.group(w.session, SPACE, "billing")
    await w.broker.commit(w.session, group, w.find().partitions[0], Progress(0, (), ()))
    await accounts.create(w.broker, w.session, UserDefinition(name="other"))
    await namespaces.create(w.broker, w.session, "eu")
    await governing.put(w.broker, w.session, POLICY)


async def user(w: World, *needs: Need, admin: bool = False) -> Session:
    """A session of a user with exactly these rights."""
    grants = tuple(Grant(operations=(operation,), pattern=name) for operation, name in needs)
    await accounts.create(w.broker, w.session, UserDefinition(name="ada", grants=grants, admin=admin))
    return w.broker.session("ada")


def operations() -> Iterator[str]:
    """Everything public that acts for a session: methods of the broker, functions of the files beside it."""
    for name, method in inspect.getmembers(Broker, inspect.isfunction):
        if name[0] != "_" and takes_session(method):
            yield name
    for found in pkgutil.iter_modules(beside.__path__):
        module = importlib.import_module(f"{beside.__name__}.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name[0] != "_" and function.__module__ == module.__name__ and takes_session(function):
                yield f"{found.name}.{name}"


def takes_session(function: Callable[..., object]) -> bool:
    return any(each.annotation is Session for each in inspect.signature(function).parameters.values())


def test_every_operation_has_a_row() -> None:
    assert set(operations()) - ENDS == ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
async def test_an_operation_is_let_through_with_what_it_needs(name: str) -> None:
    async with world() as w:
        await populate(w)
        row = ROWS[name]
        session = await user(w, *(row.needs or ()), admin=row.needs is None)

        await row.call(w, session)


@pytest.mark.parametrize(
    ("name", "missing"), [(name, each) for name, row in ROWS.items() for each in row.needs or [None]]
)
async def test_an_operation_is_refused_when_anything_of_that_is_missing(name: str, missing: Need | None) -> None:
    async with world() as w:
        await populate(w)
        row = ROWS[name]
        others = [need for need in row.needs or () if need != missing]
        everything_else = Grant(operations=("describe",), pattern="*")
        grants = [Grant(operations=(operation,), pattern=each) for operation, each in others]
        await accounts.create(w.broker, w.session, UserDefinition(name="ada", grants=(everything_else, *grants)))
        before = list(w.broker.catalog.export())

        with pytest.raises(AccessDenied, match="'ada' may not"):
            await row.call(w, w.broker.session("ada"))

        assert list(w.broker.catalog.export()) == before


@pytest.mark.parametrize("name", ROWS)
async def test_the_owner_may_do_all_of_it_whoever_else_there_is(name: str) -> None:
    async with world() as w:
        await populate(w)

        await ROWS[name].call(w, w.session)
