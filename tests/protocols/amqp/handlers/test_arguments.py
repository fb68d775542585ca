"""The arguments of queues: what each becomes, which are refused in which words, and when two are the same."""

from typing import Any

import pytest

from isthmus.definition import QueueConfig
from isthmus.protocols.amqp.errors import Refused
from isthmus.protocols.amqp.handlers.arguments import (
    ARGUMENTS,
    LATER,
    Flags,
    Named,
    check_queue,
    differences,
    queue_config,
    stream_topic,
    type_name,
)

Q = Named("queue", "q", "/")
DURABLE = Flags(durable=True, exclusive=False, auto_delete=False)


def config_of(**arguments: object) -> QueueConfig:
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return queue_config(check_queue(Q, DURABLE, named), DURABLE, named, b"")


def test_each_argument_that_acts_becomes_a_setting_of_the_queue() -> None:
    config = config_of(
        message_ttl=5,
        expires=6,
        dead_letter_exchange="dlx",
        dead_letter_routing_key="k",
        max_length=7,
        max_length_bytes=8,
        overflow="reject-publish",
        max_priority=9,
        single_active_consumer=True,
    )

    assert (config.ttl_ms, config.expires_ms, config.dead_exchange, config.dead_key) == (5, 6, "dlx", "k")
    assert (config.max_events, config.max_bytes, config.overflow) == (7, 8, "refuse")
    assert (config.priorities, config.single, config.failed_max) == (10, True, None)


def test_what_was_given_is_what_policies_do_not_override() -> None:
    assert config_of().asked == ()
    assert set(config_of(overflow="drop-head", message_ttl=5).asked or ()) == {"overflow", "ttl_ms"}


@pytest.mark.parametrize(("limit", "failed_max"), [(None, 21), (3, 4), (0, 1), (-1, None)])
def test_the_delivery_limit_may_be_reached_and_not_passed(limit: int | None, failed_max: int | None) -> None:
    given = {} if limit is None else {"delivery_limit": limit}

    assert config_of(queue_type="quorum", **given).failed_max == failed_max


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"x-message-ttl": "5"}, "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {unacceptable_type,longstr}"),
        ({"x-message-ttl": True}, "{unacceptable_type,bool}"),
        ({"x-message-ttl": -1}, "{value_negative,-1}"),
        ({"x-expires": 0}, "{value_zero,0}"),
        ({"x-message-ttl": 315_360_000_001}, "{value_too_big,315360000001}"),
        ({"x-max-priority": 256}, "{value_too_big,256}"),
        ({"x-single-active-consumer": "yes"}, "{unacceptable_type,longstr}"),
        ({"x-dead-letter-exchange": 1}, "{unacceptable_type,signedint}"),
        ({"x-dead-letter-routing-key": "k"}, "routing_key_but_no_dlx_defined"),
        ({"x-overflow": "odd"}, "invalid_overflow"),
        ({"x-queue-mode": "odd"}, "invalid_queue_mode"),
        ({"x-queue-type": "odd"}, "there is no queue type 'odd'"),
        ({"x-queue-type": "quorum", "x-max-priority": 3}, "of queue type rabbit_quorum_queue"),
        ({"x-max-age": "7D"}, "of queue type rabbit_classic_queue"),
        ({"x-queue-type": "stream", "x-max-age": "7"}, "invalid_max_age"),
        ({"x-queue-type": "quorum", "x-overflow": "reject-publish-dlx"}, "is for classic queues"),
        ({"x-name-prefix": "p" * 65}, "more than 64 bytes"),
        *[({name: 1}, f"not supported here: {why}") for name, why in LATER.items()],
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as caught:
        check_queue(Q, DURABLE, arguments)

    assert why in caught.value.text
    assert caught.value.code == 406


@pytest.mark.parametrize("type_", ["quorum", "stream"])
@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (Flags(durable=False, exclusive=False, auto_delete=False), "non-durable"),
        (Flags(durable=True, exclusive=True, auto_delete=False), "exclusive-owner"),
        (Flags(durable=True, exclusive=False, auto_delete=True), "auto-delete"),
    ],
)
def test_replicated_queues_are_durable_and_everybody_s(type_: str, flags: Flags, name: str) -> None:
    with pytest.raises(Refused, match=f"invalid property '{name}' for queue 'q' in vhost '/'"):
        check_queue(Q, flags, {"x-queue-type": type_})


def test_unknown_arguments_are_let_be() -> None:
    assert check_queue(Q, DURABLE, {"x-odd": object(), "mine": 1}) == "classic"


def test_a_stream_is_a_topic_that_retains() -> None:
    topic = stream_topic(Q, {"x-max-age": "2h", "x-max-length-bytes": 9}, "")

    assert (topic.age_ms, topic.size_bytes, topic.consumed) == (7_200_000, 9, False)


def test_a_missing_type_is_classic_and_numbers_compare_by_value() -> None:
    differences(Q, {}, {"x-queue-type": "classic"})
    differences(Q, {"x-message-ttl": 5, "x-odd": 1}, {"x-message-ttl": 5})
    differences(Q, {"x-overflow": b"drop-head"}, {"x-overflow": "drop-head"})


def test_another_value_is_named_with_its_type() -> None:
    with pytest.raises(Refused, match=r"received none but current is the value 'dlx' of type 'longstr'"):
        differences(Q, {}, {"x-dead-letter-exchange": "dlx"})


@pytest.mark.parametrize(
    ("value", "name"),
    [(True, "bool"), (1, "signedint"), (1 << 31, "long"), ("a", "longstr"), (1.5, "double"), ([], "array"),
     ({}, "table"), (None, "void"), (object(), "unknown")],
)  # fmt: skip
def test_types_have_rabbitmq_s_names(value: object, name: str) -> None:
    assert type_name(value) == name


def test_the_table_names_only_what_there_is() -> None:
    assert all(argument.types <= {"classic", "quorum", "stream"} and argument.acts for argument in ARGUMENTS.values())
    assert not ARGUMENTS.keys() & LATER.keys()
