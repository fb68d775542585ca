"""Fills a store and waits to be ended: `python -m bench.filling DIRECTORY EVENTS stop|stay`; for `bench.opening`."""

import asyncio
import sys

from bench.flights import flights, stream
from bench.harness import pieces
from bench.throughput import publish_all
from isthmus import connect

STEP = 100_000


async def fill(path: str, events: int, then: str) -> None:
    async with connect(path) as bus:
        for part in pieces(events, STEP):
            await publish_all(bus, stream(), flights(part))
        print("filled", flush=True)
        if then == "stay":
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
