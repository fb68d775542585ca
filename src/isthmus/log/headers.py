"""Header blocks: the headers of one record as bytes, in the layout of Kafka's record format v2.

Pure; a block travels unread from producer to consumer, and only whoever wants a header reads it, here.

A block, all numbers as zigzag varints: count, then for each header name length, name in UTF-8, value length (-1 none),
value. Equal blocks come by the thousand (one for each class of events), so small ones are remembered.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from isthmus.errors import InvalidArgument, InvalidBatch
from isthmus.limits import HEADER_BLOCK_CACHED_BYTES, HEADER_BLOCKS_CACHED, HEADERS_MAX, HEADERS_RESERVED
from isthmus.log.varint import raw_varint, read_sized, sized, varint

_HEADERS_STORED_MAX: Final = HEADERS_MAX + HEADERS_RESERVED


def encode_headers(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The header block of these names and values, in order; a name may come twice, a value be None.

    Raises:
        InvalidArgument: more than `HEADERS_MAX`, or a name that is no valid text.
    """
    pairs = tuple(headers)
    if len(pairs) > HEADERS_MAX:
        raise InvalidArgument("headers", f"{len(pairs)} of them; a record may have {HEADERS_MAX}")
    size = sum([len(name) + len(value or b"") for name, value in pairs])
    return _cached_block(pairs) if size <= HEADER_BLOCK_CACHED_BYTES else _block(pairs)


def append_headers(block: bytes, extra: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The block with more headers at its end; what is in it is neither read nor checked but for its count.

    Isthmus marks records with headers of its own, also those that had as many as their producer may give: so
    `HEADERS_RESERVED` more fit than `encode_headers` takes.

    Raises:
        InvalidArgument: more headers than fit, or a name that is no valid text.
        InvalidBatch: the block does not begin with a count.
    """
    added = tuple(extra)
    count, at = _header_count(block)
    total = count + len(added)
    if total > HEADERS_MAX + HEADERS_RESERVED:
        raise InvalidArgument("headers", f"{total} of them; a stored record has room for {_HEADERS_STORED_MAX}")
    return b"".join((varint(total), block[at:], *map(_entry, added)))


def decode_headers(block: bytes) -> tuple[tuple[str, bytes | None], ...]:
    """Names and values of a header block, in order.

    Raises:
        InvalidBatch: lengths that do not fit the block, a name that is not UTF-8, bytes behind the last header, or
            more than `HEADERS_MAX` + `HEADERS_RESERVED` headers.
    """
    return _cached_pairs(block) if len(block) <= HEADER_BLOCK_CACHED_BYTES else _pairs(block)


def header_value(block: bytes, name: str) -> bytes | None:
    """The value of the last header of that name; None when there is none or its value is None.

    The last one, because headers that are added come last and are to be believed.

    Raises:
        InvalidBatch: see `decode_headers`; not noticed when the name's bytes are nowhere in the block.
    """
    if name.encode() not in block:
        return None
    for found, value in reversed(decode_headers(block)):
        if found == name:
            return value
    return None


def _block(pairs: tuple[tuple[str, bytes | None], ...]) -> bytes:
    return b"".join((varint(len(pairs)), *map(_entry, pairs)))


def _entry(pair: tuple[str, bytes | None]) -> bytes:
    name, value = pair
    try:
        return sized(name.encode()) + sized(value)
    except UnicodeEncodeError as error:
        raise InvalidArgument("headers", f"the name {name!r} is no valid text: {error.reason}") from error


def _header_count(block: bytes) -> tuple[int, int]:
    try:
        raw, at = raw_varint(block, 0)
    except IndexError:
        raise InvalidBatch("a header block ends before its count does") from None
    count = raw >> 1
    if raw & 1 or count > _HEADERS_STORED_MAX:
        raise InvalidBatch(f"{-count if raw & 1 else count} headers are outside 0 to {_HEADERS_STORED_MAX}")
    return count, at


def _pairs(block: bytes) -> tuple[tuple[str, bytes | None], ...]:
    count, at = _header_count(block)
    pairs: list[tuple[str, bytes | None]] = []
    try:
        for _ in range(count):
            name, at = read_sized(block, at)
            value, at = read_sized(block, at)
            if name is None:
                raise InvalidBatch("a header without a name")
            pairs.append((name.decode(), value))
    except IndexError:
        raise InvalidBatch("a header block ends inside a header") from None
    except UnicodeDecodeError as error:
        raise InvalidBatch(f"a header's name is not UTF-8: {error.reason}") from error
    if at != len(block):
        raise InvalidBatch(f"{len(block) - at} bytes after the last header")
    return tuple(pairs)


_cached_block = lru_cache(HEADER_BLOCKS_CACHED)(_block)
_cached_pairs = lru_cache(HEADER_BLOCKS_CACHED)(_pairs)
