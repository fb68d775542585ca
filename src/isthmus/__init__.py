"""Isthmus: an event broker that lives in a Python process; the ten names, `connect` and `sync`.

Names are imported when they are first used, so that `import isthmus` itself costs next to nothing. Nothing is defined
here: each name lives in the module that the table below gives.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from isthmus import errors, sync, types
    from isthmus.client.app import App
    from isthmus.client.bus import connect
    from isthmus.client.delivery import Message
    from isthmus.client.destination import Queue, Stream
    from isthmus.client.event import Event, Notification, State
    from isthmus.client.retry import Backoff, Reject, Retry

__version__ = "0.1.0"

__all__ = [
    "App",
    "Backoff",
    "Event",
    "Message",
    "Notification",
    "Queue",
    "Reject",
    "Retry",
    "State",
    "Stream",
    "connect",
    "errors",
    "sync",
    "types",
]

_HOMES: Final = {
    "App": "isthmus.client.app",
    "Backoff": "isthmus.client.retry",
    "Event": "isthmus.client.event",
    "Message": "isthmus.client.delivery",
    "Notification": "isthmus.client.event",
    "Queue": "isthmus.client.destination",
    "Reject": "isthmus.client.retry",
    "Retry": "isthmus.client.retry",
    "State": "isthmus.client.event",
    "Stream": "isthmus.client.destination",
    "connect": "isthmus.client.bus",
}
_MODULES: Final = ("errors", "sync", "types")


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562); after that it is an ordinary attribute.

    Raises:
        AttributeError: there is no such name.
    """
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"isthmus.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'isthmus' has no attribute {name!r}", name=name)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, also those that nobody has used yet."""
    return sorted({*globals(), *__all__})
