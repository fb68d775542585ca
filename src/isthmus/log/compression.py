"""The codecs that a record batch may be packed with: gzip from the standard library, the others from optional packages.

Pure, and the only file that imports those packages, each when its codec is first used. It must not let a declared or
an actual size beyond the caller's bound reach an allocation.

| codec  | written                                | read                                                              |
| ------ | -------------------------------------- | ----------------------------------------------------------------- |
| gzip   | one member                             | one member                                                        |
| snappy | chunks of 32 KiB, as the Java clients  | the same, or one bare block, as librdkafka sends                  |
| lz4    | one frame of independent blocks        | one frame; Java reads no linked blocks, so none are written       |
| zstd   | one frame                              | one frame with a window of up to 128 MiB, what level 22 needs     |

Spec: Apache Kafka documentation, "Message format"; RFC 1952; RFC 8878; the frame format texts of LZ4 and Snappy.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, Protocol

from msgspec import Struct

from isthmus.errors import InvalidBatch, UnsupportedCompression
from isthmus.limits import KIB

GZIP_LEVEL: Final = 3
"""Two fifths of the time of zlib's default for 5 % more bytes (small JSON records)."""

STEP_BYTES: Final = 256 * KIB
"""What is expanded first; each step after it takes as much again as came out, so memory follows the content."""

SNAPPY_CHUNK_BYTES: Final = 32 * KIB
"""Content of one chunk that is written."""

_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEAD: Final = _XERIAL + b"\x00\x00\x00\x01\x00\x00\x00\x01"
"""Magic, version 1, readable since version 1."""
_SNAPPY_RATIO_MAX: Final = 64
"""No block grows by more: its densest element copies up to 64 bytes and takes three, or two."""
_ZSTD_WINDOW_LOG_MAX: Final = 27

CODEC_NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")
"""The codecs of the format, each at the place of its number in the attributes of a batch."""


class Codec(Struct, frozen=True):
    """How one codec compresses, and expands to at most the given number of bytes.

    `decompress` raises `InvalidBatch` for bytes that are not of the codec or that would expand further.
    """

    compress: Callable[[bytes], bytes]
    decompress: Callable[[memoryview, int], bytes]


def codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        UnsupportedCompression: no such codec, "none", or its package is not installed.
    """
    make = CODECS.get(name)
    if make is None:
        raise UnsupportedCompression(name)
    try:
        return make()
    except ModuleNotFoundError as error:
        raise UnsupportedCompression(name, error.name) from error


def check_codec(name: str) -> str:
    """The name, when batches can be written with it here; "none" always can.

    Raises:
        UnsupportedCompression: they cannot.
    """
    if name != "none":
        codec(name)
    return name


# ---- gzip --------------------------------------------------------------------------------------------------------


@cache
def _gzip() -> Codec:
    return Codec(lambda data: zlib.compress(data, GZIP_LEVEL, wbits=31), _gunzip)


def _gunzip(data: memoryview, bytes_max: int) -> bytes:
    """The content of one gzip member, which must fill `data`: a chain of members would have to be copied for each."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        content = inflate.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise InvalidBatch(f"gzip: {error}") from error
    if len(content) > bytes_max:
        raise _bomb("gzip", bytes_max)
    if not inflate.eof or inflate.unused_data:
        raise InvalidBatch("gzip: the data is not exactly one whole member")
    return content


# ---- snappy ------------------------------------------------------------------------------------------------------


