"""The table of bad input: what somebody does, which error they get, the words that say what to do; nothing is lost.

Each row starts from a store with known content and leaves it, after the refusal, with exactly that content.
`pytest -rA tests/broker/test_bad_input.py` prints the table.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from isthmus import App, Notification, Queue, Stream, connect, errors
from isthmus.broker.broker import BrokerOptions
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine
from isthmus.errors import IsthmusError
from isthmus.limits import KIB, MIB, RECORD_BYTES_MAX, SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import RealStorage
from isthmus.record import Record
from support.cli import PATIENCE_S, Cli, environment
from support.stores import flip


class Placed(Notification):
    number: int


class Cancelled(Notification):
    number: int


ORDERS: Final = Stream[Placed]("orders", key="number")
BOTH: Final = Stream[Placed | Cancelled]("orders", key="number")
EVENTS: Final = 5
JOBS: Final = 3


class Bad(NamedTuple):
    """The store that a row is about, and a place for what it makes beside it."""

    store: Path
    place: Path


Did = Callable[[Bad], Awaitable[object]]


class Row(NamedTuple):
    """`does` is expected to raise `error` with a message that has `says` in it."""

    what: str
    does: Did
    error: type[IsthmusError]
    says: str


ROWS: Final[list[Row]] = []


def row(what: str, error: type[IsthmusError], says: str) -> Callable[[Did], Did]:
    def add(does: Did) -> Did:
        ROWS.append(Row(what, does, error, says))
        return does

    return add


# ---- a store with known content ------------------------------------------------------------------------------------


async def opened(path: Path | str, *, read_only: bool = False, options: BrokerOptions | None = None) -> Engine:
    return await open_engine(str(path), read_only=read_only, options=options, segment_bytes=SEGMENT_BYTES_MIN)


async def fill(path: Path) -> None:
    async with connect(str(path), segment_bytes=SEGMENT_BYTES_MIN) as bus:
        await bus.publish(ORDERS, *(Placed(number=number) for number in range(EVENTS)))
        await bus.declare(QueueDefinition(name="jobs", config=QueueConfig(failed_max=None)))
        await bus.engine.publish("jobs", [Record(b"%d" % number) for number in range(JOBS)])


async def content(engine: Engine, skip: int = 0) -> tuple[list[int], list[bytes | None]]:
    """Numbers of the orders but for those that a row added, and values of the unsettled jobs."""
    reader = await engine.reader("orders", "earliest", "end")
    found: list[int] = []
    while not reader.ended:
        chunk = await reader.read(MIB, 0)
        for one in chunk.records if chunk is not None else ():
            found += [int(one.key or b"-1")] if len(one.value or b"") < KIB else []
    await reader.close()
    jobs = [one.record.value for one in await engine.admin.peek("jobs", 100)]
    return found[: len(found) - skip], jobs


KNOWN: Final = (list(range(EVENTS)), [b"%d" % number for number in range(JOBS)])


@pytest.fixture
async def bad(tmp_path: Path) -> Bad:
    await fill(tmp_path / "data")
    return Bad(tmp_path / "data", tmp_path)


# ---- who opens what ------------------------------------------------------------------------------------------------


@contextmanager
def elsewhere(store: Path, then: str = "await asyncio.sleep(60)") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store, says so, and does something."""
    program = (
        "import asyncio, os, sys\n"
        "from isthmus.engines.connect import open_engine\n"
        "from isthmus.record import Record\n"
        "async def main():\n"
        "    engine = await open_engine(sys.argv[1])\n"
        "    print('open', flush=True)\n"
        f"    {then}\n"
        "    await engine.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "open\n"
            yield started
        finally:
            started.kill()


@row("a second process beside one that does not answer", errors.DirectoryInUse, "reading commands work beside it")
async def second_process(bad: Bad) -> None:
    with elsewhere(bad.store) as first:
        first.send_signal(signal.SIGSTOP)
        reading = await opened(bad.store, read_only=True)
        assert await content(reading) == KNOWN
        await reading.close()
        assert "orders" in await asyncio.to_thread(Cli(bad.store).text, "ls")
        with pytest.raises(errors.DirectoryInUse) as refused:
            await opened(bad.store)
    assert refused.value.pid == first.pid
    raise refused.value


FORKED: Final = """child = os.fork()
    if not child:
        for attempt in (lambda: engine.publish('orders', [Record(b'x')]), lambda: open_engine(sys.argv[1])):
            try:
                asyncio.run(attempt())
            except BaseException as error:
                print(type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)"""


@row("a child that was forked with the broker open", errors.ForkedBroker, "open the broker in the child")
async def forked_child(bad: Bad) -> None:
    with elsewhere(bad.store, FORKED) as parent:
        assert parent.stdout is not None
        said = await asyncio.to_thread(parent.stdout.read)  # not `communicate`, which knows nothing of what is buffered
        assert await asyncio.to_thread(parent.wait, PATIENCE_S) == 0
    inherited, own = said.splitlines()
    assert inherited == f"ForkedBroker {errors.ForkedBroker(str(bad.store))}"
    assert own.startswith(f"DirectoryInUse {bad.store} is held by process {parent.pid}")
    raise errors.ForkedBroker(str(bad.store))


@contextmanager
def changed(path: Path, to: bytes) -> Iterator[None]:
    """A file has other content for a while; what the block does must leave it like that."""
    before = path.read_bytes()
    path.write_bytes(to)
    try:
        yield
    finally:
        after = path.read_bytes()
        path.write_bytes(before)
        assert after == to


@row("a directory of a newer format", errors.FormatTooNew, "upgrade Isthmus")
async def newer_format(bad: Bad) -> None:
    with changed(bad.store / "FORMAT", b'{"format":99,"something":"new"}'):
        await opened(bad.store)


@row("a FORMAT file that is garbage", errors.NotAStore, "restore it")
async def garbage_format(bad: Bad) -> None:
    with changed(bad.store / "FORMAT", b"\x00\xff" * 20):
        await opened(bad.store)


@row("a damaged segment", errors.Damaged, "--accept-loss")
async def damaged_segment(bad: Bad) -> None:
    storage = RealStorage(bad.store)
    name = min(f"journal/{each}" for each in storage.list("journal") if each.endswith(".log"))
    at = (bad.store / name).read_bytes().index(b'{"number":1}')
    flip(storage, name, at)
    try:
        engine = await opened(bad.store)
        try:
            await engine.publish("orders", [Record(b"x")])
        finally:
            await engine.close()
    finally:
        flip(storage, name, at)


@row("a file in place of a directory", errors.NotAStore, "it is not a directory")
async def a_file(bad: Bad) -> None:
    (bad.place / "file").write_text("mine")
    await opened(bad.place / "file")


@row("a directory of something else", errors.NotAStore, "holds precious.txt")
async def foreign_directory(bad: Bad) -> None:
    (bad.place / "foreign").mkdir()
    (bad.place / "foreign/precious.txt").write_text("mine")
    try:
        await opened(bad.place / "foreign")
    finally:
        assert (bad.place / "foreign/precious.txt").read_text() == "mine"


@row("a symbolic link to a directory", errors.NotAStore, "name the directory that it leads to")
async def symbolic_link(bad: Bad) -> None:
    (bad.place / "link").symlink_to(bad.store)
    await opened(bad.place / "link")


@row("a directory in one that is missing", errors.NotAStore, "make it first")
async def no_parent(bad: Bad) -> None:
    await opened(bad.place / "no/such/place")


@row("looking into a directory that is missing", errors.NotAStore, "there is no such directory")
async def nothing_to_look_at(bad: Bad) -> None:
    await opened(bad.place / "missing", read_only=True)


@row("a null byte in the path", errors.InvalidArgument, "remove it")
async def null_byte(bad: Bad) -> None:
    await opened(f"{bad.place}/a\0b")


@row("an engine of a later version", errors.Unsupported, "later version")
async def later_engine(bad: Bad) -> None:
    await opened("sqs://localhost")


# ---- what the disk allows ------------------------------------------------------------------------------------------


@contextmanager
def volume(place: Path, size: str) -> Iterator[Path]:
    """A small file system of its own; skips where this process may not mount one."""
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False)
    if not mount or not made or made.returncode:
        pytest.skip("a small disk needs the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607 - beside mount


@row("a disk that is full", errors.StorageFull, "free space, or let consumers acknowledge")
async def full_disk(bad: Bad) -> None:
    with volume(bad.place / "small", "4m") as small:
        await fill(small / "data")
        engine = await opened(small / "data")
        taker = await engine.queue_source("jobs", "me")
        taken = await taker.receive(1, MIB, 0)
        filled, refused = await fill_up(engine, small)
        unit = engine.unit()
        unit.settle(taker, taken)
        await unit.submit()
        await engine.close()

        engine = await opened(small / "data")  # also a full disk opens, and what was acknowledged is there
        assert await content(engine) == (KNOWN[0], KNOWN[1][1:])
        assert len(await values(engine, "filler")) == filled
        await engine.admin.alter(TopicDefinition(name="filler", config=TopicConfig(size_bytes=64 * KIB)))
        await until_published(engine)  # what is dead goes by itself, since the disk is full
        await engine.close()

        engine = await opened(small / "data")
        assert await content(engine) == (KNOWN[0], KNOWN[1][1:])
        assert (await values(engine, "filler"))[-1] == b"again"
        await engine.close()
    raise refused


async def fill_up(engine: Engine, disk: Path) -> tuple[int, errors.StorageFull]:
    """Publish until it is refused; how many were acknowledged, and the refusal."""
    await engine.admin.create(TopicDefinition(name="filler"))
    for count in range(os.statvfs(disk).f_blocks):
        try:
            await engine.publish("filler", [Record(os.urandom(20 * KIB))])
        except errors.StorageFull as error:
            return count, error
    raise AssertionError("more was acknowledged than the disk holds")


async def values(engine: Engine, topic: str) -> list[bytes | None]:
    reader = await engine.reader(topic, "earliest", "end")
    found: list[bytes | None] = []
    while not reader.ended:
        chunk = await reader.read(MIB, 0)
        found += [one.value for one in chunk.records] if chunk is not None else []
    await reader.close()
    return found


async def until_published(engine: Engine) -> None:
    """The disk is asked again at most once a second: publishers may be refused for so long."""
    until_ms = engine.clock.monotonic_ms() + 10_000
    while True:
        try:
            await engine.publish("filler", [Record(b"again")])
        except errors.StorageFull:
            assert engine.clock.monotonic_ms() < until_ms, "there is room, and publishing is still refused"
            await engine.clock.sleep_until(engine.clock.monotonic_ms() + 20)
        else:
            return


@row("a disk that is too small for a store", errors.StorageFull, "free space")
async def tiny_disk(bad: Bad) -> None:
    with volume(bad.place / "tiny", "64k") as tiny:
        for _ in range(2):  # the same process can try again
            with pytest.raises(errors.StorageFull) as refused:
                await opened(tiny / "data")
    raise refused.value


@row("a file system that is mounted for reading", errors.NoAccess, "mounted for writing")
async def read_only_disk(bad: Bad) -> None:
    with volume(bad.place / "still", "4m") as still:
        await fill(still / "data")
        subprocess.run(["mount", "-o", "remount,ro", still], check=True)  # noqa: ASYNC221, S607 - takes no time
        reading = await opened(still / "data", read_only=True)
        assert await content(reading) == KNOWN
        await reading.close()
        with pytest.raises(errors.NoAccess):
            await opened(still / "new")
        await opened(still / "data")


# ---- what is declared ----------------------------------------------------------------------------------------------


def on_engine(does: Callable[[Engine], Awaitable[object]]) -> Did:
    """What a row does on the open store, which is closed in order after it."""

    async def do(bad: Bad) -> None:
        engine = await opened(bad.store)
        try:
            await does(engine)
        finally:
            await engine.close()

    return do


@row("a name with control characters", errors.InvalidName, "control character; remove it")
@on_engine
async def control_characters(engine: Engine) -> None:
    await engine.admin.create(TopicDefinition(name="or\nders"))


@row("a name of 400 bytes", errors.InvalidName, "255 is the most")
@on_engine
async def long_name(engine: Engine) -> None:
    await engine.admin.create(QueueDefinition(name="é" * 200))


@row("a name that exists", errors.AlreadyExists, "exists already")
@on_engine
async def known_name(engine: Engine) -> None:
    await engine.admin.create(TopicDefinition(name="orders"))


@row("fewer partitions than there are", errors.InvalidArgument, "can only grow")
@on_engine
async def fewer_partitions(engine: Engine) -> None:
    await engine.admin.alter(TopicDefinition(name="orders", partitions=0))


@row("removing a stream that a queue views", errors.InUse, "remove that first")
@on_engine
async def viewed(engine: Engine) -> None:
    await engine.admin.create(QueueDefinition(name="view", view_of="orders"))
    try:
        await engine.admin.remove("orders")
    finally:
        await engine.admin.remove("view")


@row("an option of a later version, on the wire", errors.Unsupported, "later version")
@on_engine
async def later_option(engine: Engine) -> None:
    await engine.admin.create(QueueDefinition(name="q", config=QueueConfig(fair=True)))


@row("an option of a later version, in a declaration", errors.Unsupported, "leave fair= out")
async def later_declaration(bad: Bad) -> None:
    Queue[Placed]("q", fair=True)


@row("a handler with an unfitting annotation", errors.DeclarationError, "carries Placed")
async def unfitting_handler(bad: Bad) -> None:
    app = App(str(bad.store))

    @app.on(ORDERS, group="g")
    async def handle(event: Cancelled) -> None: ...


# ---- what is published ---------------------------------------------------------------------------------------------


@row("an event of the wrong type", errors.WrongEventType, "carries Placed, not Cancelled")
async def wrong_type(bad: Bad) -> None:
    async with connect(str(bad.store)) as bus:
        await bus.publish(ORDERS, Cancelled(number=1))  # type: ignore[misc]


@row("an oversized event", errors.RecordTooLarge, "publish a reference, or raise the limit")
@on_engine
async def oversized(engine: Engine) -> None:
    await engine.publish("orders", [Record(b"fits"), Record(bytes(RECORD_BYTES_MAX + 1))])


@row("an unknown topic", errors.UnknownTopic, "`isthmus create` makes one")
@on_engine
async def unknown_topic(engine: Engine) -> None:
    await engine.publish("order", [Record(b"x")])


@row("an unknown queue", errors.UnknownQueue, "`isthmus ls` lists")
@on_engine
async def unknown_queue(engine: Engine) -> None:
    await engine.queue_source("job", "me")


@row("nothing at all", errors.InvalidArgument, "there are none")
@on_engine
async def nothing(engine: Engine) -> None:
    await engine.publish("orders", [])


@row("a codec that is not there", errors.UnsupportedCompression, "use gzip")
@on_engine
async def unknown_codec(engine: Engine) -> None:
    await engine.publish("orders", [Record(b"x")], compression="zip")


@row("a unit that is too large", errors.UnitTooLarge, "split the work")
@on_engine
async def large_unit(engine: Engine) -> None:
    unit = engine.unit()
    for _ in range(17):
        unit.publish("orders", [Record(bytes(RECORD_BYTES_MAX - KIB))])
    await unit.submit()


@row("more than may wait for the disk", errors.Overloaded, "wait, or raise the limit")
async def too_many_pending(bad: Bad) -> None:
    options = BrokerOptions(journal=JournalOptions(pending_bytes_max=64 * KIB))
    engine = await opened(bad.store, options=options)
    publishing = [engine.publish("orders", [Record(bytes(20 * KIB))]) for _ in range(8)]
    results = await asyncio.gather(*publishing, return_exceptions=True)
    await engine.close()
    refused = [each for each in results if isinstance(each, BaseException)]
    assert 0 < len(refused) < len(results)
    raise refused[0]


@row("publishing to a store that is open for reading", errors.ReadOnly, "open for reading only")
async def read_only(bad: Bad) -> None:
    engine = await opened(bad.store, read_only=True)
    try:
        await engine.publish("orders", [Record(b"x")])
    finally:
        await engine.close()


@row("a bus that is closed", errors.Closed, "is closed")
async def closed_bus(bad: Bad) -> None:
    async with connect(str(bad.store)) as bus:
        pass
    await bus.publish(ORDERS, Placed(number=1))


@row("an engine that is closed", errors.Closed, "is closed")
async def closed_engine(bad: Bad) -> None:
    engine = await opened(bad.store)
    await engine.close()
    await engine.publish("orders", [Record(b"x")])


# ---- what is read and settled --------------------------------------------------------------------------------------


async def error_of_last(bad: Bad, stream: Stream[Any], record: Record) -> None:
    """Publish past the client, and read with it: others' events are still read, this one carries its error."""
    record = Record(record.value, b"-1", record.headers)
    async with connect(str(bad.store)) as bus:
        await bus.engine.publish("orders", [record])
        messages = [message async for message in bus.read(stream, stop="end")]
    assert [message.error for message in messages[:EVENTS]] == [None] * EVENTS
    assert isinstance(messages[-1].error, Exception)
    raise messages[-1].error


@row("a stored event of a union without a type name", errors.UnknownType, "no type name (header ce_type)")
async def without_type(bad: Bad) -> None:
    await error_of_last(bad, BOTH, Record(b'{"number":1}'))


@row("a stored event that is not what it says", errors.DecodeError, "cannot be decoded")
async def undecodable(bad: Bad) -> None:
    await error_of_last(bad, ORDERS, Record(b'{"number":"one"}'))


@row("a stored event with a garbage header block", errors.UnknownType, "no type name (header ce_type)")
async def garbage_headers(bad: Bad) -> None:
    await error_of_last(bad, BOTH, Record(b'{"number":1}', None, b"\xff\xff\xff\xff\xff\xff\x7f"))


@row("settling twice", errors.LeaseLost, "no longer held")
@on_engine
async def settled_twice(engine: Engine) -> None:
    source = await engine.queue_source("jobs", "me")
    received = await source.receive(1, MIB, 0)
    await source.release(received)
    unit = engine.unit()
    unit.publish("orders", [Record(b"must not appear")])
    unit.settle(source, received)
    await unit.submit()


@row("a partition that is not there", errors.UnknownPartition, "has partitions 0 to 0, not 7")
@on_engine
async def unknown_partition(engine: Engine) -> None:
    await engine.admin.explain("orders", 7, 0)


@row("moving a group that has members", errors.GroupNotEmpty, "stop them first")
@on_engine
async def group_in_use(engine: Engine) -> None:
    source = await engine.stream_source("orders", "g", "earliest", None)
    await source.receive(1, MIB, 0)
    try:
        await engine.admin.seek("g", "orders", "latest")
    finally:
        await source.close()


@pytest.mark.parametrize("case", ROWS, ids=lambda each: f"{each.what} -> {each.error.__name__}: ...{each.says}")
async def test_bad_input_gets_a_typed_error_that_says_what_to_do_and_loses_nothing(case: Row, bad: Bad) -> None:
    with pytest.raises(case.error) as raised:
        await case.does(bad)

    assert type(raised.value) is case.error
    assert case.says in str(raised.value)
    engine = await opened(bad.store)
    orders, jobs = await content(engine)
    await engine.close()
    assert ([number for number in orders if number >= 0], jobs) == KNOWN
