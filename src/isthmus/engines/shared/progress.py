"""How far a group has come in a partition, in the metadata that Kafka keeps beside a committed offset. Pure.

The committed offset is the floor, which every tool understands. What is done above it, and what has failed how often,
goes along as text, so that a member that takes over hands out neither twice what is done nor at once what has to wait.
"""

import base64
import binascii
from typing import Final

import msgspec

from isthmus.lenses.stream.position import Progress

PREFIX: Final = "isthmus1:"
METADATA_BYTES_MAX: Final = 4_096
"""What Kafka keeps by default (`offset.metadata.max.bytes`)."""

_Rows = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int, int], ...]]
_decoder: Final = msgspec.msgpack.Decoder(_Rows)


def encode(progress: Progress) -> str:
    """The metadata for a position; empty when the floor says all.

    When it is too long for Kafka the last rows are left out: what they say is done comes again, which a group has to
    reckon with in any case.
    """
    done, attempts = progress.done, progress.attempts
    while done or attempts:
        text = _text(progress.floor, done, attempts)
        if len(text) <= METADATA_BYTES_MAX:
            return text
        if len(done) >= len(attempts):
            done = done[: len(done) * 3 // 4]
        else:
            attempts = attempts[: len(attempts) * 3 // 4]
    return ""


def _text(floor: int, done: tuple[tuple[int, int], ...], attempts: tuple[tuple[int, int, int], ...]) -> str:
    rows: _Rows = (
        tuple((start - floor, end - start) for start, end in done),
        tuple((offset - floor, failures, due_ms) for offset, failures, due_ms in attempts),
    )
    return PREFIX + base64.b64encode(msgspec.msgpack.encode(rows)).decode()


def decode(floor: int, metadata: str | None) -> Progress:
    """What a commit says. Metadata of anybody else's means nothing here."""
    if not metadata or not metadata.startswith(PREFIX):
        return Progress(floor, (), ())
    try:
        done, attempts = _decoder.decode(base64.b64decode(metadata.removeprefix(PREFIX), validate=True))
    except (msgspec.MsgspecError, binascii.Error):
        return Progress(floor, (), ())
    if any(start < 0 or size < 1 for start, size in done) or any(each[0] < 0 for each in attempts):
        return Progress(floor, (), ())
    return Progress(
        floor,
        tuple((floor + start, floor + start + size) for start, size in done),
        tuple((floor + offset, failures, due_ms) for offset, failures, due_ms in attempts),
    )
