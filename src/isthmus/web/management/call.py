"""One request to the management API, as every handler gets it: what was asked, by whom, and of which broker.

It looks up what a request names and refuses what is not there; what is asked is the handlers' business.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Exchange
from isthmus.definition import DEFAULT_NAMESPACE
from isthmus.protocols.amqp.handlers.link import ROOT, AmqpOptions, Shared
from isthmus.protocols.http.messages import Response
from isthmus.web.management.answers import bad_request, not_found

T = TypeVar("T")
NODE: Final = "isthmus@localhost"
"""What the one node is called."""

DEFAULT_EXCHANGE: Final = "amq.default"
"""What paths and permissions call the exchange that has no name."""


class Api(Struct, frozen=True, kw_only=True):
    """What the API speaks of: the broker, its version, and what AMQP's door says of itself and keeps."""

    broker: Broker
    version: str
    options: AmqpOptions
    shared: Shared
    listeners: Callable[[], list[tuple[str, str, int]]]
    """Protocol, address and port of all that listens."""


class Call(Struct, frozen=True, kw_only=True):
    """See the module text. `given` stood in the path, `body` is the object that was sent."""

    api: Api
    session: Session
    given: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self.api.broker

    @property
    def vhost(self) -> str:
        """The virtual host that the path names. Raises Failure when there is none of that name."""
        name = self.given["vhost"]
        if namespace_of(name) not in self.broker.catalog.namespaces or name == DEFAULT_NAMESPACE:
            raise not_found()
        return name

    @property
    def namespace(self) -> str:
        """The same as the namespace that it is."""
        return namespace_of(self.vhost)

    def may_see(self, name: str, namespace: str | None = None) -> bool:
        """Whether who asks may see something of that name, in a namespace or else in that of the path."""
        return self.broker.access.allows(
            self.session, "describe", name, self.namespace if namespace is None else namespace
        )

    def may_enter(self, namespace: str) -> bool:
        """Whether who asks may do anything there."""
        return self.broker.access.allows_some(self.session, "describe", namespace)

    def exchange(self, name: str) -> Exchange | None:
        """The exchange of that name in the virtual host, None for the default one.

        Raises:
            Failure: there is none, or none that may be seen.
        """
        if name in ("", DEFAULT_EXCHANGE):
            return None
        catalog = self.broker.catalog
        found = catalog.exchanges.get(catalog.exchange_names.get((self.namespace, name), 0))
        if found is None or not self.may_see(name):
            raise not_found()
        return found

    def wanted(self, kind: type[T], *names: str) -> list[T]:
        """Fields of the body that have to be there.

        Raises:
            Failure: one is missing, or is something else.
        """
        missing = [name for name in names if name not in self.body]
        if missing:
            raise bad_request("[" + ",".join(f"{{key_missing,{name}}}" for name in missing) + "]")
        return [self._checked(kind, name, self.body[name]) for name in names]

    def optional(self, kind: type[T], name: str, default: T) -> T:
        """A field of the body, or a default. Raises Failure when it is something else."""
        value = self.body.get(name)
        return default if value is None else self._checked(kind, name, value)

    @staticmethod
    def _checked(kind: type[T], name: str, value: object) -> T:
        # Some clients write truth values and numbers as text.
        if kind is bool and value in ("true", "false"):
            value = value == "true"
        if kind is int and isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit():
            value = int(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise bad_request(f"{name} should be {WORDS[kind]}")
        return value


WORDS: Final[Mapping[type, str]] = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    dict: "an object",
    list: "a list",
}
Handler = Callable[[Call], Awaitable[Response]]


def namespace_of(vhost: str) -> str:
    """A virtual host's namespace."""
    return DEFAULT_NAMESPACE if vhost == ROOT else vhost


def vhost_of(namespace: str) -> str:
    """A namespace's virtual host."""
    return ROOT if namespace == DEFAULT_NAMESPACE else namespace
