"""What a peer speaks that has come to the wrong port, told from its first bytes.

For ports whose protocol begins with a length or a preface of its own. It looks at bytes and decides nothing else.
"""

from typing import Final

SNIFF_BYTES: Final = 5
"""Bytes after which there is nothing more to find out."""

_METHODS: Final = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"CONN", b"PRI ")
"""How a request of HTTP begins; read as the length of a Kafka request, the first is 1.1 GB."""

_TLS_HANDSHAKE: Final = 0x16


def foreign(first: bytes) -> str | None:
    """What the peer speaks, for a sentence, when that is HTTP or TLS; None when it is not, or cannot be told yet.

    Spec: RFC 8446 section 5.1 (a TLS record begins with its type, the version 3.x and a length); RFC 9112 section 3.
    """
    if first.startswith(_METHODS):
        return "HTTP"
    if len(first) >= SNIFF_BYTES and first[0] == _TLS_HANDSHAKE and first[1] == 3 and first[2] <= 4:
        length = int.from_bytes(first[3:5], "big")
        return "TLS" if 0 < length <= 1 << 14 else None
    return None
