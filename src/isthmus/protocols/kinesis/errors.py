"""Kinesis's errors, and which of them says what a core error says.

Data and one table; a test proves it complete. Spec: Amazon Kinesis API, "Errors" of each action.
"""

from collections.abc import Callable
from typing import Final

from isthmus import errors
from isthmus.errors import IsthmusError, RequestError, StorageError
from isthmus.protocols.aws.errors import AwsError


def not_found(message: str) -> AwsError:
    """There is no such stream, shard or consumer."""
    return AwsError("ResourceNotFoundException", message)


def no_stream(name: str, account: str) -> AwsError:
    """There is no such stream."""
    return not_found(f"Stream {name} under account {account} not found.")


def in_use(message: str) -> AwsError:
    """It exists, or is in a state that does not allow this."""
    return AwsError("ResourceInUseException", message)


def invalid(message: str) -> AwsError:
    """An argument has a value that it cannot have."""
    return AwsError("InvalidArgumentException", message)


def limited(message: str) -> AwsError:
    """More than there may be."""
    return AwsError("LimitExceededException", message)


def unfit(message: str) -> AwsError:
    """What the stream as it is cannot do."""
    return AwsError("ValidationException", message)


def violated(value: object, member: str, constraint: str) -> AwsError:
    """A member breaks a constraint of the model, told in AWS's words."""
    text = f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    return AwsError("ValidationException", text)


def missing(member: str) -> AwsError:
    """A member has to be given."""
    text = (
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    )
    return AwsError("ValidationException", text)


def _says(make: Callable[[str], AwsError]) -> Callable[[RequestError], AwsError]:
    return lambda error: make(str(error))


def _denied(message: str) -> AwsError:
    return AwsError("AccessDeniedException", message)


def _throttled(message: str) -> AwsError:
    return AwsError("ProvisionedThroughputExceededException", message)


KNOWN: Final[dict[type[RequestError], Callable[[RequestError], AwsError]]] = {
    errors.UnknownTopic: _says(not_found),
    errors.AlreadyExists: _says(in_use),
    errors.BeingChanged: _says(in_use),
    errors.InUse: _says(in_use),
    errors.AccessDenied: _says(_denied),
    errors.Overloaded: _says(_throttled),
    errors.StorageFull: _says(_throttled),
}
"""Core errors with a meaning of their own here; any other says that an argument cannot be as it is."""


def of(error: IsthmusError) -> AwsError:
    """What a core error is called here."""
    if isinstance(error, AwsError):
        return error
    if isinstance(error, RequestError):
        make = next((KNOWN[kind] for kind in type(error).__mro__ if kind in KNOWN), None)
        return invalid(str(error)) if make is None else make(error)
    return failure(error)


def failure(error: IsthmusError) -> AwsError:
    """What is not the caller's fault."""
    if isinstance(error, StorageError):
        return AwsError("ServiceUnavailable", str(error), status=503, sender=False)
    return AwsError("InternalFailureException", "the server's log says more", status=500, sender=False)
