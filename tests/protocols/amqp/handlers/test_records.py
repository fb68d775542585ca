"""Messages as records and records as messages: properties stay as they are, and what acts is said again."""

from isthmus.broker import deaths
from isthmus.broker.publishing import DUE, EXPIRE, PRIORITY
from isthmus.log.headers import append_headers, decode_headers, encode_headers
from isthmus.protocols.amqp.handlers.records import EXCHANGE, PROPERTIES, key_of, record, shape, shown, with_headers
from isthmus.protocols.amqp.properties import NONE, Properties, decode_properties, encode_properties
from isthmus.protocols.amqp.table import Timestamp
from isthmus.record import StoredRecord


def raw(**given: object) -> bytes:
    return encode_properties(Properties(**given))  # type: ignore[arg-type]


def headers_of(block: bytes) -> dict[str, bytes | None]:
    return dict(decode_headers(block))


def test_a_message_goes_there_and_back_unchanged() -> None:
    sent = raw(content_type="text/plain", headers={"a": [1, {"b": None}]}, delivery_mode=2, timestamp=9)

    stored = record(shape("x", sent), b"key", b"body", 0)

    assert (stored.key, stored.value) == (b"key", b"body")
    assert headers_of(stored.headers) == {EXCHANGE: b"x", PROPERTIES: sent}
    assert shown(stored.headers) == ("x", sent)


def test_what_the_broker_acts_on_is_said_again() -> None:
    stored = record(shape("", raw(priority=3, expiration="50")), b"", b"", 1_000)

    found = headers_of(stored.headers)
    assert (found[PRIORITY], found[EXPIRE]) == (b"3", b"1050")


def test_a_delay_holds_only_where_the_exchange_delays_and_is_shown_negated() -> None:
    sent = raw(headers={"x-delay": 70, "b": 1})

    delayed = record(shape("x", sent, delayed=True), b"", b"", 1_000)
    plain = record(shape("x", sent), b"", b"", 1_000)

    assert headers_of(delayed.headers)[DUE] == b"1070"
    assert decode_properties(shown(delayed.headers).properties).headers == {"x-delay": -70, "b": 1}
    assert DUE not in headers_of(plain.headers)


def test_a_record_of_somebody_else_shows_its_headers() -> None:
    block = encode_headers([("text", b"caf\xc3\xa9"), ("bytes", b"\xff"), ("none", None)])

    exchange, properties = shown(block)

    assert exchange == ""
    assert decode_properties(properties) == Properties(headers={"text": "café", "bytes": b"\xff", "none": None})
    assert shown(encode_headers([])) == ("", NONE)
    assert shown(b"\x09garbage") == ("", NONE)


def test_deaths_are_written_as_rabbitmq_writes_them() -> None:
    history = deaths.add((), "q", "expired", exchange="x", keys=("k", "c"), time_s=7, expiration_ms=50)
    history = deaths.add(history, "r", "rejected", exchange="dlx", keys=("k",), time_s=8)
    first = deaths.FirstDeath("q", "expired", "x")
    block = append_headers(shape("dlx", raw(expiration="50", headers={"a": 1})).block, deaths.headers(history, first))

    properties = decode_properties(shown(block).properties)

    assert properties.expiration is None
    assert properties.headers == {
        "x-death": [
            {
                "count": 1, "reason": "rejected", "queue": "r", "time": Timestamp(8), "exchange": "dlx",
                "routing-keys": ["k"],
            },
            {
                "original-expiration": "50", "count": 1, "reason": "expired", "queue": "q", "time": Timestamp(7),
                "exchange": "x", "routing-keys": ["k", "c"],
            },
        ],
        "x-first-death-exchange": "x",
        "x-first-death-queue": "q",
        "x-first-death-reason": "expired",
        "x-last-death-exchange": "dlx",
        "x-last-death-queue": "r",
        "x-last-death-reason": "rejected",
        "a": 1,
    }  # fmt: skip


def test_headers_are_put_in_place_of_those_of_the_same_name() -> None:
    changed = with_headers(raw(headers={"a": 1, "b": 2}, app_id="x"), {"b": 3})

    assert decode_properties(changed) == Properties(headers={"a": 1, "b": 3}, app_id="x")
    assert decode_properties(with_headers(NONE, {"b": 3})) == Properties(headers={"b": 3})


def test_a_key_that_amqp_cannot_say_is_none() -> None:
    keys = [None, b"k", b"\xff", b"k" * 256]

    assert [key_of(StoredRecord(0, 0, key, b"", b"")) for key in keys] == ["", "k", "", ""]
