"""The part of `isthmus doctor` that looks at a data directory: disk, lock, format, journal, checkpoints, clock.

It reads the files and measures the disk through the storage that the broker uses. It judges; it repairs nothing.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from isthmus.cli.base import sentence
from isthmus.cli.doctor import Check, few
from isthmus.cli.log_walk import Gap, Store, Walk
from isthmus.cli.output import about, counted, size_text, time_text
from isthmus.errors import IsthmusError
from isthmus.limits import KIB, MIB, SEGMENT_BYTES_EMBEDDED
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.storage import RealStorage

SUMMED_BYTES: Final = 256 * KIB
SUMMED_SLOW: Final = 100 * MIB
"""Bytes a second; compiled it is some gigabytes, in pure Python a few megabytes."""

SYNCS: Final = 48
SYNC_BYTES: Final = 4 * KIB
SYNC_SLOW_US: Final = 20_000
"""A median above this limits single publishes to fewer than 50 a second for each that waits."""

SYNC_UNREAL_US: Final = 20
"""No disk makes a write durable so fast: somebody on the way answers for it."""

FREE_FAIL_BYTES: Final = 2 * SEGMENT_BYTES_EMBEDDED
FREE_WARN_BYTES: Final = 1024 * MIB
CLOCK_AHEAD_MS: Final = 60_000
YEAR_2024_MS: Final = 1_704_067_200_000
NOT_DURABLE: Final = frozenset({"tmpfs", "ramfs", "rootfs"})
REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "fuse.sshfs", "afs"})
PROBE: Final = f"doctor-{os.getpid()}.tmp"


def store_checks(directory: str) -> list[Check]:
    """The checks of one directory; ends early where the rest would have nothing to look at."""
    try:
        storage = RealStorage(directory, create=False)
        store = Store.open(storage)
    except (IsthmusError, OSError) as error:
        return [Check("directory", "fail", sentence(error))]
    checks = [Check("directory", "ok", f"{storage.directory}, format {store.format}, store {store.uuid.hex()}")]
    for each in (_lock, _checksums, _file_system, _space, _syncs, _journal, _set_aside):
        try:
            checks += each(store)
        except OSError as error:
            checks.append(Check(each.__name__.strip("_").replace("_", " "), "fail", sentence(error)))
    return checks


def _lock(store: Store) -> Iterator[Check]:
    holder = store.storage.lock_holder()
    if holder is None:
        yield Check("in use", "ok", "by nobody")
    else:
        yield Check("in use", "ok", f"by process {holder[0]} since {holder[1]}; reading commands work beside it")


def _checksums(store: Store) -> Iterator[Check]:
    """Every byte is summed up on its way: with the package in pure Python that is what takes the time."""
    entry = form.encode_fact_entry(store.checksums, 0, bytes(SUMMED_BYTES))
    began_ns = time.perf_counter_ns()
    form.check_entry(store.checksums, entry)
    rate = SUMMED_BYTES * 1_000_000_000 / max(1, time.perf_counter_ns() - began_ns)
    text = f"{size_text(rate)} a second"
    if rate < SUMMED_SLOW:
        yield Check("checksums", "warn", text, "install google-crc32c as a wheel for this platform, compiled")
    else:
        yield Check("checksums", "ok", text)


# ---- the disk ------------------------------------------------------------------------------------------------------


def _file_system(store: Store) -> Iterator[Check]:
    kind = file_system(store.storage.directory)
    if kind is None:
        return
    if kind in NOT_DURABLE:
        yield Check("file system", "warn", f"{kind}: in memory, gone with the machine", "put the directory on a disk")
    elif kind in REMOTE:
        advice = "locks and syncs over a network are promises of the server; a local disk is safer and faster"
        yield Check("file system", "warn", f"{kind}: on another machine", advice)
    else:
        yield Check("file system", "ok", kind)


def file_system(directory: str, mounts: str = "/proc/mounts") -> str | None:
    """The type of the file system that holds a directory; None where the system does not tell."""
    path = Path(directory).resolve()
    best: tuple[int, str] | None = None
    with contextlib.suppress(OSError):
        for line in Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines():
            _, mounted, kind, *_ = line.split(" ")
            place = Path(mounted.encode().decode("unicode_escape"))
            if path.is_relative_to(place) and (best is None or len(place.parts) >= best[0]):
                best = (len(place.parts), kind)
    return best[1] if best is not None else None


def _space(store: Store) -> Iterator[Check]:
    free = store.storage.free_bytes()
    text = f"{size_text(free)} free"
    if free < FREE_FAIL_BYTES:
        yield Check("disk space", "fail", text, "publishing is refused when the next segment has no room: free space")
    elif free < FREE_WARN_BYTES:
        yield Check("disk space", "warn", text, "publishing stops when the next segment has no room")
    else:
        yield Check("disk space", "ok", text)


def _syncs(store: Store) -> Iterator[Check]:
    try:
        took = sync_times(store)
    except PermissionError:
        yield Check("durability", "warn", "not measured: the directory cannot be written to by this user")
        return
    yield judged_syncs(took)


def sync_times(store: Store) -> list[int]:
    """Microseconds of some small durable writes, made as the journal makes them, in rising order."""
    storage = store.storage
    content = bytes(SYNC_BYTES)
    with contextlib.ExitStack() as stack:
        file = storage.open(PROBE, write=True, create=True)
        stack.callback(storage.unlink, PROBE)
        stack.callback(file.close)
        file.allocate(SYNCS * SYNC_BYTES)
        file.sync()
        took = []
        for at in range(SYNCS):
            began_ns = time.perf_counter_ns()
            file.pwrite([content], at * SYNC_BYTES, sync=True)
            took.append((time.perf_counter_ns() - began_ns) // 1_000)
    return sorted(took)


def judged_syncs(took_us: Sequence[int]) -> Check:
    """What the times of durable writes say."""
    p50, p99 = took_us[len(took_us) // 2], took_us[min(len(took_us) - 1, len(took_us) * 99 // 100)]
    text = f"a durable write takes {p50 / 1000:.2f} ms (p50), {p99 / 1000:.2f} ms (p99)"
    if p50 < SYNC_UNREAL_US:
        advice = "no disk is that fast: it may be memory, or a disk that confirms what it has not stored"
        return Check("durability", "warn", text, advice)
    if p50 > SYNC_SLOW_US:
        advice = "a publisher that waits for each event waits so long: publish several at once, or take a faster disk"
        return Check("durability", "warn", text, advice)
    return Check("durability", "ok", text)


# ---- the files -----------------------------------------------------------------------------------------------------


def _journal(store: Store) -> Iterator[Check]:
    """The newest end of the journal, the checkpoints, and the clock against both; `log verify` reads everything."""
    found, bad, durable_lsn, epoch, given_up = [], [], 0, 0, 0
    for name in checkpoint.listed(store.storage):
        try:
            loaded = checkpoint.load(store.storage, store.checksums, name)
        except FileNotFoundError:  # replaced by a running owner
            continue
        if loaded is None:
            bad.append(name)
            continue
        found.append(loaded)
        durable_lsn = max(durable_lsn, loaded.durable_lsn)
        for fact in loaded.facts():
            epoch = max(epoch, fact.epoch) if isinstance(fact, facts.StoreOpened) else epoch
            given_up += isinstance(fact, facts.LossAccepted)
    segments = store.segments()
    walk = Walk(store, from_lsn=segments[-1].first_lsn if segments else 0, durable_lsn=durable_lsn)
    gaps, last_ms = [], 0
    for each in walk:
        if isinstance(each, Gap):
            gaps += [each] if min(each.end, walk.durable_lsn) > each.start else []
        else:
            epoch, last_ms = max(epoch, each.group.header.epoch), max(last_ms, each.group.header.time_ms)
    yield from _journal_checks(len(segments), gaps, walk, epoch)
    yield from _checkpoint_checks([each.applied_lsn for each in found], bad, walk.end_lsn)
    if given_up:
        yield Check("losses", "warn", f"{given_up} accepted in the past", "`isthmus log verify` says what is gone")
    yield judged_clock(time.time_ns() // 1_000_000, last_ms)


def _journal_checks(segments: int, gaps: Sequence[Gap], walk: Walk, epoch: int) -> Iterator[Check]:
    ends = f"written to LSN {walk.end_lsn:,}, durable to {walk.durable_lsn:,}"
    text = f"{counted(segments, 'segment')}, epoch {epoch}, {ends}"
    if gaps:
        advice = "`isthmus log verify` names all that is damaged"
        yield Check("journal", "fail", f"{text}; damaged behind LSN {gaps[0].start:,}", advice)
    else:
        yield Check("journal", "ok", text)


def _checkpoint_checks(applied: Sequence[int], bad: Sequence[str], end_lsn: int) -> Iterator[Check]:
    if bad:
        advice = "the other one is enough; opening the store sets it aside" if applied else "see `isthmus log verify`"
        yield Check("checkpoints", "warn" if applied else "fail", f"damaged: {few(bad)}", advice)
    if applied:
        behind = size_text(max(0, end_lsn - applied[0]))
        yield Check("checkpoints", "ok", f"{len(applied)}, newest at LSN {applied[0]:,}, {behind} to replay from there")
    elif not bad:
        yield Check("checkpoints", "ok", "none yet; the journal is replayed from its beginning")


def judged_clock(now_ms: int, last_ms: int) -> Check:
    """The clock against the time of the last append: retention goes by it."""
    text = f"{time_text(now_ms)}, last append {time_text(last_ms or None)}"
    if now_ms < YEAR_2024_MS:
        return Check("clock", "fail", text, "the machine's clock is not set; events would get wrong times")
    if last_ms > now_ms + CLOCK_AHEAD_MS:
        ahead = about(last_ms - now_ms)
        return Check("clock", "warn", f"{text}: {ahead} in the future", "the clock was set back; check its source")
    return Check("clock", "ok", text)


def _set_aside(store: Store) -> Iterator[Check]:
    names = store.storage.list("quarantine")
    if names:
        advice = "files that were damaged or unknown at some opening; look at them, then remove them"
        yield Check("quarantine", "warn", f"{counted(len(names), 'file')}: {few(names)}", advice)
    else:
        yield Check("quarantine", "ok", "empty")
