"""Hash keys: 128-bit numbers of partition keys, the ranges of them that shards take, and how ranges are cut.

Pure. It knows ranges, not shards. Spec: Amazon Kinesis Data Streams, "Key concepts" and "Resharding".
"""

import hashlib
from typing import Final

from isthmus.protocols.kinesis.errors import invalid

END: Final = 1 << 128
"""One past the largest hash key."""

DIGITS_MAX: Final = 39
"""Decimal digits of the largest hash key."""

Range = tuple[int, int]
"""First and last hash key, both inclusive."""


def hash_of(key: str) -> int:
    """The hash key of a partition key."""
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest(), "big")


def even(count: int) -> list[Range]:
    """So many ranges of equal size, the last up to the end."""
    starts = [at * (END // count) for at in range(count)]
    return list(zip(starts, [*[start - 1 for start in starts[1:]], END - 1], strict=True))


def parse(text: str, member: str) -> int:
    """A hash key as decimal text.

    Raises:
        AwsError: it is none.
    """
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX and int(text) < END:
        return int(text)
    shown = text[: DIGITS_MAX + 1]
    raise invalid(f"Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was {shown}")


def split(whole: Range, at: int) -> tuple[Range, Range]:
    """A range cut before a hash key that lies strictly inside.

    Raises:
        AwsError: it does not.
    """
    low, high = whole
    if not low < at <= high:
        raise invalid(
            f"NewStartingHashKey {at} used in SplitShard() is not both greater than {low} and at most {high}."
        )
    return (low, at - 1), (at, high)


def merge(one: Range, other: Range) -> Range | None:
    """The range of two that touch, None when they do not."""
    low, high = sorted((one, other))
    return (low[0], high[1]) if low[1] + 1 == high[0] else None
