"""Frames out of bytes, however these are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.native.codec import HEADER
from isthmus.protocols.native.connection import Frame, Frames
from isthmus.protocols.native.errors import NativeError


def framed(request_id: int, body: bytes) -> bytes:
    return HEADER.pack(4 + len(body), request_id) + body


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10), st.lists(st.integers(1, 300), min_size=1))
def test_frames_come_out_as_they_went_in(bodies: list[bytes], cuts: list[int]) -> None:
    frames = Frames(1_000)
    data = b"".join(framed(number, body) for number, body in enumerate(bodies))
    found: list[Frame] = []
    at = 0

    while at < len(data):
        size = cuts[at % len(cuts)]
        frames.receive(data[at : at + size])
        at += size
        while (frame := frames.next()) is not None:
            found.append(frame)

    assert found == [Frame(number, body) for number, body in enumerate(bodies)]
    assert frames.buffered_bytes == 0


def test_it_says_how_much_it_wants() -> None:
    frames = Frames(1_000)
    whole = framed(1, b"x" * 92)

    frames.receive(whole[:7])
    assert (frames.next(), frames.wanted_bytes) == (None, 0)
    frames.receive(whole[7:50])

    assert (frames.next(), frames.wanted_bytes, frames.buffered_bytes) == (None, 100, 50)


@pytest.mark.parametrize("length", [0, 3, 4, 997, 2**32 - 1])
def test_a_length_that_cannot_be_is_refused_before_anything_is_waited_for(length: int) -> None:
    frames = Frames(1_000)
    frames.receive(HEADER.pack(length, 1))

    with pytest.raises(NativeError):
        frames.next()
    assert frames.wanted_bytes <= 1_000


def test_many_small_frames_at_once_leave_nothing_behind() -> None:
    frames = Frames(1_000)
    frames.receive(framed(1, b"x") * 20_000 + b"\x00")

    found = sum(1 for _ in iter(frames.next, None))

    assert (found, frames.buffered_bytes) == (20_000, 1)
