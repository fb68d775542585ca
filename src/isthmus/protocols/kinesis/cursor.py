"""Places in a shard as text: sequence numbers, shard ids and shard iterators, there and back.

Pure: times are arguments. A sequence number holds the offset, so none needs to be looked up, and none is used twice.

A sequence number is one decimal number; in hexadecimal digits, the highest first, it is

======  ==============================================
digits  content
======  ==============================================
1       2
9       when the shard was made, s since 1970 UTC
1       the lowest digit of the shard's index
16      1 and the offset; 0 for the place before all
2       0
9       when the shard was made, again
8       the shard's index
1       2
======  ==============================================

An iterator is, in base64,

====  ====  ==========================================
size  type  content
====  ====  ==========================================
4     u32   CRC-32 of the rest
8     u64   topic id
4     u32   the shard's index
8     u64   offset
8     u64   when it was made, ms since 1970 UTC
====  ====  ==========================================
"""

import base64
import binascii
import re
import struct
import zlib
from typing import Final, NamedTuple

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis.errors import invalid

ITERATOR_MS: Final = 300_000
"""How long an iterator may be used."""

ITERATOR_CHARACTERS_MAX: Final = 512
SEQUENCE_DIGITS_MAX: Final = 64
_HEX_DIGITS: Final = 47
_REST: Final = struct.Struct(">QIQQ")
_CRC: Final = struct.Struct(">I")
_SHARD: Final = re.compile(r"shardId-([0-9]{12})", re.ASCII)


class Place(NamedTuple):
    """Where an iterator stands."""

    topic: int
    shard: int
    offset: int
    made_ms: int


def shard_id(index: int) -> str:
    """The name of a shard."""
    return f"shardId-{index:012}"


def shard_index(name: str) -> int | None:
    """The reverse of `shard_id`; None for what is no such name."""
    found = _SHARD.fullmatch(name)
    return None if found is None else int(found[1])


def sequence(shard: int, created_ms: int, offset: int) -> str:
    """The sequence number of a record; offset -1 is the place before all of a shard."""
    made = f"{created_ms // 1_000:09x}"
    return str(int(f"2{made}{shard & 0xF:x}{offset + 1:016x}00{made}{shard:08x}2", 16))


def offset_of(text: str, shard: int, created_ms: int) -> int:
    """The reverse of `sequence`, for a number of this shard.

    Raises:
        AwsError: it is no sequence number, or one of another shard.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= SEQUENCE_DIGITS_MAX):
        raise invalid(f"StartingSequenceNumber {text[: SEQUENCE_DIGITS_MAX + 1]} is not a sequence number.")
    digits = f"{int(text):x}"
    offset = int(digits[11:27], 16) - 1 if len(digits) == _HEX_DIGITS else -1
    if sequence(shard, created_ms, offset) != str(int(text)):
        raise invalid(f"StartingSequenceNumber {text} is invalid because it did not come from {shard_id(shard)}.")
    return offset


def encode(place: Place) -> str:
    """An iterator."""
    rest = _REST.pack(*place)
    return base64.b64encode(_CRC.pack(zlib.crc32(rest)) + rest).decode()


def decode(iterator: str, now_ms: int) -> Place:
    """The reverse of `encode`.

    Raises:
        AwsError: it is no iterator, or it was made too long ago.
    """
    try:
        data = base64.b64decode(iterator[: ITERATOR_CHARACTERS_MAX + 1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid ShardIterator.") from error
    rest = data[_CRC.size :]
    if len(rest) != _REST.size or _CRC.unpack_from(data)[0] != zlib.crc32(rest):
        raise invalid("Invalid ShardIterator.")
    place = Place(*_REST.unpack(rest))
    if now_ms - place.made_ms > ITERATOR_MS:
        raise AwsError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {place.made_ms} while right now it is {now_ms} which "
            f"is further in the future than the tolerated delay of {ITERATOR_MS} milliseconds.",
        )
    return place
