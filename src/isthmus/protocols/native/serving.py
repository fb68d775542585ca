"""What one client of the native protocol asks, done on the engine port: a mirror of `engines/base.py`, call by call.

It holds the client's readers, sources and deliveries, and asks for permission where the broker does not by itself. It
knows no frame and no connection.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct

from isthmus.broker.access import Access, Session
from isthmus.definition import Operation
from isthmus.engines.base import Attributes, BatchReader, Received, ServedEngine, Source
from isthmus.errors import InvalidArgument, IsthmusError, Overloaded, RequestError
from isthmus.limits import (
    FETCH_BYTES_MAX,
    LEASE_RECORDS_MAX,
    NATIVE_CREDIT_BYTES_MAX,
    NATIVE_CREDIT_BYTES_MIN,
    NATIVE_EVENTS_MAX,
    NATIVE_HANDLES_MAX,
    NATIVE_HELD_BYTES_MAX,
    NATIVE_HELD_MAX,
)
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.errors import NativeError, StaleDelivery
from isthmus.record import Appended

LOST: Final = "consumer lost"
EVERYTHING: Final = "*"

Needs = tuple[tuple[Operation, str], ...]
"""What one has to be allowed for as long as a reader or source is used: rights may be taken away meanwhile."""

T = TypeVar("T")


class OpenSource(Struct, gc=False):
    """A source of the client's, with the deliveries that it holds by token."""

    source: Source
    kind: Literal["stream", "queue"]
    held: dict[int, Received]


