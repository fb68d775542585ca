"""Every request of the native protocol asks the authoriser: made with all that it needs, and with all but one.

The table is compared with the code, so that a new request cannot come without its row.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
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
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.errors import AccessDenied
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.serving import HANDLERS, Serving
from isthmus.record import Record
from isthmus.server.services import Kept
from support.engines import declare_all, publish

Need = tuple[Operation, str]
ORDER: Final = codec.pack_records([Record(b"x")], 10)

POLICY: Final = PolicyDefinition(name="p", pattern="^x", settings=(("ttl_ms", b"1"),))
SALE: Final = Binding(exchange="sales", topic="orders")

ROWS: Final[list[tuple[wire.Request, tuple[Need, ...] | None]]] = [
    (wire.Define("declare", TopicDefinition(name="orders")), (("describe", "orders"),)),
    (wire.Define("declare", TopicDefinition(name="new")), (("create", "new"),)),
    (wire.Define("create", TopicDefinition(name="new")), (("create", "new"),)),
    (wire.Define("alter", TopicDefinition(name="orders", partitions=2)), (("alter", "orders"),)),
    (
        wire.Define("create", queue=QueueDefinition(name="new", view_of="wide", config=QueueConfig(dead="jobs.dead"))),
        (("create", "new"), ("read", "wide"), ("publish", "jobs.dead")),
    ),
    (wire.Partitions("orders"), (("describe", "orders"),)),
    (wire.Publish("orders", ORDER), (("publish", "orders"),)),
    (
        wire.Submit((wire.Publish("orders", ORDER), wire.Publish("wide", ORDER))),
        (("publish", "orders"), ("publish", "wide")),
    ),
    (wire.OpenReader("orders", "earliest"), (("read", "orders"),)),
    (
        wire.OpenStream("orders", "billing", "earliest", "jobs.dead"),
        (("read", "orders"), ("consume", "billing"), ("commit", "billing"), ("publish", "jobs.dead")),
    ),
    (wire.OpenQueue("jobs", "me"), (("consume", "jobs"),)),
    (wire.Topic("orders"), (("describe", "orders"),)),
    (wire.Queue("jobs"), (("describe", "jobs"),)),
    (wire.Remove("wide"), (("remove", "wide"),)),
    (wire.Groups("orders"), (("describe", "orders"),)),
    (wire.Seek("audit", "orders", "latest"), (("administer", "audit"), ("read", "orders"))),
    (wire.RemoveGroup("audit"), (("administer", "audit"),)),
    (wire.Peek("jobs", 1), (("read", "jobs"),)),
    (wire.Purge("jobs"), (("administer", "jobs"),)),
    (wire.DeadLetters("jobs.dead", 1), (("read", "jobs.dead"),)),
    (wire.Redrive("jobs.dead"), (("administer", "jobs.dead"), ("publish", "jobs"))),
    (wire.Explain("orders", 0, 0), (("read", "orders"),)),
    (wire.Reclaim(), (("administer", "*"),)),
    (wire.Users(), None),
    (wire.DefineUser("create", UserDefinition(name="eve")), None),
    (wire.DefineUser("alter", UserDefinition(name="other")), None),
    (wire.RemoveUser("other"), None),
    (wire.Policies(), None),
    (wire.SetPolicy(POLICY), None),
    (wire.RemovePolicy("p"), None),
    (wire.Namespaces(), None),
    (wire.CreateNamespace("us"), None),
    (wire.RemoveNamespace("eu"), None),
    (wire.CreateExchange(ExchangeDefinition(name="new", alternate="sales")), (("create", "new"), ("publish", "sales"))),
    (wire.RemoveExchange("sales"), (("remove", "sales"),)),
    (wire.Bind(SALE, unbind=False), (("alter", "sales"), ("publish", "orders"))),
    (wire.Bind(SALE, unbind=True), (("alter", "sales"), ("publish", "orders"))),
]
"""A request and all that it needs; None when only an administrator may."""

HANDED_OUT: Final = {wire.Fail, wire.Dead, wire.Release, wire.Extend, wire.Close}
"""What is about something that was handed out when it was allowed."""

ASKED_AGAIN: Final = {wire.Read, wire.Receive}
"""What gives more of something that was opened: the rights for that are asked for again."""

FILTERED: Final = {wire.Topics, wire.Queues, wire.Groups, wire.Exchanges, wire.Bindings}
"""What leaves out what one may not see."""


@pytest.fixture
async def broker() -> AsyncGenerator[Broker]:
    """Streams and queues with a dead letter, a group that stands somewhere, and a user that matters to nobody."""
    made = Broker(MemoryStorage(), ManualClock())
    await made.open()
    owner = EmbeddedEngine("memory://", made, Kept(), made.session())
    await declare_all(owner)
    await publish(owner, "orders", "a")
    await publish(owner, "jobs", "a")
    jobs = await owner.queue_source("jobs", "owner")
    await jobs.dead(await jobs.receive(1, 1_000, 0), "why", "")
    await jobs.close()
    await (await owner.stream_source("orders", "audit", "earliest", None)).close()
    await owner.admin.create_user(UserDefinition(name="other"))
    await owner.admin.set_policy(POLICY)
    await owner.admin.create_namespace("eu")
    await owner.admin.create_exchange(ExchangeDefinition(name="sales"))
    yield made
    await owner.close()
    await made.close()


async def serving(broker: Broker, *needs: Need, admin: bool = False) -> Serving:
    """The requests of a user with exactly these rights."""
    grants = tuple(Grant(operations=(operation,), pattern=name) for operation, name in needs)
    await accounts.create(broker, broker.session(), UserDefinition(name="ada", grants=grants, admin=admin))
    session = broker.session("ada")
    return Serving(EmbeddedEngine("memory://", broker, Kept(), session), broker.access, session)


def described(value: object) -> str:
    return type(value).__name__ if not isinstance(value, tuple) else ""


def test_every_request_has_a_row_or_a_reason_for_none() -> None:
    rows = {type(request) for request, _ in ROWS}

    assert rows | HANDED_OUT | ASKED_AGAIN | FILTERED == HANDLERS.keys()


@pytest.mark.parametrize(("request_", "needs"), ROWS, ids=described)
async def test_a_request_is_let_through_with_what_it_needs(
    broker: Broker, request_: wire.Request, needs: tuple[Need, ...] | None
) -> None:
    served = await serving(broker, *(needs or ()), admin=needs is None)

    await served.answer(request_)

    await served.release_all()


@pytest.mark.parametrize(
    ("request_", "needs", "missing"),
    [(request, needs, each) for request, needs in ROWS for each in needs or [None]],
    ids=described,
)
async def test_a_request_is_refused_when_anything_of_that_is_missing(
    broker: Broker, request_: wire.Request, needs: tuple[Need, ...] | None, missing: Need | None
) -> None:
    served = await serving(broker, *[need for need in needs or () if need != missing])
    before = list(broker.catalog.export())

    with pytest.raises(AccessDenied, match="'ada' may not"):
        await served.answer(request_)

    assert list(broker.catalog.export())[1:] == before[1:]


@pytest.mark.parametrize("request_", [wire.Topics(), wire.Queues(), wire.Groups(), wire.Exchanges()], ids=described)
async def test_lists_leave_out_what_one_may_not_see(broker: Broker, request_: wire.Request) -> None:
    await broker.create_exchange(broker.session(), ExchangeDefinition(name="theirs"))
    mine: list[Need] = [("publish", "orders"), ("consume", "jobs"), ("commit", "audit"), ("publish", "sales")]
    served = await serving(broker, *mine)

    answer: Any = await served.answer(request_)

    assert {view.name for view in answer.views} <= {"orders", "jobs", "audit", "sales"}
    assert len(answer.views) >= 1


async def test_bindings_are_shown_to_who_may_know_of_their_exchange(broker: Broker) -> None:
    await broker.create_exchange(broker.session(), ExchangeDefinition(name="theirs"))
    for name in ("sales", "theirs"):
        await broker.bind(broker.session(), Binding(exchange=name, topic="orders"))
    served = await serving(broker, ("publish", "sales"))

    answer: Any = await served.answer(wire.Bindings(target="orders"))

    assert [(view.exchange, view.topic) for view in answer.views] == [("sales", "orders")]


@pytest.mark.parametrize(
    ("opening", "needs", "more"),
    [
        (wire.OpenReader("orders", "earliest"), (("read", "orders"),), wire.Read(1, 1_000, 0)),
        (wire.OpenQueue("kept", "me"), (("consume", "kept"),), wire.Receive(1, 1, 1_000, 0)),
        (
            wire.OpenStream("orders", "billing", "earliest"),
            (("read", "orders"), ("consume", "billing"), ("commit", "billing")),
            wire.Receive(1, 1, 1_000, 0),
        ),
    ],
    ids=described,
)
async def test_who_may_no_longer_gets_no_more_of_what_was_opened(
    broker: Broker, opening: wire.Request, needs: tuple[Need, ...], more: wire.Request
) -> None:
    served = await serving(broker, *needs)
    await served.answer(opening)
    await served.answer(more)

    await accounts.alter(broker, broker.session(), UserDefinition(name="ada"))

    with pytest.raises(AccessDenied, match="'ada' may not"):
        await served.answer(more)
    await served.release_all()


async def test_a_user_with_no_grant_at_all_is_refused_and_one_with_credentials_is_no_more_for_it(
    broker: Broker,
) -> None:
    served = await serving(broker)
    owner = broker.session()
    kept = scram.credentials("pencil", lambda: b"salt" * 4)
    await accounts.alter(broker, owner, UserDefinition(name="other", scrams=kept))

    for request, _ in ROWS:
        with pytest.raises(AccessDenied):
            await served.answer(request)
