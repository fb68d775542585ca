"""Mutated bytes into everything that reads bytes: only declared errors, no hang, no memory beyond what came in.

ISTHMUS_FUZZ_SECONDS is the time for each target, ISTHMUS_FUZZ_SEED repeats a run.
"""

import asyncio
import contextlib
import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import google_crc32c
import msgspec
import pytest

from isthmus import Notification, Stream
from isthmus.client.duration import duration_ms, size_bytes, start_at
from isthmus.clock import SystemClock
from isthmus.definition import QueueConfig, TopicConfig
from isthmus.errors import IsthmusError
from isthmus.lenses.queue.ledger import Ledger
from isthmus.lenses.queue.translate import slice_of
from isthmus.limits import MIB
from isthmus.log import batch, checkpoint, facts
from isthmus.log import format as form
from isthmus.log.headers import decode_headers, encode_headers, header_value
from isthmus.log.index import IndexCache, IndexInvalid, SealedIndex
from isthmus.log.journal import Journal
from isthmus.log.recovery import open_journal
from isthmus.log.storage import MemoryStorage, read_all
from isthmus.record import Record, StoredRecord
from support import amqp_corpus, http_corpus, kafka_corpus, logins, native_corpus
from support.stores import BATCH, make_store, partition_id

SECONDS: Final = float(os.environ.get("ISTHMUS_FUZZ_SECONDS", "60"))
SEED: Final = os.environ.get("ISTHMUS_FUZZ_SEED") or str(random.SystemRandom().randrange(1 << 32))
HANG_S: Final = 5.0
"""One input may take this long: far above what any should, so that a busy machine is no finding."""

MEASURED_EVERY: Final = 64
"""One input in so many is watched for memory, which makes it slow."""

MEMORY_PER_BYTE: Final = 64
MEMORY_FREE: Final = 2 * MIB
NASTY: Final = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff" * 10, b"\x80" * 9)


class Target(NamedTuple):
    """`run` may raise `errors` and nothing else; `memory_free` is what it may take however small the input is."""

    name: str
    corpus: Sequence[bytes]
    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = (IsthmusError,)
    memory_free: int = MEMORY_FREE


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One to four changes of one of the corpus: bits, bytes, nasty numbers, cuts, doublings, pieces of another one."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        length = rng.randint(1, 16)
        match rng.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + length] = rng.randbytes(length)
            case 2:
                nasty = rng.choice(NASTY)
                data[at : at + len(nasty)] = nasty
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case _:
                other = rng.choice(corpus)
                start = rng.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + length]
    return bytes(data)


# ---- what there is to decode --------------------------------------------------------------------------------------


def a_store() -> tuple[MemoryStorage, form.Checksums]:
    storage = MemoryStorage()
    asyncio.run(make_store(storage))
    name = msgspec.json.decode(read_all(storage, "FORMAT", 4096))["store"]
    return storage, form.Checksums(bytes.fromhex(name))


STORAGE, CHECKSUMS = a_store()


def files(folder: str, suffix: str) -> list[tuple[str, bytes]]:
    names = [f"{folder}/{name}" for name in STORAGE.list(folder) if name.endswith(suffix)]
    return [(name, read_all(STORAGE, name, 64 * MIB)) for name in names]


SEGMENTS: Final = files("journal", ".log")
SIDECARS: Final = files("journal", ".index")
CHECKPOINTS: Final = [(name, read_all(STORAGE, f"checkpoint/{name}", MIB)) for name in STORAGE.list("checkpoint")]
HEAD: Final = SEGMENTS[0][1][: 64 * 1024]
FACTS: Final[list[facts.Fact]] = [
    facts.TopicSet(1, b"x" * 16, "default", "t", 2, "murmur2", TopicConfig(), "durable", None, 1),
    facts.LedgerState(1, 65_536, 5, ((7, 9),), b"\x00" * 64, (1, 2, 3), ()),
    facts.Trimmed(65_536, 9, "age", 1),
]
BLOCKS: Final = [encode_headers([("ce_type", b"Placed"), ("k", None), ("long", b"v" * 200)]), b"\x00"]
GZIPPED: Final = batch.encode([Record(b"a" * 500, b"k", BLOCKS[0])] * 20, now_ms=1, compression="gzip")


