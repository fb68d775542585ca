"""Logins: the server's side of SASL's PLAIN and SCRAM, as exchanges of messages.

Pure: it is given what the peer said and answers what to say. Who the users are, and every chance, is asked of the
directory; how messages travel is a protocol's.

Spec: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 4422 (SASL).

Invariants
----------
S1: an exchange ends with one `Success` or one `Failure`, and whatever comes afterwards fails.
S2: until a proof has been shown, a user that does not exist is answered as one that does: the same fields and lengths,
    the same work, and in the end the same text.
S3: SCRAM succeeds only if the last message repeats the header of the first, carries the nonces of both sides, and
    proves the password for all that was said; PLAIN only if nobody else is to be acted for.
"""

import hmac
from typing import Final, Protocol

from msgspec import Struct

from isthmus import scram
from isthmus.definition import ScramCredential, ScramMechanism
from isthmus.errors import InvalidArgument, Unsupported
from isthmus.limits import SASL_BYTES_MAX

PLAIN: Final = "PLAIN"

WRONG: Final = "the user name or the password is wrong"

TOO_OFTEN: Final = "too many logins from this address have failed; wait a while"

LETTERS: Final = 2
"""Of an attribute up to its value: a letter and `=`."""


class Challenge(Struct, frozen=True):
    """To be sent to the peer, which answers it."""

    data: bytes


class Success(Struct, frozen=True):
    """The peer has proven that it is `principal`; `data` is to be sent with the good news, and may be empty."""

    principal: str
    data: bytes = b""


class Failure(Struct, frozen=True):
    """It has not; `text` may be shown to it. Answer late (LOGIN_FAILED_MS), then close."""

    text: str


Answer = Challenge | Success | Failure


