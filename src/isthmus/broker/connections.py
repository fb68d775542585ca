"""Who is connected: what the doors tell of their connections, for whoever shows or ends them.

A door enters a connection when its peer is known, keeps what it says of it up to date, and takes it out when it is
gone. Nothing is decided here, and nothing durable.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct


class ChannelFigures(Struct, frozen=True, kw_only=True):
    """How a channel stands at this moment.

    `prefetch` and `shared_prefetch` are how many deliveries may be open for each of its consumers and for all of them
    together, 0 for no limit. `unsettled` are open deliveries, `unconfirmed` publishes that wait for a confirm.
    """

    prefetch: int = 0
    shared_prefetch: int = 0
    unsettled: int = 0
    unconfirmed: int = 0
    confirms: bool = False
    transactional: bool = False


class Channel:
    """One of several conversations that share a connection. `session` is the number of its session."""

    __slots__ = ("figures", "number", "session", "since_ms")

    def __init__(self, number: int, session: int, since_ms: int, figures: Callable[[], ChannelFigures]) -> None:
        self.number = number
        self.session = session
        self.since_ms = since_ms
        self.figures = figures


class Connection:
    """One connection whose peer is known. Times are milliseconds since 1970 UTC.

    Args:
        protocol: as its users call it, such as "AMQP 0-9-1".
        peer: address and port of the other end, empty and 0 for a socket of this machine's.
        here: address and port of this end.
        principal: who it is.
        namespace: whose names it uses.
        since_ms: when its peer became known.
        close: ends it; takes the reason that the peer is told.
        tls: whether it is encrypted.
        about: what the client says of itself.
        terms: what was agreed with it, such as heartbeat_s or frame_bytes_max.
        mechanism: how the peer proved who it is.
        session: the number of its session.
    """

    __slots__ = (
        "about",
        "channels",
        "close",
        "here",
        "mechanism",
        "namespace",
        "number",
        "peer",
        "principal",
        "protocol",
        "session",
        "since_ms",
        "terms",
        "tls",
    )

    def __init__(  # what there is to tell
        self,
        *,
        protocol: str,
        peer: tuple[str, int],
        here: tuple[str, int],
        principal: str,
        namespace: str,
        since_ms: int,
        close: Callable[[str], None],
        tls: bool = False,
        about: Mapping[str, Any] | None = None,
        terms: Mapping[str, int] | None = None,
        mechanism: str = "",
        session: int = 0,
    ) -> None:
        self.number = 0
        self.protocol = protocol
        self.peer = peer
        self.here = here
        self.principal = principal
        self.namespace = namespace
        self.since_ms = since_ms
        self.close = close
        self.tls = tls
        self.about = about or {}
        self.terms = terms or {}
        self.mechanism = mechanism
        self.session = session
        self.channels: dict[int, Channel] = {}

    @property
    def name(self) -> str:
        """What it is called in lists: both ends, and its number when an end has no port to tell it by."""
        told = f"{self.peer[0]}:{self.peer[1]} -> {self.here[0]}:{self.here[1]}"
        return told if self.peer[1] else f"local {self.number}"


class Connections:
    """All of them, the oldest first."""

    def __init__(self) -> None:
        self._known: dict[int, Connection] = {}
        self._given = 0

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Connection]:
        yield from list(self._known.values())

    def enter(self, connection: Connection) -> None:
        """A peer is known now."""
        self._given += 1
        connection.number = self._given
        self._known[connection.number] = connection

    def leave(self, connection: Connection) -> None:
        """It is gone; saying so again changes nothing."""
        self._known.pop(connection.number, None)

    def find(self, name: str) -> Connection | None:
        """The connection of that name."""
        return next((each for each in self._known.values() if each.name == name), None)
