"""What becomes of a delivery whose handler did not return: again later, never, or back uncounted. Pure.

The decision table of `dispatch.py`; it settles nothing and reads no clock and no dice.

| what was raised | failures before it | what becomes of it |
| --- | --- | --- |
| `Reject` | any | dead letter with that reason |
| `CircuitOpen` | any | handed back until the upstream service is asked again; no failure is counted |
| `Retry(after=)` | fewer than `attempts` - 1 | again after `after` |
| `Retry()`, any other exception | fewer than `attempts` - 1 | again after the back-off's delay |
| `Retry`, any other exception | `attempts` - 1 or more | dead letter with the exception and its traceback |
| `UnknownType`, `DecodeError` of the record itself | any | dead letter with that reason |
"""

import traceback
from types import TracebackType
from typing import Final

from msgspec import Struct

from isthmus.client.retry import Backoff, Reject, Retry
from isthmus.errors import CircuitOpen, RequestError
from isthmus.limits import REASON_BYTES_MAX

FRAMES_MAX: Final = 100
"""Innermost frames of a traceback that are kept."""


class Again(Struct, frozen=True):
    """Count a failure and offer it again after `delay_ms`."""

    delay_ms: int
    reason: str


class Dead(Struct, frozen=True):
    """To the dead letters, with why."""

    reason: str
    traceback: str = ""


class Back(Struct, frozen=True):
    """Hand it back without counting a failure, to come again after `delay_ms`."""

    delay_ms: int
    reason: str


Verdict = Again | Dead | Back


def verdict(error: BaseException, failed: int, retry: Backoff, random: float) -> Verdict:
    """What becomes of a delivery that failed `failed` times before this.

    Args:
        random: 0 to below 1, for the jitter of the delay.
    """
    if isinstance(error, Reject):
        return Dead(cut(error.reason))
    if isinstance(error, CircuitOpen):
        return Back(error.after_ms, reason_of(error))
    if retry.exhausted(failed + 1):
        return Dead(reason_of(error), traceback_of(error))
    after_ms = error.after_ms if isinstance(error, Retry) else None
    return Again(retry.delay_ms(failed + 1, random) if after_ms is None else after_ms, reason_of(error))


def undecodable(error: RequestError) -> Verdict:
    """What becomes of a record that is no event of its destination: trying again would not help."""
    return Dead(reason_of(error))


def refused(failed: int, retry: Backoff, random: float, after_ms: int | None) -> Verdict:
    """What becomes of a delivery whose handler said `msg.nack(after=)`, with `after_ms` as of `Retry`."""
    if retry.exhausted(failed + 1):
        return Dead(f"nack after {failed + 1} failures")
    return Again(retry.delay_ms(failed + 1, random) if after_ms is None else after_ms, "nack")


# ---- texts -------------------------------------------------------------------------------------------------------


def reason_of(error: BaseException) -> str:
    """One line for people: the exception's class and message; for `Retry` just what the handler said."""
    if isinstance(error, Retry):
        return cut(error.reason or "Retry")
    return cut("".join(traceback.format_exception_only(error)).strip())


def traceback_of(error: BaseException) -> str:
    """The traceback from the handler on, with causes; the innermost part when it is too long."""
    lines = traceback.format_exception(type(error), error, _from_handler(error.__traceback__), limit=-FRAMES_MAX)
    return cut("".join(lines))


def _from_handler(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames of the library that called the handler; the whole when there are no others."""
    inner = trace
    while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith("isthmus.client."):
        inner = inner.tb_next
    return inner or trace


def cut(text: str, limit_bytes: int = REASON_BYTES_MAX) -> str:
    """The text, cut at the front to at most that many bytes of UTF-8: what is last says most."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit_bytes:
        return encoded.decode()
    return "..." + encoded[3 - limit_bytes :].decode(errors="ignore")
