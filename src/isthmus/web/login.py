"""Who asks on the web port: by certificate, by where it comes from, or by name and password in each request.

It proves who somebody is; what they may do is the authoriser's.

Spec: RFC 7617 (Basic).
"""

import binascii
from typing import NamedTuple

from isthmus.broker import sasl
from isthmus.broker.access import is_near
from isthmus.broker.broker import Broker
from isthmus.broker.sasl import Exchange, Success
from isthmus.definition import ScramCredential
from isthmus.errors import Unsupported
from isthmus.limits import LOGIN_FAILED_MS, SASL_BYTES_MAX
from isthmus.protocols.door import Peer
from isthmus.protocols.http.messages import Response, plain

CHALLENGE = ("WWW-Authenticate", 'Basic realm="isthmus", charset="UTF-8"')


class _Known(NamedTuple):
    """Who has logged in, by what, and against which credential: with another password that is over."""

    authorization: str
    principal: str
    credential: ScramCredential | None


class Login:
    """The logins of one connection; the last that succeeded is remembered with what proved it."""

    def __init__(self, broker: Broker, peer: Peer) -> None:
        self._broker = broker
        self._peer = peer
        self._known: _Known | None = None

    async def principal(self, authorization: str | None) -> str | Response:
        """Who it is, or what to answer instead. Wrong passwords are answered late."""
        peer = self._peer
        known = self._broker.access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        if known is not None:
            return known
        if authorization is None:
            return plain(401, "log in with a user's name and password", (CHALLENGE,))
        known_before = self._known
        if known_before is not None and known_before == self._proof(authorization, known_before.principal):
            return known_before.principal
        return await self._login(authorization)

    def greet(self, authorization: str | None) -> str | None:
        """Who it is, when that can be said at once; a wrong password is answered when its request is handled."""
        if authorization is None or self._known is not None:
            return None
        try:
            said = self._exchange().answer(_message(authorization))
        except Unsupported:
            return None
        if not isinstance(said, Success):
            return None
        self._known = self._proof(authorization, said.principal)
        return said.principal

    def _exchange(self) -> Exchange:
        """A login by name and password. Raises Unsupported where passwords are not taken."""
        peer = self._peer
        safe = peer.tls or is_near(peer.host)
        return sasl.begin(sasl.PLAIN, self._broker.access, tls=safe, host=peer.host)

    def _proof(self, authorization: str, name: str) -> "_Known":
        return _Known(authorization, name, self._broker.access.scram(name, "SCRAM-SHA-256"))

    async def _login(self, authorization: str) -> str | Response:
        self._known = None
        try:
            exchange = self._exchange()
        except Unsupported:
            return plain(403, "a password is taken over TLS only")
        clock, came_ms = self._broker.clock, self._broker.clock.monotonic_ms()
        said = exchange.answer(_message(authorization))
        if not isinstance(said, Success):
            await clock.sleep_until(came_ms + LOGIN_FAILED_MS)
            return plain(401, sasl.WRONG, (CHALLENGE,))
        self._known = self._proof(authorization, said.principal)
        return said.principal


def _message(authorization: str) -> bytes:
    """Basic credentials as PLAIN's one message; what is none gives one that proves nothing."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic" or len(rest) > SASL_BYTES_MAX:
        return b""
    try:
        user, _, password = binascii.a2b_base64(rest.strip().encode(), strict_mode=True).partition(b":")
    except ValueError:
        return b""
    return b"\0".join((b"", user, password))
