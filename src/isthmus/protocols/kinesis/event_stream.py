"""Messages of an event stream, as AWS frames them in the body of an answer.

Pure. Spec: Smithy, `application/vnd.amazon.eventstream`: total length, length of the headers, CRC-32 of both; headers;
payload; CRC-32 of all before.
"""

import struct
import zlib
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_U32: Final = struct.Struct(">I")
_PRELUDE: Final = struct.Struct(">II")
_STRING: Final = 7
"""The type of a header that is text."""

_OVERHEAD: Final = 16
"""Bytes of a message that are neither headers nor payload."""


def event(kind: str, payload: bytes) -> bytes:
    """An event with a JSON payload."""
    return _message({":message-type": "event", ":event-type": kind, ":content-type": "application/json"}, payload)


def failure(code: str, payload: bytes) -> bytes:
    """An error in the middle of a stream; nothing follows it."""
    rows = {":message-type": "exception", ":exception-type": code, ":content-type": "application/json"}
    return _message(rows, payload)


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    block = b"".join([_header(name.encode(), value.encode()) for name, value in headers.items()])
    prelude = _PRELUDE.pack(_OVERHEAD + len(block) + len(payload), len(block))
    whole = prelude + _U32.pack(zlib.crc32(prelude)) + block + payload
    return whole + _U32.pack(zlib.crc32(whole))


def _header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">BH", _STRING, len(value)) + value
