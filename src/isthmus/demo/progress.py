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
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def advance(self, what: str, done: int, total: int | None = None) -> None:
        """Move the bar of that work, which appears with the first call."""
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = self._progress.add_task(what, total=total, rate="")
            self._began[what] = time.monotonic()
        self._progress.update(task, completed=done, total=total, rate=rate(done, self._began[what]))

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
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int | None = None) -> None:
        """Print how far the work is, unless that was said just now."""
        now_s = time.monotonic()
        began_s = self._began.setdefault(what, now_s)
        soon = now_s - self._said.setdefault(what, began_s) < LINE_MS / 1000 and done != total
        if soon or self._done.get(what) == done:
            return
        self._said[what], self._done[what] = now_s, done
        of = f" of {total:,}" if total is not None else ""
        left = f", {left_s(done, total, now_s - began_s):,.0f} s left" if total and 0 < done < total else ""
        self.say(f"{what}: {done:,}{of} {rate(done, began_s)}{left}")

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""


def rate(done: int, began_s: float) -> str:
    """How many a second since a time of the monotonic clock."""
    passed_s = time.monotonic() - began_s
    return f"({done / passed_s:,.0f}/s)" if passed_s > 0 else ""


def left_s(done: int, total: int, passed_s: float) -> float:
    """How long the rest takes if it goes on like this."""
    return passed_s * (total - done) / done
