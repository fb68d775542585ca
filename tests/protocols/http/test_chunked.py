"""Bodies in chunks: what is put together, and what is refused."""

import pytest

from isthmus.limits import HTTP_CHUNKS_STEP
from isthmus.protocols.http.chunked import Chunked
from isthmus.protocols.http.messages import Refused

LIMIT = 1_000


def read(raw: bytes, limit: int = LIMIT) -> tuple[bytes, bytes]:
    """The body, and what comes behind it."""
    chunks, buffer = Chunked(limit), bytearray(raw)
    while chunks.take(buffer):
        continue
    assert chunks.done
    return bytes(chunks.body), bytes(buffer)


def test_chunks_become_a_body_and_what_is_behind_them_stays() -> None:
    raw = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /"

    assert read(raw) == (b"hello world", b"GET /")


def test_a_body_may_be_empty() -> None:
    assert read(b"0\r\n\r\n") == (b"", b"")


def test_sizes_are_hexadecimal_and_may_begin_with_zeros() -> None:
    assert read(b"000A\r\n0123456789\r\n0\r\n\r\n") == (b"0123456789", b"")


def test_every_cut_gives_the_same() -> None:
    raw = b"5\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"

    for at in range(len(raw) + 1):
        chunks, buffer = Chunked(LIMIT), bytearray(raw[:at])
        chunks.take(buffer)
        buffer += raw[at:]
        chunks.take(buffer)

        assert (bytes(chunks.body), chunks.done, bytes(buffer)) == (b"hello!", True, b"")


def test_many_small_chunks_are_taken_in_several_steps() -> None:
    chunks, buffer = Chunked(LIMIT), bytearray(b"1\r\nx\r\n" * HTTP_CHUNKS_STEP)

    assert chunks.take(buffer)
    assert 0 < len(chunks.body) < HTTP_CHUNKS_STEP


@pytest.mark.parametrize(
    "raw",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhellooo\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n\r\n",
        b"\r\n",
        b"g\r\n",
        b"0x5\r\nhello",
        b"+5\r\nhello",
        b"-1\r\n",
        b" 5\r\nhello",
        b"5 \r\nhello",
        b"5 5\r\nhello",
        b"123456789\r\n",
        b"5;\x01\r\nhello",
        b"5;a\rb\r\nhello",
        b"5;" + b"x" * 300,
        b"5" * 300,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nX: \x01\r\n\r\n",
        b"0\r\nX: " + b"y" * 40_000,
    ],
)
def test_what_is_no_chunk_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read(raw)

    assert caught.value.status == 400


def test_a_body_may_not_grow_too_large() -> None:
    assert read(b"3e8\r\n" + b"x" * 1_000 + b"\r\n0\r\n\r\n") == (b"x" * 1_000, b"")
    with pytest.raises(Refused) as caught:
        read(b"3e8\r\n" + b"x" * 1_000 + b"\r\n1\r\n")

    assert caught.value.status == 413
