"""Administration of a server: the port's `Admin`, each method one message. What only looks may be asked twice."""

from typing import Literal, Protocol, TypeVar

from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Kept,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.engines.base import Start
from isthmus.protocols.native import schema as wire
from isthmus.views import (
    BindingView,
    DeadLetter,
    ExchangeView,
    GroupView,
    LifeStep,
    NamespaceView,
    PeekedRecord,
    PolicyView,
    QueueView,
    TopicView,
    UserView,
)

T = TypeVar("T")


class Caller(Protocol):
    """What administration asks of its engine."""

    async def ask(self, message: wire.Request, kind: type[T]) -> T:
        """The answer to what may be asked twice."""

    async def ask_once(self, message: wire.Request, kind: type[T]) -> T:
        """The answer to what must not be asked twice."""


class NativeAdmin:
    """See `engines/base.py`."""

    def __init__(self, engine: Caller) -> None:
        self._engine = engine

    async def topics(self) -> list[TopicView]:
        """All topics by name."""
        return list((await self._engine.ask(wire.Topics(), wire.TopicViews)).views)

    async def queues(self) -> list[QueueView]:
        """All queues by name."""
        return list((await self._engine.ask(wire.Queues(), wire.QueueViews)).views)

    async def topic(self, name: str) -> TopicView:
        """One topic."""
        (view,) = (await self._engine.ask(wire.Topic(name), wire.TopicViews)).views
        return view

    async def queue(self, name: str) -> QueueView:
        """One queue."""
        (view,) = (await self._engine.ask(wire.Queue(name), wire.QueueViews)).views
        return view

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it."""
        await self._engine.ask_once(define("create", definition), wire.Done)

    async def alter(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Change it."""
        await self._engine.ask(define("alter", definition), wire.Done)

    async def remove(self, name: str) -> None:
        """Remove it."""
        await self._engine.ask_once(wire.Remove(name), wire.Done)

    async def groups(self, topic: str | None = None) -> list[GroupView]:
        """All groups, or those of a topic."""
        return list((await self._engine.ask(wire.Groups(topic), wire.GroupViews)).views)

    async def seek(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Move a group."""
        return list((await self._engine.ask(wire.Seek(group, topic, to), wire.Moved)).rows)

    async def remove_group(self, group: str) -> None:
        """Forget a group."""
        await self._engine.ask_once(wire.RemoveGroup(group), wire.Done)

    async def peek(self, queue: str, count: int) -> list[PeekedRecord]:
        """Look without taking."""
        return list((await self._engine.ask(wire.Peek(queue, count), wire.Peeked)).records)

    async def purge(self, queue: str) -> int:
        """Settle all that is not leased."""
        return (await self._engine.ask_once(wire.Purge(queue), wire.Count)).value

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """Unsettled dead letters."""
        return list((await self._engine.ask(wire.DeadLetters(queue, count), wire.Letters)).letters)

    async def redrive(self, queue: str, count: int | None = None) -> int:
        """Move dead letters home."""
        return (await self._engine.ask_once(wire.Redrive(queue, count), wire.Count)).value

    async def explain(self, topic: str, partition: int, offset: int) -> list[LifeStep]:
        """The life of one event."""
        return list((await self._engine.ask(wire.Explain(topic, partition, offset), wire.Steps)).steps)

    async def reclaim(self) -> int:
        """Give back disk."""
        return (await self._engine.ask_once(wire.Reclaim(), wire.Count)).value

    async def users(self) -> list[UserView]:
        """All users by name."""
        return list((await self._engine.ask(wire.Users(), wire.UserViews)).views)

    async def create_user(self, definition: UserDefinition) -> None:
        """Make a user."""
        await self._engine.ask_once(wire.DefineUser("create", definition), wire.Done)

    async def alter_user(self, definition: UserDefinition) -> None:
        """Change a user."""
        await self._engine.ask(wire.DefineUser("alter", definition), wire.Done)

    async def remove_user(self, name: str) -> None:
        """Remove a user."""
        await self._engine.ask_once(wire.RemoveUser(name), wire.Done)

    async def policies(self) -> list[PolicyView]:
        """All policies."""
        return list((await self._engine.ask(wire.Policies(), wire.PolicyViews)).views)

    async def set_policy(self, definition: PolicyDefinition) -> None:
        """Make or replace a policy."""
        await self._engine.ask(wire.SetPolicy(definition), wire.Done)

    async def remove_policy(self, name: str) -> None:
        """Remove a policy."""
        await self._engine.ask_once(wire.RemovePolicy(name), wire.Done)

    async def namespaces(self) -> list[NamespaceView]:
        """All namespaces."""
        return list((await self._engine.ask(wire.Namespaces(), wire.NamespaceViews)).views)

    async def create_namespace(self, name: str, kept: Kept = ()) -> None:
        """Make a namespace."""
        await self._engine.ask_once(wire.CreateNamespace(name, kept), wire.Done)

    async def remove_namespace(self, name: str) -> None:
        """Remove a namespace."""
        await self._engine.ask_once(wire.RemoveNamespace(name), wire.Done)

    async def exchanges(self) -> list[ExchangeView]:
        """All exchanges."""
        return list((await self._engine.ask(wire.Exchanges(), wire.ExchangeViews)).views)

    async def create_exchange(self, definition: ExchangeDefinition) -> None:
        """Make an exchange."""
        await self._engine.ask_once(wire.CreateExchange(definition), wire.Done)

    async def remove_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove an exchange."""
        await self._engine.ask_once(wire.RemoveExchange(name, if_unused), wire.Done)

    async def bindings(self, exchange: str | None = None, target: str | None = None) -> list[BindingView]:
        """Bindings."""
        return list((await self._engine.ask(wire.Bindings(exchange, target), wire.BindingViews)).views)

    async def bind(self, binding: Binding) -> None:
        """Make a binding."""
        await self._engine.ask(wire.Bind(binding, unbind=False), wire.Done)

    async def unbind(self, binding: Binding) -> None:
        """Take a binding back."""
        await self._engine.ask(wire.Bind(binding, unbind=True), wire.Done)


def define(how: Literal["declare", "create", "alter"], asked: TopicDefinition | QueueDefinition) -> wire.Define:
    """A definition as a message."""
    if isinstance(asked, QueueDefinition):
        return wire.Define(how, queue=asked)
    return wire.Define(how, topic=asked)
