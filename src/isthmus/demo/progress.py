"""What the demo shows while it runs: bars with rate and time left on a terminal, plain lines anywhere else.

It goes to stderr, so that the report alone is on stdout. It decides nothing and must not slow the work down.
"""

import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_MS: Final = 2_000
"""Without a terminal, a line at most this often for the same work."""

EARLY_MS: Final = 300
"""Before this nothing is said of a rate."""


class Show(Protocol):
    """What can be shown."""

    def say(self, text: str) -> None:
        """Something happened."""

    def advance(self, what: str, done: int, total: int | None = None) -> None:
        """So much of some work is done, of `total` if that is known."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


def show() -> Show:
    """What fits where stderr goes."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """Bars on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )
        self._works: dict[str, tuple[TaskID, Pace]] = {}

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def advance(self, what: str, done: int, total: int | None = None) -> None:
        """Move the bar of that work, which appears with the first call."""
        if what not in self._works:
            self._works[what] = self._progress.add_task(what, total=total, rate=""), Pace(done)
        task, pace = self._works[what]
        self._progress.update(task, completed=done, total=total, rate=pace.text(done))

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        self._progress.stop()


class Lines:
    """Plain lines, now and then."""

    def __init__(self) -> None:
        self._works: dict[str, Pace] = {}
        self._said: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int | None = None) -> None:
        """Print how far the work is, unless that was said just now."""
        pace, now_s = self._works.setdefault(what, Pace(done)), time.monotonic()
        if now_s - self._said.setdefault(what, now_s) < LINE_MS / 1000:
            return
        self._said[what] = now_s
        of = "" if total is None else f" of {total:,}"
        self.say(f"{what}: {done:,}{of} {pace.text(done)}{pace.left(done, total)}".rstrip())

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""


class Pace:
    """How fast some work goes since it was first heard of, when `done` of it were done already."""

    def __init__(self, done: int) -> None:
        self._first = done
        self._began_s = time.monotonic()

    def per_second(self, done: int) -> float | None:
        """How many a second, None while it is too early to tell."""
        passed_s = time.monotonic() - self._began_s
        return (done - self._first) / passed_s if passed_s > EARLY_MS / 1000 else None

    def text(self, done: int) -> str:
        """The rate for people."""
        rate = self.per_second(done)
        return "" if rate is None else f"({rate:,.0f}/s)"

    def left(self, done: int, total: int | None) -> str:
        """How long the rest takes if it goes on like this, for people."""
        rate = self.per_second(done)
        return f", {(total - done) / rate:,.0f} s left" if rate and total is not None and done < total else ""
