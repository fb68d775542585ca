"""A client's side of SCRAM written from the RFC alone, and a directory of users in memory, for tests of logins."""

import base64
import hashlib
import hmac

from isthmus import scram
from isthmus.broker import sasl
from isthmus.definition import ScramCredential, ScramMechanism

NAMES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Book:
    """Users with their passwords; `salt` and `server_nonce` are what a test says."""

    def __init__(
        self, passwords: dict[str, str], salt: bytes = b"salt" * 4, iterations: int = 4_096, server_nonce: str = "srv"
    ) -> None:
        self.users = {name: scram.credentials(text, lambda: salt, iterations) for name, text in passwords.items()}
        self.server_nonce = server_nonce
        self.asked: list[str] = []
        self.tries = 1 << 60

    def scram(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        self.asked.append(user)
        return next((each for each in self.users.get(user, ()) if each.mechanism == mechanism), None)

    def decoy(self, user: str, mechanism: ScramMechanism) -> ScramCredential:
        salt = hashlib.sha256(user.encode()).digest()[:16]
        size = hashlib.new(NAMES[mechanism]).digest_size
        return ScramCredential(
            mechanism=mechanism, salt=salt, iterations=4_096, stored_key=bytes(size), server_key=bytes(size)
        )

    def nonce(self) -> str:
        return self.server_nonce

    def may_try(self, _: str) -> bool:
        return self.tries > 0

    def failed(self, _: str) -> None:
        self.tries -= 1


class ByTheBook:
    """A client; every part of what it says can be bent."""

    def __init__(self, mechanism: str, user: str, password: str, *, nonce: str = "cli", header: str = "n,,") -> None:
        self.hash = NAMES[mechanism]
        self.password = password
        self.header = header
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.expected = ""

    def first(self) -> bytes:
        return f"{self.header}{self.bare}".encode()

    def final(self, challenge: bytes, *, nonce: str | None = None, binding: str | None = None) -> bytes:
        told = dict(part.split("=", 1) for part in challenge.decode().split(","))
        binding = base64.b64encode(self.header.encode()).decode() if binding is None else binding
        unproven = f"c={binding},r={told['r'] if nonce is None else nonce}"
        said = f"{self.bare},{challenge.decode()},{unproven}".encode()
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), base64.b64decode(told["s"]), int(told["i"]))
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        stored_key = hashlib.new(self.hash, client_key).digest()
        signature = hmac.digest(stored_key, said, self.hash)
        proof = (int.from_bytes(client_key) ^ int.from_bytes(signature)).to_bytes(len(client_key))
        server_key = hmac.digest(salted, b"Server Key", self.hash)
        self.expected = "v=" + base64.b64encode(hmac.digest(server_key, said, self.hash)).decode()
        return f"{unproven},p={base64.b64encode(proof).decode()}".encode()


def fuzzed(data: bytes) -> None:
    """What `data` says, one message a line, in a login of each kind: it never raises, and never succeeds by chance."""
    for mechanism in (*NAMES, "PLAIN"):
        exchange = sasl.begin(mechanism, FUZZED, tls=True, host="")
        for message in data.split(b"\n"):
            answer = exchange.answer(message)
            assert not isinstance(answer, sasl.Success), "somebody got in"
            if isinstance(answer, sasl.Failure):
                assert answer.text.isprintable()
                break


FUZZED = Book({"ada": "correct horse battery staple"}, server_nonce="3rfcNHYJY1ZVvWVs7j")
LOGINS = [
    b"n,,n=ada,r=fyko+d2lbbFgONRv9qkxdawL\nc=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"y,a=ada,n=ada,r=abc\nc=eSxhPWFkYSw=,r=abc3rfcNHYJY1ZVvWVs7j,x=more,p=AAAA",
    b"\0ada\0pen",
    b"ada\0ada\0cil",
]
"""Logins that nearly are some; no mixture of them holds the password."""
