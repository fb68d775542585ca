"""SQS's errors, and which of them says what a core error says.

Data and one table; a test proves it complete. Spec: Amazon SQS API, "Errors" of each action.
"""

from collections.abc import Callable
from typing import Final

from isthmus import errors
from isthmus.errors import IsthmusError, RequestError, StorageError
from isthmus.protocols.aws.errors import AwsError

LEGACY: Final = "AWS.SimpleQueueService."
"""What comes before most names in the query protocol."""


def no_queue() -> AwsError:
    """There is no such queue."""
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.", query_code=f"{LEGACY}NonExistentQueue")


def exists(difference: str) -> AwsError:
    """There is such a queue, and it is another one."""
    text = f"A queue already exists with the same name and a different value for attribute {difference}"
    return AwsError("QueueNameExists", text, query_code="QueueAlreadyExists")


def invalid(message: str) -> AwsError:
    """A parameter has a value that it cannot have."""
    return AwsError("InvalidParameterValueException", message, query_code="InvalidParameterValue")


def invalid_value(value: object, parameter: str, reason: str) -> AwsError:
    """The same in AWS's usual words."""
    return invalid(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing(parameter: str) -> AwsError:
    """A parameter has to be given."""
    text = f"The request must contain the parameter {parameter}."
    return AwsError("MissingRequiredParameterException", text, query_code="MissingParameter")


def batch(code: str, message: str) -> AwsError:
    """A batch as a whole cannot be done."""
    return AwsError(code, message, query_code=f"{LEGACY}{code}")


def bad_handle(handle: str) -> AwsError:
    """A receipt handle that was never given out."""
    return AwsError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')


def _says(make: Callable[[str], AwsError]) -> Callable[[RequestError], AwsError]:
    return lambda error: make(str(error))


def _throttled(message: str) -> AwsError:
    return AwsError("RequestThrottled", message, status=400)


def _denied(message: str) -> AwsError:
    return AwsError("AccessDeniedException", message, status=403, query_code="AccessDenied")


KNOWN: Final[dict[type[RequestError], Callable[[RequestError], AwsError]]] = {
    errors.UnknownQueue: lambda _: no_queue(),
    errors.UnknownTopic: lambda _: no_queue(),
    errors.AccessDenied: _says(_denied),
    errors.Overloaded: _says(_throttled),
    errors.StorageFull: _says(_throttled),
    errors.BeingChanged: _says(_throttled),
    errors.RecordTooLarge: lambda _: invalid(
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    ),
}
"""Core errors with a meaning of their own here; any other says that a parameter cannot be as it is."""


def of(error: IsthmusError) -> AwsError:
    """What a core error is called here."""
    if isinstance(error, AwsError):
        return error
    if isinstance(error, RequestError):
        make = next((KNOWN[kind] for kind in type(error).__mro__ if kind in KNOWN), None)
        return invalid(str(error)) if make is None else make(error)
    if isinstance(error, StorageError):
        return AwsError("ServiceUnavailable", str(error), status=503, sender=False)
    return AwsError("InternalFailure", "the server's log says more", status=500, sender=False)
