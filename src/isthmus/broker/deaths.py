"""What a record has died of so far, in one queue after the other: the history that dead letters carry. Pure.

It counts and keeps bounds, and turns a history into headers and back; where a dead letter goes is decided elsewhere,
and how a protocol shows its history is that protocol's business.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct

from isthmus.errors import RequestError
from isthmus.limits import DEATH_KEYS_BYTES_MAX, DEATHS_MAX
from isthmus.log.headers import header_value

DEATHS: Final = "isthmus-deaths"
FIRST_DEATH: Final = "isthmus-first-death"
"""Headers of a dead letter: its history, newest first, and what its first death was, which is never forgotten. Both
are MessagePack arrays; docs/formats/deaths.md has their layout."""

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]


class Death(Struct, frozen=True, array_like=True, gc=False):
    """That a record died in a queue, `count` times of the same reason, for the first time at `time_s` (since 1970 UTC).

    `exchange` and `keys` are those under which it had come there that first time; `expiration_ms` is the time to live
    that its publisher gave it, None for none.
    """

    queue: str
    reason: str
    count: int
    time_s: int
    exchange: str
    keys: tuple[str, ...]
    expiration_ms: int | None = None


class FirstDeath(Struct, frozen=True, array_like=True, gc=False):
    """Where and of what a record died the first time, and the exchange by which it had come there."""

    queue: str
    reason: str
    exchange: str


History = tuple[Death, ...]
"""One death for each queue and reason, the newest first."""

_encoder = msgspec.msgpack.Encoder()
_history_of = msgspec.msgpack.Decoder(tuple[Death, ...]).decode
_first_of = msgspec.msgpack.Decoder(FirstDeath).decode


def add(  # the fields of a death
    history: History,
    queue: str,
    reason: Reason,
    *,
    exchange: str,
    keys: tuple[str, ...],
    time_s: int,
    expiration_ms: int | None = None,
) -> History:
    """The history with one death more.

    One that has happened before counts once more and comes to the front; what was first known of it stays. Beyond
    DEATHS_MAX the oldest is forgotten, and of the keys those beyond DEATH_KEYS_BYTES_MAX.

    Spec: RabbitMQ, "Dead Letter Exchanges", the header x-death.
    """
    known = next((death for death in history if death.queue == queue and death.reason == reason), None)
    if known is None:
        newest = Death(queue, reason, 1, time_s, exchange, _fitting(keys), expiration_ms)
    else:
        newest = Death(queue, reason, known.count + 1, known.time_s, known.exchange, known.keys, known.expiration_ms)
    return (newest, *[death for death in history if death is not known])[:DEATHS_MAX]


def _fitting(keys: tuple[str, ...]) -> tuple[str, ...]:
    room = DEATH_KEYS_BYTES_MAX
    for at, key in enumerate(keys):
        room -= len(key.encode())
        if room < 0:
            return keys[:at]
    return keys


def is_cycle(history: History, queue: str) -> bool:
    """Whether a dead letter would come to a queue again in which it died, and nobody has rejected it since.

    Without a person or program that has a hand in it, it would go round for ever.
    """
    for death in history:
        if death.reason == "rejected":
            return False
        if death.queue == queue:
            return True
    return False


def headers(history: History, first: FirstDeath) -> list[tuple[str, bytes | None]]:
    """The headers that say so."""
    return [(DEATHS, _encoder.encode(history)), (FIRST_DEATH, _encoder.encode(first))]


def history_of(block: bytes) -> History:
    """The history in a header block. Headers come from outside: what cannot be read is no history, and empty."""
    try:
        packed = header_value(block, DEATHS)
        return _history_of(packed)[:DEATHS_MAX] if packed is not None else ()
    except (RequestError, msgspec.MsgspecError, UnicodeDecodeError):
        return ()


def first_of(block: bytes) -> FirstDeath | None:
    """The first death in a header block; None when there is none, or none that can be read."""
    try:
        packed = header_value(block, FIRST_DEATH)
        return _first_of(packed) if packed is not None else None
    except (RequestError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