class Directory(Protocol):
    """What an exchange asks; `broker/access.py` answers."""

    def scram(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        """A user's credential, None when there is no such user or it has none."""

    def decoy(self, user: str, mechanism: ScramMechanism) -> ScramCredential:
        """A credential that nobody can prove, always the same for the same name."""

    def nonce(self) -> str:
        """Printable text without a comma that nobody can guess and that was never used before."""

    def may_try(self, host: str) -> bool:
        """Whether a peer at this address has not failed too often."""

    def failed(self, host: str) -> None:
        """A login from this address has failed."""


class Exchange(Protocol):
    """One login."""

    def answer(self, message: bytes) -> Answer:
        """What to say to what the peer said. Never raises on what that is."""


def mechanisms(*, tls: bool) -> tuple[str, ...]:
    """What is offered, the best first; `tls` as in `begin`."""
    return (*reversed(scram.HASHES), *((PLAIN,) if tls else ()))


def begin(mechanism: str, directory: Directory, *, tls: bool, host: str) -> Exchange:
    """The server's side of a login.

    Args:
        mechanism: as the peer named it.
        directory: the users.
        tls: whether nobody else can read what the peer says: it came by TLS, or the operator has said that its way is
            as safe, such as loopback. Otherwise a mechanism that sends the password itself is refused.
        host: where the peer is, by its socket; empty for a Unix socket.

    Raises:
        Unsupported: no such mechanism here; the text names those that there are.
    """
    if mechanism in scram.HASHES:
        return Counted(Scram(mechanism, directory), directory, host)
    if mechanism == PLAIN and tls:
        return Counted(Plain(directory), directory, host)
    why = ", which sends the password itself, needs TLS" if mechanism == PLAIN else " is not offered"
    shown = mechanism if mechanism.isprintable() and len(mechanism) <= LONGEST else "of that name"
    raise Unsupported(f"SASL mechanism {shown}{why}", f"use {', '.join(mechanisms(tls=tls))}")


LONGEST: Final = 20
"""Letters of a mechanism's name: by RFC 4422 none has more."""


class Counted:
    """An exchange whose failure counts for where it comes from: who guesses on has to wait, before any work is done."""

    def __init__(self, exchange: Exchange, directory: Directory, host: str) -> None:
        self._exchange = exchange
        self._directory = directory
        self._host = host

    def answer(self, message: bytes) -> Answer:
        """See `Exchange`."""
        if not self._directory.may_try(self._host):
            return Failure(TOO_OFTEN)
        answer = self._exchange.answer(message)
        if isinstance(answer, Failure):
            self._directory.failed(self._host)
        return answer


class Plain:
    """PLAIN: one message with the name and the password itself."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._over = False

    def answer(self, message: bytes) -> Answer:
        """Judge the one message. Takes the time of a slow hash, some milliseconds."""
        if self._over:
            return Failure("the login is over")
        self._over = True
        parts = _text(message).split("\0") if len(message) <= SASL_BYTES_MAX else []
        if len(parts) != 3:
            return Failure("PLAIN: one message with two NUL characters was expected")
        acted_for, user, password = parts
        if acted_for not in ("", user):
            return Failure("PLAIN: nobody can act for somebody else here")
        known = _checked(self._directory, user, password)
        return Failure(WRONG) if known is None else Success(known)


def _checked(directory: Directory, user: str, password: str) -> str | None:
    """The user's name when this is its password. Whoever is unknown costs the same time."""
    name, plain = _prepared(user), _prepared(password)
    found = directory.scram(name or "", "SCRAM-SHA-256")
    credential = found or directory.decoy(user, "SCRAM-SHA-256")
    right = scram.knows(credential, plain or password)
    return name if right and found is not None and plain is not None else None


class _Opening(Struct, frozen=True):
    """The first message of a client: `header` and `bare` are its two halves as they were said."""

    header: str
    bare: str
    user: str
    nonce: str


class _Begun(Struct, frozen=True):
    """A login that was challenged. `user` is None when nobody can have that name."""

    opening: _Opening
    user: str | None
    credential: ScramCredential
    nonce: str
    challenge: str


class Scram:
    """SCRAM: the name, a challenge, a proof, and the server's proof in return."""

    def __init__(self, mechanism: ScramMechanism, directory: Directory) -> None:
        self._mechanism = mechanism
        self._directory = directory
        self._over = False
        self._begun: _Begun | None = None

    def answer(self, message: bytes) -> Answer:
        """Judge the first message, or the last."""
        if self._over:
            return Failure("the login is over")
        text = _text(message) if len(message) <= SASL_BYTES_MAX else ""
        said = self._first(text) if self._begun is None else self._last(text, self._begun)
        self._over = not isinstance(said, Challenge)
        return said

    def _first(self, text: str) -> Answer:
        opening = _opened(text)
        if isinstance(opening, Failure):
            return opening
        user = _prepared(opening.user)
        found = self._directory.scram(user or "", self._mechanism)
        if found is not None and found.before:
            found = None  # whoever has the hash that it was made of could prove that, without the password
        credential = found or self._directory.decoy(opening.user, self._mechanism)
        nonce = opening.nonce + self._directory.nonce()
        challenge = f"r={nonce},s={scram.based(credential.salt)},i={credential.iterations}"
        self._begun = _Begun(opening, user, credential, nonce, challenge)
        return Challenge(challenge.encode())

    def _last(self, text: str, begun: _Begun) -> Answer:
        unproven, mark, shown = text.rpartition(",p=")
        parts = unproven.split(",")
        proof = scram.unbased(shown)
        if not mark or proof is None or len(parts) < 2 or not _are_attributes(parts):
            return Failure("SCRAM: the last message cannot be read")
        if parts[0] != f"c={scram.based(begun.opening.header.encode())}":
            return Failure("SCRAM: the last message has another channel binding than the first")
        if not hmac.compare_digest(parts[1].encode(), f"r={begun.nonce}".encode()):
            return Failure("SCRAM: the last message has another nonce than the challenge")
        said = f"{begun.opening.bare},{begun.challenge},{unproven}".encode()
        right = scram.proven(begun.credential, proof, said)
        # Asked again: by now the user may be gone, or have another password.
        user = begun.user
        if not right or user is None or self._directory.scram(user, self._mechanism) != begun.credential:
            return Failure(WRONG)
        return Success(user, f"v={scram.based(scram.signature(begun.credential, said))}".encode())


def _opened(text: str) -> _Opening | Failure:
    """A client's first message, or why it is none."""
    parts = text.split(",")
    if len(parts) < 4:
        return Failure("SCRAM: the first message cannot be read")
    binding, acted_for, *bare = parts
    if binding.startswith("p="):
        return Failure("SCRAM: channel binding is not offered here; use the mechanism without it")
    if binding not in ("n", "y"):
        return Failure("SCRAM: the first message does not begin with a channel binding flag")
    if bare[0].startswith("m="):
        return Failure("SCRAM: the first message asks for an extension that is not known here")
    if "tokenauth=true" in bare:
        return Failure("SCRAM: delegation tokens are not offered here; use a user's name and password")
    if not _are_attributes(bare) or not bare[0].startswith("n=") or not bare[1].startswith("r="):
        return Failure("SCRAM: the first message cannot be read")
    user, nonce = scram.unescaped(bare[0][LETTERS:]), bare[1][LETTERS:]
    if not user or not nonce or not nonce.isascii() or not nonce.isprintable() or " " in nonce:
        return Failure("SCRAM: the first message has no name or no nonce that could be one")
    if acted_for not in ("", f"a={bare[0][LETTERS:]}"):
        return Failure("SCRAM: nobody can act for somebody else here")
    return _Opening(f"{binding},{acted_for},", ",".join(bare), user, nonce)


def _are_attributes(parts: list[str]) -> bool:
    return all(len(part) >= LETTERS and part[0].isascii() and part[0].isalpha() and part[1] == "=" for part in parts)


def _text(message: bytes) -> str:
    """Messages are UTF-8; one that is not is read as one that says nothing."""
    try:
        return message.decode()
    except UnicodeDecodeError:
        return ""


def _prepared(text: str) -> str | None:
    try:
        return scram.prepared(text)
    except InvalidArgument:
        return None
