"""The burst: ten thousand calls at once, which a queue holds for a service that takes fifty a second.

It runs the demo's app on the engine in memory with the test clock, so that minutes pass in a second; run it as
`python -m isthmus.demo.burst`. It prints what became of the calls and judges nothing.
"""

import asyncio
import sys
import time
from typing import Final

import msgspec

from isthmus.demo.app import app
from isthmus.demo.checks import Burst
from isthmus.demo.events import UpstreamCall, answers, burst
from isthmus.demo.services import UPSTREAM_CALLS_PER_SECOND, busiest_second

CALLS: Final = 10_000

MINUTES: Final = CALLS // UPSTREAM_CALLS_PER_SECOND // 60 + 1
"""How long the service needs for them, and a little more."""


async def level(calls: int = CALLS, minutes: int = MINUTES) -> Burst:
    """Publish that many calls at once and let so much time pass; returns what became of them."""
    since_s = time.monotonic()
    async with app.test() as test:
        await test.publish(burst, *(UpstreamCall(number=number) for number in range(calls)))
        await test.advance(f"{minutes}m")
        answered = test.published(answers)
    times_ms = [answer.at_ms for answer in answered]
    return Burst(
        published=calls,
        done=len({answer.number for answer in answered}),
        calls=len(answered),
        busiest_second=busiest_second(times_ms),
        replayed_s=(max(times_ms) - min(times_ms)) / 1000,
        seconds=time.monotonic() - since_s,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(level())))
