"""What core errors are called here: every one of them has an answer."""

import botocore.session
import pytest

from isthmus.errors import BeingChanged, InvariantError, RequestError, StorePoisoned, UnknownQueue
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs import errors

MODEL = botocore.session.get_session().get_service_model("sqs")


def kinds(root: type[RequestError] = RequestError) -> list[type[RequestError]]:
    return [root, *[kind for child in root.__subclasses__() for kind in kinds(child)]]


@pytest.mark.parametrize("kind", kinds())
def test_every_request_error_has_a_code_and_its_text(kind: type[RequestError]) -> None:
    error = kind.__new__(kind)
    error.args = ("what was wrong",)

    said = errors.of(error)

    assert said.code
    assert 400 <= said.status < 500
    assert said.sender


def test_an_unknown_queue_is_told_in_the_words_of_the_service() -> None:
    said = errors.of(UnknownQueue("jobs"))

    assert (said.code, said.query_code) == ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
    assert said.message == "The specified queue does not exist."


def test_what_is_not_the_callers_fault_is_told_so() -> None:
    assert errors.of(StorePoisoned("journal", "a sync failed")).status == 503
    assert errors.of(InvariantError("a bug")).status == 500
    assert errors.of(BeingChanged("queue", "jobs")).code == "RequestThrottled"


@pytest.mark.parametrize("error", [errors.no_queue(), errors.exists("DelaySeconds"), errors.bad_handle("x")])
def test_codes_are_those_of_the_model(error: AwsError) -> None:
    assert MODEL.shape_for(error.code).metadata == {"exception": True}
