"""Values of AMQP's types, drawn by hypothesis: tables, properties and methods."""

from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from isthmus.protocols.amqp.codec import LAYOUTS
from isthmus.protocols.amqp.methods import ALL, Method
from isthmus.protocols.amqp.properties import Properties
from isthmus.protocols.amqp.table import Timestamp

SHORT: Final = st.text(st.characters(codec="utf-8"), max_size=30)
"""At most 120 bytes: the library that is compared with cuts names in tables at 128, as the specification wants."""

SECONDS: Final = st.integers(0, 2**32 - 1)
"""Above that, the library that is compared with takes them for milliseconds."""

SCALARS: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.binary(max_size=20),
    st.builds(Timestamp, SECONDS),
    st.builds(lambda digits, scale: Decimal(digits).scaleb(-scale), st.integers(0, 2**31 - 1), st.integers(0, 9)),
)
TABLES: Final[st.SearchStrategy[dict[str, Any]]] = st.dictionaries(
    SHORT,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3), max_leaves=8
    ),
    max_size=5,
)
_FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "headers": TABLES,
    "delivery_mode": st.integers(0, 255),
    "priority": st.integers(0, 255),
    "timestamp": SECONDS,
}
PROPERTIES: Final = st.fixed_dictionaries(
    {name: st.none() | _FIELDS.get(name, SHORT) for name in Properties.__struct_fields__}
).map(lambda fields: Properties(**fields))

_KINDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "bit": st.booleans(),
    "octet": st.integers(0, 2**8 - 1),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**63 - 1),
    "shortstr": SHORT,
    "longstr": st.binary(max_size=300),
    "table": TABLES,
}


def method_of(kind: type[Method]) -> st.SearchStrategy[Method]:
    """Methods of one kind, with any arguments."""
    return st.tuples(*(_KINDS[each] for each in LAYOUTS[kind])).map(lambda values: kind(*values))


METHODS: Final = st.sampled_from(ALL).flatmap(method_of)