@cache
def _snappy() -> Codec:
    import cramjam  # noqa: PLC0415 - an extra, imported when it is used

    snappy = cramjam.snappy

    def compress(data: bytes) -> bytes:
        view, parts = memoryview(data), [_XERIAL_HEAD]
        for start in range(0, len(data), SNAPPY_CHUNK_BYTES):
            block = bytes(snappy.compress_raw(view[start : start + SNAPPY_CHUNK_BYTES]))
            parts += (len(block).to_bytes(4, "big"), block)
        return b"".join(parts)

    def expand(block: memoryview, bytes_max: int) -> bytes:
        if _snappy_size(block) > min(bytes_max, len(block) * _SNAPPY_RATIO_MAX):
            raise _bomb("snappy", bytes_max)
        try:
            return bytes(snappy.decompress_raw(block))
        except cramjam.DecompressionError as error:
            raise InvalidBatch(f"snappy: {error}") from error

    def decompress(data: memoryview, bytes_max: int) -> bytes:
        if bytes(data[: len(_XERIAL)]) != _XERIAL:
            return expand(data, bytes_max)
        parts, left = [], bytes_max
        for block in _chunks(data):
            parts.append(expand(block, left))
            left -= len(parts[-1])
        return b"".join(parts)

    return Codec(compress, decompress)


def _chunks(data: memoryview) -> Iterator[memoryview]:
    """The blocks of the stream format: each behind its length, i32 big-endian."""
    at = len(_XERIAL_HEAD)
    if len(data) < at:
        raise InvalidBatch("snappy: it ends inside the header of the stream")
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if not 0 < size <= len(data) - at:
            raise InvalidBatch(f"snappy: a chunk of {size} bytes where {max(len(data) - at, 0)} are left")
        yield data[at : at + size]
        at += size


def _snappy_size(block: memoryview) -> int:
    """What a block says that it expands to: a varint of up to 32 bits in front."""
    size = 0
    for at, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return size
    raise InvalidBatch("snappy: the block does not begin with its length")


# ---- lz4 and zstd ------------------------------------------------------------------------------------------------


@cache
def _lz4() -> Codec:
    from lz4 import frame  # noqa: PLC0415 - an extra, imported when it is used

    def compress(data: bytes) -> bytes:
        packed: bytes = frame.compress(data, block_linked=False, store_size=False)
        return packed

    def decompress(data: memoryview, bytes_max: int) -> bytes:
        try:
            declared: int = frame.get_frame_info(data)["content_size"]
            if declared > bytes_max:
                raise _bomb("lz4", bytes_max)
            return _expand("lz4", frame.LZ4FrameDecompressor(), data, bytes_max)
        except RuntimeError as error:
            raise InvalidBatch(f"lz4: {error}") from error

    return Codec(compress, decompress)


@cache
def _zstd() -> Codec:
    # An extra before Python 3.14, imported when it is used.
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415

    limits = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG_MAX}

    def compress(data: bytes) -> bytes:
        return zstd.compress(data)

    def decompress(data: memoryview, bytes_max: int) -> bytes:
        try:
            declared = zstd.get_frame_info(data).decompressed_size
            if (declared or 0) > bytes_max:
                raise _bomb("zstd", bytes_max)
            return _expand("zstd", zstd.ZstdDecompressor(options=limits), data, bytes_max)
        except zstd.ZstdError as error:
            raise InvalidBatch(f"zstd: {error}") from error

    return Codec(compress, decompress)


class _Expander(Protocol):
    """What the decompressors of both packages have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


def _expand(name: str, expander: _Expander, data: memoryview, bytes_max: int) -> bytes:
    """The content of one frame, which must fill `data`; no step makes more than came out before, or `STEP_BYTES`."""
    parts: list[bytes] = []
    size, packed = 0, bytes(data)
    while not expander.eof:
        part = expander.decompress(packed, min(max(size, STEP_BYTES), bytes_max - size + 1))
        size += len(part)
        if size > bytes_max:
            raise _bomb(name, bytes_max)
        parts.append(part)
        packed = b""
        if expander.needs_input and not expander.eof:
            raise InvalidBatch(f"{name}: the frame ends too early")
    if expander.unused_data:
        raise InvalidBatch(f"{name}: {len(expander.unused_data)} bytes after the frame")
    return b"".join(parts)


def _bomb(name: str, bytes_max: int) -> InvalidBatch:
    return InvalidBatch(f"{name}: it expands to more than {bytes_max} bytes")


CODECS: Final[dict[str, Callable[[], Codec]]] = {"gzip": _gzip, "snappy": _snappy, "lz4": _lz4, "zstd": _zstd}
"""What makes each codec, by name; what is made is kept."""
