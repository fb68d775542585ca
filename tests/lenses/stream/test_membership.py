"""What fits into a join, and what is refused."""

import msgspec
import pytest

from isthmus.errors import InvalidArgument
from isthmus.lenses.stream.membership import Join, check_join, check_size
from isthmus.limits import (
    MEMBER_METADATA_BYTES_MAX,
    MEMBER_PROTOCOLS_MAX,
    NAME_BYTES_MAX,
    REBALANCE_MS_MAX,
    SESSION_MS_MAX,
    SESSION_MS_MIN,
)

FITTING = Join(protocol_type="consumer", protocols=(("range", b""),), session_ms=10_000, rebalance_ms=60_000)
LONG = "é" * (NAME_BYTES_MAX // 2 + 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_ms", SESSION_MS_MIN - 1),
        ("session_ms", SESSION_MS_MAX + 1),
        ("rebalance_ms", 0),
        ("rebalance_ms", REBALANCE_MS_MAX + 1),
        ("instance_id", ""),
        ("instance_id", LONG),
        ("client_id", LONG),
        ("host", "h" * (NAME_BYTES_MAX + 1)),
        ("protocol_type", LONG),
        ("protocols", ((LONG, b""),)),
        ("protocols", (("range", b""), ("range", b"again"))),
        ("protocols", tuple((str(number), b"") for number in range(MEMBER_PROTOCOLS_MAX + 1))),
        ("protocols", (("range", b"x" * (MEMBER_METADATA_BYTES_MAX + 1)),)),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_join(msgspec.structs.replace(FITTING, **{field: value}))

    assert refused.value.argument == field


def test_the_ends_of_the_ranges_fit() -> None:
    protocols = tuple((str(number), b"x" * MEMBER_METADATA_BYTES_MAX) for number in range(MEMBER_PROTOCOLS_MAX))

    check_join(msgspec.structs.replace(FITTING, session_ms=SESSION_MS_MIN, rebalance_ms=1, protocols=protocols))
    check_join(msgspec.structs.replace(FITTING, session_ms=SESSION_MS_MAX, rebalance_ms=REBALANCE_MS_MAX))
    check_join(msgspec.structs.replace(FITTING, client_id="c" * NAME_BYTES_MAX))


def test_a_size_is_held_against_its_bound() -> None:
    check_size("assignments", b"x" * MEMBER_METADATA_BYTES_MAX)

    with pytest.raises(InvalidArgument, match="assignments"):
        check_size("assignments", b"x" * (MEMBER_METADATA_BYTES_MAX + 1))
