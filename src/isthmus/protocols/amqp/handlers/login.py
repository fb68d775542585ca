"""How a client of AMQP proves who it is: PLAIN, AMQPLAIN, EXTERNAL, and new secrets for a login that there is.

The exchanges themselves are the broker's (`broker/sasl.py`); this file carries them. While nobody is a user the login
`guest` with the password `guest` is taken from whoever may come without one, which is what every client tries first.

Spec: RFC 4616 (PLAIN), RFC 4422 appendix A (EXTERNAL), RabbitMQ "Authentication, Authorisation, Access Control".
"""

from typing import Final, NamedTuple

from isthmus.broker import sasl
from isthmus.broker.access import ANYONE, Access, is_near
from isthmus.errors import RequestError
from isthmus.limits import SASL_BYTES_MAX
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.table import Malformed, decode_entries
from isthmus.protocols.door import Peer

PLAIN: Final = "PLAIN"
AMQPLAIN: Final = "AMQPLAIN"
EXTERNAL: Final = "EXTERNAL"
GUEST: Final = "guest"


class Proven(NamedTuple):
    """The peer is that principal; `user` is the name by which it came."""

    principal: str
    user: str


def mechanisms(peer: Peer) -> tuple[str, ...]:
    """What is offered to a peer: without a certificate that was verified, EXTERNAL makes no sense."""
    return (PLAIN, AMQPLAIN, *((EXTERNAL,) if peer.user is not None else ()))


def prove(access: Access, peer: Peer, mechanism: str, response: bytes, *, plain: bool) -> Proven | str:
    """Who a peer is, or in a sentence for the log why it is nobody.

    Args:
        access: the users.
        peer: who it is by its socket.
        mechanism: as the peer named it.
        response: what it said.
        plain: whether passwords are taken from other machines without TLS.

    Raises:
        Refused: there is no such mechanism.
    """
    if mechanism == EXTERNAL and peer.user is not None:
        return _external(access, peer.user)
    if mechanism == AMQPLAIN:
        response = _as_plain(response)
    elif mechanism != PLAIN:
        raise Refused(Code.COMMAND_INVALID, f"unsupported authentication mechanism '{mechanism}'")
    return _password(access, peer, response, plain=plain)


def _external(access: Access, user: str) -> Proven | str:
    principal = access.principal_of(host="", user=user, trusted=False)
    if principal is None:
        return f"the certificate of {user!r}, who is no user"
    return Proven(principal, user)


def _as_plain(response: bytes) -> bytes:
    """The response of AMQPLAIN, a table without its length, as one of PLAIN; empty when it is nothing of the sort."""
    try:
        table = decode_entries(response) if len(response) <= SASL_BYTES_MAX else {}
    except Malformed:
        return b""
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    return (
        b"\0%b\0%b" % (user.encode(), password.encode()) if isinstance(user, str) and isinstance(password, str) else b""
    )


def _password(access: Access, peer: Peer, response: bytes, *, plain: bool) -> Proven | str:
    if access.principal_of(host=peer.host, user=None, trusted=peer.trusted) is not None and not access.guarded:
        return Proven(ANYONE, GUEST) if response == b"\0guest\0guest" else "a user, and there are none yet: use guest"
    safe = peer.tls or plain or is_near(peer.host)
    try:
        exchange = sasl.begin(PLAIN, access, tls=safe, host=peer.host)
    except RequestError as error:
        return str(error)
    said = exchange.answer(response)
    if isinstance(said, sasl.Success):
        return Proven(said.principal, said.principal)
    return said.text if isinstance(said, sasl.Failure) else "an unfinished login"


def renewed(access: Access, peer: Peer, user: str, secret: bytes, *, plain: bool) -> bool:
    """Whether a new secret proves that the peer is still who it was."""
    found = _password(access, peer, b"\0%b\0%b" % (user.encode(), secret), plain=plain)
    return isinstance(found, Proven) and found.user == user
