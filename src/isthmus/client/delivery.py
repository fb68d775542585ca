"""What a reader or handler gets for one event: the event with where it is stored and how to settle it.

Made for every event that is read, so it is one small frozen struct and everything that can be derived is derived when
asked for. It settles through the `Settler` that made it and decides nothing itself.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from isthmus.client.duration import Duration, duration_ms
from isthmus.client.event import HEADER_ID, AnyEvent, event_type, headers_of_block, is_event, type_of_block
from isthmus.engines.base import Received
from isthmus.errors import RequestError, Unsupported
from isthmus.record import StoredRecord

E_co = TypeVar("E_co", bound=AnyEvent, covariant=True)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Settler(Protocol):
    """Where a message came from, and who settles it there. The coroutines run on `loop`."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that owns the engine."""

    async def ack(self, received: Received) -> None:
        """Done. Raises LeaseLost, StaleGeneration."""

    async def nack(self, received: Received, delay_ms: int | None) -> None:
        """Failed: again after `delay_ms`, None is the policy's own delay; a dead letter when that was the last try."""

    async def reject(self, received: Received, why: str) -> None:
        """Never: to the dead letters."""

    async def extend(self, received: Received, lease_ms: int) -> None:
        """A lease that ends `lease_ms` from now. Raises LeaseLost."""


class Message(Struct, Generic[E_co], frozen=True, gc=False):
    """One event as it is stored and delivered.

    `topic`, `partition` and `offset` name it for ever. `attempt` counts hand-overs including this one (1 for the first,
    and for plain reading), `failed` the failures before it. Use the properties; the fields that start with an
    underscore belong to the library.

    The settling methods can be awaited on any event loop, and simply called (they block) from a plain `def` handler
    or another thread.
    """

    _outcome: Any
    stored: StoredRecord
    topic: str
    partition: int
    attempt: int = 1
    failed: int = 0
    _received: Received | None = None
    _settler: Settler | None = None

    @property
    def event(self) -> E_co:
        """The event; None for a tombstone (see `deleted`).

        Raises:
            UnknownType, DecodeError: the stored bytes are no event of the destination; `error` tells without raising.
        """
        outcome = self._outcome
        if isinstance(outcome, RequestError):
            raise outcome.with_traceback(None)
        return outcome  # type: ignore[no-any-return]

    @property
    def error(self) -> RequestError | None:
        """Why there is no event, or None when there is one."""
        return self._outcome if isinstance(self._outcome, RequestError) else None

    @property
    def deleted(self) -> bool:
        """Whether this is a tombstone: its key was deleted and `event` is None."""
        return self.stored.value is None

    @property
    def offset(self) -> int:
        """The offset in its partition."""
        return self.stored.offset

    @property
    def key(self) -> bytes | None:
        """The key's bytes; None is "no key"."""
        return self.stored.key

    @property
    def timestamp_ms(self) -> int:
        """When it was published, milliseconds since 1970 UTC."""
        return self.stored.timestamp_ms

    @property
    def timestamp(self) -> datetime:
        """When it was published, in UTC."""
        return _EPOCH + timedelta(milliseconds=self.stored.timestamp_ms)

    @property
    def headers(self) -> Mapping[str, bytes | None]:
        """All headers, CloudEvents attributes included; of repeated names the last one."""
        return MappingProxyType(dict(headers_of_block(self.stored.headers)))

    @property
    def type(self) -> str | None:
        """The event's type name; None when neither the event nor a header tells it."""
        if is_event(self._outcome):
            return event_type(self._outcome)
        return type_of_block(self.stored.headers)

    @property
    def id(self) -> str:
        """The CloudEvents id: `ce_id` where the producer gave one, else topic/partition/offset."""
        given = self.headers.get(HEADER_ID)
        return given.decode(errors="replace") if given else f"{self.topic}/{self.partition}/{self.offset}"

    def ack(self) -> Awaitable[None]:
        """Done with it, now: settle it by itself.

        Raises:
            LeaseLost, StaleGeneration: it is no longer ours.
            Unsupported: it came from plain reading, where nothing is settled.
        """
        settler, received = self._held()
        return on_loop(settler.loop, settler.ack(received))

    def nack(self, after: Duration | None = None) -> Awaitable[None]:
        """Failed: offer it again after `after` (by the retry policy when not given), or to the dead letters."""
        delay_ms = None if after is None else duration_ms(after, "after")
        settler, received = self._held()
        return on_loop(settler.loop, settler.nack(received, delay_ms))

    def reject(self, why: str = "rejected") -> Awaitable[None]:
        """Never: to the dead letters with this reason."""
        settler, received = self._held()
        return on_loop(settler.loop, settler.reject(received, why))

    def extend(self, duration: Duration) -> Awaitable[None]:
        """Renew the lease to end `duration` from now. Streams have no lease and take it as done.

        Raises:
            LeaseLost: it has expired already.
        """
        lease_ms = duration_ms(duration, "extend")
        settler, received = self._held()
        return on_loop(settler.loop, settler.extend(received, lease_ms))

    def _held(self) -> tuple[Settler, Received]:
        if self._settler is None or self._received is None:
            raise Unsupported(
                f"message {self.id} was read, not taken: there is nothing to settle", "use bus.take or a handler"
            )
        return self._settler, self._received


class _Done:
    """An awaitable that has happened already."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


def on_loop(home: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
    """Run a coroutine on the loop it belongs to, from anywhere.

    On `home` itself it is returned to be awaited; on another loop it comes back as a future of that loop; in a thread
    without a loop this blocks until it is done (and raises what it raised).
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is home:
        return work
    future = asyncio.run_coroutine_threadsafe(work, home)
    if here is not None:
        return asyncio.wrap_future(future, loop=here)
    future.result()
    return _Done()


def message_of(outcome: object, received: Received, settler: Settler | None) -> Message[Any]:
    """The message of a delivery; `outcome` is what `Reader.events` gave for its record."""
    return Message(
        outcome,
        received.stored,
        received.topic,
        received.partition,
        received.attempt,
        received.failed,
        received,
        settler,
    )
