"""Numbers as zigzag varints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvalidBatch
from isthmus.log.varint import NONE, VARINTS, deltas, raw_varint, read_sized, sized, varint

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (8191, "fe7f"),
        (8192, "808001"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_known_numbers_have_known_bytes(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded


@given(INT64, st.binary(max_size=4))
def test_what_is_written_is_read_and_the_position_behind_it_is_right(number: int, behind: bytes) -> None:
    encoded = varint(number)

    raw, end = raw_varint(encoded + behind, 0)

    assert (raw >> 1) ^ -(raw & 1) == number
    assert end == len(encoded)


def test_the_table_holds_what_the_function_makes() -> None:
    assert [varint(number) for number in range(len(VARINTS))] == VARINTS
    assert varint(-1) == NONE


@pytest.mark.parametrize("count", [1, len(VARINTS), len(VARINTS) + 3])
def test_deltas_go_on_behind_the_table(count: int) -> None:
    found = [delta for delta, _ in zip(deltas(count), range(count), strict=False)]

    assert found == [varint(number) for number in range(count)]


@pytest.mark.parametrize("encoded", ["ff" * 10 + "01", "ff" * 9 + "02", "80" * 10 + "00"])
def test_more_than_64_bits_or_ten_bytes_are_refused(encoded: str) -> None:
    with pytest.raises(InvalidBatch):
        raw_varint(bytes.fromhex(encoded), 0)


def test_a_number_that_is_cut_off_is_told_from_a_wrong_one() -> None:
    with pytest.raises(IndexError):
        raw_varint(b"\x80\x80", 0)


@given(st.none() | st.binary(max_size=100), st.binary(max_size=4))
def test_content_with_its_length_comes_back(content: bytes | None, behind: bytes) -> None:
    encoded = sized(content)

    assert read_sized(encoded + behind, 0) == (content, len(encoded))


@pytest.mark.parametrize("encoded", ["03", "02", "8001" + "00" * 63, "feffffffffffffffff01"])
def test_a_length_that_the_rest_cannot_hold_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidBatch):
        read_sized(bytes.fromhex(encoded), 0)
