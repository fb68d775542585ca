"""Errors of librdkafka's as errors of ours, and headers of records."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from isthmus import errors
from isthmus.engines.kafka.records import error_of, headers_of, raised
from isthmus.log.headers import encode_headers
from isthmus.record import Record


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, errors.UnknownTopic),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, errors.AccessDenied),
        (KafkaError.GROUP_ID_NOT_FOUND, errors.UnknownGroup),
        (KafkaError.NON_EMPTY_GROUP, errors.GroupNotEmpty),
        (KafkaError.MSG_SIZE_TOO_LARGE, errors.RecordTooLarge),
        (KafkaError.ILLEGAL_GENERATION, errors.StaleGeneration),
        (KafkaError.UNKNOWN_MEMBER_ID, errors.UnknownMember),
        (KafkaError.INVALID_CONFIG, errors.InvalidArgument),
        (KafkaError._TRANSPORT, errors.EngineError),
    ],
)
def test_an_error_has_its_name_here(code: int, expected: type[Exception]) -> None:
    assert isinstance(error_of(KafkaError(code), "t"), expected)


def test_what_passes_can_be_tried_again() -> None:
    passing, lasting = (
        raised(KafkaException(KafkaError(code)), "t") for code in (KafkaError._TRANSPORT, KafkaError._FATAL)
    )

    assert isinstance(passing, errors.EngineError)
    assert isinstance(lasting, errors.EngineError)
    assert (passing.retryable, lasting.retryable) == (True, False)


def test_headers_go_as_pairs() -> None:
    assert headers_of(Record(b"v")) is None
    assert headers_of(Record(b"v", headers=encode_headers([("a", b"1"), ("b", None)]))) == [("a", b"1"), ("b", None)]
