"""Bytes in bytes."""

import ctypes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.log import search


@given(st.binary(max_size=20), st.binary(min_size=1, max_size=4), st.integers(0, 9_000), st.booleans())
@example(front=b"", part=b"\0", filling=5_000, there=False)
def test_it_finds_what_python_finds(front: bytes, part: bytes, filling: int, there: bool) -> None:
    data = front + bytes(filling) + (part if there else b"")

    assert search.contains(data, part) == (part in data)


@pytest.mark.parametrize("at", [0, 1, 4_095, 4_096, 999_990])
def test_it_finds_a_part_wherever_it_stands_in_much(at: int) -> None:
    data = bytearray(b"isthmus" * 142_858)[:1_000_000]
    data[at : at + 8] = b"isthmus-"

    assert search.contains(bytes(data), b"isthmus-")
    assert not search.contains(bytes(data).replace(b"-", b"_"), b"isthmus-")


def test_without_a_function_of_the_c_library_python_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "PyDLL", lambda _: object())
    search._memmem.cache_clear()

    try:
        assert (search.contains(bytes(9_000) + b"x", b"x"), search.contains(bytes(9_000), b"x")) == (True, False)
    finally:
        search._memmem.cache_clear()