def walk_groups(data: bytes) -> None:
    lsn = position = 0
    while (header := form.decode_group_header(CHECKSUMS, data, lsn, position)) is not None:
        assert header.end_lsn > lsn, "a group that does not move on"
        lsn = position = header.end_lsn
    for found in form.find_groups(data, 0, CHECKSUMS):
        assert found.end_lsn > found.first_lsn


def walk_entries(data: bytes) -> None:
    for view in form.iter_entries(data) or ():
        assert view.position + view.length <= len(data) >= view.payload_start + view.payload_length, (
            "an entry outside of what came in"
        )
    form.check_entry(CHECKSUMS, data)


def resealed(data: bytes) -> bytes:
    """A batch with the checksum that its bytes have, so that what is behind the checksum is reached."""
    if len(data) < 61:
        return data
    crc = struct.pack(">I", google_crc32c.value(data[21:]))
    return data[:8] + struct.pack(">i", len(data) - 12) + data[12:17] + crc + data[21:]


STEPS: Final[tuple[Callable[[bytes], object], ...]] = (batch.check, batch.split, batch.decode)


def walk_batch(data: bytes) -> None:
    for each in (data, resealed(data)):
        for step in STEPS:
            try:
                step(each)
            except IsthmusError:
                continue


def walk_headers(data: bytes) -> None:
    header_value(data, "k")
    decode_headers(data)


def walk_index(data: bytes) -> None:
    name, whole = SIDECARS[0]
    first = int(name.removeprefix("journal/").removesuffix(".index"))
    end = int(SEGMENTS[1][0].removeprefix("journal/").removesuffix(".log"))

    def read(size: int, position: int) -> bytes:
        assert 0 <= size <= 2 * len(whole) + MIB, "asks for more than there can be"
        return data[position : position + size]

    index = SealedIndex(read, len(data), CHECKSUMS.store_uuid, first, end, IndexCache(MIB))
    for partition in (0, partition_id(0), partition_id(1)):
        if index.may_hold(partition):
            index.directory(partition)
            index.rows(partition, 0, 100)
    index.names()
    index.verify()


def restore(data: bytes) -> None:
    fact = facts.decode(data)
    if isinstance(fact, facts.LedgerState):
        ledger = Ledger(0, QueueConfig())
        ledger.restore(slice_of(fact))
        list(ledger.export())


class Placed(Notification):
    number: int
    text: str = ""


class Other(Notification):
    name: str


READER: Final = Stream[Placed | Other]("s", key=None).reader()


def decode_event(data: bytes) -> None:
    cut = data.find(b"|")
    for value, block in ((data, BLOCKS[0]), (data[cut + 1 :], data[:cut] if cut > 0 else b"\x00")):
        (event,) = READER.events([StoredRecord(0, 0, None, value, block)])
        assert event is None or isinstance(event, Placed | Other | IsthmusError)


def parse_text(data: bytes) -> None:
    text = data.decode(errors="replace")
    for parse in (duration_ms, size_bytes):
        try:
            parse(text, "x")
        except IsthmusError:
            continue
    with contextlib.suppress(IsthmusError):
        start_at(text, 10**12)


def recover(data: bytes) -> None:
    """Open a store of which one segment is these bytes, and read what it lets be read."""
    storage = MemoryStorage()
    for folder in ("journal", "checkpoint", "quarantine"):
        storage.make_folder(folder)
    put(storage, "FORMAT", read_all(STORAGE, "FORMAT", 4096))
    put(storage, SEGMENTS[0][0], data)
    asyncio.run(open_and_read(storage))


def put(storage: MemoryStorage, name: str, content: bytes) -> None:
    file = storage.open(name, create=True)
    file.pwrite([content], 0)
    file.close()


