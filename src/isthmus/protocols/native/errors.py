"""Errors of the broker on their way over the native protocol: their class by name, their sentence, their fields.

Only classes of `isthmus.errors` are made again, and only with plain fields; nothing that a peer names is imported.
"""

from typing import Final

from isthmus import errors
from isthmus.protocols.native.schema import Refused

FAILED: Final = "the server failed in a way that nobody foresaw; its log says how"

Value = str | int | float | bool | tuple[str, ...] | None

_KINDS: Final = (errors.RequestError, errors.StorageError, errors.EngineError, errors.ProtocolError)

KNOWN: Final[dict[str, type[errors.IsthmusError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, _KINDS) and kind.__module__ == errors.__name__
}
"""What can travel, by name."""


class NativeError(errors.ProtocolError):
    """The peer broke the native protocol; the connection closes."""


class StaleDelivery(errors.RequestError):
    """A token that the server does not know (any more); the client knows which delivery that was."""

    def __init__(self, token: int) -> None:
        super().__init__(f"delivery {token} is not held on this connection")
        self.token = token


def refusal(error: BaseException) -> Refused:
    """What is said of an error; of one that is a bug here, nothing but that."""
    name = type(error).__name__
    if KNOWN.get(name, StaleDelivery) is not type(error):
        return Refused(errors.EngineError.__name__, FAILED, {"retryable": False})
    return Refused(name, str(error), {field: _plain(value) for field, value in vars(error).items()})


def _plain(value: object) -> Value:
    if isinstance(value, tuple | list):
        return tuple(map(str, value))
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def error_of(refused: Refused) -> errors.IsthmusError:
    """The same error again; one that this version does not know is an `EngineError` with the same sentence."""
    kind = StaleDelivery if refused.error == StaleDelivery.__name__ else KNOWN.get(refused.error)
    if kind is None:
        return errors.EngineError(f"{refused.error}: {refused.message}", retryable=False)
    made = kind.__new__(kind)
    made.args = (refused.message,)
    for name, value in refused.fields.items():
        if not name.startswith("_"):
            setattr(made, name, value)
    return made
