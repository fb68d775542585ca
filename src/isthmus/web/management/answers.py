"""What the management API answers: documents in JSON, what was made or removed, and refusals in RabbitMQ's form.

Responses and errors as values; nothing is decided here.
"""

from typing import Any, Final

import msgspec

from isthmus import errors as e
from isthmus.protocols.http.messages import Headers, Response

JSON: Final = ("Content-Type", "application/json")


class Failure(Exception):
    """A request that is refused: `status`, and the two words of the answer."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.error, self.reason = status, error, reason


def bad_request(reason: str) -> Failure:
    """What was asked for cannot be."""
    return Failure(400, "bad_request", reason)


def not_found(reason: str = "Not Found") -> Failure:
    """There is no such thing."""
    return Failure(404, "Object Not Found", reason)


def document(value: Any, status: int = 200, headers: Headers = ()) -> Response:  # noqa: ANN401 - JSON
    """A value in JSON."""
    return Response(status=status, headers=(JSON, *headers), body=msgspec.json.encode(value))


def done(*, made: bool = False, location: str | None = None) -> Response:
    """It is done: 201 when something is there now that was not, else 204."""
    headers = () if location is None else (("Location", location),)
    return Response(status=201 if made else 204, headers=headers)


def refusal(failure: Failure, headers: Headers = ()) -> Response:
    """A refusal as a document."""
    return document({"error": failure.error, "reason": failure.reason}, failure.status, headers)


UNKNOWN: Final = (
    e.UnknownTopic,
    e.UnknownQueue,
    e.UnknownExchange,
    e.UnknownUser,
    e.UnknownPolicy,
    e.UnknownNamespace,
    e.UnknownGroup,
)
BUSY: Final = (e.Overloaded, e.BeingChanged)


def failure_of(error: e.IsthmusError) -> Failure:
    """What is said of an error of the broker."""
    if isinstance(error, UNKNOWN):
        return Failure(404, "not_found", str(error))
    if isinstance(error, e.AccessDenied):
        return Failure(401, "not_authorised", str(error))
    if isinstance(error, BUSY):
        return Failure(503, "service_unavailable", str(error))
    if isinstance(error, e.RequestError):
        return bad_request(str(error))
    return Failure(503, "service_unavailable", str(error))