class Serving:
    """See the module text.

    Args:
        engine: of the client's own session.
        access: what the client may do.
        session: of the client.
    """

    def __init__(self, engine: ServedEngine, access: Access, session: Session) -> None:
        self._engine = engine
        self._access = access
        self._session = session
        self._readers: dict[int, BatchReader] = {}
        self._sources: dict[int, OpenSource] = {}
        self._needs: dict[int, Needs] = {}
        self._handles = 0
        self._tokens = 0
        self._held = 0
        self._held_bytes = 0
        self._credit_bytes = 0

    async def answer(self, request: wire.Request) -> wire.Answer:
        """Do what is asked.

        Raises:
            IsthmusError: it cannot be done.
        """
        handler = HANDLERS.get(type(request))
        if handler is None:
            raise NativeError(f"{type(request).__name__} is no request of a client that is known")
        return await handler(self, request)

    def _check(self, operation: Operation, resource: str) -> None:
        """Raises AccessDenied."""
        self._access.check(self._session, operation, resource)

    def _check_needs(self, needs: Needs) -> None:
        for operation, resource in needs:
            self._check(operation, resource)

    # ---- the end --------------------------------------------------------------------------------------------------

    async def release_all(self) -> None:
        """An orderly end: what is held goes back uncounted, and readers and sources close."""
        for each in self._sources.values():
            await _in_turn(each, lambda source, held: source.release(held))
        await self._close_all()

    async def fail_all(self) -> None:
        """The client was lost: what it had leased goes to others at once, and counts as failed.

        A stream has no leases: its group offers what was not finished to the others.
        """
        for each in self._sources.values():
            if each.kind == "queue":
                await _in_turn(each, lambda source, held: source.fail(held, 0, LOST))
        await self._close_all()

    async def _close_all(self) -> None:
        for each in self._sources.values():
            await each.source.close()
        for reader in self._readers.values():
            await reader.close()
        self._sources.clear()
        self._readers.clear()
        self._needs.clear()

    async def wake_all(self) -> None:
        """Let nobody wait for records any more."""
        for each in self._sources.values():
            await each.source.close()
        for reader in self._readers.values():
            await reader.close()

    # ---- defining and publishing ----------------------------------------------------------------------------------

    async def define(self, asked: wire.Define) -> wire.Answer:
        """Declare, create or alter."""
        definition = asked.topic if asked.queue is None else asked.queue
        if definition is None:
            raise InvalidArgument("definition", "there is none; give a topic or a queue")
        match asked.how:
            case "declare":
                self._check("describe", definition.name)
                await self._engine.declare(definition)
            case "create":
                await self._engine.admin.create(definition)
            case "alter":
                await self._engine.admin.alter(definition)
        return wire.Done()

    async def partitions(self, asked: wire.Partitions) -> wire.Answer:
        """How many partitions."""
        self._check("describe", asked.topic)
        return wire.Count(await self._engine.partitions(asked.topic))

    async def publish(self, asked: wire.Publish) -> wire.Answer:
        """Publish records."""
        records = codec.unpack_records(asked.batches)
        return _placed(await self._engine.publish(asked.name, records, _attributes(asked), asked.compression))

    async def submit(self, asked: wire.Submit) -> wire.Answer:
        """A unit."""
        unit = self._engine.unit()
        for each in asked.publishes:
            unit.publish(each.name, codec.unpack_records(each.batches), _attributes(each), each.compression)
        done = [(self._source(each.handle), codec.unpack_tokens(each.tokens)) for each in asked.settles]
        for opened, tokens in done:
            unit.settle(opened.source, _deliveries(opened, tokens))
        places = await unit.submit()
        for opened, tokens in done:
            self._forget(opened, tokens)
        return _placed(places)

    # ---- reading and consuming ------------------------------------------------------------------------------------

    def _new_handle(self) -> int:
        if len(self._readers) + len(self._sources) >= NATIVE_HANDLES_MAX:
            raise Overloaded("readers and sources of one connection", NATIVE_HANDLES_MAX)
        self._handles += 1
        return self._handles

    async def open_reader(self, asked: wire.OpenReader) -> wire.Answer:
        """Read a topic."""
        needs: Needs = (("read", asked.topic),)
        self._check_needs(needs)
        handle = self._new_handle()
        if asked.offsets is not None:
            reader = await self._engine.reader_at(asked.topic, asked.offsets, asked.ends)
        else:
            reader = await self._engine.reader(asked.topic, asked.start, "end" if asked.stop else None)
        self._readers[handle], self._needs[handle] = reader, needs
        return wire.Opened(handle, reader.offsets, reader.ends)

    async def read(self, asked: wire.Read) -> wire.Answer:
        """The next batches."""
        reader = self._readers.get(asked.handle)
        if reader is None:
            return wire.Batches(ended=True)
        self._check_needs(self._needs[asked.handle])
        with self._credit(asked.max_bytes) as max_bytes:
            found = await reader.read_batches(max_bytes, max(0, asked.wait_ms))
        if found is None:
            return wire.Batches(ended=reader.ended)
        return wire.Batches(
            found.topic, found.partition, found.start, found.stop, b"".join(found.batches), reader.ended
        )

    async def open_stream(self, asked: wire.OpenStream) -> wire.Answer:
        """Join a group."""
        needs: Needs = (("read", asked.topic), ("consume", asked.group), ("commit", asked.group))
        self._check_needs(needs)
        if asked.dead is not None:
            self._check("publish", asked.dead)
        handle = self._new_handle()
        source = await self._engine.stream_source(asked.topic, asked.group, asked.start, asked.dead)
        self._sources[handle], self._needs[handle] = OpenSource(source, "stream", {}), needs
        return wire.Opened(handle)

    async def open_queue(self, asked: wire.OpenQueue) -> wire.Answer:
        """Consume a queue."""
        needs: Needs = (("consume", asked.queue),)
        self._check_needs(needs)
        handle = self._new_handle()
        source = await self._engine.queue_source(asked.queue, asked.consumer)
        self._sources[handle], self._needs[handle] = OpenSource(source, "queue", {}), needs
        return wire.Opened(handle)

    async def receive(self, asked: wire.Receive) -> wire.Answer:
        """The next deliveries."""
        opened = self._sources.get(asked.handle)
        if opened is None:
            return wire.Delivered()
        self._check_needs(self._needs[asked.handle])
        self._check_held()
        events = _within("max_events", asked.max_events, NATIVE_EVENTS_MAX)
        with self._credit(asked.max_bytes) as max_bytes:
            received = await opened.source.receive(events, max_bytes, max(0, asked.wait_ms))
        return self._delivered(opened, received)

    @contextmanager
    def _credit(self, asked_bytes: int) -> Generator[int]:
        """As many bytes as may be sent for one more request that waits, so that all of them at once are bounded."""
        left_bytes = max(NATIVE_CREDIT_BYTES_MIN, NATIVE_CREDIT_BYTES_MAX - self._credit_bytes)
        granted_bytes = min(_within("max_bytes", asked_bytes, FETCH_BYTES_MAX), left_bytes)
        self._credit_bytes += granted_bytes
        try:
            yield granted_bytes
        finally:
            self._credit_bytes -= granted_bytes

    def _check_held(self) -> None:
        """Forget leases that have run out, when that is what it takes to make room."""
        if self._held < NATIVE_HELD_MAX and self._held_bytes < NATIVE_HELD_BYTES_MAX:
            return
        now_ms = self._engine.clock.monotonic_ms()
        for each in self._sources.values():
            self._forget(
                each, [t for t, one in each.held.items() if one.until_ms is not None and one.until_ms < now_ms]
            )
        if self._held >= NATIVE_HELD_MAX or self._held_bytes >= NATIVE_HELD_BYTES_MAX:
            raise Overloaded("deliveries that one connection holds", NATIVE_HELD_MAX)

    def _delivered(self, opened: OpenSource, received: Sequence[Received]) -> wire.Answer:
        if not received:
            return wire.Delivered()
        now_ms = self._engine.clock.monotonic_ms()
        first = self._tokens + 1
        self._tokens += len(received)
        opened.held.update(enumerate(received, first))
        self._held += len(received)
        self._held_bytes += sum(map(_size_of, received))
        sources = {(one.topic, one.partition): None for one in received}
        index = {place: number for number, place in enumerate(sources)}
        rows = [
            wire.Delivery(
                token,
                index[one.topic, one.partition],
                one.stored.offset,
                one.stored.timestamp_ms,
                one.stored.key,
                one.stored.value,
                one.stored.headers,
                one.attempt,
                one.failed,
                None if one.until_ms is None else one.until_ms - now_ms,
            )
            for token, one in enumerate(received, first)
        ]
        return wire.Delivered(tuple(sources), codec.pack_rows(rows))

    def _source(self, handle: int) -> OpenSource:
        opened = self._sources.get(handle)
        if opened is None:
            raise StaleDelivery(0)
        return opened

    def _forget(self, opened: OpenSource, tokens: Sequence[int]) -> None:
        for token in tokens:
            one = opened.held.pop(token, None)
            if one is not None:
                self._held -= 1
                self._held_bytes -= _size_of(one)

    async def fail(self, asked: wire.Fail) -> wire.Answer:
        """Count failures."""
        return await self._finish(asked, lambda source, held: source.fail(held, asked.delay_ms, asked.reason))

    async def dead(self, asked: wire.Dead) -> wire.Answer:
        """Bury."""
        return await self._finish(asked, lambda source, held: source.dead(held, asked.reason, asked.traceback))

    async def _finish(
        self, asked: wire.Fail | wire.Dead, work: Callable[[Source, Sequence[Received]], Awaitable[None]]
    ) -> wire.Answer:
        opened, tokens = self._source(asked.handle), codec.unpack_tokens(asked.tokens)
        await work(opened.source, _deliveries(opened, tokens))
        self._forget(opened, tokens)
        return wire.Done()

    async def release(self, asked: wire.Release) -> wire.Answer:
        """Hand back; what is not held is passed over."""
        opened = self._sources.get(asked.handle)
        if opened is not None:
            tokens = [token for token in codec.unpack_tokens(asked.tokens) if token in opened.held]
            await opened.source.release(_deliveries(opened, tokens), asked.delay_ms)
            self._forget(opened, tokens)
        return wire.Done()

    async def extend(self, asked: wire.Extend) -> wire.Answer:
        """Renew leases. Those that are held are renewed, whether or not others are lost."""
        opened, tokens = self._source(asked.handle), codec.unpack_tokens(asked.tokens)
        known = [token for token in tokens if token in opened.held]
        renewed = await opened.source.extend(_deliveries(opened, known), asked.lease_ms)
        opened.held.update(zip(known, renewed, strict=True))
        if len(known) < len(tokens):
            raise StaleDelivery(next(token for token in tokens if token not in opened.held))
        now_ms = self._engine.clock.monotonic_ms()
        return wire.Renewed(tuple([None if one.until_ms is None else one.until_ms - now_ms for one in renewed]))

    async def close(self, asked: wire.Close) -> wire.Answer:
        """Close a reader or leave a source."""
        self._needs.pop(asked.handle, None)
        reader = self._readers.pop(asked.handle, None)
        if reader is not None:
            await reader.close()
        opened = self._sources.pop(asked.handle, None)
        if opened is not None:
            self._forget(opened, list(opened.held))
            await opened.source.close()
        return wire.Done()

    # ---- administration -------------------------------------------------------------------------------------------

    def _may(self, operation: Operation, resource: str) -> bool:
        return self._access.allows(self._session, operation, resource)

    async def topics(self, _: wire.Topics) -> wire.Answer:
        """Those that the client may know of."""
        views = await self._engine.admin.topics()
        return wire.TopicViews(tuple([view for view in views if self._may("describe", view.name)]))

    async def queues(self, _: wire.Queues) -> wire.Answer:
        """Those that the client may know of."""
        views = await self._engine.admin.queues()
        return wire.QueueViews(tuple([view for view in views if self._may("describe", view.name)]))

    async def topic(self, asked: wire.Topic) -> wire.Answer:
        """One topic."""
        self._check("describe", asked.name)
        return wire.TopicViews((await self._engine.admin.topic(asked.name),))

    async def queue(self, asked: wire.Queue) -> wire.Answer:
        """One queue."""
        self._check("describe", asked.name)
        return wire.QueueViews((await self._engine.admin.queue(asked.name),))

    async def remove(self, asked: wire.Remove) -> wire.Answer:
        """Remove a topic or queue."""
        await self._engine.admin.remove(asked.name)
        return wire.Done()

    async def groups(self, asked: wire.Groups) -> wire.Answer:
        """Those that the client may know of."""
        if asked.topic is not None:
            self._check("describe", asked.topic)
        views = await self._engine.admin.groups(asked.topic)
        return wire.GroupViews(tuple([view for view in views if self._may("describe", view.name)]))

    async def seek(self, asked: wire.Seek) -> wire.Answer:
        """Move a group."""
        return wire.Moved(tuple(await self._engine.admin.seek(asked.group, asked.topic, asked.to)))

    async def remove_group(self, asked: wire.RemoveGroup) -> wire.Answer:
        """Forget a group."""
        await self._engine.admin.remove_group(asked.group)
        return wire.Done()

    async def peek(self, asked: wire.Peek) -> wire.Answer:
        """Look into a queue."""
        self._check("read", asked.queue)
        count = _within("count", asked.count, LEASE_RECORDS_MAX)
        return wire.Peeked(tuple(await self._engine.admin.peek(asked.queue, count)))

    async def purge(self, asked: wire.Purge) -> wire.Answer:
        """Empty a queue."""
        self._check("administer", asked.queue)
        return wire.Count(await self._engine.admin.purge(asked.queue))

    async def dead_letters(self, asked: wire.DeadLetters) -> wire.Answer:
        """Look at dead letters."""
        self._check("read", asked.queue)
        count = _within("count", asked.count, LEASE_RECORDS_MAX)
        return wire.Letters(tuple(await self._engine.admin.dead_letters(asked.queue, count)))

    async def redrive(self, asked: wire.Redrive) -> wire.Answer:
        """Send dead letters home."""
        self._check("administer", asked.queue)
        return wire.Count(await self._engine.admin.redrive(asked.queue, asked.count))

    async def explain(self, asked: wire.Explain) -> wire.Answer:
        """Tell the life of an event."""
        self._check("read", asked.topic)
        return wire.Steps(tuple(await self._engine.admin.explain(asked.topic, asked.partition, asked.offset)))

    async def reclaim(self, _: wire.Reclaim) -> wire.Answer:
        """Give back disk."""
        self._check("administer", EVERYTHING)
        return wire.Count(await self._engine.admin.reclaim())

    async def users(self, _: wire.Users) -> wire.Answer:
        """All users, for administrators."""
        return wire.UserViews(tuple(await self._engine.admin.users()))

    async def define_user(self, asked: wire.DefineUser) -> wire.Answer:
        """Make or change a user."""
        admin = self._engine.admin
        await (admin.create_user(asked.user) if asked.how == "create" else admin.alter_user(asked.user))
        return wire.Done()

    async def remove_user(self, asked: wire.RemoveUser) -> wire.Answer:
        """Remove a user."""
        await self._engine.admin.remove_user(asked.name)
        return wire.Done()

    async def policies(self, _: wire.Policies) -> wire.Answer:
        """All policies, for administrators."""
        return wire.PolicyViews(tuple(await self._engine.admin.policies()))

    async def set_policy(self, asked: wire.SetPolicy) -> wire.Answer:
        """Make or replace a policy."""
        await self._engine.admin.set_policy(asked.policy)
        return wire.Done()

    async def remove_policy(self, asked: wire.RemovePolicy) -> wire.Answer:
        """Remove a policy."""
        await self._engine.admin.remove_policy(asked.name)
        return wire.Done()

    async def namespaces(self, _: wire.Namespaces) -> wire.Answer:
        """All namespaces, for administrators."""
        return wire.NamespaceViews(tuple(await self._engine.admin.namespaces()))

    async def create_namespace(self, asked: wire.CreateNamespace) -> wire.Answer:
        """Make a namespace."""
        await self._engine.admin.create_namespace(asked.name, asked.kept)
        return wire.Done()

    async def remove_namespace(self, asked: wire.RemoveNamespace) -> wire.Answer:
        """Remove a namespace."""
        await self._engine.admin.remove_namespace(asked.name)
        return wire.Done()

    async def exchanges(self, _: wire.Exchanges) -> wire.Answer:
        """Those that the client may know of."""
        views = await self._engine.admin.exchanges()
        return wire.ExchangeViews(tuple([view for view in views if self._may("describe", view.name)]))

    async def create_exchange(self, asked: wire.CreateExchange) -> wire.Answer:
        """Make an exchange."""
        await self._engine.admin.create_exchange(asked.exchange)
        return wire.Done()

    async def remove_exchange(self, asked: wire.RemoveExchange) -> wire.Answer:
        """Remove an exchange."""
        await self._engine.admin.remove_exchange(asked.name, if_unused=asked.if_unused)
        return wire.Done()

    async def bindings(self, asked: wire.Bindings) -> wire.Answer:
        """Those of exchanges that the client may know of."""
        views = await self._engine.admin.bindings(asked.exchange, asked.target)
        return wire.BindingViews(tuple([view for view in views if self._may("describe", view.exchange)]))

    async def bind(self, asked: wire.Bind) -> wire.Answer:
        """Make a binding, or take it back."""
        admin = self._engine.admin
        await (admin.unbind(asked.binding) if asked.unbind else admin.bind(asked.binding))
        return wire.Done()


