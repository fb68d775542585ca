"""Types for annotations in users' code; the names that do things are in `isthmus` itself.

Imported when first used, like those of `isthmus`, and nothing is defined here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from isthmus.client.bus import Bus
    from isthmus.client.producer import Receipt
    from isthmus.client.sync import SyncBus
    from isthmus.client.table import Table
    from isthmus.client.testing import TestApp

__all__ = ["Bus", "Receipt", "SyncBus", "Table", "TestApp"]

_HOMES: Final = {
    "Bus": "isthmus.client.bus",
    "Receipt": "isthmus.client.producer",
    "SyncBus": "isthmus.client.sync",
    "Table": "isthmus.client.table",
    "TestApp": "isthmus.client.testing",
}


def __getattr__(name: str) -> object:
    """Import a type on first use (PEP 562).

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'isthmus.types' has no attribute {name!r}", name=name)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
