"""A local copy of the newest `State` of every key of a stream, kept fresh from the log.

`Table` is what users read, a mapping that never waits; `Follower` fills it during one run of an app. A table is read
from anywhere, also from handler threads; only its follower changes it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from msgspec import Struct

from isthmus.client.consumer import messages_of
from isthmus.client.delivery import Message
from isthmus.client.destination import Stream
from isthmus.client.event import Key, State, key_bytes
from isthmus.engines.base import Engine, Reader
from isthmus.errors import Closed, DeclarationError, RequestError
from isthmus.limits import READ_BYTES_TARGET, READ_WAIT_MS

S = TypeVar("S", bound=State)
D = TypeVar("D")


class Version(Struct, frozen=True):
    """Which event a row of a table comes from."""

    partition: int
    offset: int
    timestamp_ms: int


class _Row(Struct, frozen=True, gc=False):
    key: Any
    state: Any
    version: Version


class Table(Generic[S]):
    """The newest state of every key: `table.get("c-1")`, `table["c-1"]`, `"c-1" in table`, `len(table)`, `items()`.

    A key is what the stream's key field holds; a tuple when there are several fields. Deleted keys are gone. It is
    filled from the start of the log before handlers start, and follows the log from then on. Reading takes what is
    there now; what iterates does so over a copy. Its state is that of the running app: before the start and after the
    end every read raises `Closed`.
    """

    def __init__(self, stream: Stream[S]) -> None:
        if not stream.compact:
            raise DeclarationError(
                f"{stream!r} keeps all events of a key, so there is no table of it; declare it with compact=True, or"
                " its events as State"
            )
        self.stream = stream
        self._rows: dict[bytes, _Row] | None = None
        self._broken: dict[bytes, RequestError] = {}
        self._offsets: dict[int, int] = {}
        self._ready: asyncio.Future[None] | None = None

    # ---- reading --------------------------------------------------------------------------------------------------

    @overload
    def get(self, key: Key) -> S | None: ...
    @overload
    def get(self, key: Key, default: D) -> S | D: ...
    def get(self, key: Key, default: D | None = None) -> S | D | None:
        """The state of a key, `default` when there is none.

        Raises:
            UnknownType, DecodeError: the newest event of the key cannot be decoded, so its state is not known.
            Closed: the app does not run.
        """
        row = self._row(key_bytes(key))
        return default if row is None else row.state

    def __getitem__(self, key: Key) -> S:
        row = self._row(key_bytes(key))
        if row is None:
            raise KeyError(key)
        state: S = row.state
        return state

    def __contains__(self, key: Key) -> bool:
        return key_bytes(key) in self._open()

    def __len__(self) -> int:
        return len(self._open())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def keys(self) -> list[Any]:
        """All keys."""
        return [row.key for row in list(self._open().values())]

    def values(self) -> list[S]:
        """All states."""
        return [row.state for row in list(self._open().values())]

    def items(self) -> list[tuple[Any, S]]:
        """All keys with their states."""
        return [(row.key, row.state) for row in list(self._open().values())]

    def at(self, key: Key) -> Version | None:
        """Which event the state of a key comes from; None when there is none."""
        row = self._row(key_bytes(key))
        return None if row is None else row.version

    @property
    def offsets(self) -> dict[int, int]:
        """By partition, the offset up to which (exclusive) the table holds what the log says."""
        self._open()
        return dict(self._offsets)

    @property
    def broken(self) -> dict[bytes, RequestError]:
        """Keys whose newest event cannot be decoded, with why; reading one of them raises that."""
        self._open()
        return dict(self._broken)

    async def ready(self) -> None:
        """Wait until it holds what the log held when the app started. Handlers start after that."""
        self._open()
        if self._ready is not None:
            await asyncio.shield(self._ready)

    def _open(self) -> dict[bytes, _Row]:
        if self._rows is None:
            raise Closed(f"the table of {self.stream!r}, whose app is not running,")
        return self._rows

    def _row(self, key: bytes) -> _Row | None:
        row = self._open().get(key)
        if row is None and key in self._broken:
            raise self._broken[key].with_traceback(None)
        return row

    # ---- filling --------------------------------------------------------------------------------------------------

    def open(self, ready: "asyncio.Future[None]") -> None:
        """Begin empty; `ready` is done once the log has been read to its end."""
        self._rows, self._broken, self._offsets, self._ready = {}, {}, {}, ready

    def close(self) -> None:
        """Forget everything: the app has ended."""
        self._rows, self._ready = None, None

    def apply(self, messages: Sequence[Message[S]]) -> None:
        """Take over what the log says; what was taken over already is passed over."""
        rows = self._open()
        for message in messages:
            if message.offset < self._offsets.get(message.partition, 0):
                continue
            self._offsets[message.partition] = message.offset + 1
            self._take(rows, message)

    def _take(self, rows: dict[bytes, _Row], message: Message[S]) -> None:
        key = message.key
        if key is None:
            return  # the broker refuses such records on a compacted topic; a foreign one has no place here
        self._broken.pop(key, None)
        error = message.error
        if error is not None or message.deleted:
            rows.pop(key, None)
            if error is not None:
                self._broken[key] = error
            return
        version = Version(message.partition, message.offset, message.timestamp_ms)
        rows[key] = _Row(key_of(message.event, self.stream.key_fields), message.event, version)


def key_of(state: State, fields: Sequence[str]) -> object:
    """The key of a state as its field holds it; a tuple of several."""
    values = tuple(getattr(state, field) for field in fields)
    return values[0] if len(values) == 1 else values


class Follower(Generic[S]):
    """Fills a table from one engine. Belongs to one event loop."""

    def __init__(self, table: Table[S], engine: Engine) -> None:
        self._table = table
        self._engine = engine
        self._readers: list[Reader] = []
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def bootstrap(self) -> None:
        """Read the log to its end; the stream must have been declared."""
        self._table.open(self._ready)
        name = self._table.stream.name
        # Following begins first, so that nothing falls between the two; what both see is passed over the second time.
        self._readers.append(await self._engine.reader(name, "latest"))
        everything = await self._engine.reader(name, "earliest", "end")
        self._readers.append(everything)
        await self._apply_all(everything)
        if not self._ready.done():
            self._ready.set_result(None)

    async def follow(self) -> None:
        """Keep the table fresh until it is closed."""
        await self._apply_all(self._readers[0])

    async def close(self) -> None:
        """Stop following and empty the table."""
        for reader in self._readers:
            await reader.close()
        self._ready.cancel()
        self._table.close()

    async def _apply_all(self, reader: Reader) -> None:
        while not reader.ended:
            chunk = await reader.read(READ_BYTES_TARGET, READ_WAIT_MS)
            if chunk is not None:
                self._table.apply(messages_of(self._table.stream, chunk))
                self._engine.clock.stir()
