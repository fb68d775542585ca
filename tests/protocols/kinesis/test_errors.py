"""What core errors are called here: every one of them has an answer."""

import botocore.session
import pytest

from isthmus.errors import AlreadyExists, InvariantError, RequestError, StorePoisoned
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis import errors

MODEL = botocore.session.get_session().get_service_model("kinesis")


def kinds(root: type[RequestError] = RequestError) -> list[type[RequestError]]:
    return [root, *[kind for child in root.__subclasses__() for kind in kinds(child)]]


@pytest.mark.parametrize("kind", kinds())
def test_every_request_error_has_a_code_and_its_text(kind: type[RequestError]) -> None:
    error = kind.__new__(kind)
    error.args = ("what was wrong",)

    said = errors.of(error)

    assert MODEL.shape_for(said.code).metadata == {"exception": True}
    assert said.message == "what was wrong"
    assert said.status == 400


def test_what_is_not_the_callers_fault_is_told_so() -> None:
    assert errors.of(StorePoisoned("journal", "a sync failed")).status == 503
    assert errors.of(InvariantError("a bug")).status == 500
    assert errors.of(AlreadyExists("topic", "orders")).code == "ResourceInUseException"


@pytest.mark.parametrize(
    "error",
    [
        errors.no_stream("orders", "000000000000"), errors.in_use("x"), errors.invalid("x"), errors.limited("x"),
        errors.unfit("x"), errors.violated("x", "streamName", "Member must be shorter"), errors.missing("data"),
    ],
)  # fmt: skip
def test_codes_are_those_of_the_model(error: AwsError) -> None:
    assert MODEL.shape_for(error.code).metadata == {"exception": True}
