"""Receipt handles, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs.receipt import Receipt, decode, encode


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**32 - 1), st.integers(0, 2**63))
def test_a_handle_tells_what_it_was_made_of(partition: int, offset: int, acquired: int, received_ms: int) -> None:
    receipt = Receipt(partition, offset, acquired, received_ms)

    assert decode(7, encode(7, receipt)) == receipt


@pytest.mark.parametrize("handle", ["", "x", "AAAA", "é" * 40, "A" * 5_000])
def test_what_is_no_handle_is_refused(handle: str) -> None:
    with pytest.raises(AwsError, match="not a valid receipt handle"):
        decode(7, handle)


def test_a_handle_of_another_queue_is_refused() -> None:
    handle = encode(7, Receipt(1, 2, 3, 4))

    with pytest.raises(AwsError, match="not a valid receipt handle"):
        decode(8, handle)
