"""Who calls, what they may do and how much they may have in flight: sessions, credit, the one authoriser.

Every operation of every door asks here, with a session, an operation and a name. Until a user exists, whoever can reach
the broker from this machine may do everything; from then on, nobody may do what no grant says.
"""

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from isthmus import scram
from isthmus.broker.attempts import Attempts
from isthmus.broker.users import Users
from isthmus.definition import DEFAULT_NAMESPACE, Operation, ScramCredential, ScramMechanism
from isthmus.errors import AccessDenied, Closed, InvalidArgument, Overloaded
from isthmus.limits import PENDING_BYTES_MAX, SCRAM_ITERATIONS, SCRAM_SALT_BYTES

LOCAL: Final = "local"
"""The principal of whoever owns the data directory: the process that holds it, and others of the same system user."""

ANYONE: Final = "anyone"
"""The principal of whoever comes while there is no user. When the first one is made it may do nothing any more."""

LOCAL_ID: Final = 0

NONCE_BYTES: Final = 18


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
    """One caller for as long as it is connected. Leases without time and session objects end with it.

    `namespace` is where the names are that it asks for, unless a request says otherwise.
    """

    __slots__ = ("_on_end", "credit", "ended", "id", "namespace", "principal", "principal_id")

    def __init__(self, session_id: int, principal: str, principal_id: int, credit_bytes: int) -> None:
        self.id = session_id
        self.principal = principal
        self.principal_id = principal_id
        self.credit = Credit(credit_bytes)
        self.namespace = DEFAULT_NAMESPACE
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
    """The one authoriser: called by every operation of every door with session, operation and resource."""

    def __init__(self, users: Users | None = None, now_ms: Callable[[], int] = lambda: 0) -> None:
        self.users = users or Users()
        self._now_ms = now_ms
        self._attempts = Attempts()
        self.insecure = False
        """Whether the operator lets peers from other machines in while there is no user."""
        self._sessions = 0
        self._open: dict[str, dict[Session, None]] = {}

    @property
    def guarded(self) -> bool:
        """Whether there is a user, so that everybody has to say and prove who they are."""
        return bool(self.users.by_name)

    # ---- who it is ------------------------------------------------------------------------------------------------

    def principal_of(self, *, host: str, user: str | None, trusted: bool) -> str | None:
        """Who a peer is before it has said anything; None when it has to log in first.

        The arguments are those of the same names of `Peer`: where it comes from, what its verified certificate calls
        it, and whether it is a process of the owner.
        """
        if trusted:
            return LOCAL
        if user is not None and user in self.users.by_name:
            return user
        if self.guarded:
            return None
        return ANYONE if self.insecure or (host and is_near(host)) else None

    def open(self, principal: str = LOCAL, credit_bytes: int = PENDING_BYTES_MAX) -> Session:
        """A session for a principal that has proven who it is.

        Raises:
            AccessDenied: nobody of that name.
        """
        found = self.users.by_name.get(principal)
        if found is None and principal != LOCAL and (principal != ANYONE or self.guarded):
            raise AccessDenied(principal, "connect to", "this broker")
        self._sessions += 1
        session = Session(self._sessions, principal, LOCAL_ID if found is None else found.id, credit_bytes)
        if principal != LOCAL:
            self._open.setdefault(principal, {})[session] = None
            session.on_end(lambda: self._forget(session))
        return session

    def _forget(self, session: Session) -> None:
        ours = self._open[session.principal]
        del ours[session]
        if not ours:
            del self._open[session.principal]

    def sessions_of(self, principal: str) -> Sequence[Session]:
        """The sessions that are open for a principal other than `local`."""
        return list(self._open.get(principal, ()))

    # ---- what it may do -------------------------------------------------------------------------------------------

    def check(self, session: Session, operation: Operation, resource: str, namespace: str | None = None) -> None:
        """Say whether a session's principal may do that, in the session's namespace or another one.

        Raises:
            Closed: the session has ended.
            AccessDenied: it may not.
        """
        if not self.allows(session, operation, resource, namespace):
            if session.ended:
                raise Closed("the session")
            raise AccessDenied(session.principal, operation, resource)

    def check_all(
        self, session: Session, operation: Operation, resources: Iterable[str], namespace: str | None = None
    ) -> None:
        """The same for each of several names."""
        for resource in resources:
            self.check(session, operation, resource, namespace)

    def check_admin(self, session: Session, what: str = "users") -> None:
        """Whether it may see and change who may do what, or something else that is about everything, named in `what`.

        Raises:
            Closed, AccessDenied: see `check`. No grant is enough.
        """
        if session.ended:
            raise Closed("the session")
        rights = self.users.rights.get(session.principal)
        user = rights is not None and rights.admin and rights.id == session.principal_id
        if not user and not self._unguarded(session):
            raise AccessDenied(session.principal, "administer", what)

    def allows(self, session: Session, operation: Operation, resource: str, namespace: str | None = None) -> bool:
        """The same as a question, for answers that leave out what somebody may not see."""
        if session.ended:
            return False
        rights = self.users.rights.get(session.principal)
        if rights is not None and rights.id == session.principal_id:
            return rights.allow(operation, resource, session.namespace if namespace is None else namespace)
        return self._unguarded(session)

    def allows_some(self, session: Session, operation: Operation, namespace: str | None = None) -> bool:
        """Whether there is any resource with which it may do that, for operations that name none; anywhere or in a
        namespace.
        """
        if session.ended:
            return False
        rights = self.users.rights.get(session.principal)
        if rights is not None and rights.id == session.principal_id:
            return rights.allow_some(operation, namespace)
        return self._unguarded(session)

    def _unguarded(self, session: Session) -> bool:
        return session.principal == LOCAL or (session.principal == ANYONE and not self.guarded)

    # ---- for logins (see `sasl.Directory`) ------------------------------------------------------------------------

    def scram(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        """A user's credential for a mechanism; None when there is no such user, or it has none."""
        found = self.users.by_name.get(user)
        return next((each for each in found.scrams if each.mechanism == mechanism), None) if found else None

    def decoy(self, user: str, mechanism: ScramMechanism) -> ScramCredential:
        """What a login with an unknown name is answered with: always the same, and no password fits it."""
        size = len(scram.hashed(mechanism, b""))
        return ScramCredential(
            mechanism=mechanism,
            salt=self._derived("salt", mechanism, user)[:SCRAM_SALT_BYTES],
            iterations=SCRAM_ITERATIONS,
            stored_key=self._derived("stored", mechanism, user)[:size],
            server_key=self._derived("server", mechanism, user)[:size],
        )

    def _derived(self, *what: str) -> bytes:
        return hmac.digest(self.users.secret, "\0".join(what).encode(), "sha512")

    def may_try(self, host: str) -> bool:
        """Whether a peer at this address may log in: it has not failed too often lately."""
        return self._attempts.may_try(host, self._now_ms())

    def failed(self, host: str) -> None:
        """A login from this address has failed."""
        self._attempts.failed(host, self._now_ms())

    def nonce(self) -> str:
        """A server's part of a login's nonce."""
        return secrets.token_urlsafe(NONCE_BYTES)


def is_near(host: str) -> bool:
    """Whether an address of a peer is this machine's own; a Unix socket has none and is."""
    if not host:
        return True
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
