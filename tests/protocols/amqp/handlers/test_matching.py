"""What bindings of headers exchanges ask for, and headers in the form that they compare."""

from decimal import Decimal

import pytest

from isthmus.definition import HeaderMatch
from isthmus.protocols.amqp.errors import Refused
from isthmus.protocols.amqp.handlers.matching import comparable, match_of
from isthmus.protocols.amqp.table import Timestamp, Value, encode_table


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        (None, HeaderMatch(rows=(("a", 1),))),
        ("all", HeaderMatch(rows=(("a", 1),))),
        ("any", HeaderMatch(mode="any", rows=(("a", 1),))),
        ("all-with-x", HeaderMatch(with_x=True, rows=(("a", 1),))),
        ("any-with-x", HeaderMatch(mode="any", with_x=True, rows=(("a", 1),))),
    ],
)
def test_a_mode_says_how_many_and_whether_x_counts(mode: str | None, match: HeaderMatch) -> None:
    arguments: dict[str, Value] = {"a": 1} if mode is None else {"x-match": mode, "a": 1}

    assert match_of(arguments) == match


def test_another_mode_is_refused() -> None:
    with pytest.raises(Refused, match="Invalid x-match field value 'some'; expected all, any"):
        match_of({"x-match": "some"})


def test_values_are_compared_without_their_type() -> None:
    nested: list[Value] = [1]
    given: dict[str, Value] = {
        "text": "a", "bytes": b"a", "time": Timestamp(5), "number": Decimal("1.5"), "void": None, "list": nested,
    }  # fmt: skip

    assert comparable(given) == {
        "text": b"a", "bytes": b"a", "time": 5, "number": 1.5, "void": None, "list": encode_table({"": nested}),
    }  # fmt: skip
