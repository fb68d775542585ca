"""Frames and the order of answers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.connection import Answers, FrameTooLong, Requests

HEADER = RequestHeader(3, 8, 7, "c", 0)
FLEXIBLE = RequestHeader(3, 9, 8, "c", 0)


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
def test_frames_come_whole_however_the_bytes_are_cut(step: int) -> None:
    data = frame(b"one") + frame(b"") + frame(b"three" * 10)
    requests, found = Requests(1_000), []

    for at in range(0, len(data), step):
        requests.receive(data[at : at + step])
        while (body := requests.next()) is not None:
            found.append(body)

    assert found == [b"one", b"", b"three" * 10]
    assert (requests.buffered_bytes, requests.wanted_bytes) == (0, 0)


@given(st.lists(st.binary(max_size=6_000), max_size=8), st.lists(st.integers(1, 9_000), min_size=1))
def test_frames_are_the_same_for_any_cuts(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(frame, bodies))
    requests, found, at = Requests(10_000), [], 0

    for cut in itertools.cycle(cuts):
        requests.receive(data[at : at + cut])
        at += cut
        assert len(requests.first) == min(8, requests.buffered_bytes)
        while (body := requests.next()) is not None:
            found.append(body)
        if at >= len(data):
            break

    assert found == bodies
    assert (requests.buffered_bytes, requests.first) == (0, b"")


def test_bytes_that_come_one_by_one_take_no_more_memory_than_together() -> None:
    requests = Requests(1_000_000)
    requests.receive((900_000).to_bytes(4, "big"))

    for _ in range(20_000):
        requests.receive(b"x")

    assert len(requests._pieces) <= 1 + 20_000 // 4_096
    assert requests.buffered_bytes == 20_004


@pytest.mark.parametrize("size", [101, -1, 2**31 - 1])
def test_a_frame_that_cannot_be_is_refused_before_it_is_there(size: int) -> None:
    requests = Requests(100)
    requests.receive(size.to_bytes(4, "big", signed=True))

    with pytest.raises(FrameTooLong):
        requests.next()
    assert requests.wanted_bytes <= 104


def test_what_the_next_frame_asks_for_is_known_with_its_first_bytes() -> None:
    requests, known = Requests(100), []

    for byte in b"\x00\x00\x00\x02\xff\xfe":
        known.append(requests.api_key)
        requests.receive(bytes([byte]))

    assert (known, requests.api_key, requests.next()) == ([None] * 6, -2, b"\xff\xfe")
    assert requests.api_key is None


def test_answers_leave_in_the_order_of_their_requests() -> None:
    answers = Answers()
    first, second, third = (answers.expect(header, 10) for header in (HEADER, HEADER, FLEXIBLE))
    second.answer([b"second"])
    third.answer([b"third"])
    assert answers.take() == []
    first.nothing()

    sent = b"".join(answers.take())

    assert sent == frame(b"\x00\x00\x00\x07second") + frame(b"\x00\x00\x00\x08\x00third")
    assert (answers.owed, answers.owed_bytes) == (0, 0)


def test_behind_an_answer_that_never_comes_nothing_leaves() -> None:
    answers = Answers()
    first, second = answers.expect(HEADER, 1), answers.expect(HEADER, 1)
    second.answer([b"x"])
    before = answers.is_over
    first.dropped = True

    assert (before, answers.is_over, answers.take()) == (False, True, [])


def test_a_limit_lets_out_whole_answers_and_always_one() -> None:
    answers = Answers()
    for _ in range(4):
        answers.expect(HEADER, 10).answer([b"x" * 96])

    first, rest = answers.take(101), answers.take()

    assert (len(b"".join(first)), len(b"".join(rest))) == (2 * 104, 2 * 104)
    assert (answers.has_more, answers.owed_bytes) == (False, 0)
