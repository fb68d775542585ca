"""Receipt handles: the lease of a message as text that its receiver gives back.

Pure. A handle names a place and how often it was handed out, not a right: whoever may consume the queue may use it.

====  ====  ==========================================
size  type  content
====  ====  ==========================================
4     u32   CRC-32 of the queue's id and the rest
8     u64   partition id
8     u64   offset
4     u32   how often it was handed out, with this time
8     u64   when it was received, ms since 1970 UTC
====  ====  ==========================================
"""

import base64
import binascii
import struct
import zlib
from typing import Final, NamedTuple

from isthmus.protocols.sqs.errors import bad_handle

_REST: Final = struct.Struct(">QQIQ")
_CRC: Final = struct.Struct(">I")
_SIZE: Final = _CRC.size + _REST.size
HANDLE_CHARACTERS_MAX: Final = 1_024


class Receipt(NamedTuple):
    """What a handle says."""

    partition: int
    offset: int
    acquired: int
    received_ms: int


def encode(queue: int, receipt: Receipt) -> str:
    """The handle of a receipt from a queue."""
    rest = _REST.pack(*receipt)
    return base64.b64encode(_CRC.pack(_sum(queue, rest)) + rest).decode()


def decode(queue: int, handle: str) -> Receipt:
    """The reverse of `encode`.

    Raises:
        AwsError: it is no handle of this queue.
    """
    if len(handle) > HANDLE_CHARACTERS_MAX:
        raise bad_handle(f"{handle[:32]}...")
    try:
        data = base64.b64decode(handle, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_handle(handle) from error
    if len(data) != _SIZE or _CRC.unpack_from(data)[0] != _sum(queue, data[_CRC.size :]):
        raise bad_handle(handle)
    return Receipt(*_REST.unpack_from(data, _CRC.size))


def _sum(queue: int, rest: bytes) -> int:
    return zlib.crc32(queue.to_bytes(8, "big") + rest)
