"""What a binding of a headers exchange asks of a message's headers, and these in the form in which it compares.

It decides about no message. Values are compared as numbers, truth values and bytes, text as UTF-8; what else a table
can hold is compared by its bytes.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from isthmus.definition import HeaderMatch, Scalar
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.arguments import text
from isthmus.protocols.amqp.table import Timestamp, encode_table

X_MATCH: Final = "x-match"
_MODES: Final = {
    "all": (False, False),
    "any": (True, False),
    "all-with-x": (False, True),
    "any-with-x": (True, True),
}
"""Whether any is enough, and whether names count that begin with `x-`."""


def match_of(arguments: Mapping[str, Any]) -> HeaderMatch:
    """What the arguments of a binding ask for. Raises Refused for an x-match that there is not."""
    asked = arguments.get(X_MATCH, "all")
    mode = _MODES.get(text(asked) or "")
    if mode is None:
        raise Refused(
            Code.PRECONDITION_FAILED,
            f"Invalid x-match field value {text(asked) or asked!r}; expected all, any, all-with-x, or any-with-x",
        )
    rows = tuple([(name, scalar(value)) for name, value in arguments.items() if name != X_MATCH])
    return HeaderMatch(mode="any" if mode[0] else "all", with_x=mode[1], rows=rows)


def comparable(headers: Mapping[str, Any]) -> dict[str, Scalar]:
    """Headers of a message in the form that bindings compare."""
    return {name: scalar(value) for name, value in headers.items()}


def scalar(value: object) -> Scalar:
    """A value of a table as one that can be compared."""
    if value is None or isinstance(value, bytes | bool | int | float):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Timestamp):
        return value.seconds
    if isinstance(value, Decimal):
        return float(value)
    return encode_table({"": value})  # type: ignore[dict-item] # it came out of a table