HANDLERS: Final[dict[type, Callable[[Serving, Any], Awaitable[wire.Answer]]]] = {
    wire.Define: Serving.define,
    wire.Partitions: Serving.partitions,
    wire.Publish: Serving.publish,
    wire.Submit: Serving.submit,
    wire.OpenReader: Serving.open_reader,
    wire.Read: Serving.read,
    wire.OpenStream: Serving.open_stream,
    wire.OpenQueue: Serving.open_queue,
    wire.Receive: Serving.receive,
    wire.Fail: Serving.fail,
    wire.Dead: Serving.dead,
    wire.Release: Serving.release,
    wire.Extend: Serving.extend,
    wire.Close: Serving.close,
    wire.Topics: Serving.topics,
    wire.Queues: Serving.queues,
    wire.Topic: Serving.topic,
    wire.Queue: Serving.queue,
    wire.Remove: Serving.remove,
    wire.Groups: Serving.groups,
    wire.Seek: Serving.seek,
    wire.RemoveGroup: Serving.remove_group,
    wire.Peek: Serving.peek,
    wire.Purge: Serving.purge,
    wire.DeadLetters: Serving.dead_letters,
    wire.Redrive: Serving.redrive,
    wire.Explain: Serving.explain,
    wire.Reclaim: Serving.reclaim,
    wire.Users: Serving.users,
    wire.DefineUser: Serving.define_user,
    wire.RemoveUser: Serving.remove_user,
    wire.Policies: Serving.policies,
    wire.SetPolicy: Serving.set_policy,
    wire.RemovePolicy: Serving.remove_policy,
    wire.Namespaces: Serving.namespaces,
    wire.CreateNamespace: Serving.create_namespace,
    wire.RemoveNamespace: Serving.remove_namespace,
    wire.Exchanges: Serving.exchanges,
    wire.CreateExchange: Serving.create_exchange,
    wire.RemoveExchange: Serving.remove_exchange,
    wire.Bindings: Serving.bindings,
    wire.Bind: Serving.bind,
}
"""What a client that is known may ask."""