async def open_and_read(storage: MemoryStorage) -> None:
    journal = Journal(storage, SystemClock())
    for index in range(2):
        journal.add_partition(partition_id(index), "fsync")
    try:
        await open_journal(journal, read_only=True)
        for partition in journal.partitions.values():
            await partition.read(partition.log_start, MIB)
    finally:
        await journal.stop()


TARGETS: Final = [
    Target("group headers", [HEAD], walk_groups),
    Target("entries", [HEAD[64:8192], HEAD[64:512]], walk_entries),
    Target("record batches", [BATCH, BATCH * 2, GZIPPED], walk_batch, memory_free=160 * MIB),
    Target("header blocks", BLOCKS, walk_headers),
    Target("facts, and ledgers of them", [facts.encode(each) for each in FACTS], restore),
    Target(
        "checkpoints", [data for _, data in CHECKPOINTS], lambda d: checkpoint.decode(CHECKSUMS, CHECKPOINTS[0][0], d)
    ),
    Target("index sidecars", [SIDECARS[0][1]], walk_index, (IsthmusError, IndexInvalid)),
    Target("events", [b'{"number":1,"text":"a"}', BLOCKS[0] + b'|{"number":1}', b'{"name":"x"}'], decode_event),
    Target("durations, sizes, starts", [b"1h30m", b"250ms", b"64KB", b"-1h", b"2013-01-01T00:00:00Z"], parse_text),
    Target("logins", logins.LOGINS, logins.fuzzed),
    Target("HTTP", http_corpus.CORPUS, http_corpus.hold),
    Target("native frames", native_corpus.FRAMES, native_corpus.read),
    Target(
        "native door",
        [native_corpus.SESSION.removeprefix(native_corpus.HELLO)],
        native_corpus.FuzzedBroker().meet,
        memory_free=64 * MIB,
    ),
    Target("Kafka requests", kafka_corpus.FRAMES, kafka_corpus.read),
    Target("Kafka frames", kafka_corpus.SESSIONS, kafka_corpus.split),
    Target("Kafka door", kafka_corpus.SESSIONS, kafka_corpus.FuzzedDoor().meet, memory_free=64 * MIB),
    Target("Kafka handlers", [bytes(8), b"seed"], kafka_corpus.FuzzedDoor().meet_likely, memory_free=64 * MIB),
    Target("AMQP methods", amqp_corpus.METHODS, amqp_corpus.read_method),
    Target("AMQP tables", amqp_corpus.TABLES, amqp_corpus.read_table),
    Target("AMQP properties", amqp_corpus.PROPERTIES, amqp_corpus.read_properties),
    Target("AMQP connection", amqp_corpus.SESSIONS, amqp_corpus.meet),
    Target("AMQP door", amqp_corpus.SESSIONS, amqp_corpus.FuzzedDoor().meet, memory_free=64 * MIB),
    Target("AMQP handlers", [bytes(8), b"seed"], amqp_corpus.FuzzedDoor().meet_likely, memory_free=64 * MIB),
    Target("recovery", [SEGMENTS[0][1][:20_000]], recover, memory_free=64 * MIB),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.name)
def test_mutated_bytes_give_a_declared_error_or_a_result(target: Target) -> None:
    print(f"ISTHMUS_FUZZ_SEED={SEED}")  # noqa: T201 - pytest shows it of what failed
    rng = random.Random(f"{SEED} {target.name}")
    until_s = time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < until_s:
        data = mutated(rng, target.corpus)
        try:
            one(target, data, measured=count % MEASURED_EVERY == 0)
        except BaseException as error:
            error.add_note(f"input {count} of seed {SEED}: {data[:2000].hex()}")
            raise
        count += 1
    print(f"{target.name}: {count} inputs")  # noqa: T201 - with -rA


def one(target: Target, data: bytes, *, measured: bool) -> None:
    began_s = time.monotonic()
    if measured:
        tracemalloc.start()
    try:
        target.run(data)
    except target.errors:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        tracemalloc.stop()
    assert time.monotonic() - began_s < HANG_S, "too slow"
    assert peak <= MEMORY_PER_BYTE * len(data) + target.memory_free, f"{peak} bytes for an input of {len(data)}"
