"""The arithmetic of SCRAM: what is kept of a password, what each side proves, and the client's side of an exchange.

Pure: salts and nonces are arguments. Neither a password nor what can stand for one is kept longer than an exchange.

Spec: RFC 5802 and 7677 (SCRAM), RFC 4013 (how passwords are prepared).
"""

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

from msgspec import structs

from isthmus.definition import ScramCredential, ScramMechanism
from isthmus.errors import InvalidArgument, ProtocolError
from isthmus.limits import (
    PASSWORD_BYTES_MAX,
    SCRAM_ITERATIONS,
    SCRAM_ITERATIONS_MAX,
    SCRAM_SALT_BYTES_MAX,
)

HASHES: Final[dict[ScramMechanism, str]] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

SALT_BYTES_MIN: Final = 8

GS2_HEADER: Final = "n,,"
"""No channel binding, and nobody else to act for."""


# ---- what is kept ------------------------------------------------------------------------------------------------


def salted_password(mechanism: ScramMechanism, password: str, salt: bytes, iterations: int) -> bytes:
    """The slow hash of a password that is already `prepared`: more than a millisecond."""
    return hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), salt, iterations)


def credential(mechanism: ScramMechanism, salted: bytes, salt: bytes, iterations: int) -> ScramCredential:
    """What is kept of a salted password."""
    stored_key = hashed(mechanism, _hmac(mechanism, salted, b"Client Key"))
    return ScramCredential(
        mechanism=mechanism,
        salt=salt,
        iterations=iterations,
        stored_key=stored_key,
        server_key=_hmac(mechanism, salted, b"Server Key"),
    )


def credentials(
    password: str, salt: Callable[[], bytes], iterations: int = SCRAM_ITERATIONS
) -> tuple[ScramCredential, ...]:
    """What is kept of a password, for every mechanism; `salt` is called for each.

    Raises:
        InvalidArgument: it cannot be a password.
    """
    plain = prepared(password)
    made = []
    for mechanism in HASHES:
        grain = salt()
        made.append(credential(mechanism, salted_password(mechanism, plain, grain, iterations), grain, iterations))
    return tuple(made)


def imported(digest: bytes, before: bytes, salt: bytes) -> ScramCredential:
    """What is kept of a password of which another system's hash is all that is known: SHA-256 of `before` and it.

    That hash alone lets nobody in, neither here nor by what is kept of it.

    Raises:
        InvalidArgument: it is no such hash.
    """
    if len(digest) != len(hashed("SCRAM-SHA-256", b"")) or not 1 <= len(before) <= SCRAM_SALT_BYTES_MAX:
        raise InvalidArgument("password_hash", f"{len(before)} bytes of salt and {len(digest)} of hash are no SHA-256")
    salted = salted_password("SCRAM-SHA-256", _as_text(digest), salt, SCRAM_ITERATIONS)
    made = credential("SCRAM-SHA-256", salted, salt, SCRAM_ITERATIONS)
    return structs.replace(made, before=before)


def _as_text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def check_credential(found: ScramCredential) -> None:
    """Hold a credential that somebody else has made against what may be kept.

    Raises:
        InvalidArgument: what is wrong with it.
    """
    if found.mechanism not in HASHES:
        raise InvalidArgument("mechanism", f"{found.mechanism!r} is none of {', '.join(HASHES)}")
    if not SCRAM_ITERATIONS <= found.iterations <= SCRAM_ITERATIONS_MAX:
        raise InvalidArgument(
            "iterations", f"{found.iterations} is outside {SCRAM_ITERATIONS} to {SCRAM_ITERATIONS_MAX}"
        )
    if not SALT_BYTES_MIN <= len(found.salt) <= SCRAM_SALT_BYTES_MAX:
        raise InvalidArgument("salt", f"has {len(found.salt)} bytes, not {SALT_BYTES_MIN} to {SCRAM_SALT_BYTES_MAX}")
    if len(found.before) > SCRAM_SALT_BYTES_MAX:
        raise InvalidArgument("before", f"has {len(found.before)} bytes, not up to {SCRAM_SALT_BYTES_MAX}")
    size = len(hashed(found.mechanism, b""))
    if len(found.stored_key) != size or len(found.server_key) != size:
        raise InvalidArgument("stored_key", f"the keys of {found.mechanism} have {size} bytes")


def knows(found: ScramCredential, password: str) -> bool:
    """Whether this is the password; takes the same time whatever the answer. It is `prepared` already."""
    if found.before:
        password = _as_text(hashlib.sha256(found.before + password.encode()).digest())
    salted = salted_password(found.mechanism, password, found.salt, found.iterations)
    shown = credential(found.mechanism, salted, found.salt, found.iterations)
    return hmac.compare_digest(shown.stored_key, found.stored_key)


def hashed(mechanism: ScramMechanism, data: bytes) -> bytes:
    """The mechanism's hash."""
    return hashlib.new(HASHES[mechanism], data).digest()


# ---- what is proven ----------------------------------------------------------------------------------------------


def proof(mechanism: ScramMechanism, salted: bytes, said: bytes) -> bytes:
    """The client's proof that it knows the salted password; `said` is the exchange up to here (AuthMessage)."""
    client_key = _hmac(mechanism, salted, b"Client Key")
    stored_key = hashed(mechanism, client_key)
    return _xor(client_key, _hmac(mechanism, stored_key, said))


def proven(found: ScramCredential, shown: bytes, said: bytes) -> bool:
    """Whether a client's proof is right; takes the same time whatever the answer."""
    signature = _hmac(found.mechanism, found.stored_key, said)
    if len(shown) != len(signature):
        return False
    client_key = _xor(shown, signature)
    return hmac.compare_digest(hashed(found.mechanism, client_key), found.stored_key)