def _within(name: str, value: int, most: int) -> int:
    if value < 1:
        raise InvalidArgument(name, f"{value} is less than one")
    return min(value, most)


def _attributes(asked: wire.Publish) -> Attributes | None:
    if (asked.due_ms, asked.expire_ms, asked.priority, asked.dedup) == (None, None, 0, None):
        return None
    return Attributes(due_ms=asked.due_ms, expire_ms=asked.expire_ms, priority=asked.priority, dedup=asked.dedup)


def _placed(places: Sequence[Appended]) -> wire.Placed:
    return wire.Placed(
        tuple(
            [
                wire.Place(
                    one.topic,
                    one.partition,
                    one.base_offset,
                    one.count,
                    one.timestamp_ms,
                    one.duplicate,
                    codec.pack_indexes(one.indexes),
                )
                for one in places
            ]
        )
    )


def _size_of(one: Received) -> int:
    stored = one.stored
    return len(stored.key or b"") + len(stored.value or b"") + len(stored.headers)


def _deliveries(opened: OpenSource, tokens: Sequence[int]) -> list[Received]:
    held = opened.held
    try:
        return [held[token] for token in tokens]
    except KeyError as error:
        raise StaleDelivery(int(error.args[0])) from error


async def _in_turn(opened: OpenSource, work: Callable[[Source, Sequence[Received]], Awaitable[None]]) -> None:
    """All that a source holds at once; one by one, if some of it is somebody else's by now."""
    held = list(opened.held.values())
    opened.held.clear()
    if not held:
        return
    try:
        await work(opened.source, held)
    except RequestError:
        for one in held:
            try:
                await work(opened.source, [one])
            except IsthmusError:
                continue
