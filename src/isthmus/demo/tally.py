"""Figures by key, counted list by list: what a list changes is kept when the whole list is done, or not at all.

Pure, and without knowledge of what is counted.
"""

from collections.abc import Callable
from copy import copy
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Tally(dict[K, V]):
    """The newest figures of every key; `new` makes those of a key that has none."""

    def __init__(self, new: Callable[[], V]) -> None:
        super().__init__()
        self.new = new

    def draft(self) -> "Draft[K, V]":
        """Begin to count a list."""
        return Draft(self)


class Draft(dict[K, V], Generic[K, V]):
    """The figures that a list changes: copies, made when they are first asked for."""

    def __init__(self, tally: Tally[K, V]) -> None:
        super().__init__()
        self._tally = tally

    def __missing__(self, key: K) -> V:
        known = self._tally.get(key)
        self[key] = figures = self._tally.new() if known is None else copy(known)
        return figures

    def keep(self) -> list[tuple[K, V]]:
        """The list is done: take the figures over; returns those that changed."""
        self._tally.update(self)
        return list(self.items())
