"""Zigzag varints, in which the record format writes its numbers, and bytes with their length in front.

Pure, and without a limit of its own but 64 bits: whoever reads a number checks what it may be.

The sign moves to the lowest bit (0, -1, 1, -2 become 0, 1, 2, 3); then seven bits a byte, the lowest first, the top bit
set on all bytes but the last. A length of -1 says that there is nothing, which is not the same as 0 bytes.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Final

from isthmus.errors import InvalidBatch

NONE: Final = b"\x01"
"""The length -1."""

_UINT64_MAX: Final = 2**64 - 1
_VARINT_BYTES_MAX: Final = 10


def varint(number: int) -> bytes:
    """A signed number of up to 64 bits as a zigzag varint."""
    raw = number << 1 if number >= 0 else (-number << 1) - 1
    encoded = bytearray()
    while raw > 127:
        encoded.append(raw & 127 | 128)
        raw >>= 7
    encoded.append(raw)
    return bytes(encoded)


VARINTS: Final = [
    *(bytes((number << 1,)) for number in range(64)),
    *(bytes((number << 1 & 127 | 128, number >> 6)) for number in range(64, 4_096)),
]
"""The varints of the first numbers, by number: most lengths and offset deltas are among them."""


def deltas(count: int) -> Iterable[bytes]:
    """The varints of 0, 1, 2 and so on, at least `count` of them."""
    if count <= len(VARINTS):
        return VARINTS
    return chain(VARINTS, map(varint, range(len(VARINTS), count)))


def raw_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `at`, zigzag not yet undone (odd is negative), and the position after it.

    Raises:
        InvalidBatch: more than 64 bits.
        IndexError: the data ends first.
    """
    raw = shift = 0
    for here in range(at, at + _VARINT_BYTES_MAX):
        byte = data[here]
        raw |= (byte & 127) << shift
        if byte < 128 and raw <= _UINT64_MAX:
            return raw, here + 1
        shift += 7
    raise InvalidBatch("a number of more than 64 bits")


def sized(content: bytes | None) -> bytes:
    """Length and content; the length -1 for None."""
    return NONE if content is None else varint(len(content)) + content


def read_sized(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Length and content at `at`, None for the length -1, and the position after it; IndexError beyond the end."""
    raw = data[at]
    at += 1
    if raw > 127:
        raw, at = raw_varint(data, at - 1)
    if raw == 1:
        return None, at
    end = at + (raw >> 1)
    if raw & 1 or end > len(data):
        raise InvalidBatch(f"a length that does not fit the {len(data) - at} bytes that are left")
    return data[at:end], end
