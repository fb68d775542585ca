"""Who calls, what they may do and how much they may have in flight: sessions, credit, the one authoriser.

Every method of the broker takes a session. Users and rules come with the server; until a user exists the process that
holds the directory is the only principal and may do everything.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from isthmus.errors import AccessDenied, Closed, InvalidArgument, Overloaded
from isthmus.limits import PENDING_BYTES_MAX

Operation = Literal["create", "alter", "remove", "describe", "publish", "read", "consume", "commit", "administer"]

LOCAL: Final = "local"
"""The principal of the process that holds the data directory."""

LOCAL_ID: Final = 0


class Credit:
    """Bytes that one session may have in flight."""

    __slots__ = ("_waiting", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise InvalidArgument("credit", f"{limit_bytes} bytes let nothing through")
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._waiting: list[asyncio.Future[None]] = []

    def take(self, size: int) -> None:
        """Use some; one request larger than everything passes when nothing else is in flight.

        Raises:
            Overloaded: not enough is left.
        """
        if self.used_bytes and self.used_bytes + size > self.limit_bytes:
            raise Overloaded("bytes in flight of this session", self.limit_bytes)
        self.used_bytes += size

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.used_bytes -= size
        if self._waiting and self.used_bytes <= self.limit_bytes // 2:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self) -> None:
        """Wait until half of it is free."""
        while self.used_bytes > self.limit_bytes // 2:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class Session:
    """One caller for as long as it is connected. Leases without time and session objects end with it."""

    __slots__ = ("_on_end", "credit", "ended", "id", "principal", "principal_id")

    def __init__(self, session_id: int, principal: str, principal_id: int, credit_bytes: int) -> None:
        self.id = session_id
        self.principal = principal
        self.principal_id = principal_id
        self.credit = Credit(credit_bytes)
        self.ended = False
        self._on_end: list[Callable[[], None]] = []

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back when the session ends; at once when it has."""
        if self.ended:
            callback()
        else:
            self._on_end.append(callback)

    def end(self) -> None:
        """Tell those who asked; idempotent."""
        if not self.ended:
            self.ended = True
            callbacks, self._on_end = self._on_end, []
            for callback in callbacks:
                callback()


class Access:
    """The one authoriser: called by every operation of every door with principal, operation and resource."""

    def __init__(self) -> None:
        self._sessions = 0

    def open(self, principal: str = LOCAL, credit_bytes: int = PENDING_BYTES_MAX) -> Session:
        """A session for a principal that has proven who it is.

        Raises:
            AccessDenied: nobody of that name.
        """
        if principal != LOCAL:
            raise AccessDenied(principal, "connect to", "this broker")
        self._sessions += 1
        return Session(self._sessions, principal, LOCAL_ID, credit_bytes)

    def check(self, session: Session, operation: Operation, resource: str) -> None:
        """Say whether a session's principal may do that.

        Raises:
            Closed: the session has ended.
            AccessDenied: it may not.
        """
        if session.ended:
            raise Closed("the session")
        if session.principal != LOCAL:
            raise AccessDenied(session.principal, operation, resource)
