"""How late the event loop is: what every request waits for besides its own work.

It measures and remembers the last minute; who decides on it, asks.
"""

import time
from collections import deque
from collections.abc import Callable

from isthmus.clock import Clock, Timer
from isthmus.limits import LAG_SAMPLE_MS, LAG_SAMPLES


class LoopLag:
    """See the module text. Times are microseconds."""

    def __init__(self, clock: Clock, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._now_ns = now_ns
        self._samples: deque[int] = deque(maxlen=LAG_SAMPLES)
        self._timer: Timer | None = None
        self._due_ns = 0
        self.max_us = 0
        """The worst since the start."""
        self.samples = 0
        """How many were taken since the start."""

    def start(self) -> None:
        """Measure from now on."""
        self._due_ns = self._now_ns() + LAG_SAMPLE_MS * 1_000_000
        self._timer = self._clock.timer(self._clock.monotonic_ms() + LAG_SAMPLE_MS, self._measure)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def percentile_us(self, percent: float) -> int:
        """What so many per cent of the last minute's measurements do not exceed; 0 without any."""
        if not self._samples:
            return 0
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def _measure(self) -> None:
        late_us = max(0, (self._now_ns() - self._due_ns) // 1_000)
        self._samples.append(late_us)
        self.samples += 1
        self.max_us = max(self.max_us, late_us)
        self.start()
