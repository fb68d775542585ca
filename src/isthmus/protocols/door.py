"""The seam between the driver of sockets and a protocol: what each asks of the other, for one connection.

The driver (`server/tcp.py`) owns sockets, time slices and buffers and knows no protocol; a door owns one connection's
protocol and knows no socket. This file is data and types only.

Theory of operation
-------------------
A listener has a service, which makes a `Door` for each accepted connection and gets its `Line`. Bytes that arrive go to
`receive`, which only keeps them. When it is the connection's turn, the driver calls `step` again and again, as long as
the slice of time lasts: each call begins at most one request. A request that needs the disk or has to wait keeps its
pending result and answers later, in the order that the protocol asks for; `step` never waits. Answers are collected by
the door; `flush` tells the driver that there are some, and it takes them with `data_to_send` once a turn.

A door that may not go on says `HELD`: too many requests are unanswered, or publishing has to wait for the disk. The
driver then leaves it alone, and stops reading the socket when its buffer is full, until the door calls `wake`. So the
credit chain runs from the disk to the peer's own socket. A door is not stepped either while its peer does not read.
"""

import enum
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Step(enum.Enum):
    """What became of one call of `Door.step`."""

    IDLE = enum.auto()
    """No complete request is at hand: step again when more bytes have come."""
    MORE = enum.auto()
    """One request was begun; there may be another."""
    HELD = enum.auto()
    """The next request has to wait; the door calls `Line.wake` when it may go on."""


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end, as the socket tells it; nothing here is what the peer says of itself.

    `host` and `port` are empty and 0 for a Unix socket. `local_host` and `local_port` are this end's. `user` is the
    common name of a client certificate that was verified, None without one. `trusted` says that the peer is a process
    of the user that owns the data directory, on its Unix socket: it may do what the owner of the directory may.
    """

    host: str = ""
    port: int = 0
    local_host: str = ""
    local_port: int = 0
    tls: bool = False
    user: str | None = None
    trusted: bool = False


class Line(Protocol):
    """One connection, as the driver gives it to a door. All calls are made on the loop and return at once."""

    @property
    def peer(self) -> Peer:
        """Who is there."""

    @property
    def congested(self) -> bool:
        """Whether the peer reads too slowly: push nothing that can wait; `Door.resumed` is called when it is over."""

    @property
    def ended(self) -> bool:
        """Whether the peer has said that it sends no more: mostly it has gone."""

    def flush(self) -> None:
        """There is something to send; cheap to call often."""

    def wake(self) -> None:
        """What held the door is over, or a waiting request was answered: step again."""

    def known(self, principal: str) -> None:
        """The peer has proven who it is: limits of strangers end, and its time is shared with that principal's.

        Until then it is closed after a few seconds and may send a few KiB. So where nobody has to prove anything (no
        user exists, the peer is `trusted`, its certificate names a user, the port is for health), a service says so at
        once.
        """

    def close(self, reason: str = "") -> None:
        """Send what there is, then close; `reason` goes to the log when it is not the usual end."""


class Door(Protocol):
    """One connection's protocol; made by a service when the connection is accepted."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that were received and are not handled yet."""

    @property
    def wanted_bytes(self) -> int:
        """How many buffered bytes the request at hand needs to be complete; at most the listener's limit, 0 unknown."""

    def receive(self, data: bytes) -> None:
        """Keep what has arrived."""

    def step(self) -> Step:
        """Begin the next request, if it is there whole. Never raises on what a peer sent."""

    def data_to_send(self) -> list[bytes]:
        """Take what is to be sent now, in order."""

    def resumed(self) -> None:
        """The peer reads again."""

    def drain(self) -> None:
        """The server stops, or the peer has ended its side: begin nothing new, finish what runs, then close the line.

        Called once at most. Who takes too long is closed: after HALF_CLOSED_MS when the peer has ended its side.
        """

    def lost(self) -> None:
        """The connection is gone: give back all that it holds, end its session, let go of what waits."""


Service = Callable[[Line], Door]
"""A protocol on a listener: makes the door of each connection that is accepted there."""
