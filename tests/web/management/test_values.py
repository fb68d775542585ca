"""Values of AMQP as JSON says them."""

from decimal import Decimal

import pytest

from isthmus.protocols.amqp.table import Timestamp
from isthmus.web.management.answers import Failure
from isthmus.web.management.values import (
    payload_of,
    plain,
    properties_of,
    settings_of,
    shown_properties,
    shown_settings,
    text_or_base64,
)


def test_a_table_becomes_what_json_can_say() -> None:
    table = {"a": [b"x", b"\xff", Timestamp(5)], "b": {"c": Decimal("1.5")}, "d": None, "e": True, "f": 2.5, "g": "y"}

    assert plain(table) == {"a": ["x", "/w==", 5], "b": {"c": 1.5}, "d": None, "e": True, "f": 2.5, "g": "y"}


def test_bytes_are_text_or_base64() -> None:
    assert text_or_base64("ä".encode()) == ("ä", "string")
    assert text_or_base64(b"\xff") == ("/w==", "base64")


def test_properties_are_shown_as_they_were_said() -> None:
    said = {"content_type": "text/plain", "priority": 3, "headers": {"n": [1, {"x": None}]}, "message_id": "m"}

    assert shown_properties(properties_of(said)) == said
    assert shown_properties(properties_of({})) == {}


def test_a_payload_is_bytes() -> None:
    assert (payload_of("é", "string"), payload_of("/w==", "base64")) == ("é".encode(), b"\xff")
    with pytest.raises(Failure, match="no base64"):
        payload_of("/w", "base64")


def test_settings_of_a_policy_are_the_same_in_both_words() -> None:
    said = {"max-length": 5, "overflow": "reject-publish-dlx", "delivery-limit": 3, "dead-letter-exchange": "x"}

    assert dict(settings_of(said)) == {
        "max_events": b"5",
        "overflow": b'"refuse_dead"',
        "failed_max": b"4",
        "dead_exchange": b'"x"',
    }
    assert shown_settings(settings_of(said)) == said
