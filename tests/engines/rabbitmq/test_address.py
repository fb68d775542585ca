"""`amqp://` addresses."""

import pytest

from isthmus.engines.rabbitmq.address import parse
from isthmus.errors import InvalidArgument


def test_what_is_left_out_is_as_usual() -> None:
    plain, safe = parse("amqp://broker"), parse("amqps://broker/")

    assert (plain.host, plain.port, plain.user, plain.password, plain.vhost) == ("broker", 5672, "guest", "guest", "/")
    assert (plain.tls, plain.api, plain.queues) == (False, None, "quorum")
    assert (safe.port, safe.tls, safe.vhost) == (5671, True, "/")


def test_a_user_logs_in_and_the_password_is_not_shown() -> None:
    address = parse("amqp://ann:s%40cret@a:1/team%2Fone?api=http://a:2/&queues=classic&heartbeat=5&ca=/x.pem")

    assert address.url == "amqp://ann@a:1/team%2Fone?api=http://a:2/&queues=classic&heartbeat=5&ca=/x.pem"
    assert (address.user, address.password, address.vhost, address.api) == ("ann", "s@cret", "team/one", "http://a:2")
    assert (address.queues, address.heartbeat_s, address.ca) == ("classic", 5, "/x.pem")


@pytest.mark.parametrize(
    ("url", "argument"),
    [
        ("amqp://", "url"),
        ("amqp://a:port", "url"),
        ("amqp://a/one/two", "url"),
        ("amqp://a?speed=9", "url"),
        ("amqp://a?api=a:15672", "api"),
        ("amqp://a?queues=stream", "queues"),
        ("amqp://a?heartbeat=often", "heartbeat"),
    ],
)
def test_what_is_no_such_address_is_refused(url: str, argument: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse(url)

    assert refused.value.argument == argument
