"""The blocking side of Isthmus, for scripts: `with isthmus.sync.connect(...) as bus`.

Only hands on what `isthmus.client.sync` defines.
"""

from isthmus.client.sync import connect as connect

__all__ = ["connect"]
