"""Answers of the management API, and what it says of errors."""

import inspect

import msgspec
import pytest

from isthmus import errors as e
from isthmus.web.management.answers import UNKNOWN, bad_request, document, done, failure_of, refusal


def test_what_was_done_says_whether_something_is_there_now() -> None:
    assert (done().status, done(made=True).status) == (204, 201)
    assert done(made=True, location="q/k").headers == (("Location", "q/k"),)


def test_a_refusal_is_a_document_of_two_words() -> None:
    response = refusal(bad_request("no"))

    assert (response.status, msgspec.json.decode(response.body)) == (400, {"error": "bad_request", "reason": "no"})
    assert response.headers == document(1).headers


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (e.UnknownExchange("x"), 404, "not_found"),
        (e.AccessDenied("ada", "create", "x"), 401, "not_authorised"),
        (e.BeingChanged("queue", "x"), 503, "service_unavailable"),
        (e.InvalidArgument("x", "y"), 400, "bad_request"),
        (e.AlreadyExists("queue", "x"), 400, "bad_request"),
        (e.StorageError("x"), 503, "service_unavailable"),
    ],
)
def test_an_error_of_the_broker_is_answered(error: e.IsthmusError, status: int, word: str) -> None:
    failure = failure_of(error)

    assert (failure.status, failure.error, failure.reason) == (status, word, str(error))


def test_whatever_is_not_there_is_not_found() -> None:
    unknown = {kind for name, kind in inspect.getmembers(e, inspect.isclass) if name.startswith("Unknown")}

    assert unknown - set(UNKNOWN) == {e.UnknownMember, e.UnknownPartition, e.UnknownType}
