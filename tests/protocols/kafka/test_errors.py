"""Every refusal of ours has a code of Kafka's."""

import inspect

from isthmus import errors
from isthmus.protocols.kafka.errors import CODES, Code, code_of


def refusals() -> list[type[errors.RequestError]]:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    return [each for each in classes if issubclass(each, errors.RequestError) and each is not errors.RequestError]


def test_the_table_is_complete() -> None:
    assert set(refusals()) <= set(CODES)


def test_what_is_denied_depends_on_what_it_was_about() -> None:
    denied = errors.AccessDenied("ann", "read", "t")

    assert code_of(denied, "topic") == Code.TOPIC_AUTHORIZATION_FAILED
    assert code_of(denied, "group") == Code.GROUP_AUTHORIZATION_FAILED
    assert code_of(denied, "cluster") == Code.CLUSTER_AUTHORIZATION_FAILED


def test_the_disk_and_bugs_have_codes_too() -> None:
    assert code_of(errors.Closed("it")) == Code.KAFKA_STORAGE_ERROR
    assert code_of(ValueError("x")) == Code.UNKNOWN_SERVER_ERROR
