"""`kafka://` addresses."""

import pytest

from isthmus.engines.kafka.address import parse
from isthmus.errors import InvalidArgument


def test_hosts_get_the_usual_port() -> None:
    assert parse("kafka://a").settings["bootstrap.servers"] == "a:9092"
    assert parse("kafka://a:1,b:2,[::1]:3/").settings["bootstrap.servers"] == "a:1,b:2,[::1]:3"


def test_a_user_logs_in_and_the_password_is_not_shown() -> None:
    address = parse("kafka://ann:s%40cret@a:1/?mechanism=PLAIN&tls=true&ca=/x.pem")

    assert address.url == "kafka://ann@a:1/?mechanism=PLAIN&tls=true&ca=/x.pem"
    assert address.settings == {
        "bootstrap.servers": "a:1",
        "sasl.username": "ann",
        "sasl.password": "s@cret",
        "sasl.mechanism": "PLAIN",
        "ssl.ca.location": "/x.pem",
        "security.protocol": "SASL_SSL",
    }


@pytest.mark.parametrize(
    ("query", "protocol"), [("tls=true", "SSL"), ("", None), ("tls=false", None), ("linger.ms=5", None)]
)
def test_tls_is_asked_for(query: str, protocol: str | None) -> None:
    assert parse(f"kafka://a/?{query}").settings.get("security.protocol") == protocol


def test_settings_of_librdkafka_go_through() -> None:
    address = parse("kafka://a/?linger.ms=5&queues=group")

    assert address.settings["linger.ms"] == "5"
    assert address.queues == "group"


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://a,,b",
        "kafka://a:x",
        "kafka://a:0",
        "kafka://a:70000",
        "kafka://a/topic",
        "kafka://a/#f",
        "kafka://ann@a",
        "kafka://a/?queues=some",
        "kafka://a/?tls=maybe",
        "kafka://a/?enable.idempotence=false",
        "kafka://a/?group.id=x",
    ],
)
def test_what_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        parse(url)
