"""Checkpoints: files with the shortest list of facts that rebuilds all state at an applied LSN.

It writes, validates and lists them; it interprets no fact. A checkpoint is fuzzy: the state is exported in slices while
it moves, and replay from the applied LSN brings it to the same end because facts set absolute values.

Layout: fact entries as in the journal, then a footer of 32 bytes, little-endian: magic `ISC1`, entry count u32,
applied LSN u64, durable LSN u64, CRC-32C of the entries u32 (seeded with the store uuid and the applied LSN), CRC-32C
of the footer before it u32 (same seed). Two files are kept.
"""

import asyncio
from collections.abc import Iterator
from struct import Struct as Layout
from typing import TYPE_CHECKING, Final, NamedTuple

import google_crc32c

from isthmus.errors import StorageError
from isthmus.limits import CHECKPOINT_BYTES_MAX, CHECKPOINT_SLICE_MS
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.storage import Storage, read_all, replace

if TYPE_CHECKING:
    from isthmus.log.journal import Journal

FOLDER: Final = "checkpoint"
SUFFIX: Final = ".facts"
MAGIC: Final = b"ISC1"
KEPT: Final = 2
"""Checkpoints kept, so that any one may be damaged."""

_FOOTER: Final = Layout("<4sIQQII")
_UNSEALED: Final = Layout("<4sIQQI")
_SLICE_FACTS: Final = 64
"""Facts between two looks at the clock."""


class Checkpoint(NamedTuple):
    """A valid checkpoint: all state below `applied_lsn`, some of it above; everything in it is durable."""

    name: str
    applied_lsn: int
    durable_lsn: int
    entries: bytes

    def facts(self) -> Iterator[facts.AnyFact]:
        """The facts in order."""
        for view in form.iter_entries(self.entries) or ():
            yield facts.decode(self.entries[view.payload_start : view.payload_start + view.payload_length])


def file_name(applied_lsn: int) -> str:
    """The file of a checkpoint."""
    return f"{FOLDER}/{applied_lsn:020d}{SUFFIX}"


def listed(storage: Storage) -> list[str]:
    """Names of the checkpoint files, newest first."""
    return sorted((f"{FOLDER}/{name}" for name in storage.list(FOLDER) if name.endswith(SUFFIX)), reverse=True)


def encode(checksums: form.Checksums, applied_lsn: int, durable_lsn: int, entries: list[bytes]) -> bytes:
    """The bytes of a checkpoint file."""
    body = b"".join(entries)
    seed = checksums.group(applied_lsn)
    head = _UNSEALED.pack(MAGIC, len(entries), applied_lsn, durable_lsn, google_crc32c.extend(seed, body))
    crc: int = google_crc32c.extend(seed, head)
    return b"".join((body, head, crc.to_bytes(4, "little")))


def decode(checksums: form.Checksums, name: str, data: bytes) -> Checkpoint | None:
    """The checkpoint of a file's bytes, or None when they are not one, whole and as written."""
    if len(data) < _FOOTER.size:
        return None
    body, footer = data[: -_FOOTER.size], data[-_FOOTER.size :]
    magic, count, applied_lsn, durable_lsn, body_crc, crc = _FOOTER.unpack(footer)
    seed = checksums.group(applied_lsn)
    if magic != MAGIC or crc != google_crc32c.extend(seed, footer[:-4]) or name != file_name(applied_lsn):
        return None
    if body_crc != google_crc32c.extend(seed, body) or len(form.iter_entries(body) or ()) != count:
        return None
    return Checkpoint(name, applied_lsn, durable_lsn, body)


def load(storage: Storage, checksums: form.Checksums, name: str) -> Checkpoint | None:
    """Read and validate a checkpoint file; None when it is damaged.

    Raises:
        OSError: it could not be read.
    """
    try:
        return decode(checksums, name, read_all(storage, name, CHECKPOINT_BYTES_MAX))
    except StorageError:  # longer than any that was written
        return None


async def take(journal: "Journal") -> Checkpoint:
    """Write a checkpoint of a running journal and remove those that are too many.

    The loop is held for about a millisecond at a time. When it returns, the file is durable.
    """
    applied_lsn = journal.applied_lsn
    entries = await _export(journal)
    # What was exported may hold facts of groups that were only written: they must be durable before the file says so.
    await journal.flush()
    durable_lsn = journal.durable_lsn
    content = encode(journal.checksums, applied_lsn, durable_lsn, entries)
    await journal.run(lambda: _store(journal.storage, file_name(applied_lsn), content))
    journal.checkpointed(applied_lsn, len(content))
    return Checkpoint(file_name(applied_lsn), applied_lsn, durable_lsn, content[: -_FOOTER.size])


async def _export(journal: "Journal") -> list[bytes]:
    clock, entries = journal.clock, list[bytes]()
    slice_end = clock.monotonic_ms() + CHECKPOINT_SLICE_MS
    for count, fact in enumerate(journal.export()):
        entries.append(form.encode_fact_entry(journal.checksums, 0, facts.encode(fact)))
        if count % _SLICE_FACTS == 0 and clock.monotonic_ms() >= slice_end:
            await asyncio.sleep(0)
            slice_end = clock.monotonic_ms() + CHECKPOINT_SLICE_MS
    return entries


def _store(storage: Storage, name: str, content: bytes) -> None:
    replace(storage, name, content)
    old = listed(storage)[KEPT:]
    for surplus in old:
        storage.unlink(surplus)
    if old:
        storage.sync_folder(FOLDER)