def signature(found: ScramCredential, said: bytes) -> bytes:
    """The server's proof that it has the user's credential."""
    return _hmac(found.mechanism, found.server_key, said)


def _hmac(mechanism: ScramMechanism, key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, HASHES[mechanism])


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


# ---- the client's side -------------------------------------------------------------------------------------------


class Client:
    """The client's side of one exchange: `first`, then `final` with the answer, then `check` with the answer to that.

    Args:
        mechanism: which hash.
        user: name.
        password: as typed.
        nonce: printable and without a comma, never used before.

    Raises:
        InvalidArgument: a name or a password that cannot be one.
    """

    def __init__(self, mechanism: ScramMechanism, user: str, password: str, nonce: str) -> None:
        self._mechanism = mechanism
        self._password = prepared(password)
        self._nonce = nonce
        self._bare = f"n={escaped(prepared(user, 'user'))},r={nonce}"
        self._expected = b""

    def first(self) -> bytes:
        """What the client says first."""
        return (GS2_HEADER + self._bare).encode()

    def final(self, answer: bytes) -> bytes:
        """What it says to the server's first answer: the proof.

        Raises:
            ProtocolError: no answer to what was asked, or one that would take forever to compute.
        """
        fields = _fields(answer, "rsi")
        nonce, salt = fields["r"], unbased(fields["s"])
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise ProtocolError("the server's nonce does not continue ours: this is no answer to our login")
        if salt is None or not fields["i"].isdecimal() or not fields["i"].isascii() or len(fields["i"]) > 9:
            raise ProtocolError("the server's answer to our login cannot be read")
        iterations = int(fields["i"])
        if not SCRAM_ITERATIONS <= iterations <= SCRAM_ITERATIONS_MAX:
            raise ProtocolError(
                f"the server asks for {iterations} iterations; {SCRAM_ITERATIONS} to {SCRAM_ITERATIONS_MAX} are done"
            )
        unproven = f"c={based(GS2_HEADER.encode())},r={nonce}"
        said = f"{self._bare},{answer.decode()},{unproven}".encode()
        salted = salted_password(self._mechanism, self._password, salt, iterations)
        self._expected = signature(credential(self._mechanism, salted, salt, iterations), said)
        return f"{unproven},p={based(proof(self._mechanism, salted, said))}".encode()

    def check(self, answer: bytes) -> None:
        """Make sure that the server knows the password's credential too.

        Raises:
            ProtocolError: it does not; whoever it is, it is not who it should be.
        """
        shown = unbased(_fields(answer, "v")["v"])
        if not self._expected or shown is None or not hmac.compare_digest(shown, self._expected):
            raise ProtocolError("the server cannot prove that it knows this user: it is not the one to talk to")


def _fields(answer: bytes, names: str) -> dict[str, str]:
    """The attributes of an answer, which must be these, in this order; more may follow."""
    try:
        parts = answer.decode().split(",")
    except UnicodeDecodeError as error:
        raise ProtocolError("the server's answer to our login is no text") from error
    if len(parts) < len(names) or any(
        not part.startswith(f"{name}=") for name, part in zip(names, parts, strict=False)
    ):
        raise ProtocolError("the server's answer to our login cannot be read")
    return {name: part[2:] for name, part in zip(names, parts, strict=False)}


# ---- texts -------------------------------------------------------------------------------------------------------


def based(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def unbased(text: str) -> bytes | None:
    """The bytes of a text in base64, None when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def escaped(name: str) -> str:
    """A user's name as it is written in a message, where commas and equals signs part things."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescaped(text: str) -> str | None:
    """The name that was written so; None when it was not."""
    plain = text.replace("=2C", ",").replace("=3D", "\0").replace("\0", "=")
    return plain if escaped(plain) == text else None


def prepared(text: str, what: str = "password") -> str:
    """A password or user name in the one form in which two that look the same are the same.

    Printable ASCII is left as it is. Clients that do not do the same can use other characters only where this changes
    nothing about them.

    Raises:
        InvalidArgument: it is empty, too long, or holds what cannot be typed or told apart.
    """
    if not text.isascii():
        text = _prepared(text, what)
    if not text:
        raise InvalidArgument(what, "is empty")
    if not text.isprintable() and text.isascii():
        raise InvalidArgument(what, "holds a control character; remove it")
    if len(text.encode()) > PASSWORD_BYTES_MAX:
        raise InvalidArgument(what, f"has more than {PASSWORD_BYTES_MAX} bytes of UTF-8")
    return text


def _prepared(text: str, what: str) -> str:
    """SASLprep, RFC 4013: mapped, normalised, and refused where a character is not one for passwords."""
    kept = (" " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each))
    found = unicodedata.ucd_3_2_0.normalize("NFKC", "".join(kept))
    refused = (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
        stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
        stringprep.in_table_c9, stringprep.in_table_a1,
    )  # fmt: skip
    for character in found:
        if any(table(character) for table in refused):
            raise InvalidArgument(
                what, f"holds U+{ord(character):04X}, which is no character of Unicode 3.2 for text; use another"
            )
    leftward = [stringprep.in_table_d1(each) for each in found]
    if any(leftward):
        mixed = any(stringprep.in_table_d2(each) for each in found)
        if mixed or not (leftward[0] and leftward[-1]):
            raise InvalidArgument(what, "mixes text that runs to the left with text that runs to the right")
    return found
