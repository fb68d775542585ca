"""How a client proves who it is: SaslHandshake and SaslAuthenticate, and the raw tokens of very old clients.

The exchanges themselves are the broker's (`broker/sasl.py`); this file carries them.

Spec: KIP-43, KIP-152, KIP-255, KIP-368.
"""

from typing import Final

from isthmus.broker import sasl
from isthmus.broker.access import Access
from isthmus.errors import RequestError
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code

HANDSHAKE: Final = 17
AUTHENTICATE: Final = 36


class Login:
    """The login of one connection. `principal` is who it is, once that is proven; `failed` says why it is not."""

    def __init__(self, access: Access, *, tls: bool, host: str = "") -> None:
        self._access = access
        self._host = host
        self._tls = tls
        self._exchange: sasl.Exchange | None = None
        self.is_raw = False
        self.principal: str | None = None
        self.failed: str | None = None

    def handshake(self, asked: m.SaslHandshakeRequest, version: int) -> m.SaslHandshakeResponse:
        """Choose a mechanism. After version 0 tokens follow without any frame of Kafka's."""
        offered = sasl.mechanisms(tls=self._tls)
        try:
            self._exchange = sasl.begin(asked.mechanism, self._access, tls=self._tls, host=self._host)
        except RequestError:
            return m.SaslHandshakeResponse(Code.UNSUPPORTED_SASL_MECHANISM, offered)
        self.is_raw = version == 0
        self.principal = None
        return m.SaslHandshakeResponse(Code.NONE, offered)

    def authenticate(self, asked: m.SaslAuthenticateRequest) -> m.SaslAuthenticateResponse:
        """One message of the exchange."""
        if self._exchange is None:
            return m.SaslAuthenticateResponse(Code.ILLEGAL_SASL_STATE, "SaslHandshake comes first")
        data = self.token(asked.auth_bytes)
        if self.failed is not None:
            return m.SaslAuthenticateResponse(Code.SASL_AUTHENTICATION_FAILED, self.failed)
        return m.SaslAuthenticateResponse(auth_bytes=data)

    def token(self, data: bytes) -> bytes:
        """What to say to a message; look at `principal` and `failed` afterwards."""
        if self._exchange is None:
            self.failed = "SaslHandshake comes first"
            return b""
        match self._exchange.answer(data):
            case sasl.Challenge(answer):
                return answer
            case sasl.Success(principal, answer):
                self.principal, self.is_raw, self._exchange = principal, False, None
                return answer
            case sasl.Failure(text):
                self.failed = text
        return b""
