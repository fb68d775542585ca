"""First bytes of the wrong protocol are told, those of the right one are not."""

import pytest

from isthmus.protocols.sniff import foreign


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (b"GET / HTTP/1.1", "HTTP"),
        (b"POST /", "HTTP"),
        (b"PRI * HTTP/2.0", "HTTP"),
        (b"GET", None),
        (b"\x16\x03\x01\x02\x00\x01", "TLS"),
        (b"\x16\x03\x03\x00\xf8", "TLS"),
        (b"\x16\x03\x01", None),
        (b"\x16\x03\x01\x00\x00", None),
        (b"\x16\x03\x01\xff\xff", None),
        (b"\x00\x00\x00\x23\x00\x12", None),
        (b"", None),
    ],
)
def test_what_a_stranger_speaks_is_told_from_its_first_bytes(first: bytes, found: str | None) -> None:
    assert foreign(first) == found
