"""A unit on a foreign broker that knows none: outputs first, settlements after, so that some may come twice.

It keeps what is asked for until it is submitted, and publishes and settles nothing by itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast

from isthmus.engines.base import Attributes, Received, Source
from isthmus.errors import InvalidArgument
from isthmus.record import Appended, Record

Publishing = Callable[[str, Sequence[Record], Attributes | None, str], Awaitable[list[Appended]]]
"""`Engine.publish`."""


class Settling(Protocol):
    """What a source of such an engine does for a unit, beside what every source does."""

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Raises InvalidArgument for deliveries that are not of this source."""

    def check(self, received: Sequence[Received]) -> None:
        """Raises LeaseLost or StaleGeneration for deliveries that are not ours any more."""

    async def finish(self, received: Sequence[Received]) -> None:
        """Settle them."""


class OutputsFirstUnit:
    """See the module text and `Unit`.

    Args:
        publish: of the engine.
        kinds: the classes of its sources; deliveries of others are refused.
    """

    def __init__(self, publish: Publishing, kinds: tuple[type[Settling], ...]) -> None:
        self._publish = publish
        self._kinds = kinds
        self._outputs: list[tuple[str, Sequence[Record], Attributes | None, str]] = []
        self._settled: list[tuple[Settling, Sequence[Received]]] = []

    def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> None:
        """Add records."""
        self._outputs.append((name, records, attributes, compression))

    def settle(self, source: Source, received: Sequence[Received]) -> None:
        """Add acknowledgements. Raises InvalidArgument for a source of another engine."""
        if not isinstance(source, self._kinds):
            raise InvalidArgument("source", "belongs to another engine")
        settling = cast("Settling", source)
        settling.check_tokens(received)
        self._settled.append((settling, received))

    async def submit(self) -> list[Appended]:
        """Publish, then settle."""
        for source, received in self._settled:
            source.check(received)
        appended: list[Appended] = []
        for name, records, attributes, compression in self._outputs:
            appended += await self._publish(name, records, attributes, compression)
        for source, received in self._settled:
            await source.finish(received)
        return appended
